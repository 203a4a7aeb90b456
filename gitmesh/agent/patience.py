"""How often a forge that fails is asked again, and what is logged of it: once when it begins, once when it
ends.
"""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from gitmesh.errors import WorldError

_FIRST, _LONGEST = 5.0, 300.0
"""Seconds after the first failure, twice as many after each further one, and at most."""


class Patience:
    """What is remembered of failures in a row. `what` says in the log what does not work. Times are monotonic
    seconds.
    """

    def __init__(self, log: FilteringBoundLogger, what: str, clock: Callable[[], float]) -> None:
        self._log, self._what, self._clock = log, what, clock
        self._failures = 0
        self._again = 0.0
        self._told = ""

    @property
    def left(self) -> float:
        """Seconds until it may be tried again; 0 where it may be now."""
        return max(0.0, self._again - self._clock()) if self._failures else 0.0

    def failed(self, error: WorldError) -> None:
        """It did not work. The same failure again is a debug line."""
        # The exponent is bounded, as after days of failures a float would overflow.
        self._again = self._clock() + min(_LONGEST, _FIRST * 2.0 ** min(self._failures, 16))
        self._failures += 1
        log = self._log.debug if str(error) == self._told else self._log.warning
        log(self._what, error=str(error), detail=error.detail, hint=error.hint)
        self._told = str(error)

    def worked(self) -> None:
        """It works."""
        if self._failures:
            self._log.info(f"{self._what}: it works again")
        self._failures, self._told = 0, ""
