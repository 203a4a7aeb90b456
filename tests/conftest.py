"""Options that all tests share."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write tests/golden/**/expected.yaml and findings.txt anew",
    )


# The same examples at every run: a law that breaks breaks for everybody. `HYPOTHESIS_PROFILE=explore` looks
# for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "steady")
settings.load_profile(PROFILE)
# Hypothesis also draws the constants of whatever modules are imported, which depends on the tests that the
# same process ran before. There is no setting for it; a version in which the name is another one fails here.
if PROFILE == "steady":
    pytest.MonkeyPatch().setattr(providers, "is_local_module_file", lambda _path: False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason why tests were skipped, and what helps."""
    skipped = terminalreporter.stats.get("skipped", ())
    for reason, count in Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped
    ).items():
        terminalreporter.write_line(f"{count} skipped: {reason}")
