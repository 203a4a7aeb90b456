"""The long form of the net: `python -m tests.faults [--state FILE] [--only NAME] [--seed SEED]`.

It is played in portions of the short form's size, each with a seed of its own. After each the file says
what was done, so that it can be ended at any time, by SIGTERM too, and goes on there.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tests.faults.campaigns import CAMPAIGNS
from tests.faults.judge import LawBrokenError
from tests.faults.scene import Scene, scene
from tests.lab.build import find

_STATE = Path.home() / ".cache" / "gitmesh-lab" / "faults.jsonl"
_NOT_COUNTED = "wider for a moment"


def main(arguments: Sequence[str]) -> int:
    """0 when all is done, 1 when a law was broken (the portion's seed is told), 3 without the lab."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--state", type=Path, default=_STATE, help="what was done so far, a line a portion")
    parser.add_argument("--only", choices=CAMPAIGNS, action="append", help="these campaigns alone")
    parser.add_argument("--seed", help="one portion with this seed; nothing is written down")
    options = parser.parse_args(arguments)
    names = options.only or list(CAMPAIGNS)
    signal.signal(signal.SIGTERM, _ended)  # so that what was started ends with it
    binaries = find()
    if binaries is None or binaries.istio_crds is None:
        print("lab not built: run 'make lab'", file=sys.stderr)
        return 3
    with (
        tempfile.TemporaryDirectory(prefix="gitmesh-lab-faults-") as folder,
        scene(binaries, Path(folder) / "scene") as found,
    ):
        for name, seed in portions(names, options.state, options.seed):
            if not play(found, name, seed, None if options.seed else options.state):
                return 1
    print(summary(options.state))
    return 0


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def portions(names: Sequence[str], state: Path, seed: str | None) -> Iterator[tuple[str, str]]:
    """(campaign, seed), one of each campaign in turn, until each has its long form's count."""
    if seed is not None:
        yield from ((name, seed) for name in names)
        return
    while left := [name for name in names if _done(state, name).total() < CAMPAIGNS[name][2]]:
        for name in left:
            yield name, str(1 + sum(row["campaign"] == name for row in _rows(state)))


def play(found: Scene, name: str, seed: str, state: Path | None) -> bool:
    """One portion, written down in `state` where there is one; whether all laws held."""
    campaign, short, _ = CAMPAIGNS[name]
    try:
        done = campaign(found, short, seed)
    except LawBrokenError as error:
        print(f"{name}, seed {seed}: {error}", file=sys.stderr)
        return False
    if state is not None:
        state.parent.mkdir(parents=True, exist_ok=True)
        with state.open("a", encoding="utf-8") as file:
            file.write(
                "\n" * _is_cut_off(state)
                + json.dumps({"campaign": name, "seed": seed, "done": dict(done)})
                + "\n"
            )
    print(f"{name}, seed {seed}: {dict(sorted(done.items()))}", flush=True)
    return True


def _is_cut_off(state: Path) -> bool:
    """Whether its last line was not written whole."""
    return not state.read_bytes().endswith(b"\n") if state.stat().st_size else False


def _rows(state: Path) -> list[dict[str, Any]]:
    """The portions that were played; a line that was cut off is none."""
    text = state.read_text(encoding="utf-8") if state.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}}")]


def _done(state: Path, name: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in _rows(state):
        if row["campaign"] == name:
            found.update({what: n for what, n in row["done"].items() if what != _NOT_COUNTED})
    return found


def summary(state: Path) -> str:
    """What was done, of how much, in how many seeds."""
    lines = []
    for name, (_, _, long) in CAMPAIGNS.items():
        rows = [row for row in _rows(state) if row["campaign"] == name]
        wider = sum(row["done"].get(_NOT_COUNTED, 0) for row in rows)
        more = f", {wider} times wider for a moment" if wider else ""
        lines.append(f"{name}: {_done(state, name).total()} of {long} in {len(rows)} seeds{more}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
