"""One seed on real data planes: its world is brought up, GitMesh works in it, and requests judge it."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.worlds.cluster import StandingWorld, standing
from tests.e2e.worlds.judged import StandingMoment
from tests.e2e.worlds.routed import RoutedCalls
from tests.e2e.worlds.syncing import syncing
from tests.e2e.worlds.written import refused
from tests.lab.build import Binaries, ConformancePrograms
from tests.lab.process import LabError
from tests.worlds.drawing import World
from tests.worlds.histories import history
from tests.worlds.laws import LAWS
from tests.worlds.playing import Moment


@dataclass
class TriedForReal:
    """What came of a seed: what is wrong, how much was asked, and what was not, by reason."""

    wrong: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    seconds: float = 0

    def add(self, other: TriedForReal) -> None:
        """Count what came of another moment, too."""
        self.wrong += other.wrong
        self.asked += other.asked
        self.left += other.left

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.asked.items()))
        return f"{len(self.wrong)} wrong; {counts or 'nothing asked'}; {self.seconds:.1f} s"


def tried(seed: int, binaries: Binaries, programs: ConformancePrograms) -> TriedForReal:
    """Bring up the world of a seed, and then what becomes of it. What does not come up is wrong, too."""
    began, found = time.monotonic(), TriedForReal()
    try:
        _play(found, history(seed), binaries, programs)
    except LabError as error:
        found.wrong.append(f"the lab: {error}")
    found.seconds = time.monotonic() - began
    return found


def _play(
    found: TriedForReal, worlds: Sequence[World], binaries: Binaries, programs: ConformancePrograms
) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stands = stack.enter_context(standing(binaries, programs, worlds[0]))
        gitmesh = stack.enter_context(syncing(stands.api, Path(folder)))
        for number, world in enumerate(worlds):
            if number:
                stands.become(world)
            found.left["strangers: a DENY without rules, which Istio refuses"] += refused(world)
            moment = gitmesh.rest(world)
            found.add(judged(moment, stands))
            if moment.refused:
                found.left["moments: after a refusal"] += len(worlds) - number - 1
                break
    found.asked[f"{_kind(worlds[0])} worlds"] += 1


def judged(moment: Moment, stands: StandingWorld) -> TriedForReal:
    """What the proxies of a world do, against all that is said of it."""
    stands.settled()
    if moment.refused:
        return TriedForReal(left=Counter({"moments: policies that are refused as a whole": 1}))
    judge, routes = StandingMoment(moment, stands), RoutedCalls()
    wrong = [
        *_named("proxies_do_as_read", judge.proxies_do_as_read()),
        *_named("other_domains_are_refused", judge.other_domains_are_refused()),
        *_named("objects_are_taken", judge.objects_are_taken()),
        *(text for law in LAWS for text in _named(law.__name__, law(judge))),
        *_named("answered_as_routed", routes.answered(judge, stands)),
        *_named("no verdict", judge.dialled.odd),
    ]
    asked = {
        "moments": 1,
        "pods": len(stands.pods),
        "verdicts": judge.dialled.verdicts,
        "requests": judge.dialled.requests + routes.requests,
        "routed calls": routes.calls,
    }
    wrong = [f"[{moment.world.story}] {text}" for text in wrong]
    return TriedForReal(wrong, Counter(asked), judge.left + judge.dialled.left + routes.left)


def _kind(world: World) -> str:
    manner = world.manner
    return "ambient" if manner.ambient else "two-revision" if manner.revisions else "sidecar"


def _named(law: str, said: Iterable[str]) -> list[str]:
    return [f"{law}: {text}" for text in said]


def sums(of: Sequence[TriedForReal]) -> tuple[Counter[str], Counter[str]]:
    """How much was asked in all, and what was not."""
    return sum((one.asked for one in of), Counter[str]()), sum((one.left for one in of), Counter[str]())


def summed(of: Sequence[TriedForReal]) -> str:
    """The figures of a run, for people."""
    asked, left = sums(of)
    wrong = sum(len(one.wrong) for one in of)
    head = f"{len(of)} worlds on real proxies, {wrong} disagreements; {dict(sorted(asked.items()))}"
    return "\n".join(
        [head, *(f"  left out: {count} {name}" for name, count in sorted(left.items()) if count)]
    )
