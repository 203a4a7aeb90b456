"""Answers from before: what an API server said of each path, to be said again as if it were now."""

from __future__ import annotations

import random
import re
import threading
from bisect import bisect_right
from collections.abc import Callable

from tests.faults.calls import Asked, Replied
from tests.faults.judge import KINDS

View = Callable[[str], int]
"""The moment from which a path is answered."""
_BY_NAME = re.compile(rf"/(?:{'|'.join(KINDS)})/[^/]+\Z")
"""Objects that are asked for by name are as they are (README.md)."""


class Past:
    """Every answer to a read that differs from the one before. A moment is a count of them."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, bytes], list[tuple[int, Replied]]] = {}
        self._lock = threading.Lock()
        self.moment = 0

    def listen(self, asked: Asked, replied: Replied | None) -> Replied | None:
        """Remember an answer; `Script.after`."""
        if replied is None or not _is_read(asked) or replied.status not in (200, 404):
            return None
        with self._lock:
            said = self._said.setdefault((asked.target, asked.body), [])
            if not said or said[-1][1].body != replied.body:
                self.moment += 1
                said.append((self.moment, replied))
        return None

    def at(self, asked: Asked, moment: int) -> Replied | None:
        """What was said of it then; None where nobody had asked."""
        with self._lock:
            said = self._said.get((asked.target, asked.body), [])
            found = bisect_right([when for when, _ in said], moment)
            return said[found - 1][1] if found else None

    def answers(self, view: View) -> Callable[[Asked, Replied | None], Replied | None]:
        """Reads as the view has them; `Script.before`. What it knows nothing of is asked of the server."""

        def answer(asked: Asked, _replied: Replied | None) -> Replied | None:
            if not _is_read(asked) or _BY_NAME.search(asked.path):
                return None
            return self.at(asked, view(asked.path))

        return answer


def _is_read(asked: Asked) -> bool:
    """Git asks by POST, too."""
    return asked.method == "GET" or asked.path.endswith("/git-upload-pack")


def whole(moment: int) -> View:
    """Everything from one moment, the ledger too: what a replica that lags behind shows."""
    return lambda _path: moment


def lists(moment: int, now: int) -> View:
    """The lists from one moment and the ledger as it is: what a cache in front of lists shows."""
    return lambda path: now if "/configmaps/" in path else moment


def never(chance: random.Random, now: int) -> View:
    """Each path from a moment of its own: a state in which the cluster never was."""
    seed = chance.random()
    return lambda path: random.Random(f"{seed} {path}").randint(1, now)
