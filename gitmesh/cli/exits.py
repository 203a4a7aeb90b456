"""Exit codes (docs/commands.md#exit-codes): decided from the report alone, never from the output format."""

from __future__ import annotations

from collections.abc import Iterable

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.report import Report
from gitmesh.render.summary import summarise

CLEAN = 0
DIFFERENT = 1
FINDINGS = 2
FAILED = 3


def exit_code(report: Report, *, fail_on: str = "error", differences: bool = False) -> int:
    """The exit code of a report; with `differences`, something left to write is 1 where nothing worse was
    found.
    """
    # First of all: what did not answer may have errors that nobody knows of.
    if report.unreachable or any(source.unavailable for source in report.sources.values()):
        return FAILED
    if fails(report.diagnostics, fail_on):
        return FINDINGS
    return DIFFERENT if differences and summarise(report).differs else CLEAN


def fails(diagnostics: Iterable[Diagnostic], fail_on: str) -> bool:
    """Whether some finding is as bad as `fail_on` (error or warning) says."""
    bad = {Severity.ERROR} if fail_on == "error" else {Severity.ERROR, Severity.WARNING}
    return any(one.severity in bad for one in diagnostics)
