"""Whether the agent is alive and ready, as values: no clock of its own."""

from __future__ import annotations

from threading import Lock

from msgspec import Struct

STALE_AFTER = 5
"""Intervals without a completed cycle after which the agent counts as stuck."""
LEAST_PATIENCE = 300.0
"""Seconds that a cycle may take in any case, however short the interval: it waits for clusters in three
steps, each bounded.
"""


class ProbeAnswer(Struct, frozen=True, kw_only=True):
    """What a probe gets: HTTP 200 or 503, and a line for people."""

    ok: bool
    text: str


class Health:
    """The time of the last completed cycle, shared by the loop and the probes. Times are monotonic
    seconds.
    """

    def __init__(self, started: float, interval: float) -> None:
        self._lock = Lock()
        self._last: float | None = None
        self._started = started
        self._patience = max(STALE_AFTER * interval, LEAST_PATIENCE)
        self._sources_read = False

    def completed(self, now: float, *, sources_read: bool) -> None:
        """A cycle ended, whatever its findings."""
        with self._lock:
            self._last = now
            # Once read it stays ready: a source that is away later is served from what is known.
            self._sources_read = self._sources_read or sources_read

    def alive(self, now: float) -> ProbeAnswer:
        """Liveness: the last completed cycle is not too old."""
        with self._lock:
            # By our own cycles alone: a cluster or a forge that is away must not get the agent killed.
            age = now - (self._started if self._last is None else self._last)
            what = "start" if self._last is None else "last completed cycle"
        return ProbeAnswer(
            ok=age <= self._patience, text=f"{what} {age:.0f} s ago, at most {self._patience:.0f} s allowed"
        )

    def ready(self) -> ProbeAnswer:
        """Readiness: a cycle has been completed in which every source was read."""
        with self._lock:
            return ProbeAnswer(
                ok=self._sources_read,
                text="ready" if self._sources_read else "no cycle has read the sources yet",
            )
