"""A proxy that fails on purpose, in front of an API server or a Git host: whoever calls sees what a bad
network shows.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from types import TracebackType

from tests.faults.calls import ARRIVES, GARBAGE, Asked, CallFault, Replied, Script, Server
from tests.serving import LoopbackServer

LONGEST_HANG = 5.0
"""Seconds after which a half-open connection is closed, whatever the client does."""


class FaultProxy(LoopbackServer):
    """In front of one server."""

    block_on_close = False
    request_queue_size = 128

    def __init__(self, server: Server) -> None:
        super().__init__(_Handler)
        self.behind = server
        self._context = server.context()
        self.script = Script()
        self.number = 0
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """A connection; its handshake comes with its first byte, in its own thread."""
        plain, address = super().get_request()
        if self._context is None:
            return plain, address
        wrapped = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    @contextlib.contextmanager
    def playing(self, script: Script) -> Iterator[Script]:
        """By this script within the block, and without faults after it."""
        self.script = script
        try:
            yield script
        finally:
            self.script = Script()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        super().__exit__(kind, error, trace)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the server."""

    protocol_version = "HTTP/1.1"
    server: FaultProxy
    _behind: http.client.HTTPConnection | None = None

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def finish(self) -> None:
        """Close both ends."""
        if self._behind is not None:
            self._behind.close()
        with contextlib.suppress(OSError):
            super().finish()

    def answer(self) -> None:
        """One call by the script."""
        script = self.server.script
        asked = self._asked()
        replied = script.before(asked, None)
        fault = CallFault.NONE if replied else script.choose(asked)
        script.met[fault] += 1
        if fault is CallFault.DELAY:
            self.server.over.wait(script.delay)
        if replied is None and fault in ARRIVES:
            replied = self._forwarded(asked)
            replied = script.after(asked, replied) or replied
        self._reply(fault, asked, replied)

    # Names that http.server calls.
    do_GET = do_PATCH = do_DELETE = do_POST = do_PUT = do_HEAD = answer  # noqa: N815

    def _asked(self) -> Asked:
        body = self._body()
        with self.server.lock:
            self.server.number += 1
            number = self.server.number
        return Asked(number, self.command, self.path, tuple(self.headers.items()), body)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _forwarded(self, asked: Asked) -> Replied:
        """The server's answer; one more connection where it closed the last one between two calls."""
        for attempt in (1, 2):
            fresh = self._behind is None
            connection = self._behind = self._behind or self.server.behind.connect()
            try:
                return _exchange(connection, asked)
            except (ConnectionError, http.client.HTTPException):
                self._behind = None
                if fresh or attempt == 2 or asked.method != "GET":
                    raise
        raise AssertionError("unreachable")

    def _reply(self, fault: CallFault, asked: Asked, replied: Replied | None) -> None:
        if fault in (CallFault.RESET_BEFORE, CallFault.RESET_AFTER):
            self._reset()
        elif fault in (CallFault.HALF_OPEN_BEFORE, CallFault.HALF_OPEN_AFTER):
            self._hang()
        elif fault is CallFault.BUSY:
            self._send(Replied(429, (("Retry-After", "0"),), b"{}"))
        elif fault in (CallFault.ERROR_BEFORE, CallFault.ERROR_AFTER):
            self._send(Replied((500, 502, 503, 504)[asked.number % 4], (), b"oops"))
        elif fault in (CallFault.GARBAGE_BEFORE, CallFault.GARBAGE_AFTER):
            self._send(
                Replied(200, (("Content-Type", "application/json"),), GARBAGE[asked.number % len(GARBAGE)])
            )
        elif replied is not None:
            self._send(replied)

    def _send(self, replied: Replied) -> None:
        self.send_response_only(replied.status)
        for name, value in replied.headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(replied.body)))
        self.end_headers()
        self.wfile.write(replied.body)

    def _reset(self) -> None:
        """RST, not FIN: what is closed with a linger of nothing."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()

    def _hang(self) -> None:
        """Say nothing until the client goes."""
        end = time.monotonic() + LONGEST_HANG
        self.connection.settimeout(0.2)
        while time.monotonic() < end and not self.server.over.is_set():
            try:
                if self.connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.close_connection = True


def _exchange(connection: http.client.HTTPConnection, asked: Asked) -> Replied:
    kept = {
        name: value
        for name, value in asked.headers
        if name.lower() not in ("host", "connection", "transfer-encoding", "content-length")
    }
    connection.request(asked.method, asked.target, body=asked.body or None, headers=kept)
    answer = connection.getresponse()
    body = answer.read()
    return Replied(answer.status, tuple(answer.getheaders()), body)
