"""HTTP/1.1 to one API server with the standard library: connections that are kept alive, each used by a thread at a time.

Nobody's default is asked: no proxy of the environment, no redirect, no cookie, and no deadline but the caller's, who
cancels. A cancelled exchange shuts its socket down, which ends the thread that waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from typing import NamedTuple
from urllib.parse import urlsplit

from gitmesh.adapters.kube.credentials import Endpoint

MOST_BYTES = 64 * 1024 * 1024
_LONGEST_IDLE = 75.0
_GRACE = 1.0
"""Seconds by which a socket's own timeout outlasts the deadline: it frees a thread that looks up a name or connects, which
cannot be cut."""
_GZIP = 31  # zlib's window bits for the gzip format


class UnreachableError(OSError):
    """There is no connection; the text says why."""


class TooLargeError(Exception):
    """A body of more than 64 MiB."""


class Reply(NamedTuple):
    """An answer with its whole body, unpacked."""

    status: int
    headers: HTTPMessage
    body: bytes


class Connection(HTTPConnection):
    """One connection, made at its first use. `context` None is plain HTTP; `timeout` is that of a single step, in seconds."""

    def __init__(self, host: str, port: int | None, context: ssl.SSLContext | None, server_name: str, timeout: float) -> None:
        self.default_port = 80 if context is None else 443
        super().__init__(host, port or self.default_port, timeout=timeout)
        self.context = context
        self._server_name = server_name
        self._wire: socket.socket | None = None
        self._is_cut = False

    def connect(self) -> None:
        """Connect and shake hands. Raises SSLCertVerificationError where the server is not trusted, else UnreachableError."""
        try:
            super().connect()
            self._wire = self.sock
            if self.context is not None:
                self._secure(self.context)
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            raise UnreachableError(error.strerror or str(error)) from error

    def _secure(self, context: ssl.SSLContext) -> None:
        # The handshake comes second, so that `cut` has a socket to shut down while a server is silent.
        secured = context.wrap_socket(self.sock, server_hostname=self._server_name, do_handshake_on_connect=False)
        self.sock = self._wire = secured
        if self._is_cut:
            raise ConnectionAbortedError("cut")
        secured.do_handshake()

    def exchange(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Send a request and read the whole answer. Raises OSError, HTTPException and TooLargeError."""
        self.request(method, target, body=body, headers=headers)
        with self.getresponse() as response:
            return Reply(response.status, response.headers, _unpacked(response.headers, _whole(response)))

    def is_reusable(self) -> bool:
        """Whether it is open and silent: what can be read from an idle connection is the server's goodbye."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def cut(self) -> None:
        """End what waits for this connection, from any thread. The socket stays open until its user closes it."""
        self._is_cut = True
        if self._wire is not None:
            with contextlib.suppress(OSError):
                # Not the method of SSLSocket, which would take the TLS state away from under the thread that reads.
                socket.socket.shutdown(self._wire, socket.SHUT_RDWR)


class Pool:
    """The connections to an endpoint and the threads that use them, at most `size`. To be used from one event loop."""

    def __init__(self, endpoint: Endpoint, *, size: int, timeout: float) -> None:
        parts = urlsplit(endpoint.server)
        self._endpoint = endpoint
        self._address = parts.hostname or "", parts.port
        self._is_plain = parts.scheme == "http"
        self._prefix = parts.path.rstrip("/")
        self._timeout = timeout + _GRACE
        self._threads = ThreadPoolExecutor(size, "gitmesh-kube")
        self._idle: list[tuple[float, Connection]] = []
        self._context: ssl.SSLContext | None = None

    async def exchange(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], *, renew: bool) -> Reply:
        """One request and its answer. `renew`: with the certificate as it is now. Raises as `Connection.exchange`, and ClusterError."""
        connection = self._take(self._tls(renew))
        work = self._threads.submit(connection.exchange, method, self._prefix + target, body, headers)
        try:
            reply = await asyncio.wrap_future(work)
        except BaseException:
            connection.cut()
            work.add_done_callback(lambda _: connection.close())
            raise
        self._put_back(connection)
        return reply

    def close(self) -> None:
        """Close what is idle and let the threads end."""
        for _, connection in self._idle:
            connection.close()
        self._idle.clear()
        self._threads.shutdown(wait=False)

    def _take(self, context: ssl.SSLContext | None) -> Connection:
        """The connection that was used last, or a new one."""
        while self._idle:
            since, connection = self._idle.pop()
            if connection.context is context and time.monotonic() - since < _LONGEST_IDLE and connection.is_reusable():
                return connection
            connection.close()
        host, port = self._address
        return Connection(host, port, context, self._endpoint.server_name or host, self._timeout)

    def _put_back(self, connection: Connection) -> None:
        if connection.sock is not None:  # None: the server said that it closes
            self._idle.append((time.monotonic(), connection))

    def _tls(self, renew: bool) -> ssl.SSLContext | None:
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
    unpacker = zlib.decompressobj(wbits=_GZIP)
    try:
        plain = unpacker.decompress(body, MOST_BYTES + 1)
    except zlib.error as error:
        raise HTTPException("no gzip") from error
    if len(plain) > MOST_BYTES:
        raise TooLargeError
    return plain
