"""A cluster with a mesh of the Gateway API that has no translator of its own, cycle by cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitmesh.model.report import Report
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Admission
from gitmesh.reasoning.questions import Client, Question
from tests.folders import (
    Body,
    Folders,
    allow,
    app,
    calculator,
    codes,
    said,
    service,
    thing,
)
from tests.properties.history import document

GROUP = "gateway.networking.k8s.io"
ROUTES, GRANTS = f"httproute.{GROUP}", f"referencegrant.{GROUP}"
HOME = {"east": {"gatewayapi": ("mesh-system",)}}
MARKED = document(
    "TrafficPolicy", "marked", destinations=[{"name": "api"}], headers={"request": {"set": {"x": "1"}}}
)
AWAY = document(
    "TrafficPolicy",
    "away",
    destinations=[{"name": "api"}],
    split=[{"destination": {"name": "stock", "namespace": "depot"}}],
)


def pod(name: str, namespace: str = "shop") -> Body:
    containers = [{"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}]}]
    spec = {"serviceAccountName": name, "containers": containers}
    return thing("Pod", f"{name}-0", namespace, labels={"app": name}, spec=spec, status={"phase": "Running"})


def controller(namespace: str = "mesh-system") -> Body:
    spec = {"template": {"spec": {"containers": [{"name": "control", "image": "control:1"}]}}}
    return thing("Deployment", "control", namespace, "apps/v1", spec=spec)


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """A mesh whose control plane is in mesh-system, as the configuration says."""
    made = Folders(tmp_path, ("east",), homes=HOME)
    for file in ("istiod", "mesh"):
        made.drop("east", file)
    spaces = (thing("Namespace", name) for name in ("mesh-system", "shop", "depot"))
    made.put("east", "namespaces", *spaces)
    made.put("east", "control", controller())
    made.put("east", "pods", *(pod(name) for name in ("web", "api", "db")), pod("stock", "depot"))
    made.put("east", "depot", service("stock", "depot"), thing("ServiceAccount", "stock", "depot"))
    return made


def written(world: Folders) -> list[str]:
    return [path.removesuffix(".yaml") for path in world.live("east")]


def test_routes_are_written_and_then_nothing(world: Folders) -> None:
    world.commit(MARKED)
    assert codes(world.settle()) == []
    assert written(world) == [f"shop/{ROUTES}/api.80"]
    report = world.run()
    assert not any(result.outcomes for result in report.clusters.values())


def test_no_namespace_has_such_a_mesh_unless_the_configuration_says_so(world: Folders) -> None:
    world.homes = {}
    world.commit(MARKED)
    assert codes(world.settle()) == ["GM507"]
    assert written(world) == []


def test_nor_has_one_that_it_names_without_a_control_plane(world: Folders) -> None:
    world.put("east", "control", controller("elsewhere"))
    world.commit(MARKED)
    assert codes(world.settle()) == ["GM507"]
    assert written(world) == []


def test_a_control_plane_that_is_away_leaves_everything_as_it_is(world: Folders) -> None:
    world.commit(MARKED)
    world.settle()
    before = world.live("east")
    world.drop("east", "control")
    world.commit(AWAY)
    assert "GM507" in codes(world.settle())
    assert world.live("east") == before


def test_leave_comes_before_the_route_and_goes_after_it(world: Folders) -> None:
    world.commit(AWAY)
    names = [outcome.key.kind for outcome in world.run().clusters["east"].outcomes]
    assert names == ["ReferenceGrant", "HTTPRoute"]
    assert codes(world.settle()) == ["GM324"]
    assert written(world) == [f"depot/{GRANTS}/shop.api", f"shop/{ROUTES}/api.80"]
    assert world.spec("east", "shop.api", "depot", GRANTS) == {
        "from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": "shop"}],
        "to": [{"group": "", "kind": "Service", "name": "stock"}],
    }
    world.commit(MARKED)
    steps = [[outcome.key.kind for outcome in world.run().clusters["east"].outcomes] for _ in range(3)]
    assert steps[0] == ["HTTPRoute"]
    assert ["ReferenceGrant"] in steps[1:]
    assert written(world) == [f"shop/{ROUTES}/api.80"]


def test_a_route_waits_for_leave_that_somebody_keeps_away(world: Folders) -> None:
    """A stranger's grant of the name that ours would have; and of what it opens nothing is known."""
    theirs = thing("ReferenceGrant", "shop.api", "depot", f"{GROUP}/v1beta1", spec={"from": [], "to": []})
    world.put("east", "theirs", theirs)
    world.commit(AWAY)
    report = world.settle()
    assert {"GM401", "GM411"} <= set(codes(report))
    assert written(world) == []


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_ours_is_not_written_beside_a_strangers_route_for_the_service(world: Folders, kind: str) -> None:
    spec = {"parentRefs": [{"group": "", "kind": "Service", "name": "api"}], "rules": [{}]}
    world.put("east", "theirs", thing(kind, "theirs", "shop", f"{GROUP}/v1", spec=spec))
    world.commit(MARKED)
    assert codes(world.settle()) == ["GM401"]
    assert written(world) == []


