"""A socket to an API server, plain or TLS, whose every wait ends at a deadline and which any thread may cut."""

from __future__ import annotations

import contextlib
import io
import select
import socket
from functools import partial
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext

    from _typeshed import ReadableBuffer, WriteableBuffer

    from gitmesh.adapters.kube.deadline import Deadline


class UnreachableError(OSError):
    """There is no connection; the text says why."""


class Wire:
    """As much of a socket as `http.client` uses. `deadline` is that of the exchange under way."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._sock: socket.socket | None = None
        self._is_cut = False

    def connect(self, host: str, port: int, context: SSLContext | None, server_name: str) -> None:
        """Connect and shake hands. Raises SSLCertVerificationError where the server is not trusted, else UnreachableError."""
        try:
            self._dial(host, port)
            if context is not None:
                self._secure(context, server_name)
        except SSLCertVerificationError:
            raise
        except OSError as error:
            raise UnreachableError(error.strerror or str(error)) from error

    def sendall(self, data: ReadableBuffer) -> None:
        """Send all of it."""
        self._ready().sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What is received."""
        return io.BufferedReader(_Incoming(self._ready(), self.deadline))

    def close(self) -> None:
        """Close it, once what `makefile` gave is closed too."""
        if self._sock is not None:
            self._sock.close()

    def is_silent(self) -> bool:
        """Whether nothing can be read: from an idle connection that would be the server's goodbye."""
        assert self._sock is not None
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def cut(self) -> None:
        """End what waits for it, from any thread. It stays open until its user closes it."""
        self._is_cut = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                # Not the method of SSLSocket, which would take the TLS state away from under the thread that reads.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _dial(self, host: str, port: int) -> None:
        failure = OSError("the name has no address")
        for family, kind, protocol, _, address in self.deadline.call(
            partial(socket.getaddrinfo, _plain(host), port, type=socket.SOCK_STREAM)
        ):
            self.close()
            try:
                self._sock = socket.socket(family, kind, protocol)
                self._ready().connect(address)
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                failure = error
            else:
                return
        raise failure

    def _secure(self, context: SSLContext, server_name: str) -> None:
        # The handshake comes second, so that `cut` has a socket to shut down while a server is silent.
        secured = context.wrap_socket(self._ready(), server_hostname=_plain(server_name), do_handshake_on_connect=False)
        self._sock = secured
        self._ready()
        secured.do_handshake()

    def _ready(self) -> socket.socket:
        """The socket, for one more step."""
        if self._is_cut:
            raise ConnectionAbortedError("cut")
        assert self._sock is not None
        self._sock.settimeout(self.deadline.left())
        return self._sock


class _Incoming(io.RawIOBase):
    """What a socket says. Each wait is for the rest of the time at most, so a server that trickles gains none."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.settimeout(self._deadline.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _plain(host: str) -> str | bytes:
    """A host as bytes, which are taken as they are: for every text Python loads its tables of international names first."""
    return host.encode() if host.isascii() else host
