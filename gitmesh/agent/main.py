"""Wiring of the agent: signals, health, metrics, logs around the loop. Called by `gitmesh agent`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from threading import Event, Thread
from types import FrameType

from structlog.typing import FilteringBoundLogger

from gitmesh.adapters.polling import Polled
from gitmesh.agent.background import Background
from gitmesh.agent.health import Health
from gitmesh.agent.logs import captured
from gitmesh.agent.loop import Loop
from gitmesh.agent.metrics import Metrics
from gitmesh.agent.reviews import Reviewer
from gitmesh.agent.server import pages, serve
from gitmesh.agent.webhook import PATH, ForgeHook
from gitmesh.model.report import Report
from gitmesh.ports import Publisher

GRACE = 18.0
"""Seconds between SIGTERM and the end (docs/reliability.md X10): the object under way is finished, the rest
waits for the next start.
"""
LAST_WORDS = 4.0
"""Seconds of it for a status that is still to be pushed."""


def run_agent(
    cycle: Callable[[Sequence[Publisher]], Report],
    *,
    sources: Sequence[Polled],
    background: Sequence[Background],
    reviewer: Reviewer | None,
    webhook: ForgeHook | None,
    listen: str,
    interval: float,
    clock: Callable[[], float],
    log: FilteringBoundLogger,
    publishers: Sequence[Publisher],
    stop: Event,
    leave: Callable[[int], None],
) -> int:
    """Keep the clusters until `stop` is set; returns the exit code.

    `cycle` runs the pipeline once with the publishers it is given; `sources` are polled and pull requests
    reviewed beside it; what `background` has is brought to an end afterwards. `leave` ends the process when
    the grace is over. Raises ListenError before anything else happens.
    """
    metrics = Metrics()
    health = Health(clock(), interval)
    everything = (*publishers, metrics)
    # Before anything else: an address that is taken ends the start, and no cluster has been touched.
    server = serve(listen, pages(health, metrics.registry, clock), {PATH: webhook.answer} if webhook else {})
    log.info("agent started", listen=server.addresses, interval=interval)
    Thread(target=_last_resort, args=(stop, sources, leave), daemon=True, name="grace").start()
    loop = Loop(
        cycle=lambda: cycle(everything),
        interval=interval,
        clock=clock,
        health=health,
        metrics=metrics,
        log=log,
    )
    try:
        with captured(log):
            for source in sources:
                source.start(loop.wake)
            if reviewer is not None:
                reviewer.start(metrics.reviewed)
            loop.run(stop)
            if reviewer is not None:
                reviewer.close()
            for publisher in background:
                publisher.close(LAST_WORDS)
    finally:
        server.close()
    log.info("agent stopped")
    return 0


def stop_on_signals() -> Event:
    """An event that SIGTERM and SIGINT set."""
    stop = Event()
    told, tell = os.pipe()
    # A signal handler must never wait: with a full pipe the signal is on its way already.
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _nothing_more)
    # A thread of its own sets it, told by a pipe: a handler in Python runs in the main thread only, and that
    # one may be inside of the event's lock, or stay blocked where the kernel gave the signal to another
    # thread.
    Thread(target=_set_when_told, args=(told, stop), daemon=True, name="signals").start()
    return stop


def _nothing_more(_number: int, _frame: FrameType | None) -> None:
    """The pipe has it already."""


def _set_when_told(told: int, stop: Event) -> None:
    os.read(told, 1)
    stop.set()


def _last_resort(stop: Event, sources: Sequence[Polled], leave: Callable[[int], None]) -> None:
    """End the polls, and the process when a cycle does not end in time."""
    stop.wait()
    for source in sources:
        source.close()
    Event().wait(GRACE)
    # Nothing is lost: intents are on record, so that the next start converges.
    leave(0)
