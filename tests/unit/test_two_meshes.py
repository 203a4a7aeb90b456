"""A cluster with two meshes: every finding on a unit names the mesh that it is about, whoever makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitmesh.model.report import Report
from gitmesh.reasoning.questions import Client, Question
from gitmesh.reasoning.routing import Found, route
from gitmesh.render.text import facts_text, report_text
from tests.folders import (
    Body,
    Folders,
    allow,
    app,
    calculator,
    said,
    service,
    thing,
    virtual_mesh,
)
from tests.properties.history import document

BOTH = {"east": {"gatewayapi": ("mesh-system",), "istio": ("istio-system",)}}


def bare(name: str) -> Body:
    """A pod without a sidecar, which the mesh of the Gateway API is presumed to serve."""
    body = app(name)
    body["spec"]["containers"].pop()
    return body


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """`web` and `api` with Istio's sidecars, `db` in a mesh of the Gateway API."""
    made = Folders(tmp_path, ("east",), homes=BOTH)
    control = {"template": {"spec": {"containers": [{"name": "control", "image": "control:1"}]}}}
    made.put("east", "control", thing("Deployment", "control", "mesh-system", "apps/v1", spec=control))
    spaces = (thing("Namespace", name) for name in ("mesh-system", "istio-system"))
    made.put("east", "namespaces", *spaces, thing("Namespace", "shop"))
    made.put("east", "pods", app("web"), app("api"), bare("db"))
    return made


def meshes(report: Report, code: str) -> set[tuple[str, str]]:
    return {(one.policy.rpartition("/")[2], one.mesh) for one in said(report, code)}


def traffic(name: str, to: str, **fields: object) -> Body:
    return document("TrafficPolicy", name, destinations=[{"name": to}], **fields)


def test_what_each_mesh_lacks_is_told_of_it(world: Folders) -> None:
    """Callers may be in either mesh, whichever the pods are in; of Istio's pods the other one is not told."""
    world.commit(
        traffic("one", "api", matches=[{"headers": [{"name": "uri", "exact": "x"}]}], timeout="1s"),
        traffic("other", "db", loadBalancing={"algorithm": "Random"}),
    )
    report = world.settle()
    assert meshes(report, "GM301") == {("one", "istio"), ("other", "gatewayapi")}


def test_routes_for_callers_of_both_meshes_are_told_by_the_mesh_that_says_it(world: Folders) -> None:
    """The pods are in the other mesh; it is Istio that cannot say it to its callers."""
    world.commit(traffic("one", "db", matches=[{"headers": [{"name": "uri", "exact": "x"}]}], timeout="1s"))
    assert ("one", "istio") in meshes(world.settle(), "GM301")


def test_access_is_told_of_the_mesh_of_the_pods(world: Folders) -> None:
    world.commit(allow("to-db", "db", "web"), allow("to-api", "api", "web"))
    assert meshes(world.settle(), "GM308") == {("to-db", "gatewayapi")}


def test_a_mesh_wide_wish_is_told_of_its_mesh(world: Folders) -> None:
    world.commit(virtual_mesh(accessDefault="Deny"))
    assert meshes(world.settle(), "GM301") == {("all", "gatewayapi")}


def test_a_presumed_mesh_says_nothing_of_pods_that_are_in_another(world: Folders) -> None:
    """Routes of the Gateway API are for HTTP; those of Istio are all the same."""
    alias = thing(
        "Service", "outside", "shop", spec={"type": "ExternalName", "externalName": "db.example.com"}
    )
    tcp = service("api")
    tcp["spec"]["ports"] = [{"name": "amqp", "port": 80, "targetPort": 8080}]
    world.put("east", "services", service("web"), tcp, service("db"), alias)
    world.commit(traffic("slow", "api", timeout="1s"))
    assert {mesh for _, mesh in meshes(world.settle(), "GM301")} <= {"istio"}


def test_output_tells_apart_what_reads_the_same_and_names_no_mesh_where_there_is_one(world: Folders) -> None:
    world.commit(
        traffic("one", "api", matches=[{"headers": [{"name": "uri", "exact": "x"}]}], timeout="1s"),
        traffic("other", "db", loadBalancing={"algorithm": "Random"}),
    )
    text = report_text(world.settle())
    assert "(mesh istio, cluster east)" in text
    assert "(mesh gatewayapi, cluster east)" in text
    world.homes = {}
    world.commit(traffic("one", "api", matches=[{"headers": [{"name": "uri", "exact": "x"}]}], timeout="1s"))
    assert "(mesh " not in report_text(world.settle())


# --- clients in the one, destinations in the other


def routed(report: Report, mesh: str, to: str) -> Found:
    """What `route` answers to a client in a mesh."""
    client = Client(namespace="shop", service_account="x", trust_domain="", mesh=mesh)
    return route(Question(client=client, service=("shop", to), port=80), calculator(report)).found


def test_clients_of_a_presumed_mesh_do_not_follow_routes_to_another(world: Folders) -> None:
    """Nothing is written there for them: told once for a policy, and `route` says it of each."""
    world.commit(document("TrafficPolicy", "slow", destinations=[{"namespaces": ["shop"]}], timeout="5s"))
    report = world.settle()
    (told,) = said(report, "GM326")
    assert "clients in mesh gatewayapi (shop) do not follow it to Service shop/api, shop/web" in told.message
    assert (told.severity, told.mesh, told.policy) == ("warning", "gatewayapi", "TrafficPolicy/shop/slow")
    answers = {
        (mesh, to): routed(report, mesh, to) for mesh in ("istio", "gatewayapi") for to in ("api", "db")
    }
    assert answers == {
        ("istio", "api"): Found.DECIDED,
        ("istio", "db"): Found.DECIDED,
        ("gatewayapi", "api"): Found.UNROUTED,
        ("gatewayapi", "db"): Found.DECIDED,
    }


@pytest.mark.parametrize("namespace", ["shop", "elsewhere"])
def test_only_clients_that_the_policy_means_are_told(world: Folders, namespace: str) -> None:
    world.commit(traffic("slow", "api", timeout="5s", sources=[{"namespaces": [namespace]}]))
    assert bool(said(world.settle(), "GM326")) is (namespace == "shop")


def test_where_all_pods_are_in_the_other_mesh_nobody_is_told(world: Folders) -> None:
    world.put("east", "pods", app("web"), app("api"), app("db"))
    world.commit(traffic("slow", "api", timeout="5s"))
    assert said(world.settle(), "GM326") == []


def test_control_planes_are_no_clients_of_a_presumed_mesh(world: Folders) -> None:
    world.commit(traffic("slow", "api", timeout="5s"))
    facts = world.settle().clusters["east"].facts
    assert facts is not None
    assert {one.name for one in facts.workloads if one.mesh == "gatewayapi"} == {"db-0"}
    text = facts_text([facts])
    assert "mesh gatewayapi (version unknown), trust domain (unknown), presumed of 1 workload" in text
