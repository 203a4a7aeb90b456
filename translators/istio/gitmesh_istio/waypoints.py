"""Waypoints of ambient: the proxies that requests to a Service go through, and which Service is bound to
which (istio.io, 'Configure waypoint proxies').

A Gateway of class istio-waypoint is one; a label on the Service, or else on its namespace, binds to it. What
binds is a label, which admits nobody by itself: requests then come to the pods with the waypoint's identity,
and the waypoint guards the Service. Pods are bound alike, to a waypoint that also takes what is for their
addresses (`istio.io/waypoint-for`: workload or all).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from msgspec import Struct

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body, mapping, text
from gitmesh.model.services import Service
from gitmesh.model.units import DestinationUnit
from gitmesh_istio.scope import Notes

WAYPOINTS, BOUND, INGRESS = "waypoints", "waypointNamespaces", "ingressWaypointNamespaces"
FOR_PODS = "podWaypoints"
"""Mesh.settings: `namespace/name=state`, `namespace=namespace/name`, `namespace` and `namespace/name`, with
commas between: the waypoints, the namespaces that are bound to one, those whose Services gateways reach by
theirs, and the waypoints that take what is for the addresses of pods.
"""
_CLASS = "istio-waypoint"
_FOR, _USE, _USE_NAMESPACE = (
    "istio.io/waypoint-for",
    "istio.io/use-waypoint",
    "istio.io/use-waypoint-namespace",
)
_INGRESS = "istio.io/ingress-use-waypoint"
_CONDITION = "istio.io/WaypointBound"
_NO = "none"
# Values of waypoint-for with which it takes requests to Services; the first is its absence.
_SERVING = frozenset({"", "service", "all"})
_FOR_PODS = frozenset({"workload", "all"})
_NAMING = frozenset({"gateway.istio.io/name-override", "gateway.istio.io/service-account"})
"""Annotations by which its pods have another ServiceAccount than the Gateway's name."""
_READY = "ready"
_TROUBLE: Mapping[str, str] = {
    _READY: "",
    "unready": "has no address yet",
    "unprogrammed": "is not programmed",  # in facts that older versions saved
    "workload": "is not for Services (istio.io/waypoint-for)",
    "custom": "has a name, account or address of its own, so its identity is not known",
}

Place = tuple[str, str]


class Binding(Struct, frozen=True, kw_only=True):
    """The waypoint that a Service is bound to; `trouble` says why no request goes through it, "" = all do."""

    namespace: str
    name: str
    trouble: str = ""

    def __str__(self) -> str:
        return f"waypoint {self.namespace}/{self.name}"

    def principals(self, meshes: Sequence[Mesh]) -> list[str]:
        """The identity of its pods, which have a ServiceAccount of its name, in each of the meshes."""
        account = f"ns/{self.namespace}/sa/{self.name}"
        return sorted({f"{mesh.trust_domain or 'cluster.local'}/{account}" for mesh in meshes})


