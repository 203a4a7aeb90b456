"""Publishes reports on the status branch."""

from __future__ import annotations

from collections.abc import Callable

from gitmesh.adapters.git.source import GitSource
from gitmesh.model.config import Author
from gitmesh.model.report import Report


class StatusBranch:
    """SIGNATURES ONLY, body follows. `now` gives the commit time in seconds since the epoch."""

    def __init__(self, source: GitSource, branch: str, *, author: Author, now: Callable[[], float]) -> None: ...

    def publish(self, report: Report) -> Report: ...
