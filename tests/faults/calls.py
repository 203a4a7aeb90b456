"""Calls as a proxy sees them, and the faults that it lets them meet.

What reached the server and what did not is the point of most faults, so each is of one kind: `before` (the
request never arrives) or `after` (it is carried out and the answer is lost).
"""

from __future__ import annotations

import http.client
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class CallFault(StrEnum):
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
        CallFault.NONE,
        CallFault.DELAY,
        CallFault.RESET_AFTER,
        CallFault.ERROR_AFTER,
        CallFault.GARBAGE_AFTER,
        CallFault.HALF_OPEN_AFTER,
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


def no_fault(_asked: Asked) -> CallFault:
    """Everything arrives and is answered."""
    return CallFault.NONE


def nothing(_asked: Asked, _replied: Replied | None) -> Replied | None:
    """Nobody looks on."""
    return None


@dataclass
class Script:
    """What the proxy does with each call, changed between calls by a test.

    `choose` draws a fault; `before` and `after` look at a request on its way in and at its answer on the way
    out, and what they return takes the place of the server's answer.
    """

    choose: Callable[[Asked], CallFault] = no_fault
    before: Callable[[Asked, Replied | None], Replied | None] = nothing
    after: Callable[[Asked, Replied | None], Replied | None] = nothing
    delay: float = 0.3
    met: Counter[CallFault] = field(default_factory=Counter)

    @property
    def faults(self) -> int:
        """How many calls met a fault."""
        return sum(count for fault, count in self.met.items() if fault is not CallFault.NONE)
