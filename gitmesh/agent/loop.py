"""The loop: poll at an interval with jitter, one cycle at a time, until told to stop. Survives every failure but a kill."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gitmesh.agent.health import Health
from gitmesh.agent.metrics import Metrics
from gitmesh.model.report import Report

JITTER = 0.1
"""Share of the interval by which a poll may come later, so that many agents do not call at once."""


WORTH_COLLECTING = 100_000
"""Objects made since the last collection."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the garbage collector out of a cycle: walking every remembered value costs more than the cycle itself.

    What a cycle leaves behind is collected after it, and then set aside so that the next collection is cheap.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if gc.get_count()[0] > WORTH_COLLECTING:
            gc.unfreeze()
            gc.collect()
            gc.freeze()


class Loop(Struct, frozen=True, kw_only=True):
    """What the agent repeats: `cycle` runs the pipeline with everything wired; `interval` is in seconds."""

    cycle: Callable[[], Report]
    interval: float
    clock: Callable[[], float]
    health: Health
    metrics: Metrics
    log: FilteringBoundLogger

    def tick(self) -> Report | None:
        """One cycle. A defect of ours is logged and counted, and the next tick tries again (design law 9)."""
        try:
            with undisturbed():
                report = self.cycle()
        except Exception:  # the one handler of the agent: it must outlive any bug of a single cycle
            self.metrics.failed()
            self.log.error("cycle failed, this is a defect of GitMesh", exc_info=True)
            return None
        read = not any(source.unavailable for source in report.sources.values())
        self.health.completed(self.clock(), sources_read=read)
        return report

    def run(self, stop: Event) -> None:
        """Tick at once and then at every interval until `stop` is set; the cycle under way is finished first."""
        # It warns of every tick that a long cycle outlasts; the seconds of the cycle say as much, once.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(1)}, timezone="UTC")
        self.tick()
        if stop.is_set():
            return
        scheduler.add_job(
            self.tick,
            IntervalTrigger(seconds=self.interval, jitter=self.interval * JITTER or None, timezone="UTC"),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        scheduler.start()
        stop.wait()
        self.log.info("stopping", reason="asked to stop")
        scheduler.shutdown(wait=True)
