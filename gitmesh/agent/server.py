"""The agent's HTTP door: /healthz, /readyz, /metrics. It reads only, in threads of its own, apart from the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Thread
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gitmesh.agent.health import Answer, Health

Page = tuple[int, str, bytes]
MOST_CONNECTIONS = 64
SLOWEST_CLIENT = 10.0
"""Seconds that a client may take for its request (reliability W05)."""


class ListenError(Exception):
    """The address of health and metrics cannot be listened on."""


def pages(health: Health, registry: CollectorRegistry, now: Callable[[], float]) -> Mapping[str, Callable[[], Page]]:
    """Path -> page. A fixed map: no path ever reaches a file system (reliability W10)."""
    return {
        "/healthz": lambda: _answer(health.alive(now())),
        "/readyz": lambda: _answer(health.ready()),
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
    }


def _answer(answer: Answer) -> Page:
    return (200 if answer.ok else 503, "text/plain; charset=utf-8", f"{answer.text}\n".encode())


def serve(listen: str, routes: Mapping[str, Callable[[], Page]]) -> ThreadingHTTPServer:
    """Listen on `host:port` (host may be empty or [v6]) and answer in background threads. Raises ListenError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal():
        raise ListenError(f"cannot listen on {listen}: not HOST:PORT")
    try:
        server = _Server((host.strip("[]"), int(port)), _handler(routes))
    except (OSError, OverflowError, ValueError) as error:
        raise ListenError(f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}") from None
    Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server


def bound(server: ThreadingHTTPServer) -> str:
    """The address that is listened on; it names the port that was chosen where `listen` gave port 0."""
    host, port = str(server.server_address[0]), server.server_address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, *args: Any) -> None:
        self._places = BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Beyond the limit a connection is closed at once instead of taking a thread."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the place back when the connection ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away or was too slow is not worth a traceback."""


def _handler(routes: Mapping[str, Callable[[], Page]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SLOWEST_CLIENT
        server_version = "gitmesh"
        sys_version = ""

        def do_GET(self) -> None:
            page = routes.get(self.path.partition("?")[0])
            status, kind, body = page() if page else (404, "text/plain; charset=utf-8", b"not found\n")
            self.send_response(status)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff")):
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  the name that BaseHTTPRequestHandler looks for

        def log_message(self, format: str, *args: object) -> None:
            """Probes and scrapes are not logged."""

    return Handler
