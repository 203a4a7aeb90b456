"""``python -m tests.mutants [NAME ...]`` tells in which seed each mending, undone, is found."""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import sys

from tests.mutants.finding import found
from tests.mutants.undone import MUTANTS, SEEDS


def main(names: list[str]) -> int:
    """1 where one is not found."""
    missed = 0
    for mutant in MUTANTS:
        if not names or mutant.name in names:
            seen = found(mutant, range(SEEDS))
            missed += seen is None
            print(
                f"{mutant.name:20} {f'seed {seen[0]}: {seen[1]}'[:150] if seen else 'NOT FOUND'}", flush=True
            )
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
