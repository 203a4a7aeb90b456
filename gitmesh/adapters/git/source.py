"""A branch of a git repository as a source of policies."""

from __future__ import annotations

from pathlib import Path

from gitmesh.model.config import SourceAuth
from gitmesh.model.snapshot import Snapshot


class GitSource:
    """SIGNATURES ONLY, body follows."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        branch: str = "main",
        paths: tuple[str, ...] = ("",),
        store: Path,
        auth: SourceAuth | None = None,
        base: Path | None = None,
        allow_insecure: bool = False,
        timeout: float = 60.0,
    ) -> None: ...

    def fetch(self) -> Snapshot: ...
    def read(self, commit: str) -> Snapshot: ...
    def descends(self, tip: str, ancestor: str) -> bool: ...
