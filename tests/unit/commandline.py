"""Command lines run in this process, as a user in a folder would run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from gitmesh.cli import main

Run: TypeAlias = Callable[..., tuple[int, str, str]]
"""Words of a command line -> (exit code, stdout, stderr)."""


def runner(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs in `folder`, with nothing of GitMesh in the environment, as a user who has trusted nothing yet."""
    for name in ("GITMESH_CONFIG", "GITMESH_DEBUG", "NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / ".state"))
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
