"""Routes of the Gateway API for a Service, beside ours for its sidecars: those of its namespace keep ours
away, those of another are for the clients there alone (GEP-1294)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import ApiKind
from gitmesh.plugins import load_translators
from tests.folders import Body, Folders, app, codes, said, service, thing
from tests.properties.history import document

API = "gateway.networking.k8s.io/v1"
ROUTE = "shop/virtualservice.networking.istio.io/api.yaml"
RULE = "shop/destinationrule.networking.istio.io/api.yaml"
SLOW = document("TrafficPolicy", "slow", destinations=[{"name": "api"}], timeout="5s")


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """Clients in `shop`, and one in `desk`."""
    made = Folders(tmp_path, ("east",))
    desk = thing("Namespace", "desk", labels={"istio-injection": "enabled"})
    made.put("east", "desk", desk, thing("ServiceAccount", "desk", "desk"), app("desk", "desk"))
    return made


def theirs(kind: str, namespace: str, parent: Body) -> Body:
    rules = [{"backendRefs": [{"name": "db", "namespace": "shop", "port": 80}]}]
    return thing(kind, "theirs", namespace, API, spec={"parentRefs": [parent], "rules": rules})


def parent(name: str = "api", **more: str) -> Body:
    return {"group": "", "kind": "Service", "name": name, "namespace": "shop", **more}


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_one_of_its_own_namespace_keeps_ours_away(world: Folders, kind: str) -> None:
    world.put("east", "theirs", theirs(kind, "shop", parent()))
    world.commit(SLOW)
    (told,) = said(world.settle(), "GM401")
    assert f"{kind} shop/theirs" in told.message
    assert ROUTE not in world.live("east")


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_one_of_another_namespace_is_for_the_clients_there(world: Folders, kind: str) -> None:
    world.put("east", "theirs", theirs(kind, "desk", parent()))
    world.commit(SLOW)
    (told,) = said(world.settle(), "GM401")
    assert f"clients of namespace desk follow {kind} desk/theirs" in told.message
    assert ROUTE in world.live("east")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(parent("db"), id="for another Service"),
        pytest.param(
            {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}, id="a gateway's"
        ),
    ],
)
def test_others_are_no_matter(world: Folders, other: Body) -> None:
    world.put("east", "theirs", theirs("HTTPRoute", "shop", other))
    world.commit(SLOW)
    assert codes(world.settle()) == []
    assert ROUTE in world.live("east")


def test_a_server_is_asked_for_no_right_on_them_without_ambient() -> None:
    """Which it would refuse where the agent has none, and all of the cluster would be held for it."""
    kinds = [
        ApiKind(
            group="gateway.networking.k8s.io",
            kind=kind,
            plural=f"{kind.lower()}s",
            versions=("v1",),
            fields=frozenset({"spec.rules"}),
        )
        for kind in ("HTTPRoute", "GRPCRoute")
    ]
    asked = load_translators()["istio"].writes(ClusterFacts(cluster="east", kinds=tuple(kinds)))
    assert {kind.group for kind in asked} == {"networking.istio.io", "security.istio.io"}


@pytest.mark.parametrize(("label", "held"), [("api", True), ("nobody", False)])
def test_a_rule_that_no_client_follows_keeps_ours_away_from_nobody(
    world: Folders, label: str, held: bool
) -> None:
    spec = {"host": "api", "workloadSelector": {"matchLabels": {"app": label}}}
    world.put(
        "east", "theirs", thing("DestinationRule", "theirs", "shop", "networking.istio.io/v1", spec=spec)
    )
    world.put("east", "services", service("api"), service("web"), service("db"))
    pool = {"tcp": {"maxConnections": 3}}
    world.commit(document("TrafficPolicy", "few", destinations=[{"name": "api"}], connectionPool=pool))
    assert codes(world.settle()) == (["GM401"] if held else [])
    assert (RULE in world.live("east")) is not held
