"""Structured logs: one line an event, `text` for people or `json` for machines, to standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Action, Outcome
from gitmesh.model.report import Report
from gitmesh.render.escape import printable

LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.DEBUG}


def logger(
    form: Literal["text", "json"], *, level: str = "info", stream: TextIO | None = None
) -> FilteringBoundLogger:
    """A logger of that form. Times are UTC; control characters in values are escaped (docs/reliability.md
    W14)."""
    rendering: list[Processor] = [
        _escaped,
        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
    ]
    if form == "json":
        rendering = [structlog.processors.JSONRenderer()]  # escapes whatever is not ASCII
    return cast(
        FilteringBoundLogger,
        structlog.wrap_logger(
            structlog.WriteLogger(stream or sys.stderr),  # a line is one write: those of threads do not mix
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                *rendering,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        ),
    )


@contextmanager
def captured(log: FilteringBoundLogger) -> Iterator[None]:
    """What libraries log while the block runs comes as events `library` of this logger."""
    # Without a handler Python writes the libraries' warnings to standard error as they are: lines that are
    # no JSON, and that may hold control characters (docs/reliability.md W14).
    root, handler = logging.getLogger(), _LogHandler(log)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _LogHandler(logging.Handler):
    """Hands the records of the standard library's logging on."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        more = {"exc_info": record.exc_info} if record.exc_info else {}
        self._log.log(record.levelno, "library", logger=record.name, message=record.getMessage(), **more)


def _escaped(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Every text on one line, with nothing in it that moves a cursor."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


LASTING = frozenset({"GM501", "GM502", "GM601", "GM603", "GM604", "GM606"})
"""Faults of the world, of which a source or cluster has one at a time; its words may change from try to try.
"""


class LogPublisher:
    """Logs what changed since the last cycle: revisions, findings, writes, states. A quiet cycle is one debug
    line.

    A finding is logged when it begins, and a fault of the world once more when it ends.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._known: Mapping[tuple[object, ...], Diagnostic] = {}
        self._told: dict[tuple[object, ...], Diagnostic] = {}
        self._failing: frozenset[tuple[str, ObjectKey, Action]] = frozenset()
        self._states: dict[str, str] = {}
        self._accepted: dict[str, str] = {}

    def publish(self, report: Report) -> Report:
        """Log the report's news."""
        for name, source in sorted(report.sources.items()):
            self._revision(name, source.accepted)
        self._findings(report)
        for name, result in sorted(report.clusters.items()):
            self._cluster(name, result.state.value)
            changes = {change.key: change for change in (result.plan.writes if result.plan else ())}
            for outcome in result.outcomes:
                change = changes.get(outcome.key)
                self._write(name, outcome, change.drift if change else False)
        # After the writes were logged: these are compared with the failures of the cycle before.
        self._failing = _failures(report)
        commits = ",".join(
            f"{name}@{source.accepted[:12]}" for name, source in sorted(report.sources.items())
        )
        self._log.debug(
            "cycle",
            seconds=round(sum(report.seconds.values()), 3),
            policies=len(report.policies),
            commits=commits,
        )
        return report

    def tell(self, diagnostic: Diagnostic) -> None:
        """Log a finding of the cycle under way, if it is news."""
        key = _identity(diagnostic)
        # Both: a finding of the last report is known, and one that was told while the cycle ran comes again
        # in its report.
        if key not in self._known and key not in self._told:
            self._told[key] = diagnostic
            self._log.log(
                LEVELS[diagnostic.severity], "finding", **_fields(diagnostic), message=diagnostic.message
            )

    def _findings(self, report: Report) -> None:
        for diagnostic in report.diagnostics:
            self.tell(diagnostic)
        now = {_identity(diagnostic): diagnostic for diagnostic in report.diagnostics}
        gone = [
            diagnostic for key, diagnostic in (*self._known.items(), *self._told.items()) if key not in now
        ]
        for diagnostic in gone:
            if diagnostic.code in LASTING:
                self._log.info("finding ended", **_fields(diagnostic))
        others = [diagnostic for diagnostic in gone if diagnostic.code not in LASTING]
        # Counted, not listed, and only once nothing is wrong any more: a revision that mends a hundred
        # findings is one event.
        if others and not any(d.is_error for d in report.diagnostics):
            self._log.info("findings resolved", count=len(others))
        self._known, self._told = now, {}

    def _revision(self, source: str, commit: str) -> None:
        before = self._accepted.get(source, "")
        if commit != before:
            self._log.info("revision accepted", source=source, commit=commit, before=before)
            self._accepted[source] = commit

    def _cluster(self, name: str, state: str) -> None:
        if self._states.get(name) != state:
            self._log.info("cluster", cluster=name, state=state, before=self._states.get(name, ""))
            self._states[name] = state

    def _write(self, cluster: str, outcome: Outcome, drift: bool) -> None:
        # A write that goes on failing is tried in every cycle: logged each time, one object would fill the
        # log.
        if not outcome.ok and (cluster, outcome.key, outcome.action) in self._failing:
            return
        log = self._log.info if outcome.ok else self._log.error
        log(
            "write",
            cluster=cluster,
            object=str(outcome.key),
            action=outcome.action.value,
            ok=outcome.ok,
            drift=drift,
        )


def _failures(report: Report) -> frozenset[tuple[str, ObjectKey, Action]]:
    """The writes that failed: failing again is no news."""
    return frozenset(
        (name, o.key, o.action)
        for name, result in report.clusters.items()
        for o in result.outcomes
        if not o.ok
    )


def _identity(diagnostic: Diagnostic) -> tuple[object, ...]:
    """What makes it the same finding as in the cycle before."""
    # Not by its text: the words of such a fault may change from try to try, and each would be news.
    if diagnostic.code in LASTING:
        return (
            diagnostic.code,
            diagnostic.at.source if diagnostic.at else "",
            diagnostic.cluster,
            diagnostic.policy,
        )
    return diagnostic.sort_key()


def _fields(diagnostic: Diagnostic) -> Mapping[str, str]:
    return {
        "code": diagnostic.code,
        "name": diagnostic.name,
        "at": str(diagnostic.at or ""),
        "policy": diagnostic.policy,
        "cluster": diagnostic.cluster,
        **({"detail": diagnostic.detail} if diagnostic.detail else {}),
        **({"hold": diagnostic.hold} if diagnostic.hold else {}),
    }
