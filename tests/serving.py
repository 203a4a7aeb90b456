"""HTTP servers of tests."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from types import TracebackType
from typing import Self


class LoopbackServer(ThreadingHTTPServer):
    """On a free port of loopback, in a thread of its own, for as long as a `with` block lasts. `poll`:
    seconds between looks whether that is over. With `tls` it speaks nothing else.
    """

    daemon_threads = True

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], poll: float = 0.05, tls: SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        if tls is not None:
            # Shaken hands with in the request's own thread: a client that says nothing holds up no other.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": poll}, daemon=True
        )

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what tests bring about."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
