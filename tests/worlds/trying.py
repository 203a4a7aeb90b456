"""One seed: its history is played, and every moment of it is judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.worlds.histories import history
from tests.worlds.judge import JudgedMoment
from tests.worlds.laws import LAWS
from tests.worlds.playing import played


@dataclass
class Tried:
    """What came of a seed. `counts` say how much of it was looked at."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def tried(seed: int, folder: Path) -> Tried:
    """Play the seed's history in an empty folder."""
    found = Tried()
    for moment in played(history(seed), folder):
        found.counts["moments"] += 1
        if moment.refused:
            found.counts["refused"] += 1
            break
        found.counts["ours"] += len(moment.ours)
        judge = JudgedMoment(moment)
        for law in LAWS:
            found.wrong += [f"[{moment.world.story}] {law.__name__}: {text}" for text in law(judge)]
    return found
