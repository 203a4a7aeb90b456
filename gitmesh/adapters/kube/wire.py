"""A connection to an API server, plain or TLS, whose every wait ends at a deadline and which any thread may
cut.
"""

from __future__ import annotations

import contextlib
import select
import socket
from functools import partial
from ssl import SSLCertVerificationError, SSLSocket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext, SSLSession

    from gitmesh.adapters.kube.deadline import Deadline

_PIECE = 64 * 1024


class UnreachableError(OSError):
    """There is no connection; the text says why."""


class ServerTls:
    """TLS with one server. Its session is taken up again, so that certificates are proved once and not for
    each connection.
    """

    def __init__(self, context: SSLContext, server_name: str) -> None:
        self._context = context
        self._server_name = plain(server_name)
        self._session: SSLSession | None = None

    def wrap(self, sock: socket.socket) -> SSLSocket:
        """The socket, before its handshake."""
        # The handshake comes later, so that `cut` has a socket to shut down while a server is silent.
        return self._context.wrap_socket(
            sock, server_hostname=self._server_name, do_handshake_on_connect=False, session=self._session
        )

    def heard(self, sock: SSLSocket) -> None:
        """Something was received: only now is a session whole (RFC 8446, 4.6.1)."""
        if self._session is None:
            self._session = sock.session

    def forget(self) -> None:
        """The server would not, or could not, take up the session: the next handshake proves everything
        again.
        """
        self._session = None


class Wire:
    """One connection, made when something is first sent. `deadline` is that of the exchange under way."""

    deadline: Deadline

    def __init__(self, host: str, port: int, tls: ServerTls | None) -> None:
        self.tls = tls
        self._host, self._port = host, port
        self._sock: socket.socket | None = None
        self._is_cut = False

    def send(self, data: bytes) -> None:
        """Send all of it. Raises SSLCertVerificationError where the server is not trusted, and
        UnreachableError.
        """
        if self._sock is None:
            self._connect()
        self._ready().sendall(data)

    def receive(self) -> bytes:
        """Some of what the server says, empty where it closed."""
        # Each wait is for the rest of the time only: who trickles gains none.
        sock = self._ready()
        data = sock.recv(_PIECE)
        if self.tls is not None and isinstance(sock, SSLSocket):
            self.tls.heard(sock)
        return data

    def close(self) -> None:
        """Close it."""
        if self._sock is not None:
            self._sock.close()

    def is_silent(self) -> bool:
        """Whether nothing can be read from an idle connection."""
        assert self._sock is not None
        # `select` fails for descriptors beyond 1023, which an agent with many clusters may have.
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        # On an idle connection nobody owes us an answer: what can be read there is the server closing it.
        return not poll.poll(0)

    def cut(self) -> None:
        """End what waits for it, from any thread. It stays open until its user closes it."""
        self._is_cut = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                # Not the method of SSLSocket, which would take the TLS state away from under the thread that
                # reads.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _connect(self) -> None:
        try:
            self._dial()
            if self.tls is not None:
                self._secure(self.tls)
        except SSLCertVerificationError:
            raise
        except OSError as error:
            raise UnreachableError(error.strerror or str(error)) from error

    def _secure(self, tls: ServerTls) -> None:
        self._sock = secured = tls.wrap(self._ready())
        self._ready()
        try:
            secured.do_handshake()
        finally:
            if not secured.session_reused:
                tls.forget()

    def _dial(self) -> None:
        failure = OSError("the name has no address")
        find = partial(socket.getaddrinfo, plain(self._host), self._port, type=socket.SOCK_STREAM)
        # Nothing ends a look-up of a name, so it goes on in a thread of its own, while we stop waiting.
        for family, kind, protocol, _, address in self.deadline.call(find):
            self.close()
            try:
                self._sock = socket.socket(family, kind, protocol)
                self._ready().connect(address)
                # Requests are small and wait for their answers: Nagle's algorithm would hold each back.
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                failure = error
            else:
                return
        raise failure

    def _ready(self) -> socket.socket:
        """The socket, for one more step."""
        if self._is_cut:
            raise ConnectionAbortedError("cut")
        assert self._sock is not None
        self._sock.settimeout(self.deadline.left())
        return self._sock


def plain(host: str) -> bytes:
    """A host as bytes, which are taken as they are."""
    # For every text Python loads its tables of international names first.
    return host.encode() if host.isascii() else host.encode("idna")
