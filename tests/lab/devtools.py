"""The DevTools protocol of a Chromium on loopback: commands and events over one WebSocket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

import websocket

from tests.lab.process import LOOPBACK, LabError


class DevTools:
    """Commands are answered in turn; events are kept until somebody waits for them. One thread only."""

    def __init__(self, port: int, path: str, seconds: float) -> None:
        """`path` is that of the browser's own target; no answer takes longer than `seconds`."""
        # Chromium refuses connections that name an origin, as a page of somebody's would.
        self._socket = websocket.create_connection(
            f"ws://{LOOPBACK}:{port}{path}", timeout=seconds, suppress_origin=True
        )
        self._number = 0
        self._events: list[Mapping[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # At once: a polite end would wait for the browser's own good-bye.
        self._socket.close(timeout=0)

    def call(self, method: str, session: str = "", **parameters: Any) -> Any:
        """The result of a command, to the browser or to the session of a page. LabError says why it
        failed.
        """
        self._number += 1
        number = self._number
        command = {
            "id": number,
            "method": method,
            "params": parameters,
            **({"sessionId": session} if session else {}),
        }
        self._socket.send(json.dumps(command))
        while True:
            message = self._next(method)
            if message.get("id") == number:
                break
            self._events.append(message)
        if "error" in message:
            raise LabError(f"the browser refused {method}: {message['error']['message']}")
        return message["result"]

    def wait_for(self, event: str, session: str) -> None:
        """Wait until a page has told of an event, and forget it."""
        while True:
            for at, message in enumerate(self._events):
                if message.get("method") == event and message.get("sessionId") == session:
                    del self._events[at]
                    return
            self._events.append(self._next(event))

    def forget(self) -> None:
        """Drop the events that nobody waited for."""
        self._events.clear()

    def _next(self, what: str) -> Mapping[str, Any]:
        try:
            text = self._socket.recv()
        except (websocket.WebSocketException, OSError) as error:
            raise LabError(f"no answer of the browser to {what}: {error}") from error
        message: Mapping[str, Any] = json.loads(text)
        return message
