"""The loop: a cycle at an interval with jitter, or when there is news; one at a time, until told to stop.
Survives every failure but a kill."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from traceback import extract_tb

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from structlog.typing import FilteringBoundLogger

from gitmesh.agent.health import Health
from gitmesh.agent.metrics import Metrics
from gitmesh.model.report import Report

JITTER = 0.1
"""Share of the interval by which a cycle may come later, so that many agents do not call at once."""
WORTH_COLLECTING = 100_000
"""Objects made since the last collection."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the garbage collector out of a cycle."""
    # To walk every remembered value costs more than the cycle itself.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if gc.get_count()[0] > WORTH_COLLECTING:
            # What a cycle left behind is collected after it; the rest is set aside, so that the next
            # collection is cheap.
            gc.unfreeze()
            gc.collect()
            gc.freeze()


class Loop:
    """What the agent repeats: `cycle` runs the pipeline with everything wired; `interval` is in seconds."""

    def __init__(
        self,
        *,
        cycle: Callable[[], Report],
        interval: float,
        clock: Callable[[], float],
        health: Health,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self.interval = interval
        self._cycle, self._clock, self._health, self._metrics, self._log = cycle, clock, health, metrics, log
        # One thread, so one cycle at a time: what is due meanwhile waits.
        self._scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(1)}, timezone="UTC")
        self._woken, self._lock = False, Lock()
        self._told = ""

    def tick(self) -> Report | None:
        """One cycle. A defect of ours is logged and counted; the next tick tries again (design law 10)."""
        try:
            with undisturbed():
                report = self._cycle()
        # The one handler of the agent: it must outlive any bug of a single cycle.
        except Exception as defect:  # noqa: BLE001
            self._metrics.failed()
            self._tell(defect)
            return None
        self._told = ""
        read = not any(source.unavailable for source in report.sources.values())
        self._health.completed(self._clock(), sources_read=read)
        return report

    def _tell(self, defect: Exception) -> None:
        """Log it with its traceback, once while it lasts; its metric counts each cycle."""
        place = extract_tb(defect.__traceback__)[-1]
        what = f"{type(defect).__name__} at {place.filename}:{place.lineno}"
        log = self._log.debug if what == self._told else self._log.error
        log("cycle failed, this is a defect of GitMesh", exc_info=defect)
        self._told = what

    def wake(self) -> None:
        """Tick as soon as may be. However often it is asked for before that begins, it is one tick."""
        with self._lock:
            if self._woken:
                return
            self._woken = True
        self._scheduler.add_job(self._answer, misfire_grace_time=None)

    def _answer(self) -> None:
        with self._lock:
            self._woken = False  # what comes from here on is not seen by this tick
        self.tick()

    def run(self, stop: Event) -> None:
        """Tick at once, then at every interval and whenever woken, until `stop` is set; the cycle under way
        is finished first.
        """
        # It warns of every tick that a long cycle outlasts; the seconds of the cycle say as much, once.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self.tick()
        if stop.is_set():
            return
        self._scheduler.add_job(
            self.tick,
            IntervalTrigger(seconds=self.interval, jitter=self.interval * JITTER or None, timezone="UTC"),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.start()
        stop.wait()
        self._log.info("stopping", reason="asked to stop")
        self._scheduler.shutdown(wait=True)
