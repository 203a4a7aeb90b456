"""Services that take over each other's pods: at no moment are these open to whom neither what guarded them
before nor what guards them from now on admits, whichever write fails (design law 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from gitmesh.adapters.treewriter import Writer
from gitmesh.adapters.writing import StepError
from gitmesh.model.config import PruneConfig
from gitmesh.model.plan import Change, Live
from gitmesh.model.report import Stage, State
from tests.folders import (
    AUTHORIZATION,
    Body,
    Folders,
    allow,
    app,
    authorization,
    deny,
    said,
    service,
    virtual_mesh,
)

CALLERS = ("web", "api", "db")
PODS = ("x", "y", "z")
CLOSED = virtual_mesh(accessDefault="Deny")
Admitted = frozenset[tuple[str, str]]
"""Who is admitted at which pods."""


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """Three Services, each for pods of its own."""
    made = Folders(tmp_path, names=("east",))
    made.put("east", "more", *(app(name) for name in PODS))
    select(made, one="x", two="y", three="z")
    return made


def select(world: Folders, **pods: str) -> None:
    """Services by the pods that each is for from now on."""
    made = [service(name, selector={"app": app}) for name, app in pods.items()]
    world.put("east", "services", *map(service, CALLERS), *made)


def policies(world: Folders) -> Iterator[Body]:
    for path in sorted((world.root / "east").glob(f"*/{AUTHORIZATION}/*.yaml")):
        yield yaml.safe_load(path.read_text(encoding="utf-8"))


def copies(world: Folders) -> list[str]:
    """What stays at pods in the place of what went to others."""
    return [name for name in (one["metadata"]["name"] for one in policies(world)) if name.startswith("left-")]


def admitted(world: Folders) -> Admitted:
    """As a proxy reads what is live."""
    live = [one.get("spec") or {} for one in policies(world)]
    return frozenset((pod, who) for pod in PODS for who in CALLERS if _admits(live, pod, who))


def _admits(live: Sequence[Body], pod: str, who: str) -> bool:
    mine = [spec for spec in live if _labels(spec).items() <= {"app": pod}.items()]
    grants = [spec for spec in mine if spec.get("action", "ALLOW") == "ALLOW"]
    refused = any(_names(spec, who) for spec in mine if spec.get("action") == "DENY")
    return not refused and (not grants or any(_names(spec, who) for spec in grants))


def _labels(spec: Body) -> Mapping[str, str]:
    labels: Mapping[str, str] = spec.get("selector", {}).get("matchLabels", {})
    return labels


def _names(spec: Body, who: str) -> bool:
    return f"sa/{who}" in str(spec.get("rules"))


@contextmanager
def watched(
    world: Folders, monkeypatch: pytest.MonkeyPatch, failing: str = ""
) -> Iterator[dict[str, Admitted]]:
    """Who is admitted after each write; objects of this name are not taken."""
    states: dict[str, Admitted] = {}
    step = Writer._step

    def watching(self: Writer, change: Change, expected: str) -> Live | None:
        if fnmatchcase(change.key.name, failing):
            raise StepError("refused")
        live = step(self, change, expected)
        states[f"{len(states)} {change.action} {change.key}"] = admitted(world)
        return live

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "_step", watching)
        yield states


def settled(world: Folders) -> Admitted:
    """Who is admitted when nothing is left to do: no copy is there any more."""
    world.settle()
    assert copies(world) == []
    return admitted(world)


def planned(world: Folders) -> list[str]:
    """The writes that the next cycle would make."""
    plan = world.run(until=Stage.PLAN).clusters["east"].plan
    assert plan is not None
    return [f"{change.action} {change.key.name}" for change in plan.writes]


GRANTS = (allow("a", "one", "web"), allow("b", "two", "db"), allow("c", "three", "api"))
SETS: Mapping[str, Sequence[Body]] = {
    "grants": GRANTS,
    "refusals": (deny("a", "one", "web"), deny("b", "two", "web", "db"), deny("c", "three", "web", "api")),
    "a refusal and a grant": (deny("a", "one", "web"), allow("b", "two", "db"), deny("c", "three", "db")),
    "both": (
        allow("a", "one", "web", "db"),
        deny("d", "one", "db"),
        allow("b", "two", "db", "api"),
        deny("e", "two", "api"),
        deny("c", "three", "api"),
    ),
}
MOVES: Mapping[str, Mapping[str, str]] = {
    "swap": {"one": "y", "two": "x", "three": "z"},
    "ring": {"one": "y", "two": "z", "three": "x"},
    "takes over": {"one": "y", "two": "z", "three": "z"},
}


@pytest.mark.parametrize("failing", ["", "one-*", "two-*", "left-*"])
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("policies", SETS)
def test_pods_are_never_open_in_between(
    world: Folders, monkeypatch: pytest.MonkeyPatch, policies: str, move: str, failing: str
) -> None:
    """Nor is anybody kept out whom both admit, where every write is taken."""
    world.commit(*SETS[policies])
    before = settled(world)
    select(world, **MOVES[move])
    with watched(world, monkeypatch, failing) as states:
        for _ in range(2):
            world.run()
    with watched(world, monkeypatch) as rest:
        after = settled(world)
    for step, now in (*states.items(), *rest.items()):
        assert now <= before | after, step
        assert failing or before & after <= now, step


@pytest.mark.parametrize("failing", ["", "one-*", "two-*"])
@pytest.mark.parametrize("policies", ["refusals", "both"])
def test_nor_beneath_a_default_that_closes(
    world: Folders, monkeypatch: pytest.MonkeyPatch, policies: str, failing: str
) -> None:
    """There refusals still matter, as grants of a third Service may be for the same pods."""
    world.put("east", "all", service("all", selector={"role": "all"}))
    world.put("east", "more", *(app(name, labels={"role": "all"}) for name in PODS))
    world.commit(CLOSED, allow("all", "all", "web", "api"), *SETS[policies])
    before = settled(world)
    select(world, **MOVES["swap"])
    with watched(world, monkeypatch, failing) as states:
        for _ in range(2):
            world.run()
    with watched(world, monkeypatch) as rest:
        after = settled(world)
    assert [step for step, now in (*states.items(), *rest.items()) if not now <= before | after] == []


def test_who_is_withdrawn_in_the_same_commit_goes_when_others_guard_his_pods(
    world: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grant is deleted and not moved, and what comes to its pods is not taken at first."""
    world.commit(*GRANTS)
    settled(world)
    select(world, **MOVES["swap"])
    world.commit(*GRANTS[1:])
    with watched(world, monkeypatch, "two-allow") as states:
        for _ in range(2):
            world.run()
    assert {("x", "api"), ("x", "db")}.isdisjoint(frozenset().union(admitted(world), *states.values()))
    assert ("x", "web") not in settled(world)


