"""A publisher that no cycle waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition, Thread

from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.report import Report
from gitmesh.ports import Publisher

MOST_SKIPPED = 100
"""Reports with writes that are remembered while the publisher is busy."""


class Background:
    """Publishes in a thread of its own, and always the newest report only. Satisfies `ports.Publisher`.

    What the publisher has to say is added to the next report. `skipped` is told, in that thread, of reports
    with writes that gave way to newer ones. `end` ends what the publisher does now.
    """

    def __init__(
        self,
        publisher: Publisher,
        log: FilteringBoundLogger,
        *,
        skipped: Callable[[Report], None] = lambda _: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._publisher, self._log = publisher, log
        self._skipped, self._end = skipped, end
        self._changed = Condition()
        self._waiting: Report | None = None
        self._passed: tuple[Report, ...] = ()
        self._said: tuple[Diagnostic, ...] = ()
        self._busy = self._closed = False
        Thread(target=self._keep_publishing, name="publish", daemon=True).start()

    def publish(self, report: Report) -> Report:
        """Hand the report over; with it comes back what was said of an earlier one."""
        with self._changed:
            if self._waiting is not None and any(
                result.outcomes for result in self._waiting.clusters.values()
            ):
                # Only reports with writes: of the others the newest says all that there is to say.
                self._passed = (*self._passed, self._waiting)[-MOST_SKIPPED:]
            self._waiting = report
            self._changed.notify_all()
            said = self._said
        return replace(report, diagnostics=(*report.diagnostics, *said)) if said else report

    def close(self, seconds: float) -> None:
        """Take no more, and wait so long for what was handed over; what then is under way is ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            is_done = self._changed.wait_for(lambda: self._waiting is None and not self._busy, seconds)
        if not is_done:
            self._end()

    def _keep_publishing(self) -> None:
        while (taken := self._next()) is not None:
            said = self._published(*taken)
            with self._changed:
                self._said, self._busy = said, False
                self._changed.notify_all()

    def _next(self) -> tuple[Sequence[Report], Report] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._closed)
            if self._waiting is None:
                return None
            taken = self._passed, self._waiting
            self._passed, self._waiting, self._busy = (), None, True
            return taken

    def _published(self, passed: Sequence[Report], report: Report) -> tuple[Diagnostic, ...]:
        try:
            for one in passed:
                self._skipped(one)
            return self._publisher.publish(report).diagnostics[len(report.diagnostics) :]
        except Exception:  # noqa: BLE001  a defect of ours must not end the publishing (design law 10)
            self._log.error("a report was not published, this is a defect of GitMesh", exc_info=True)
            return ()
