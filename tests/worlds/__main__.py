"""``python -m tests.worlds COUNT [FIRST] [--jobs N] [--state FILE]`` plays COUNT worlds from seed FIRST on
and prints what is wrong.

With `--state` each hundred that is done is a line of the file, so that a long run can be ended at any time
and goes on where it was.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.worlds.trying import tried

_PORTION = 100


@dataclass
class Portion:
    """The worlds of `seeds` seeds from `first` on: what is wrong by seed, and how much was looked at."""

    first: int
    seeds: int
    wrong: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> int:
    """1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.worlds", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100, help="how many seeds")
    parser.add_argument("first", type=int, nargs="?", default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=1, help="processes at work")
    parser.add_argument("--state", type=Path, help="what was done so far, a line a portion")
    chosen = parser.parse_args(arguments)
    done = list(_read(chosen.state)) if chosen.state else []
    asked = {(one.first, one.seeds) for one in _portions(chosen.first, chosen.count)}
    found = [one for one in done if (one.first, one.seeds) in asked]
    left = sorted(asked - {(one.first, one.seeds) for one in found})
    for one in played([Portion(*place) for place in left], chosen.jobs):
        found.append(one)
        if chosen.state:
            _write(chosen.state, one)
        for seed, texts in one.wrong.items():
            print(f"seed {seed}: " + "\n    ".join(texts[:6]), flush=True)
    bad = sum(len(one.wrong) for one in found)
    seen = sum((Counter(one.counts) for one in found), Counter[str]())
    print(f"{chosen.count} worlds, {bad} wrong; {dict(sorted(seen.items()))}")
    return min(bad, 1)


def played(portions: Iterable[Portion], jobs: int) -> Iterator[Portion]:
    """Each portion once it was played, in their order."""
    if jobs < 2:
        yield from map(play, portions)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(play, portions)


def play(portion: Portion) -> Portion:
    """The portion with what came of it."""
    wrong, seen = dict[str, list[str]](), Counter[str]()
    for seed in range(portion.first, portion.first + portion.seeds):
        with tempfile.TemporaryDirectory() as folder:
            found = tried(seed, Path(folder))
        seen.update(found.counts)
        if found.wrong:
            wrong[str(seed)] = found.wrong
    return Portion(portion.first, portion.seeds, wrong, dict(seen))


def _portions(first: int, count: int) -> Iterator[Portion]:
    for start in range(first, first + count, _PORTION):
        yield Portion(start, min(_PORTION, first + count - start))


def _read(state: Path) -> Iterator[Portion]:
    """A line that was cut off is of a portion that is not done."""
    lines = state.read_text(encoding="utf-8").splitlines(keepends=True) if state.exists() else []
    return (Portion(**json.loads(line)) for line in lines if line.endswith("}\n"))


def _write(state: Path, portion: Portion) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    cut_off = state.exists() and not state.read_bytes().endswith(b"\n")
    with state.open("a", encoding="utf-8") as file:
        file.write("\n" * cut_off + json.dumps(asdict(portion)) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
