"""HTTP/1.1 to one API server with the standard library: connections that are kept alive, each used by a thread at a time.

Nobody's default is asked: no proxy of the environment, no redirect, no cookie, and no deadline but the caller's.
"""

from __future__ import annotations

import time
import zlib
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gitmesh.adapters.kube.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

    from gitmesh.adapters.kube.credentials import Endpoint
    from gitmesh.adapters.kube.deadline import Deadline

MOST_BYTES = 64 * 1024 * 1024
_LONGEST_IDLE = 75.0
GZIP = 31
"""zlib's window bits for the gzip format."""


class TooLargeError(Exception):
    """A body of more than 64 MiB."""


class Reply(NamedTuple):
    """An answer with its whole body, unpacked."""

    status: int
    headers: HTTPMessage
    body: bytes


class Connection(HTTPConnection):
    """One connection, made at its first use. `context` None is plain HTTP."""

    def __init__(self, host: str, port: int, context: SSLContext | None, server_name: str, deadline: Deadline) -> None:
        self.default_port = 80 if context is None else 443
        super().__init__(host, port)
        self.context = context
        self.wire = Wire(deadline)
        self._server_name = server_name

    def connect(self) -> None:
        """Connect and shake hands. Raises as `Wire.connect`."""
        self.sock = self.wire
        self.wire.connect(self.host, self.port, self.context, self._server_name)

    def exchange(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Send a request and read the whole answer. Raises OSError, HTTPException, TooLargeError and ClusterError."""
        self.request(method, target, body=body, headers=headers)
        with self.getresponse() as response:
            return Reply(response.status, response.headers, _unpacked(response.headers, _whole(response)))


class Pool:
    """The connections to an endpoint, for any number of threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        parts = urlsplit(endpoint.server)
        self._endpoint = endpoint
        self._address = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
        self._is_plain = parts.scheme == "http"
        self._prefix = parts.path.rstrip("/")
        self._lock = Lock()
        self._idle: list[tuple[float, Connection]] = []
        self._busy: set[Connection] = set()
        self._context: SSLContext | None = None
        self._is_closed = False

    def exchange(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], deadline: Deadline, *, renew: bool
    ) -> Reply:
        """One request and its answer. `renew`: with the certificate as it is now. Raises as `Connection.exchange`, and ClusterError."""
        connection = self._take(deadline, renew)
        try:
            reply = connection.exchange(method, self._prefix + target, body, headers)
        except BaseException:
            connection.close()
            raise
        finally:
            self._busy.discard(connection)
        self._put_back(connection)
        return reply

    def close(self) -> None:
        """Close what is idle and cut what is not."""
        with self._lock:
            self._is_closed = True
            for connection in tuple(self._busy):
                connection.wire.cut()
            for _, connection in self._idle:
                connection.close()
            self._idle.clear()

    def _take(self, deadline: Deadline, renew: bool) -> Connection:
        """The connection that was used last, or a new one."""
        with self._lock:
            context = self._tls(renew)
            connection = self._reusable(context) or Connection(
                *self._address, context, self._endpoint.server_name or self._address[0], deadline
            )
            connection.wire.deadline = deadline
            self._busy.add(connection)
            if self._is_closed:
                connection.wire.cut()
            return connection

    def _reusable(self, context: SSLContext | None) -> Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if connection.context is context and time.monotonic() - since < _LONGEST_IDLE and connection.wire.is_silent():
                return connection
            connection.close()
        return None

    def _put_back(self, connection: Connection) -> None:
        with self._lock:
            if self._is_closed:
                connection.close()
            elif connection.sock is not None:  # None: the server said that it closes
                self._idle.append((time.monotonic(), connection))

    def _tls(self, renew: bool) -> SSLContext | None:
        if not self._is_plain and (self._context is None or renew):
            self._context = self._endpoint.context()
        return self._context


def _whole(response: HTTPResponse) -> bytes:
    """The body up to its end; one that breaks off raises IncompleteRead."""
    if (response.length or 0) > MOST_BYTES:
        raise TooLargeError
    # With a length `read` is told nothing: only then does it notice that less came.
    body = response.read(MOST_BYTES + 1 if response.length is None else None)
    if len(body) > MOST_BYTES:
        raise TooLargeError
    return body


def _unpacked(headers: HTTPMessage, body: bytes) -> bytes:
    """The body as it was before a proxy packed it, though we asked for it as it is."""
    if headers.get("Content-Encoding", "identity").lower() != "gzip":
        return body
    unpacker = zlib.decompressobj(wbits=GZIP)
    try:
        plain = unpacker.decompress(body, MOST_BYTES + 1)
    except zlib.error as error:
        raise HTTPException("no gzip") from error
    if len(plain) > MOST_BYTES:
        raise TooLargeError
    return plain