def test_a_copy_is_there_for_one_cycle_and_the_policies_are_pending_meanwhile(world: Folders) -> None:
    world.commit(*GRANTS)
    settled(world)
    select(world, **MOVES["swap"])
    report = world.run()
    assert sorted(name.partition(".")[2] for name in copies(world)) == ["one-allow", "two-allow"]
    assert report.clusters["east"].state is State.PENDING
    assert len(said(report, "GM406")) == 2
    world.run()
    assert copies(world) == []
    assert world.run().clusters["east"].state is State.SYNCED


def test_a_copy_goes_without_anybodys_consent(world: Folders) -> None:
    """Nobody asked for it: neither number nor protection of objects is about it."""
    names = [f"s{number}" for number in range(12)]
    world.put("east", "more", *map(app, names))
    world.put("east", "services", service("web"), *(service(name) for name in names))
    world.commit(*(allow(name, name, "web") for name in names))
    world.settle()
    turned = zip(names, [*names[1:], names[0]], strict=True)
    moved = [service(name, selector={"app": other}) for name, other in turned]
    world.put("east", "services", service("web"), *moved)
    world.run()
    assert len(copies(world)) == len(names)
    world.settle(prune=PruneConfig(protect=("*",)))
    assert copies(world) == []


def test_a_copy_stays_while_somebody_keeps_away_what_is_to_follow(world: Folders) -> None:
    """As long as the object is another tool's: who called the pods before calls them, and nobody else."""
    world.commit(*GRANTS)
    settled(world)
    select(world, one="y", two="z", three="z")
    world.put("east", "fourth", service("fourth", selector={"app": "x"}))
    world.put("east", "theirs", authorization("fourth-allow", "shop", {"action": "AUDIT", "rules": [{}]}))
    world.commit(*GRANTS, allow("d", "fourth", "db"))
    report = world.settle()
    assert [("x", who) in admitted(world) for who in CALLERS] == [True, False, False]
    assert any("fourth-allow is there" in one.message for one in said(report, "GM406"))
    world.drop("east", "theirs")
    assert ("x", "db") in settled(world)


