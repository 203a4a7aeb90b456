"""The named steps of a cycle at which an agent is killed: a request that the proxies see, just before it
arrives or just after it was carried out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.calls import Asked, Replied, Script
from tests.faults.judge import KINDS, LEDGER

_DEAD = Replied(503, (), b"")


def _is_ledger(asked: Asked) -> bool:
    return asked.method in ("PUT", "POST") and "/configmaps" in asked.path and LEDGER[0] in asked.path


def _is_object(asked: Asked) -> bool:
    return any(f"/{plural}/" in asked.path for plural in KINDS) and "dryRun" not in asked.target


def _is_write(asked: Asked) -> bool:
    return asked.method == "PATCH" and _is_object(asked)


def _is_deletion(asked: Asked) -> bool:
    return asked.method == "DELETE" and _is_object(asked)


def _is_read(asked: Asked) -> bool:
    return asked.method == "GET" and asked.path.startswith("/apis/")


def _is_push(asked: Asked) -> bool:
    return asked.method == "POST" and asked.path.endswith("/git-receive-pack")


def _is_fetch(asked: Asked) -> bool:
    return asked.method == "POST" and asked.path.endswith("/git-upload-pack")


@dataclass(frozen=True)
class NamedStep:
    """The `nth` request that matches; `arrives`: the server carries it out, and then the agent is killed."""

    name: str
    matches: Callable[[Asked], bool]
    arrives: bool
    nth: int = 1
    git: bool = False


STEPS = (
    NamedStep("in the middle of a reading", _is_read, True, 7),
    NamedStep("before the intent is saved", _is_ledger, False),
    NamedStep("after the intent is saved", _is_ledger, True),
    NamedStep("before the first write", _is_write, False),
    NamedStep("after the first write", _is_write, True),
    NamedStep("before the second write", _is_write, False, 2),
    NamedStep("after the third write", _is_write, True, 3),
    NamedStep("before a deletion", _is_deletion, False),
    NamedStep("after a deletion", _is_deletion, True),
    NamedStep("before the truth is saved", _is_ledger, False, 2),
    NamedStep("after the truth is saved", _is_ledger, True, 2),
    NamedStep("before the status is pushed", _is_push, False, git=True),
    NamedStep("after the status is pushed", _is_push, True, git=True),
    NamedStep("in the middle of a fetch", _is_fetch, True, 2, git=True),
)


@dataclass
class Killer:
    """Kills once at a step, from the thread of the proxy that sees it; nothing is answered any more."""

    step: NamedStep
    kill: Callable[[], None]
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self) -> Script:
        """For the proxy that sees the step."""
        return Script(after=self._look) if self.step.arrives else Script(before=self._look)

    def _look(self, asked: Asked, _replied: Replied | None) -> Replied | None:
        if not self.step.matches(asked):
            return None
        with self._lock:
            self._seen += 1
            due = self._seen == self.step.nth
        if not due:
            return None
        self.kill()
        return _DEAD
