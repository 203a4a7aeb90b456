"""A small real HTTP server with the faults that a real API server cannot be made to show: it is not a model
of one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from tests.serving import LoopbackServer

Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with the next reply of the server's script; the last one stays."""

    protocol_version = "HTTP/1.1"
    server: FaultServer

    def answer(self) -> None:
        """Read the request whole, then hand over to the script."""
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.next_reply(self)(self)

    do_GET = do_PATCH = do_DELETE = do_POST = do_PUT = answer  # noqa: N815 - names that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def send(self, status: int, body: bytes, **headers: str) -> None:
        """A well-formed answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class FaultServer(LoopbackServer):
    """Plain HTTP. `seen` are the requests as (method, path with query)."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__(Handler, poll=0.01)
        self._replies = list(replies)
        self._lock = threading.Lock()
        self.seen: list[tuple[str, str]] = []
        self.asked = threading.Event()
        self.dropped = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def next_reply(self, handler: Handler) -> Reply:
        """The reply to this request."""
        with self._lock:
            self.seen.append((handler.command, handler.path))
            self.asked.set()
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


def says(status: int, body: bytes, **headers: str) -> Reply:
    """An answer of this status and body."""
    return lambda handler: handler.send(status, body, **headers)


def trickles(handler: Handler) -> None:
    """A body of one byte every 50 ms, without end; tells the server when the client hung up."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.connection.settimeout(0.05)
    while True:
        try:
            if handler.connection.recv(1) == b"":
                break
        except TimeoutError:
            handler.wfile.write(b" ")
        except OSError:
            break
    handler.server.dropped.set()
    handler.close_connection = True


def breaks_off(handler: Handler) -> None:
    """Half of the promised body, then the end of the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"items": [')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def resets(handler: Handler) -> None:
    """No answer at all."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def floods(handler: Handler) -> None:
    """A chunked body larger than anything that is read."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    piece = b" " * 1024 * 1024
    while True:
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