def test_what_cannot_leave_a_copy_stays(world: Folders) -> None:
    """Somebody has objects of those names; when they are gone, the Services are followed."""
    world.commit(*GRANTS)
    before = settled(world)
    select(world, **MOVES["swap"])
    names = [one.split()[1] for one in planned(world) if "left-" in one]
    audited = {"action": "AUDIT", "rules": [{}]}
    world.put("east", "theirs", *(authorization(name, "shop", audited) for name in names))
    report = world.settle()
    assert admitted(world) == before
    assert any("cannot stay in its place" in one.message for one in said(report, "GM406"))
    world.drop("east", "theirs")
    assert ("x", "db") in settled(world)


def test_a_refusal_goes_to_other_pods_though_another_one_is_kept_away(world: Folders) -> None:
    """What that is missed for is at pods of its own, and nobody misses this one where it was."""
    world.put("east", "theirs", authorization("two-deny", "shop", {"action": "AUDIT", "rules": [{}]}))
    world.commit(deny("a", "one", "web"))
    settled(world)
    select(world, one="z", two="y", three="y")
    world.commit(deny("a", "one", "web"), deny("b", "two", "db"))
    world.settle()
    assert ("z", "web") not in admitted(world)


# --- where nothing more must be written


def test_beneath_a_default_that_closes_grants_go_over_at_once(world: Folders) -> None:
    world.commit(CLOSED, *GRANTS)
    settled(world)
    select(world, **MOVES["swap"])
    assert planned(world) == ["update one-allow", "update two-allow"]


def test_who_leaves_pods_that_nobody_guards_leaves_nothing(world: Folders) -> None:
    world.commit(*GRANTS)
    settled(world)
    select(world, one="y", two="y", three="z")
    assert planned(world) == ["update one-allow"]


def test_who_leaves_pods_that_another_one_guards_already_leaves_nothing(world: Folders) -> None:
    world.put("east", "twin", service("twin", selector={"app": "x"}))
    world.commit(*GRANTS, allow("t", "twin", "db"))
    settled(world)
    select(world, one="y", two="y", three="z")
    assert planned(world) == ["update one-allow"]


def test_a_selector_that_gains_a_label_that_all_its_pods_have_leaves_none(world: Folders) -> None:
    world.put("east", "more", *(app(name, labels={"tier": "back"}) for name in PODS))
    world.commit(*GRANTS)
    settled(world)
    more = {"x": {"app": "x", "tier": "back"}, "y": {"tier": "back"}}
    moved = (service("one", selector=more["x"]), service("two", selector={"app": "y"}))
    world.put("east", "services", *map(service, CALLERS), *moved, service("three", selector={"app": "z"}))
    assert planned(world) == ["update one-allow"]
