"""Resolved units made by hand, as resolve would make them, and shortcuts through the translator's public
door.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gitmesh_istio

from gitmesh.diagnostics import Location
from gitmesh.model.conditions import RequestMatch, TextCondition
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.grants import Access, Caller, Grant, Operation, Principal
from gitmesh.model.manifests import Fragment, Translation
from gitmesh.model.objects import ApiKind
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided, Route, Subset, Target
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.units import AccessUnit, RoutingUnit, Unit
from gitmesh.model.workloads import Workload

HOST = "reviews.shop.svc.cluster.local"
MESH = Mesh(
    translator="istio",
    name="istio",
    version="1.30.3",
    namespace="istio-system",
    root_namespace="istio-system",
    trust_domain="cluster.local",
)
HTTP_PORT = ServicePort(number=80, name="http", target=8080, protocol="http")


def origin(field: str = "spec", policy: str = "TrafficPolicy/shop/p", line: int = 1) -> Origin:
    return Origin(policy=policy, field=field, at=Location(source="policies", path="p.yaml", line=line))


def service(
    name: str = "reviews",
    namespace: str = "shop",
    ports: Sequence[ServicePort] = (HTTP_PORT,),
    **selector: str,
) -> Service:
    return Service(namespace=namespace, name=name, ports=tuple(ports), selector=selector or {"app": name})


def workload(name: str = "reviews", **more: Any) -> Workload:
    return Workload(
        **{
            "kind": "Deployment",
            "namespace": "shop",
            "name": name,
            "labels": {"app": name},
            "mesh": "istio",
            "pods": 1,
            **more,
        }
    )


def values(**fields: Any) -> dict[str, Any]:
    """Fields of a TrafficPolicy in YAML's spelling -> the models' values by Python name."""
    spec = TrafficPolicySpec.model_validate({"destinations": [{"all": True}], **fields})
    return {
        name: getattr(spec, name)
        for name in TrafficPolicySpec.model_fields
        if getattr(spec, name) is not None
    }


def decided(**fields: Any) -> dict[str, Decided]:
    """The same as decided values."""
    skip = {"destinations", "priority", "sources", "matches"}
    return {
        name: Decided(value=value, origin=origin(f"spec.{name}"))
        for name, value in values(**fields).items()
        if name not in skip
    }


def route(
    match: RequestMatch | None = None,
    targets: Sequence[Target] = (),
    mirrors: Sequence[Target] = (),
    **fields: Any,
) -> Route:
    merged: dict[str, Decided] = {}
    for name, value in fields.items():
        merged.update(decided(**{name: value}))
    return Route(
        match=match or RequestMatch(),
        fields=merged,
        targets=tuple(targets),
        mirrors=tuple(mirrors),
        origins=(origin("spec.matches"),),
    )


def path(form: Any, value: str, ignore_case: bool = False) -> RequestMatch:
    return RequestMatch(path=TextCondition(form=form, value=value, ignore_case=ignore_case))


def unit(*routes: Route, of: Service | None = None, **more: Any) -> RoutingUnit:
    given = {"workloads": (workload(),), "meshes": ("istio",), **more}
    return RoutingUnit(home="east", written="east", service=of or service(), routes=routes, **given)


def facts(*meshes: Mesh, kinds: Sequence[ApiKind] = (), **more: Any) -> ClusterFacts:
    return ClusterFacts(cluster="east", meshes=meshes or (MESH,), kinds=tuple(kinds), **more)


def translated(one: Unit, *meshes: Mesh, kinds: Sequence[ApiKind] = ()) -> Translation:
    known = facts(*meshes, kinds=kinds)
    return gitmesh_istio.translate(one, known.meshes, known)


def codes(translation: Translation) -> list[str]:
    return sorted({diagnostic.code for diagnostic in translation.diagnostics})


def only(translation: Translation, kind: str, name: str = "") -> Fragment:
    """The one fragment of this kind (and name)."""
    found = [f for f in translation.fragments if f.key.kind == kind and name in ("", f.key.name)]
    assert len(found) == 1, (kind, name, translation)
    return found[0]


def http(*routes: Route, of: Service | None = None, meshes: Sequence[Mesh] = ()) -> list[dict[str, Any]]:
    """The rows of the VirtualService of these routes; any finding fails the test."""
    translation = translated(unit(*routes, of=of), *meshes)
    assert not translation.diagnostics, translation.diagnostics
    rows: list[dict[str, Any]] = only(translation, "VirtualService").spec["http"]
    return rows


def traffic_policy(**fields: Any) -> Mapping[str, Any]:
    """The trafficPolicy of these connection fields; any finding fails the test."""
    translation = translated(unit(settings={0: decided(**fields)}))
    assert not translation.diagnostics, translation.diagnostics
    policy: Mapping[str, Any] = only(translation, "DestinationRule").spec["trafficPolicy"]
    return policy


SLEEP = Principal(trust_domain="cluster.local", namespace="shop", service_account="sleep")


def caller(*principals: Principal, kind: Any = "principals", **more: Any) -> Caller:
    return Caller(kind=kind, principals=principals, **more)


def grant(
    *callers: Caller, operations: Sequence[Operation] = (), policy: str = "AccessPolicy/shop/a"
) -> Grant:
    return Grant(callers=callers, operations=tuple(operations), origin=origin(policy=policy))


def guarded(
    allows: Sequence[Grant] = (), denies: Sequence[Grant] = (), of: Service | None = None, **more: Any
) -> AccessUnit:
    """A destination with an access decision on its port 8080."""
    given = {"targets": (8080,), "governed_ports": (8080,) if allows else (), **more}
    access = Access(allows=tuple(allows), denies=tuple(denies), governed=bool(allows), **given)
    return AccessUnit(
        home="east",
        written="east",
        service=of or service(),
        workloads=(workload(),),
        meshes=("istio",),
        access=access,
    )


def subset(**labels: str) -> Subset:
    return Subset(labels=tuple(sorted(labels.items())), origins=(origin("spec.split"),))
