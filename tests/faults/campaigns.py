"""The four campaigns: kills, faulted calls, idle cycles, and views from the past or never seen.

Each leaves the scene converged, and raises `LawBrokenError` where a law was broken.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable

from tests.faults.calls import Asked, CallFault, Script
from tests.faults.judge import STATUS, LawBrokenError
from tests.faults.past import Past, View, lists, never, whole
from tests.faults.scene import TIMEOUT, AgentPatience, Scene
from tests.faults.steps import STEPS, Killer, NamedStep
from tests.shop import Agent

_WEIGHTS = {
    CallFault.DELAY: 10,
    CallFault.RESET_BEFORE: 12,
    CallFault.RESET_AFTER: 12,
    CallFault.BUSY: 14,
    CallFault.ERROR_BEFORE: 12,
    CallFault.ERROR_AFTER: 12,
    CallFault.GARBAGE_BEFORE: 9,
    CallFault.GARBAGE_AFTER: 9,
    CallFault.HALF_OPEN_BEFORE: 1,
    CallFault.HALF_OPEN_AFTER: 1,
}
_SHARE = 0.25
"""Of all calls that meet a fault: every second cycle comes to an end, and every write is met now and then."""
_COMMITS, _JUDGED = 40, 250
"""Faulted calls between two commits, and between two convergences without faults."""
_KILLED_BY, _STEPPED_BY = 6.0, 2
"""Seconds and whole cycles in which a named step is waited for: a revision may need none of its kind."""
_ROUND = 25
"""Idle cycles of one process: the next one starts with nothing in memory, and has nothing to write either."""
_QUIET = 5
"""Cycles without a write or commit after which nothing is on its way any more."""
_VIEWS = 10
"""Views between two convergences."""

Campaign = Callable[[Scene, int, str], Counter[str]]


def kills(scene: Scene, count: int, seed: str) -> Counter[str]:
    """SIGKILL at each named step in turn, every other time at a random one; what was done, by step."""
    chance = random.Random(seed)
    scene.chance = random.Random(f"{seed} revisions")
    done: Counter[str] = Counter()
    for number in range(count):
        scene.commit()
        step = STEPS[chance.randrange(len(STEPS))] if number % 2 else None
        done[_killed(scene, step, chance.uniform(0.8, 3.0))] += 1
        if number % 3 == 2 or number == count - 1:
            with scene.working():
                scene.converge()
    _no_wider(scene)
    return done


def _killed(scene: Scene, step: NamedStep | None, seconds: float) -> str:
    """One agent from its start to its end; at what it was killed."""
    with contextlib.ExitStack() as stack:
        if step is not None:
            proxy = scene.git if step.git else scene.kube
            stack.enter_context(proxy.playing(Killer(step, scene.kill).script()))
        agent = stack.enter_context(scene.working())
        if step is None:
            time.sleep(seconds)
            assert agent.process.poll() is None, f"it ended by itself: {agent.log[-4000:]}"
        elif _ends(agent):
            return step.name
    return "at a random moment"


def _ends(agent: Agent) -> bool:
    """Whether it was killed while its step was waited for."""
    patience = AgentPatience(agent, _KILLED_BY, _STEPPED_BY)
    while not patience.is_over():
        with contextlib.suppress(subprocess.TimeoutExpired):
            agent.process.wait(0.2)
            return True
    return False


def faulted_calls(scene: Scene, count: int, seed: str) -> Counter[str]:
    """Calls of an agent at work, a quarter with a fault, commits between them; the faults, by kind."""
    scene.chance = random.Random(f"{seed} revisions")
    met: Counter[str] = Counter()
    with scene.working() as agent:
        while met.total() < count:
            goal = min(_JUDGED, count - met.total())
            scripts = [_faulty(f"{seed} {met.total()} {name}") for name in ("kube", "git")]
            with scene.kube.playing(scripts[0]), scene.git.playing(scripts[1]):
                commits = 0
                while (faults := sum(script.faults for script in scripts)) < goal:
                    if faults >= commits * _COMMITS:
                        scene.commit()
                        commits += 1
                    assert agent.process.poll() is None, agent.log[-4000:]
                    time.sleep(0.1)
            for script in scripts:
                met.update({kind.value: n for kind, n in script.met.items() if kind is not CallFault.NONE})
            scene.converge()
    _no_wider(scene)
    return met


def _faulty(seed: str) -> Script:
    def choose(asked: Asked) -> CallFault:
        chance = random.Random(f"{seed} {asked.number}")
        if chance.random() >= _SHARE:
            return CallFault.NONE
        return chance.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]

    return Script(choose=choose)


def idle_cycles(scene: Scene, count: int, seed: str) -> Counter[str]:
    """Cycles of a converged cluster: no write in the audit log, no commit on the status branch."""
    scene.chance = random.Random(f"{seed} revisions")
    done = 0
    scene.commit()
    while done < count:
        with scene.working() as agent:
            scene.converge()
            _settle(scene)
            tip = scene.shop.repo.tip(STATUS)
            for _ in range(min(_ROUND, count - done)):
                agent.ticks()
                done += 1
            if writes := scene.judge.look():
                raise LawBrokenError(f"written when converged: {[event.request_uri for event in writes]}")
            if scene.shop.repo.tip(STATUS) != tip:
                raise LawBrokenError(f"committed when converged: {scene.shop.repo.log(STATUS, '%B')[0]}")
    _no_wider(scene)
    return Counter({"idle cycles": done})


def _settle(scene: Scene) -> None:
    """The cycle that converged ends, and its status is pushed, which takes a while beside the cycles."""
    patience, quiet, tip = AgentPatience(scene.agent), 0, ""
    since = time.monotonic()
    while quiet < _QUIET or time.monotonic() - since < TIMEOUT:
        scene.agent.ticks()
        if scene.judge.look() or scene.shop.repo.tip(STATUS) != tip:
            quiet, since, tip = 0, time.monotonic(), scene.shop.repo.tip(STATUS)
        quiet += 1
        if patience.is_over():
            raise LawBrokenError("a converged cluster is not quiet")


def views(scene: Scene, count: int, seed: str) -> Counter[str]:
    """Cycles that are shown answers from before; what was shown, and how often what was live was wider for a
    moment (README.md).
    """
    chance = random.Random(seed)
    scene.chance = random.Random(f"{seed} revisions")
    kube, git = Past(), Past()
    shown: Counter[str] = Counter()
    while shown.total() < count:
        with scene.working():
            for _ in range(min(_VIEWS, count - shown.total())):
                _remember(scene, kube, git, chance)
                shown[_show(scene, kube, git, chance)] += 1
        with scene.working():
            scene.converge()
    shown["wider for a moment"] = len(scene.judge.wider)
    scene.judge.wider.clear()
    return shown


def _remember(scene: Scene, kube: Past, git: Past, chance: random.Random) -> None:
    """A cycle as things are, to be shown later; before it perhaps a commit."""
    if chance.random() < 0.6:
        scene.commit()
    with scene.kube.playing(Script(after=kube.listen)), scene.git.playing(Script(after=git.listen)):
        scene.agent.ticks()


def _show(scene: Scene, kube: Past, git: Past, chance: random.Random) -> str:
    """One view, for a cycle."""
    name, view = _view(kube, chance)
    before, after = kube.answers(view), kube.listen
    with contextlib.ExitStack() as stack:
        stack.enter_context(scene.kube.playing(Script(before=before, after=after)))
        if chance.random() < 0.3:
            moment = chance.randint(1, max(1, git.moment))
            stack.enter_context(scene.git.playing(Script(before=git.answers(whole(moment)))))
        if chance.random() < 0.5:
            scene.commit()
        scene.agent.ticks()
    scene.judge.look()
    return name


def _view(past: Past, chance: random.Random) -> tuple[str, View]:
    moment = chance.randint(1, max(1, past.moment))
    name = chance.choice(("everything from before", "lists from before", "never seen"))
    if name == "never seen":
        return name, never(chance, max(1, past.moment))
    return name, whole(moment) if name == "everything from before" else lists(moment, past.moment)


def _no_wider(scene: Scene) -> None:
    if scene.judge.wider:
        raise LawBrokenError("\n".join(scene.judge.wider))


CAMPAIGNS: dict[str, tuple[Campaign, int, int]] = {
    "kills": (kills, 30, 400),
    "faulted calls": (faulted_calls, 1_000, 20_000),
    "idle cycles": (idle_cycles, 200, 5_000),
    "views": (views, 100, 300),
}
"""Name -> campaign, and how much of it the short and the long form are."""
