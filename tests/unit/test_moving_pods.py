"""A Service selects other pods than before: what refuses goes over to them at no moment in which they, or
those of before, are open to whom policies refuse (design law 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from gitmesh.model.objects import decode
from gitmesh.model.plan import Plan
from gitmesh.model.report import Stage
from tests.folders import AUTHORIZATION, Body, Folders, allow, app, deny, refuse, service, virtual_mesh

PODS: Mapping[str, Mapping[str, str]] = {
    "blue": {"app": "api", "color": "blue"},
    "green": {"app": "api", "color": "green"},
    "other": {"app": "other"},
}


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """The Service api is for the blue pods; web is granted and refused."""
    made = Folders(tmp_path, names=("east",))
    made.put("east", "more", *(app("api", pod=name, labels=dict(labels)) for name, labels in PODS.items()))
    select(made, "blue")
    made.commit(
        virtual_mesh(accessDefault="Deny"), allow("some", "api", "web", "db"), deny("no", "api", "web")
    )
    made.settle()
    return made


def select(world: Folders, pods: str) -> None:
    moved = service("api")
    moved["spec"]["selector"] = dict(PODS[pods])
    world.put("east", "services", service("web"), service("db"), moved)


def states(world: Folders, plan: Plan) -> Iterator[Mapping[str, Body]]:
    """The specs of the two policies after each write."""
    names = ("api-allow", "api-deny")
    specs = {name: world.spec("east", name) for name in names}
    yield dict(specs)
    for change in plan.writes:
        if change.key.name in names and change.body:
            specs[change.key.name] = decode(change.body)["spec"]
            yield dict(specs)


def names_web(spec: Body, pods: str) -> bool:
    labels = spec["selector"]["matchLabels"]
    return labels.items() <= PODS[pods].items() and "sa/web" in str(spec.get("rules"))


@pytest.mark.parametrize("pods", ["green", "other"])
def test_nobody_is_granted_what_is_refused_in_between(world: Folders, pods: str) -> None:
    select(world, pods)
    plan = world.run(until=Stage.PLAN).clusters["east"].plan
    assert plan is not None
    seen = list(states(world, plan))
    assert len(seen) == 4
    for specs in seen:
        for place in PODS:
            assert not names_web(specs["api-allow"], place) or names_web(specs["api-deny"], place)
            assert place in ("blue", pods) or not names_web(specs["api-deny"], place)
    world.settle()
    assert [world.spec("east", name)["selector"]["matchLabels"] for name in ("api-allow", "api-deny")] == [
        PODS[pods],
        PODS[pods],
    ]


def test_a_grant_alone_goes_over_at_once(world: Folders) -> None:
    """The counter-proof: nothing is refused, so nothing has to rest."""
    world.commit(virtual_mesh(accessDefault="Deny"), allow("some", "api", "web", "db"))
    world.settle()
    select(world, "other")
    plan = world.run(until=Stage.PLAN).clusters["east"].plan
    assert plan is not None
    assert [change.key.name for change in plan.writes] == ["api-allow"]


CALLERS = frozenset({"web", "db", "other"})


def admitted(policies: Iterable[Body], pods: str) -> frozenset[str]:
    """Who may call these pods, by the grants alone: one that selects them closes them to all others."""
    mine = [
        one["spec"]
        for one in policies
        if one["metadata"]["namespace"] != "shop"
        or one["spec"]["selector"]["matchLabels"].items() <= PODS[pods].items()
    ]
    granted = {who for spec in mine for who in CALLERS if f"sa/{who}" in str(spec.get("rules"))}
    return frozenset(granted) if mine else CALLERS


@pytest.mark.parametrize("failing", ["", "gitmesh-default-deny"])
@pytest.mark.parametrize("pods", ["green", "other"])
def test_a_default_comes_with_the_move_and_nobody_loses_what_both_revisions_grant(
    tmp_path: Path, pods: str, failing: str
) -> None:
    """Nor is anybody let in at the pods of before, where a copy of the grant stays until the default is
    there. Whatever fails then is made up for.
    """
    world = Folders(tmp_path, names=("east",))
    world.put("east", "more", *(app("api", pod=name, labels=dict(labels)) for name, labels in PODS.items()))
    select(world, "blue")
    grant = allow("some", "api", "web", "db")
    world.commit(grant)
    world.settle()
    select(world, pods)
    world.commit(virtual_mesh(accessDefault="Deny"), grant)
    plan = world.run(until=Stage.PLAN).clusters["east"].plan
    assert plan is not None
    granted = {place: frozenset({"web", "db"}) if place == pods else frozenset[str]() for place in PODS}
    path = f"shop/{AUTHORIZATION}/api-allow.yaml"
    live = {("shop", "api-allow"): yaml.safe_load(world.live("east")[path])}
    for change in plan.writes:
        if change.key.name != failing:
            live[change.key.namespace, change.key.name] = decode(change.body or b"")
        for place in PODS:
            assert granted[place] <= admitted(live.values(), place), change
    otherwise = {place: CALLERS if failing else granted[place] for place in PODS}
    assert {place: admitted(live.values(), place) for place in PODS} == {
        **otherwise,
        **dict.fromkeys(("blue", pods), granted[pods]),
    }
    world.settle()
    assert sum("-allow" in path for path in world.live("east")) == 1
    assert world.spec("east", "gitmesh-default-deny", "istio-system") == {}


def test_grants_that_go_over_together_do_not_rest_for_each_other(tmp_path: Path) -> None:
    """Nothing is refused: each is at the pods of now by its first write, beside what stays there so long."""
    world = Folders(tmp_path, names=("east",))
    world.put("east", "more", app("api"), app("db"))
    world.commit(allow("some", "api", "web"), allow("more", "db", "web"))
    world.settle()
    moved = service("api"), service("db")
    for one, pods in zip(moved, ("db", "api"), strict=True):
        one["spec"]["selector"] = {"app": pods}
    world.put("east", "services", service("web"), *moved)
    plan = world.run(until=Stage.PLAN).clusters["east"].plan
    assert plan is not None
    moves = [change.key.name for change in plan.writes if not change.key.name.startswith("left-")]
    assert moves == ["api-allow", "db-allow"]


def test_a_refusal_stays_where_it_is_while_the_grant_beside_it_cannot_go(world: Folders) -> None:
    path = world.root / "east" / "shop" / AUTHORIZATION / "api-allow.yaml"
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    body["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["z.com/1"]}
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    before = world.spec("east", "api-deny")
    select(world, "other")
    for _ in range(2):
        world.run()
        [copy] = [path.stem for path in (path.parent.glob("left-*.api-deny.yaml"))]
        assert world.spec("east", copy) == before


def test_a_step_that_did_not_come_is_nobodys_change(world: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two steps was done: what is live is not what was wanted, and nobody else made it so."""
    select(world, "other")
    refuse(monkeypatch, "api-deny")
    world.run()
    assert "rules" not in world.spec("east", "api-allow")
    plan = world.run(until=Stage.PLAN).clusters["east"].plan
    assert plan is not None
    assert [change.drift for change in plan.writes if change.key.name == "api-allow"] == [False]
