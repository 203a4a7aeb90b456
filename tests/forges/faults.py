"""Calls that end badly: which ones is drawn from a seed."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from enum import StrEnum


class Trouble(StrEnum):
    """How a call ends. Nothing was done, but with LOST, where it was done and the answer does not arrive."""

    RESET = "reset"
    LIMIT = "429"
    FAILURE = "500"
    GATEWAY = "502"
    SILENCE = "timeout"
    GARBAGE = "garbage"
    LOST = "lost"


class Faults:
    """A share of all calls, from 0 to 1, ends in one of these troubles. The same seed draws the same row of
    them.
    """

    def __init__(self, seed: int, share: float, kinds: Sequence[Trouble] = tuple(Trouble)) -> None:
        self._random, self._share, self._kinds = random.Random(seed), share, tuple(kinds)
        self._lock = threading.Lock()

    def draw(self) -> Trouble | None:
        """What befalls the next call; None for none."""
        with self._lock:
            return self._random.choice(self._kinds) if self._random.random() < self._share else None
