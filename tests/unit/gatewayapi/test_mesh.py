"""A mesh of the Gateway API without a translator of its own: where it is, who is in it, what it says."""

from __future__ import annotations

from typing import Any

import pytest
from gitmesh_gatewayapi import mesh
from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.grants import Access
from gitmesh.model.manifests import Translation
from gitmesh.model.objects import ApiKind, ObjectKey, canonical
from gitmesh.model.plan import Live
from gitmesh.model.report import Verdict
from gitmesh.model.routes import Laid, Target
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import AccessUnit, RoutingUnit
from gitmesh.ports import ControlObjects, PodFact
from tests.factories import service
from tests.unit.gatewayapi.test_routes import RATINGS, route

OWN = Mesh(
    translator="gatewayapi",
    name="gatewayapi",
    namespace="mesh-system",
    root_namespace="mesh-system",
    presumed=True,
)
ISTIO = Mesh(translator="istio", name="istio", namespace="istio-system")
FACTS = ClusterFacts(
    cluster="east",
    namespaces={"shop": {}, "depot": {}},
    services=(service(), replace(RATINGS, namespace="depot")),
    meshes=(OWN,),
)
GROUP = "gateway.networking.k8s.io"


def control(namespace: str) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": "control", "namespace": namespace}}


def test_it_is_where_the_configuration_says_and_something_runs() -> None:
    there = ControlObjects(deployments=(control("mesh-system"),), homes=("mesh-system",))
    assert mesh.detect(there) == (OWN,)
    nodes = ControlObjects(daemonsets=(control("mesh-system"),), homes=("mesh-system",))
    assert mesh.detect(nodes) == (OWN,)


@pytest.mark.parametrize(
    "objects",
    [
        ControlObjects(),
        ControlObjects(homes=("mesh-system",)),
        ControlObjects(deployments=(control("mesh-system"),)),
        ControlObjects(deployments=(control("other"),), homes=("mesh-system",)),
        ControlObjects(
            deployments=({"metadata": None}, {"metadata": {"namespace": 5}}), homes=("mesh-system",)
        ),
    ],
)
def test_it_is_nowhere_else(objects: ControlObjects) -> None:
    assert mesh.detect(objects) == ()


def test_every_pod_is_presumed_to_be_in_it_but_its_own_control_plane() -> None:
    found = mesh.member(PodFact(namespace="shop", name="a"), {}, [ISTIO, OWN])
    assert found is not None
    assert found.mesh == "gatewayapi"
    assert mesh.member(PodFact(namespace="mesh-system", name="a"), {}, [OWN]) is None
    assert mesh.member(PodFact(namespace="shop", name="a"), {}, [ISTIO]) is None


def test_it_reads_and_writes_nothing_where_there_is_none() -> None:
    assert mesh.writes(replace(FACTS, meshes=(ISTIO,))) == ()
    assert [kind.kind for kind in mesh.writes(FACTS)] == ["HTTPRoute", "GRPCRoute", "ReferenceGrant"]
    older = replace(FACTS, kinds=(kind("HTTPRoute"),))
    assert [one.kind for one in mesh.writes(older)] == ["HTTPRoute"]


def kind(name: str, *versions: str) -> ApiKind:
    return ApiKind(group=GROUP, kind=name, plural=f"{name.lower()}s", versions=versions or ("v1",))


def unit(*ports: ServicePort, meshes: tuple[str, ...] = ("gatewayapi",), **fields: Any) -> RoutingUnit:
    one = service(ports=ports or (ServicePort(number=80, protocol="http"),))
    given = fields or {"headers": {"request": {"set": {"x": "1"}}}}
    return RoutingUnit(home="east", written="east", service=one, meshes=meshes, routes=(route(**given),))


def test_what_the_cluster_does_not_serve_is_told_and_holds_the_routing() -> None:
    facts = replace(FACTS, kinds=(kind("Gateway"),))
    found = mesh.translate(unit(), [OWN], facts)
    assert ([one.code for one in found.diagnostics], found.held) == (["GM504"], True)
    assert found.fragments == ()


def test_an_older_version_of_a_kind_is_written_where_no_newer_one_is_served() -> None:
    facts = replace(FACTS, kinds=(kind("HTTPRoute", "v1beta1"),))
    (one,) = mesh.translate(unit(), [OWN], facts).fragments
    assert one.version == "v1beta1"


def test_a_cluster_without_grpc_routes_has_http_routes_on_ports_of_grpc() -> None:
    port = ServicePort(number=80, protocol="grpc")
    (one,) = mesh.translate(unit(port), [OWN], FACTS).fragments
    assert one.key.kind == "GRPCRoute"
    (one,) = mesh.translate(unit(port), [OWN], replace(FACTS, kinds=(kind("HTTPRoute"),))).fragments
    assert one.key.kind == "HTTPRoute"


