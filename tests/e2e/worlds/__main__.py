"""``python -m tests.e2e.worlds COUNT [FIRST]`` brings COUNT worlds from seed FIRST on up in the lab, in turn,
and prints where real requests disagree with the judge, with `can` or with `route`.

``python -m tests.worlds 1 SEED`` plays the same world without a lab. Needs what `make lab` builds, and root.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from tests.e2e.worlds.trying import TriedForReal, summed, tried
from tests.lab.build import find, find_conformance
from tests.mutants.undone import MUTANTS

_SHOWN = 8


def main(arguments: Sequence[str]) -> int:
    """1 where something disagrees, 2 where the lab is not built."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.worlds", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=40, help="how many worlds")
    parser.add_argument("first", type=int, nargs="?", default=0, help="the first seed")
    parser.add_argument(
        "--undo",
        action="append",
        default=[],
        choices=[one.name for one in MUTANTS],
        help="play with this mending undone (tests/mutants)",
    )
    chosen = parser.parse_args(arguments)
    binaries, programs = find(), find_conformance()
    if binaries is None or programs is None:
        print("lab not built: run 'make lab'", file=sys.stderr)
        return 2
    done: list[TriedForReal] = []
    with ExitStack() as stack:
        for mutant in MUTANTS:
            if mutant.name in chosen.undo:
                stack.enter_context(mutant.at_work())
        for seed in range(chosen.first, chosen.first + chosen.count):
            done.append(tried(seed, binaries, programs))
            print(f"seed {seed}: {done[-1]}", *done[-1].wrong[:_SHOWN], sep="\n    ", flush=True)
    print(summed(done))
    return int(any(one.wrong for one in done))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
