"""Seeds of worlds, a hundred to a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.trying import tried

_CHUNK = 100
_SEEDS = 5_000
_SHORT = 300


@pytest.mark.parametrize("first", range(0, _SHORT, _CHUNK))
def test_worlds_hold_the_laws(first: int, tmp_path: Path) -> None:
    """The short form, a part of every `make test`."""
    hold(first, tmp_path)


@pytest.mark.worlds
@pytest.mark.parametrize("first", range(_SHORT, _SEEDS, _CHUNK))
def test_more_worlds_hold_the_laws(first: int, tmp_path: Path) -> None:
    """The rest of them, `make worlds`."""
    hold(first, tmp_path)


def hold(first: int, folder: Path) -> None:
    """Play a hundred seeds."""
    wrong = []
    refused = 0
    for seed in range(first, first + _CHUNK):
        place = folder / str(seed)
        place.mkdir()
        found = tried(seed, place)
        refused += found.counts["refused"]
        wrong += [f"seed {seed}: {text}" for text in found.wrong]
    assert not wrong, "\n".join(wrong)
    assert refused < _CHUNK / 10, "most worlds must be looked at"
