"""The long form of `tests/faults` is played in portions that add up, and goes on where it was ended."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from tests.faults import __main__ as long_form
from tests.faults.judge import LawBrokenError
from tests.faults.scene import Scene

NOWHERE = cast(Scene, None)


def counts(_scene: Scene, count: int, seed: str) -> Counter[str]:
    """Does nothing, so many times."""
    return Counter({"done": count, "wider for a moment": int(seed)})


def breaks(_scene: Scene, _count: int, _seed: str) -> Counter[str]:
    raise LawBrokenError("lost")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(long_form, "CAMPAIGNS", {"a": (counts, 2, 5), "b": (breaks, 1, 1)})
    return tmp_path / "deeper" / "state.jsonl"


def test_portions_have_seeds_of_their_own_until_all_is_done(state: Path) -> None:
    for name, seed in long_form.portions(["a"], state, None):
        assert long_form.play(NOWHERE, name, seed, state)
    assert list(long_form.portions(["a"], state, None)) == []
    assert "a: 6 of 5 in 3 seeds, 6 times wider" in long_form.summary(state)


def test_it_goes_on_where_it_was_ended(state: Path) -> None:
    first = next(long_form.portions(["a"], state, None))
    long_form.play(NOWHERE, *first, state)
    with state.open("a", encoding="utf-8") as file:
        file.write('{"campaign": "a", "se')  # cut off
    assert next(long_form.portions(["a"], state, None)) == ("a", "2")


def test_a_broken_law_is_not_counted_and_one_seed_alone_is_not_written_down(state: Path) -> None:
    assert not long_form.play(NOWHERE, "b", "1", state)
    assert list(long_form.portions(["a", "b"], state, "7")) == [("a", "7"), ("b", "7")]
    assert long_form.play(NOWHERE, "a", "7", None)
    assert not state.exists()
