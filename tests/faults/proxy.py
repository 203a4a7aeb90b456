"""A proxy that fails on purpose, in front of an API server or a Git host: whoever calls sees what a bad
network shows.

What reached the server and what did not is the point of most faults, so each is of one kind: `before` (the
request never arrives) or `after` (it is carried out and the answer is lost).
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

LONGEST_HANG = 5.0
"""Seconds after which a half-open connection is closed, whatever the client does."""


class Fault(StrEnum):
    """What a call may meet."""

    NONE = "none"
    DELAY = "delay"
    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    BUSY = "429"
    ERROR_BEFORE = "5xx before"
    ERROR_AFTER = "5xx after"
    GARBAGE_BEFORE = "garbage before"
    GARBAGE_AFTER = "garbage after"
    HALF_OPEN_BEFORE = "half-open before"
    HALF_OPEN_AFTER = "half-open after"


ARRIVES = frozenset(
    {
        Fault.NONE,
        Fault.DELAY,
        Fault.RESET_AFTER,
        Fault.ERROR_AFTER,
        Fault.GARBAGE_AFTER,
        Fault.HALF_OPEN_AFTER,
    }
)
"""Those under which the server carries the request out."""
GARBAGE = (
    b"{}",
    b'{"kind": "Status", "status": "Success"}',
    b"<!DOCTYPE html><html><h1>Sign in</h1></html>",
    b'{"metadata": {"name": "x"}, "items": [',
    b"\x00\xff\xfe",
)


@dataclass(frozen=True)
class Asked:
    """A request as it came. `target` is path and query; `number` counts the requests of this proxy."""

    number: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass(frozen=True)
class Replied:
    """An answer of the server, or one that stands in for it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Server:
    """What stands behind the proxy. With a `certificate`, which is its own CA, and its key it speaks TLS, and
    so does the proxy, as the same server.
    """

    port: int
    certificate: Path | None = None
    key: Path | None = None

    def connect(self) -> http.client.HTTPConnection:
        """A new connection."""
        if self.certificate is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        context = ssl.create_default_context(cafile=self.certificate)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)

    def context(self) -> ssl.SSLContext | None:
        """How the proxy speaks as this server."""
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def no_fault(_asked: Asked) -> Fault:
    """Everything arrives and is answered."""
    return Fault.NONE


def nothing(_asked: Asked, _replied: Replied | None) -> Replied | None:
    """Nobody looks on."""
    return None


@dataclass
class Script:
    """What the proxy does with each call, changed between calls by a test.

    `choose` draws a fault; `before` and `after` look at a request on its way in and at its answer on the way
    out, and what they return takes the place of the server's answer.
    """

    choose: Callable[[Asked], Fault] = no_fault
    before: Callable[[Asked, Replied | None], Replied | None] = nothing
    after: Callable[[Asked, Replied | None], Replied | None] = nothing
    delay: float = 0.3
    met: Counter[Fault] = field(default_factory=Counter)

    @property
    def faults(self) -> int:
        """How many calls met a fault."""
        return sum(count for fault, count in self.met.items() if fault is not Fault.NONE)


class FaultProxy(ThreadingHTTPServer):
    """On loopback, for as long as a `with` block lasts."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = server
        self._context = server.context()
        self.script = Script()
        self.number = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

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

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what it is for."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


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
        fault = Fault.NONE if replied else script.choose(asked)
        script.met[fault] += 1
        if fault is Fault.DELAY:
            self.server.over.wait(script.delay)
        if replied is None and fault in ARRIVES:
            replied = self._forwarded(asked)
            replied = script.after(asked, replied) or replied
        self._reply(fault, asked, replied)

    do_GET = do_PATCH = do_DELETE = do_POST = do_PUT = do_HEAD = answer  # noqa: N815 - names that http.server calls

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

    def _reply(self, fault: Fault, asked: Asked, replied: Replied | None) -> None:
        if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
            self._reset()
        elif fault in (Fault.HALF_OPEN_BEFORE, Fault.HALF_OPEN_AFTER):
            self._hang()
        elif fault is Fault.BUSY:
            self._send(Replied(429, (("Retry-After", "0"),), b"{}"))
        elif fault in (Fault.ERROR_BEFORE, Fault.ERROR_AFTER):
            self._send(Replied((500, 502, 503, 504)[asked.number % 4], (), b"oops"))
        elif fault in (Fault.GARBAGE_BEFORE, Fault.GARBAGE_AFTER):
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
