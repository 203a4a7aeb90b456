"""Looks for a seed in which an undone mending shows."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.mutants.undone import Mutant
from tests.worlds.trying import tried


def found(mutant: Mutant, seeds: range) -> tuple[int, str] | None:
    """The first seed in which a law is broken, and how; None where the laws see nothing."""
    with mutant.at_work():
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                wrong = tried(seed, Path(folder)).wrong
            if wrong:
                return seed, wrong[0]
    return None