def test_a_strangers_route_for_its_own_clients_is_told(world: Folders) -> None:
    spec = {"parentRefs": [{"kind": "Service", "group": "", "name": "api", "namespace": "shop"}], "rules": []}
    world.put("east", "theirs", thing("HTTPRoute", "theirs", "depot", f"{GROUP}/v1", spec=spec))
    world.commit(MARKED)
    (told,) = said(world.settle(), "GM401")
    assert "clients of namespace depot" in told.message
    assert written(world) == [f"shop/{ROUTES}/api.80"]


def test_a_route_for_a_gateway_or_another_service_is_nobodys_business(world: Folders) -> None:
    for number, parent in enumerate(({"name": "api"}, {"group": "", "kind": "Service", "name": "db"})):
        spec = {"parentRefs": [parent], "rules": [{}]}
        world.put("east", f"t{number}", thing("HTTPRoute", f"t{number}", "shop", f"{GROUP}/v1", spec=spec))
    world.commit(MARKED)
    assert codes(world.settle()) == []


def test_who_may_call_is_unenforced_and_the_calculator_says_allowed(world: Folders) -> None:
    world.commit(allow("callers", "api", "web"), MARKED)
    report = world.settle()
    (told,) = said(report, "GM308")
    assert told.is_error
    assert told.policy == "AccessPolicy/shop/callers"
    assert written(world) == [f"shop/{ROUTES}/api.80"]
    assert "mesh gatewayapi guards no port of Pod shop/api" in told.message
    found = admission(report, "db")
    assert found.answer.value == "Allowed"
    assert found.pods[0][2].text == "mesh gatewayapi guards no port of its pods"


def admission(report: Report, account: str) -> Admission:
    """What the calculator says of a request to `api`."""
    client = Client(namespace="shop", service_account=account, trust_domain="", mesh="gatewayapi")
    question = Question(client=client, service=("shop", "api"), port=80, method="GET")
    return can(question, calculator(report))


def test_never_two_translators_on_the_same_pods(tmp_path: Path) -> None:
    """Istio keeps its pods beside a mesh that is presumed of all others: nothing of that is written for
    them, which is told of its callers. Callers in Istio follow Istio's routes, wherever they go."""
    both = Folders(tmp_path, ("east",), homes=HOME)
    both.put("east", "control", controller())
    both.put("east", "pods", app("web"), app("api"), pod("db"))
    to_db: Any = {**MARKED, "metadata": {**MARKED["metadata"], "name": "db"}}
    to_db["spec"] = {**MARKED["spec"], "destinations": [{"name": "db"}]}
    subset = document(
        "TrafficPolicy",
        "subset",
        destinations=[{"name": "api"}],
        split=[{"destination": {"name": "api", "subset": {"app": "api"}}}],
    )
    both.commit(MARKED, to_db, subset)
    report = both.settle()
    assert {(one.policy, one.mesh) for one in said(report, "GM326")} == {
        ("TrafficPolicy/shop/marked", "gatewayapi"),
        ("TrafficPolicy/shop/subset", "gatewayapi"),
    }
    assert set(codes(report)) == {"GM326"}
    assert written(both) == [
        "shop/destinationrule.networking.istio.io/api",
        f"shop/{ROUTES}/db.80",
        "shop/virtualservice.networking.istio.io/api",
        "shop/virtualservice.networking.istio.io/db",
    ]


def calls(world: Folders, **fields: Any) -> list[tuple[str, str]]:
    """Commits a split to another namespace with these fields beside it, for a port of gRPC: (kind, action) of
    all that is written then."""
    world.commit({**AWAY, "spec": {**AWAY["spec"], **fields}})
    found = []
    for _ in range(6):
        found += [(one.key.kind, one.action.value) for one in world.run().clusters["east"].outcomes]
    return found


def test_a_port_changes_its_kind_of_route_without_a_gap(world: Folders) -> None:
    """The other kind, and leave for it, is there before the first goes: else requests would stay with the
    Service meanwhile."""
    grpc = [{"name": "grpc", "port": 80, "targetPort": 8080, "appProtocol": "grpc"}]
    others = [service(name) for name in ("web", "db")]
    world.put("east", "services", service("api", ports=grpc), *others)
    world.put("east", "depot", service("stock", "depot", ports=grpc))
    assert calls(world) == [("ReferenceGrant", "create"), ("GRPCRoute", "create")]
    there = calls(world, timeout="2s")
    assert there.index(("HTTPRoute", "create")) < there.index(("GRPCRoute", "delete"))
    assert there.index(("ReferenceGrant", "update")) < there.index(("HTTPRoute", "create"))
    assert [one["kind"] for one in world.spec("east", "shop.api", "depot", GRANTS)["from"]] == ["HTTPRoute"]
    back = calls(world)
    assert back.index(("GRPCRoute", "create")) < back.index(("HTTPRoute", "delete"))
    assert [one["kind"] for one in world.spec("east", "shop.api", "depot", GRANTS)["from"]] == ["GRPCRoute"]
