"""Each mending, undone, is found by the laws of the worlds."""

from __future__ import annotations

import pytest

from tests.mutants.finding import found
from tests.mutants.undone import MUTANTS, SEEDS, Mutant


@pytest.mark.worlds
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_an_undone_mending_is_found(mutant: Mutant) -> None:
    """In as many seeds as hold the laws while nothing is undone (tests/worlds/test_worlds.py)."""
    assert found(mutant, range(SEEDS)) is not None, f"the laws do not see that {mutant.undoes}"