def waypoint_settings(
    gateways: Iterable[Body], namespaces: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """What of Mesh.settings is about waypoints."""
    states: list[str] = []
    for_pods: list[str] = []
    for gateway in gateways:
        meta = mapping(gateway.get("metadata"))
        if meta and mapping(gateway.get("spec")).get("gatewayClassName") == _CLASS:
            whole = f"{text(meta.get('namespace'))}/{text(meta.get('name'))}"
            states.append(f"{whole}={_state(gateway, meta)}")
            if _takes_pods(gateway, meta):
                for_pods.append(whole)
    bound = [
        f"{name}={place[0]}/{place[1]}"
        for name, labels in namespaces.items()
        if (place := _asked(labels, name)) is not None
    ]
    ingress = [name for name, labels in namespaces.items() if labels.get(_INGRESS) == "true"]
    settings = {WAYPOINTS: states, BOUND: bound, INGRESS: ingress, FOR_PODS: for_pods}
    return {key: ",".join(sorted(values)) for key, values in settings.items() if values}


def _state(gateway: Body, meta: Mapping[str, Any]) -> str:
    if mapping(gateway.get("spec")).get("addresses") or _NAMING & mapping(meta.get("annotations")).keys():
        return "custom"
    if text(mapping(meta.get("labels")).get(_FOR)) not in _SERVING:
        return "workload"
    # Not the condition Programmed, which comes and goes with the waypoint's pods: istiod leads ztunnels to
    # every waypoint that has an address (ambient/waypoints.go), and gives it one when its first pod is ready,
    # for good (gateway/conversion.go). What comes by it must be let in for as long as it is led there.
    return _READY if mapping(gateway.get("status")).get("addresses") else "unready"


def _takes_pods(gateway: Body, meta: Mapping[str, Any]) -> bool:
    """Whether ztunnels send to it, under an identity that is known, what is for the addresses of pods."""
    named = _NAMING & mapping(meta.get("annotations")).keys()
    known = not named and bool(mapping(gateway.get("status")).get("addresses"))
    return known and text(mapping(meta.get("labels")).get(_FOR)) in _FOR_PODS


def _asked(labels: Mapping[str, str], namespace: str) -> Place | None:
    """What the labels of an object bind to; None where they do not."""
    name = labels.get(_USE, _NO)
    return None if name == _NO else (labels.get(_USE_NAMESPACE) or namespace, name)


def binding(service: Service, meshes: Sequence[Mesh]) -> Binding | None:
    """The waypoint that a Service is bound to; its own label counts before its namespace's."""
    place = _bound_to(service.labels, service.namespace, meshes)
    if place is None:
        return None
    states = (_pairs(mesh.settings.get(WAYPOINTS, "")).get("/".join(place)) for mesh in meshes)
    state = next(filter(None, states), "")
    trouble = _TROUBLE[state] if state else "does not exist"
    # istiod says of a headless Service, too, that it is bound; but it has no address by which a ztunnel would
    # know that a connection is for it (ztunnel, src/proxy/outbound.rs, build_request).
    if not trouble and service.headless:
        trouble = "takes nothing that is for it, as it is headless: its clients call pods by their addresses"
    told = service.conditions.get(_CONDITION, "")
    if not trouble and told == "False":
        trouble = f"does not take it (condition {_CONDITION} of the Service)"
    # Across namespaces a waypoint takes a Service only if its allowedRoutes say so; istiod answers by this
    # condition.
    if not trouble and place[0] != service.namespace and told != "True":
        trouble = f"is in another namespace and does not say that it takes it (condition {_CONDITION})"
    return Binding(namespace=place[0], name=place[1], trouble=trouble)


def pod_binding(labels: Mapping[str, str], namespace: str, meshes: Sequence[Mesh]) -> Binding | None:
    """The waypoint that takes what is for the addresses of pods with these labels; None where there is none.
    Whether it takes them from another namespace is not known, and so it counts."""
    place = _bound_to(labels, namespace, meshes)
    taking = {one for mesh in meshes for one in mesh.settings.get(FOR_PODS, "").split(",")}
    return Binding(namespace=place[0], name=place[1]) if place and "/".join(place) in taking else None


def _bound_to(labels: Mapping[str, str], namespace: str, meshes: Sequence[Mesh]) -> Place | None:
    # `none` is a label, too: it takes its object out of the namespace's binding (istio.io, 'Configure
    # waypoint proxies').
    if _USE in labels:
        return _asked(labels, namespace)
    bound = (_pairs(mesh.settings.get(BOUND, "")).get(namespace) for mesh in meshes)
    return next((_place(text) for text in bound if text), None)


def places(meshes: Sequence[Mesh]) -> set[Place]:
    """Where there are waypoints."""
    return {_place(place) for mesh in meshes for place in _pairs(mesh.settings.get(WAYPOINTS, ""))}


def is_waypoint(service: Service, meshes: Sequence[Mesh]) -> bool:
    """Whether it is the Service of a waypoint, which has the Gateway's name (istio.io, 'Configure waypoint
    proxies')."""
    place = f"{service.namespace}/{service.name}"
    return any(place in _pairs(mesh.settings.get(WAYPOINTS, "")) for mesh in meshes)


def gateways_come_by(service: Service, meshes: Sequence[Mesh]) -> bool:
    """Whether gateways send requests for the Service through its waypoint (`ingress-use-waypoint`)."""
    given = service.labels.get(_INGRESS)
    if given is not None:
        return given == "true"
    return any(service.namespace in mesh.settings.get(INGRESS, "").split(",") for mesh in meshes)


@lru_cache(maxsize=64)
def _pairs(text: str) -> Mapping[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",")) if text else {}


def _place(text: str) -> Place:
    namespace, _, name = text.partition("/")
    return namespace, name


def is_ambient(unit: DestinationUnit) -> bool:
    """Whether some of its pods have no proxy of their own."""
    return any(workload.mesh and workload.dataplane == "ambient" for workload in unit.workloads)


def waypoint_of(unit: DestinationUnit, notes: Notes) -> Binding | None:
    """The waypoint that requests for the destination go through; None where there is none."""
    bound = binding(unit.service, notes.scope.meshes)
    return None if bound is None or bound.trouble else bound


def lacking(unit: DestinationUnit, notes: Notes) -> str:
    """Why no request for the destination goes through a waypoint, for a finding."""
    bound = binding(unit.service, notes.scope.meshes)
    if bound is None:
        return f"{shown(unit.service)} is bound to no waypoint"
    return f"the {bound} of {shown(unit.service)} {bound.trouble}"


def shown(service: Service) -> str:
    """A Service, in a finding."""
    return f"Service {service.namespace}/{service.name}"
