"""Work that is repeated in a thread of its own: at its own pace, or as soon as somebody rings."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread

LEAST_PAUSE = 1.0
"""Seconds from the end of one round to the next, however often it is rung for."""


class Bell:
    """`work` does one round and tells after how many seconds the next one is due. However often it is rung
    for before that begins, it is one round; what rings while one is under way is another."""

    def __init__(self, name: str, work: Callable[[], float], clock: Callable[[], float]) -> None:
        self._name, self._work, self._clock = name, work, clock
        self._changed = Condition()
        self._rung = False
        self.closed = False

    def ring(self) -> None:
        """Ask for a round."""
        with self._changed:
            self._rung = True
            self._changed.notify_all()

    def start(self) -> None:
        """Begin, with a round at once."""
        Thread(target=self._repeat, name=self._name, daemon=True).start()

    def close(self) -> None:
        """No round begins any more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _repeat(self) -> None:
        while not self.closed:
            pause = self._work()
            ended = self._clock()
            with self._changed:
                self._changed.wait_for(lambda: self._rung or self.closed, max(pause, LEAST_PAUSE))
                # Whoever may ring, a stranger's webhook among them, does not set the pace.
                rest = ended + LEAST_PAUSE - self._clock()
                if rest > 0:
                    self._changed.wait_for(lambda: self.closed, rest)
                self._rung = False  # what comes from here on is not seen by this round
