"""What a forge tells: a loopback server that remembers the webhooks delivered to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.lab.process import LOOPBACK, wait_until
from tests.serving import LoopbackServer

_SECONDS = 60.0


@dataclass(frozen=True)
class Delivery:
    """One webhook as it arrived; names of headers in lower case."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> str:
        """`pull_request`, `pull_request_sync`, `pull_request_comment`, `push`, ...: by these names Gitea's
        hooks are asked for.
        """
        return self.headers.get("x-gitea-event-type", "")

    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


class HookReceiver(LoopbackServer):
    """Answers every webhook with 204, and is stopped when the block ends."""

    def __init__(self) -> None:
        self._deliveries: list[Delivery] = []
        self._lock = threading.Lock()
        super().__init__(_handler(self))

    @property
    def url(self) -> str:
        """Where to deliver."""
        return f"http://{LOOPBACK}:{self.server_port}/hook"

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """All so far, the oldest first."""
        with self._lock:
            return tuple(self._deliveries)

    def record(self, delivery: Delivery) -> None:
        """Remember one; the handler calls it."""
        with self._lock:
            self._deliveries.append(delivery)

    def wait_for(self, event: str) -> Delivery:
        """The first delivery of an event, once it is there."""
        wait_until(
            lambda: any(one.event == event for one in self.deliveries), f"webhook of {event}", _SECONDS
        )
        return next(one for one in self.deliveries if one.event == event)


def _handler(receiver: HookReceiver) -> type[BaseHTTPRequestHandler]:
    class HookHandler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.record(Delivery({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    return HookHandler