def test_a_version_that_is_not_written_is_as_if_it_were_not_served() -> None:
    port = ServicePort(number=80, protocol="grpc")
    older = replace(FACTS, kinds=(kind("HTTPRoute"), kind("GRPCRoute", "v1alpha2")))
    (one,) = mesh.translate(unit(port), [OWN], older).fragments
    assert one.key.kind == "HTTPRoute"
    assert [each.kind for each in mesh.writes(older)] == ["HTTPRoute"]


@pytest.mark.parametrize("name", ["HTTPRoute", "GRPCRoute"])
def test_a_field_that_the_crd_lacks_is_told_and_nothing_is_written(name: str) -> None:
    """The API server would drop the share of a mirror, and copy everything."""
    port = ServicePort(number=80, protocol="grpc")
    mirror = "spec.rules.filters.requestMirror"
    paths = {"spec", "spec.rules", "spec.rules.filters", "spec.rules.filters.type", mirror}
    paths |= {"spec.parentRefs.*", "spec.rules.backendRefs.*", f"{mirror}.backendRef.*"}
    lacking = replace(kind(name), fields=frozenset(paths))
    others = [kind("HTTPRoute")] if name == "GRPCRoute" else []
    fields: dict[str, Any] = {"mirror": [{"destination": {"name": "ratings"}, "percent": 5}]}
    found = mesh.translate(unit(port, **fields), [OWN], replace(FACTS, kinds=(lacking, *others)))
    assert {one.code for one in found.diagnostics if one.is_error} == {"GM302"}
    assert (found.fragments, found.held) == ((), True)


def test_of_who_may_call_it_writes_nothing() -> None:
    access = AccessUnit(home="east", written="east", service=service(), access=Access(governed=True))
    assert mesh.translate(access, [OWN], FACTS) == Translation()


TCP = ServicePort(number=80, protocol="tcp")
ALIAS = Service(namespace="shop", name="alias", type="ExternalName", ports=(ServicePort(number=80),))


@pytest.mark.parametrize(
    ("laid", "none"),
    [
        (Laid(field="timeout", value=1, service=service(), ports=service().ports), False),
        (Laid(field="timeout", value=1, service=service(), ports=(TCP,)), True),
        (Laid(field="timeout", value=1, service=service(), ports=()), True),
        (Laid(field="timeout", value=1, service=ALIAS, ports=ALIAS.ports), True),
        (Laid(field="split", value=Target(service=ALIAS), service=service(), ports=service().ports), True),
        (Laid(field="split", value=Target(service=RATINGS), service=service(), ports=service().ports), False),
    ],
)
def test_what_can_have_no_effect(laid: Laid, none: bool) -> None:
    assert bool(mesh.inert(laid, [OWN], FACTS)) is none


def live(*parents: dict[str, Any], generation: int = 2) -> Live:
    key = ObjectKey(GROUP, "HTTPRoute", "shop", "reviews.80")
    status = canonical({"parents": list(parents)})
    body = canonical({"kind": "HTTPRoute"})
    return Live(key=key, uid="u", body=body, status=status, generation=generation)


def parent(kind: str = "Service", generation: int = 2, **conditions: Any) -> dict[str, Any]:
    """One controller's answer: type -> status."""
    said = [
        {"type": one, "status": state, "reason": "Why", "message": "words", "observedGeneration": generation}
        for one, state in conditions.items()
    ]
    return {"controllerName": "example.com/mesh", "parentRef": {"kind": kind}, "conditions": said}


TAKEN: dict[str, Any] = {"Accepted": "True", "ResolvedRefs": "True"}


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ([], Verdict.UNKNOWN),
        ([parent(**TAKEN)], Verdict.ACCEPTED),
        ([parent(generation=1, **TAKEN)], Verdict.UNKNOWN),
        ([parent(kind="Gateway", **TAKEN)], Verdict.UNKNOWN),
        ([parent(Accepted="True")], Verdict.UNKNOWN),
        ([parent(Accepted="True", ResolvedRefs="False")], Verdict.REJECTED),
        ([parent(Accepted="False", ResolvedRefs="True")], Verdict.REJECTED),
        ([parent(**TAKEN, PartiallyInvalid="True")], Verdict.WARNED),
        ([parent(Accepted="False"), parent(**TAKEN)], Verdict.ACCEPTED),
        ([{"conditions": "x"}, {"parentRef": 3}], Verdict.UNKNOWN),
    ],
)
def test_what_controllers_say_of_a_route(parents: list[dict[str, Any]], expected: Verdict) -> None:
    assert mesh.verdict(live(*parents), [OWN]).verdict is expected


def test_what_a_controller_says_is_shown_and_its_reason_kept() -> None:
    found = mesh.verdict(live(parent(Accepted="True", ResolvedRefs="False")), [OWN])
    assert found.reason == "ResolvedRefs is False: Why"
    assert found.text == "ResolvedRefs is False: Why words"
