"""A policy that is not in force as it stands in a cluster is not Synced there, its state has the code that
says why, and the cluster is in the worst state of its policies (design law 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.model.plan import Action
from gitmesh.model.report import Report, State
from gitmesh.status.message import message
from gitmesh.status.tree import status_tree
from tests.folders import Folders, allow, app, codes, mesh_config, said, service
from tests.properties.history import document

SLOW = document("TrafficPolicy", "slow", destinations=[{"name": "db"}], timeout="5s")
DB = allow("callers", "db", "web")
ROUTES = "virtualservice.networking.istio.io"


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def file(report: Report, policy: str) -> dict[str, Any]:
    """What the status branch says of a policy."""
    read: dict[str, Any] = yaml.safe_load(status_tree(report)[f"policies/{policy}.yaml"])
    return read


def stands(report: Report, policy: str) -> dict[str, tuple[str, list[str]]]:
    """Cluster -> state and codes of a policy, "" -> those of the whole."""
    read = file(report, policy)
    every = {"": read, **read["clusters"]}
    return {name: (one["state"], one.get("findings", [])) for name, one in every.items()}


def bare(name: str) -> dict[str, Any]:
    """A pod without a proxy."""
    body = app(name)
    body["spec"]["containers"].pop()
    return body


def test_access_that_nothing_guards_is_held_and_so_is_its_cluster(world: Folders) -> None:
    world.put("east", "pods", app("web"), app("api"), bare("db"))
    world.commit(DB, SLOW)
    report = world.settle()
    assert stands(report, "AccessPolicy/shop/callers") == {
        "": ("Held", []),
        "east": ("Held", ["GM308"]),
        "west": ("Synced", []),
    }
    assert stands(report, "TrafficPolicy/shop/slow")[""] == ("Synced", [])
    assert [report.clusters[name].state for name in world.names] == [State.HELD, State.SYNCED]
    assert " 1/2 clusters synced, 1 finding" in message(report)


def test_the_cluster_is_synced_again_with_its_policies(world: Folders) -> None:
    world.put("east", "pods", app("web"), app("api"), bare("db"))
    world.commit(DB)
    world.settle()
    world.restore("east", "pods")
    report = world.settle()
    assert codes(report) == []
    assert report.clusters["east"].state is State.SYNCED


def test_a_warning_that_keeps_nothing_back_changes_no_state(world: Folders) -> None:
    """Services that share their pods: told, and all of it in force."""
    world.put(
        "east", "services", *map(service, ("web", "api", "db")), service("twin", selector={"app": "db"})
    )
    world.commit(DB)
    report = world.settle()
    assert codes(report) == ["GM213"]
    assert stands(report, "AccessPolicy/shop/callers")["east"] == ("Synced", ["GM213"])
    assert report.clusters["east"].state is State.SYNCED


def test_what_the_mesh_ignores_is_held(world: Folders) -> None:
    """Its control plane discovers other namespaces only."""
    world.put("east", "mesh", mesh_config(discoverySelectors=[{"matchLabels": {"seen": "yes"}}]))
    world.commit(SLOW)
    report = world.settle()
    assert stands(report, "TrafficPolicy/shop/slow") == {
        "": ("Held", []),
        "east": ("Held", ["GM312"]),
        "west": ("Synced", []),
    }
    assert report.clusters["east"].state is State.HELD


def test_in_a_cluster_without_a_mesh_a_policy_is_pending(world: Folders) -> None:
    for name in ("istiod", "mesh"):
        world.drop("east", name)
    world.commit(SLOW)
    report = world.settle()
    assert stands(report, "TrafficPolicy/shop/slow") == {
        "": ("Pending", []),
        "east": ("Pending", ["GM507"]),
        "west": ("Synced", []),
    }
    assert report.clusters["east"].state is State.PENDING
    assert codes(report) == ["GM507"]


def test_a_cluster_without_a_mesh_on_which_nothing_acts_is_synced(world: Folders) -> None:
    for name in ("istiod", "mesh"):
        world.drop("east", name)
    world.commit(
        document("TrafficPolicy", "slow", destinations=[{"name": "db", "clusters": ["west"]}], timeout="5s")
    )
    report = world.settle()
    assert codes(report) == []
    assert stands(report, "TrafficPolicy/shop/slow") == {"": ("Synced", []), "west": ("Synced", [])}
    assert report.clusters["east"].state is State.SYNCED


@pytest.mark.parametrize("edited", [False, True])
def test_a_route_that_somebody_edits_and_wants_left_alone_is_held(world: Folders, *, edited: bool) -> None:
    world.commit(SLOW)
    world.settle()
    path = world.root / "east" / "shop" / ROUTES / "db.yaml"
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    body["metadata"]["annotations"]["gitmesh.io/reconcile"] = "disabled"
    if edited:
        body["spec"]["http"][0]["timeout"] = "50s"
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    report = world.settle()
    state = State.HELD if edited else State.SYNCED
    assert stands(report, "TrafficPolicy/shop/slow")["east"] == (state.value, ["GM407"])
    assert report.clusters["east"].state is state
    (told,) = said(report, "GM407")
    assert ("want it otherwise" in told.message) is edited
    assert world.spec("east", "db", kind=ROUTES)["http"][0]["timeout"] == ("50s" if edited else "5s")


def test_what_was_wanted_after_somebody_asked_to_leave_it_alone_is_of_no_commit(world: Folders) -> None:
    world.commit(SLOW)
    first = world.settle().sources["policies"].accepted
    path = world.root / "east" / "shop" / ROUTES / "db.yaml"
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    body["metadata"]["annotations"]["gitmesh.io/reconcile"] = "disabled"
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    world.commit(document("TrafficPolicy", "slow", destinations=[{"name": "db"}], timeout="9s"))
    clusters = file(world.settle(), "TrafficPolicy/shop/slow")["clusters"]
    assert clusters["east"]["appliedCommit"] == first
    assert clusters["west"]["appliedCommit"] != first


def test_an_object_that_is_held_before_it_is_made_holds_its_policy(world: Folders) -> None:
    """`narrow` loses its destination by a letter, so that all about db stays; of the route that `slow` wants
    there nothing is live yet."""
    narrow = {"outlierDetection": {"consecutiveErrors": 3}}
    world.commit(document("TrafficPolicy", "narrow", destinations=[{"name": "db"}], **narrow))
    world.settle()
    world.commit(document("TrafficPolicy", "narrow", destinations=[{"name": "bd"}], **narrow), SLOW)
    report = world.settle()
    assert stands(report, "TrafficPolicy/shop/slow")["east"] == ("Held", ["GM314"])
    plan = report.clusters["east"].plan
    assert plan is not None
    held = {(change.key.kind, bool(change.before)) for change in plan.changes if change.action is Action.HELD}
    assert held == {("DestinationRule", True), ("VirtualService", False)}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_field_without_effect_is_pending_only_where_nothing_else_is_in_force(
    world: Folders, *, elsewhere: bool
) -> None:
    headless = service("db", clusterIP="None")
    for name in world.names[: 1 if elsewhere else 2]:
        world.put(name, "services", service("web"), service("api"), headless)
    for name in world.names:
        path = world.root / name / "services.yaml"
        bodies = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        for body in bodies:
            body["metadata"]["labels"] = {"tier": "data" if body["metadata"]["name"] == "db" else "front"}
        world.put(name, "services", *bodies)
    broad = {"destinations": [{"labels": {"tier": "data"}}], "loadBalancing": {"algorithm": "Random"}}
    world.commit(document("TrafficPolicy", "lb", **broad))
    report = world.settle()
    assert set(codes(report)) == {"GM305"}
    if elsewhere:
        assert stands(report, "TrafficPolicy/shop/lb") == {"": ("Synced", []), "west": ("Synced", [])}
    else:
        assert stands(report, "TrafficPolicy/shop/lb") == {"": ("Pending", ["GM305"])}
    assert {result.state for result in report.clusters.values()} == {State.SYNCED}


def test_a_policy_all_of_which_others_decide_is_pending(world: Folders) -> None:
    world.commit(
        document("TrafficPolicy", "first", destinations=[{"name": "db"}], timeout="5s", priority=1), SLOW
    )
    report = world.settle()
    assert codes(report) == ["GM211"]
    assert stands(report, "TrafficPolicy/shop/slow")[""] == ("Pending", ["GM211"])
    assert stands(report, "TrafficPolicy/shop/first")[""] == ("Synced", [])
