"""A pod of the lab as a test sees it: it sends requests, keeps a stream, and tells what its application
saw.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.bookshop import Proxy
from tests.lab.process import LabError
from tests.lab.wire import Seen, Tally, WireAnswer, WireRequest

_MARGIN = 30.0
"""Seconds on top of all the requests' own timeouts after which a pod that says nothing is broken."""


@dataclass(frozen=True)
class Pod:
    """One running pod; `control` is the UNIX socket of its application."""

    name: str
    namespace: str
    service_account: str
    ip: str
    netns: str
    """The network namespace, for `ip netns exec`."""
    control: Path
    proxy: Proxy

    def send(self, requests: Sequence[WireRequest], parallel: int = 1) -> list[WireAnswer]:
        """Send these from here, at most `parallel` at a time; answers in the order of the requests."""
        patience = sum(request.timeout for request in requests) + _MARGIN
        with _Line(self.control, patience) as line:
            line.write(
                {"op": "send", "requests": [_wire(request) for request in requests], "parallel": parallel}
            )
            return [_answer(item) for item in line.read()]

    def seen(self, call_id: str) -> list[Seen]:
        """What the application saw of the calls with this `x-lab-id`, in order."""
        with _Line(self.control, _MARGIN) as line:
            line.write({"op": "seen", "id": call_id})
            return [Seen(**item) for item in line.read()]

    @contextlib.contextmanager
    def stream(self, request: WireRequest, per_second: float = 200) -> Iterator[Stream]:
        """Send one request at a steady rate, whatever the answers are; running once its first answer is
        there.
        """
        with _Line(self.control, request.timeout + _MARGIN) as line:
            line.write({"op": "stream", "requests": [_wire(request)], "per_second": per_second})
            if line.read() != {}:
                raise LabError(f"pod {self.name} does not start a stream")
            yield Stream(line)


class Stream:
    """A stream that runs until `stop`, or until its block ends."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._tally: Tally | None = None

    def stop(self) -> Tally:
        """End the stream, wait for the answers that are still to come, and count; the same again when
        repeated.
        """
        if self._tally is None:
            self._line.write({"op": "stop"})
            found = self._line.read()
            statuses = {int(status): count for status, count in found["by_status"].items()}
            self._tally = Tally(found["sent"], statuses, found["errors"], tuple(found["gaps"]))
        return self._tally


class _Line:
    """A conversation with a pod's application: one JSON value a line."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(seconds)
        self._path = path

    def __enter__(self) -> Self:
        self._socket.connect(str(self._path))
        self._file = self._socket.makefile("rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()

    def write(self, value: Mapping[str, Any]) -> None:
        self._socket.sendall(json.dumps(value).encode() + b"\n")

    def read(self) -> Any:
        line = self._file.readline()
        if not line:
            raise LabError(f"the pod at {self._path} has ended")
        return json.loads(line)


def _wire(request: WireRequest) -> dict[str, Any]:
    return {**dataclasses.asdict(request), "headers": dict(request.headers)}


def _answer(found: Mapping[str, Any]) -> WireAnswer:
    seen = Seen(**found["seen"]) if found["seen"] else None
    return WireAnswer(**{**found, "headers": found["headers"] or {}, "seen": seen})
