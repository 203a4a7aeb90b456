"""Properties meet the same examples at every run, whatever ran before in the same process."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import PROFILE

CONSTANTS = range(7_000_001, 7_000_301)


@pytest.mark.skipif(PROFILE != "steady", reason="another profile looks for new examples")
def test_what_is_imported_changes_no_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[int] = set()

    @settings(max_examples=500)
    @given(st.integers())
    def draws(number: int) -> None:
        drawn.add(number)

    file = tmp_path / "constants.py"
    file.write_text(f"NUMBERS = {list(CONSTANTS)}\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("gitmesh_constants", file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gitmesh_constants", module)
    draws()
    assert drawn.isdisjoint(CONSTANTS)
