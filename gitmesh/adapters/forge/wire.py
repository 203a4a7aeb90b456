"""Connections to a forge whose every step ends at one moment, also where the other side trickles or a name
server is silent.
"""

from __future__ import annotations

import select
import socket
from functools import partial
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING, Any

import httpcore2

from gitmesh.adapters.kube.together import Ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ssl import SSLContext


class UntrustedError(httpcore2.ConnectError):
    """The server's certificate is not one that we trust for its name; the text says why."""


class TimeLimit:
    """So many seconds from now, for all that one call does: connecting, every attempt and page, and the
    pauses between them.
    """

    def __init__(self, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock, self._sleep = clock, sleep
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds that are left, more than none. Raises TimeoutError."""
        seconds = self._end - self._clock()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def has_room(self, seconds: float) -> bool:
        """Whether a pause of this length leaves time to go on."""
        return seconds < self._end - self._clock()

    def pause(self, seconds: float) -> None:
        """Do nothing for a while."""
        self._sleep(seconds)


class LimitedBackend(httpcore2.NetworkBackend):
    """Opens sockets for httpcore2. Its own timeouts, each for one operation on a socket, are not asked: the
    limit is.
    """

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore2's signature, as below
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> LimitedStream:
        """Connect to the first address of the name that answers. Raises ConnectError and TimeoutError."""
        failure = OSError("the name has no address")
        for family, kind, protocol, _, address in self._addresses(host, port):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self._limit.left())
                sock.connect(address)
                # Head and body of a request are two small writes: Nagle's algorithm would hold the second
                # until the first is acknowledged.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                # The time may be over, and not only this address: then no other is tried.
                self._limit.left()
                failure = error
            else:
                return LimitedStream(sock, self._limit)
        raise httpcore2.ConnectError(_words(failure)) from failure

    def _addresses(self, host: str, port: int) -> list[tuple[Any, ...]]:
        # getaddrinfo knows no timeout and cannot be interrupted: in a thread of its own it may go on by
        # itself while the caller has left.
        look = Ahead(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
        if not look.wait(self._limit.left()):
            raise TimeoutError
        try:
            return list(look.result())
        except UnicodeError:
            raise httpcore2.ConnectError("no name server can be asked for such a name") from None
        except OSError as error:
            raise httpcore2.ConnectError(_words(error)) from error


class LimitedStream(httpcore2.NetworkStream):
    """One connection, plain or TLS."""

    def __init__(self, sock: socket.socket, limit: TimeLimit) -> None:
        self._sock, self._limit = sock, limit

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Some of what the other side says, empty where it closed."""
        # Before every recv what is left of the whole: a timeout of its own for each operation lets a server
        # that sends a byte now and then keep us for ever.
        self._sock.settimeout(self._limit.left())
        try:
            return self._sock.recv(max_bytes)
        except TimeoutError:
            raise
        except OSError as error:
            raise httpcore2.ReadError(_words(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send all of it."""
        view = memoryview(buffer)
        while view:
            self._sock.settimeout(self._limit.left())
            try:
                view = view[self._sock.send(view) :]
            except TimeoutError:
                raise
            except OSError as error:
                raise httpcore2.WriteError(_words(error)) from error

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> LimitedStream:
        """The connection with TLS on it. Raises UntrustedError, ConnectError and TimeoutError."""
        self._sock.settimeout(self._limit.left())
        try:
            return LimitedStream(
                ssl_context.wrap_socket(self._sock, server_hostname=server_hostname), self._limit
            )
        except OSError as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise
            kind = UntrustedError if isinstance(error, SSLCertVerificationError) else httpcore2.ConnectError
            raise kind(_words(error)) from error

    def get_extra_info(self, info: str) -> Any:
        """What httpcore2 wants to know: "is_readable" of an idle connection would be the other side's
        goodbye.
        """
        if info == "is_readable":
            # On a connection without a request under way the only thing to read is the end: httpcore2 then
            # opens a new one, where a request on the old one would fail.
            return _has_something(self._sock)
        return None


def _has_something(sock: socket.socket) -> bool:
    # Not select.select, which refuses file descriptors from 1,024 on.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _words(error: OSError) -> str:
    if isinstance(error, SSLCertVerificationError):
        return error.verify_message
    return error.strerror or type(error).__name__
