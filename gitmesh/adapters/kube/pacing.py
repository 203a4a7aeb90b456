"""How often and how much at once a server is asked: retries with full jitter, and a limit that gives way to
429.
"""

from __future__ import annotations

from threading import Condition

RETRIED = frozenset({429, 500, 502, 503, 504})
ATTEMPTS = 4
LONGEST_WAIT = 60.0
_BASE, _CAP = 0.2, 5.0


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, at most 60; None for an absent one or one that is not a
    whole number.
    """
    text = (header or "").strip()
    # The form with a date is not honoured: no decision rests on a remote clock.
    if not (text.isascii() and text.isdigit()):
        return None
    # Nine digits: a longer number would only be cut to the same bound.
    return min(float(text[:9]), LONGEST_WAIT)


def backoff(attempt: int, jitter: float) -> float:
    """Seconds before the attempt after `attempt` (0-based): full jitter, `jitter` in [0, 1)."""
    return jitter * min(_CAP, _BASE * 2.0 ** (attempt + 1))


class Slots:
    """At most `most` holders at once, each a thread; each 429 halves that, each full round of successes gives
    one back.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = most
        self._used = 0
        self._successes = 0
        self._changed = Condition()

    @property
    def limit(self) -> int:
        """How many may be held now."""
        return self._limit

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._used < self._limit)
            self._used += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._used -= 1
            self._changed.notify()

    def slower(self) -> None:
        """The server said 429."""
        with self._changed:
            # Halved at once and given back one by one, as TCP does: a server that is overloaded needs room
            # now.
            self._limit = max(1, self._limit // 2)
            self._successes = 0

    def faster(self) -> None:
        """The server answered."""
        with self._changed:
            self._successes += 1
            if self._successes >= self._limit < self._most:
                self._limit += 1
                self._successes = 0
                self._changed.notify()
