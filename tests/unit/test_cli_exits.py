"""Exit codes are decided from the report alone."""

from __future__ import annotations

import pytest

from gitmesh.cli.exits import exit_code
from gitmesh.diagnostics import finding
from gitmesh.model.plan import Action
from gitmesh.model.report import Report, SourceResult
from tests.unit.reports import change, cluster, error, report, unreachable

WARNING = finding("GM209", "selects nothing")
DOWN = {"policies": SourceResult(name="policies", unavailable=True)}


@pytest.mark.parametrize(
    ("given", "fail_on", "differences", "expected"),
    [
        (report(cluster()), "error", True, 0),
        (report(cluster("east", change(Action.KEEP))), "error", True, 0),
        (report(cluster("east", change(Action.UPDATE))), "error", True, 1),
        (report(cluster("east", change(Action.UPDATE))), "error", False, 0),
        (report(cluster("east", change(Action.CONFLICT))), "error", True, 1),
        (report(cluster("east", prune_held=(change(Action.DELETE),))), "error", True, 1),
        (report(cluster(), said=(WARNING,)), "error", True, 0),
        (report(cluster(), said=(WARNING,)), "warning", True, 2),
        (report(cluster("east", change(Action.UPDATE)), said=(error(),)), "error", True, 2),
        (report(cluster(), unreachable(), said=(error(),)), "error", True, 3),
        (report(cluster(), sources=DOWN), "error", False, 3),
    ],
)
def test_exit_code(given: Report, fail_on: str, differences: bool, expected: int) -> None:
    assert exit_code(given, fail_on=fail_on, differences=differences) == expected
