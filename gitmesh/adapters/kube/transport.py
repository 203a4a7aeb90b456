"""The connections to one API server: kept alive, each used by a thread at a time.

Nobody's default is asked: no proxy of the environment, no redirect, no cookie, and no deadline but the
caller's.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gitmesh.adapters.kube.message import Reply, Response, request
from gitmesh.adapters.kube.wire import ServerTls, Wire, plain
from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from gitmesh.adapters.kube.credentials import Endpoint, Stamp
    from gitmesh.adapters.kube.deadline import Deadline

_LONGEST_IDLE = 75.0


class Pool:
    """The connections to an endpoint, for any number of threads. `endpoint` may be replaced by one at the
    same address.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        parts = urlsplit(endpoint.server)
        self.endpoint = endpoint
        self._is_plain = parts.scheme == "http"
        self._address = parts.hostname or "", parts.port or (80 if self._is_plain else 443)
        self._host = _host(parts)
        self._prefix = parts.path.rstrip("/")
        self._lock = Lock()
        self._idle: list[tuple[float, Wire]] = []
        self._busy: set[Wire] = set()
        self._tls: ServerTls | None = None
        self._stamps: tuple[Stamp | None, ...] = ()
        self._is_closed = False

    def exchange(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: Deadline,
        *,
        renew: bool,
    ) -> Reply:
        """One request and its answer. `renew`: with CA and certificate as they are now.

        Raises OSError (MessageError and UnreachableError are such), TooLargeError and ClusterError.
        """
        message = request(method, self._prefix + target, {"Host": self._host, **headers}, body)
        wire = self._take(deadline, renew)
        try:
            response = _exchange(wire, message)
        except BaseException:
            wire.close()
            raise
        finally:
            self._busy.discard(wire)
        self._put_back(wire, response.keeps_alive)
        return response.reply()

    def refresh(self) -> ClusterError | None:
        """Take up CA and certificate if their files changed; what stands in the way, while the last good ones
        serve.
        """
        with self._lock:
            is_old = self._tls is not None and self.endpoint.stamps() != self._stamps
            return self._secure() if is_old else None

    def close(self) -> None:
        """Close what is idle and cut what is not."""
        with self._lock:
            self._is_closed = True
            for wire in tuple(self._busy):
                wire.cut()
            for _, wire in self._idle:
                wire.close()
            self._idle.clear()

    def _take(self, deadline: Deadline, renew: bool) -> Wire:
        """The connection that was used last, or a new one."""
        with self._lock:
            if not self._is_plain and (self._tls is None or renew):
                self._secure()
            wire = self._reusable() or Wire(*self._address, self._tls)
            wire.deadline = deadline
            self._busy.add(wire)
            # Closed while we were waiting for the lock: who closed it did not see this connection.
            if self._is_closed:
                wire.cut()
            return wire

    def _secure(self) -> ClusterError | None:
        """Read CA and certificate. Raises ClusterError where that fails and none were read before."""
        stamps = self.endpoint.stamps()  # before they are read: what changes meanwhile is read once more
        try:
            context = self.endpoint.context()
        except ClusterError as error:
            if self._tls is None:
                raise
            return error
        self._tls, self._stamps = ServerTls(context, self.endpoint.server_name or self._address[0]), stamps
        return None

    def _reusable(self) -> Wire | None:
        while self._idle:
            # The one that was used last: it is the least likely to have been closed.
            since, wire = self._idle.pop()
            # Not one that was made with a CA or certificate that was replaced since, nor one that the
            # server may be closing.
            if wire.tls is self._tls and time.monotonic() - since < _LONGEST_IDLE and wire.is_silent():
                return wire
            wire.close()
        return None

    def _put_back(self, wire: Wire, keeps_alive: bool) -> None:
        with self._lock:
            if keeps_alive and not self._is_closed:
                self._idle.append((time.monotonic(), wire))
            else:
                wire.close()


def _host(parts: SplitResult) -> str:
    """The Host header of an address."""
    name = plain(parts.hostname or "").decode("ascii")
    return f"{f'[{name}]' if ':' in name else name}{f':{parts.port}' if parts.port else ''}"


def _exchange(wire: Wire, message: bytes) -> Response:
    wire.send(message)
    response = Response()
    while not response.is_whole:
        response.feed(wire.receive())
    return response
