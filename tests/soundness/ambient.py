"""Who is admitted in ambient, by what Istio documents: at ztunnels, and at a waypoint on the way (istio.io,
'Use Layer 4 security policy', 'Use Layer 7 features').
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from tests.soundness.istio import Istio, decides
from tests.soundness.requests import ArrivingCall, AskedRequest, CallingPod

Body = Mapping[str, Any]
BLIND = AskedRequest(http=False)
"""What a ztunnel sees of any request: an ALLOW loses rules with HTTP in them, a DENY what is HTTP in them."""
WAYPOINTS = ("waypoint", "other")
USE = "istio.io/use-waypoint"


@dataclass(frozen=True)
class Ambient:
    """The objects of one cluster."""

    objects: Sequence[Body]
    meshes: Sequence[Mesh]
    pods: Istio

    def direct(self, call: ArrivingCall) -> bool:
        """Whether pods take a request that comes to them past any waypoint."""
        return self.pods.admitted(_seen(call))

    def through(self, call: ArrivingCall, service: Service, port: ServicePort) -> bool:
        """Whether it is taken by way of the Service's waypoint, which shows its own identity to the pods."""
        mesh = self._mesh_of(call)
        request = BLIND if port.protocol == "tcp" else call.request
        # It sees no address (its listener is an internal one), and the Service's port.
        asked = replace(call, port=port.number, request=request, client=replace(call.client, ip="240.0.0.1"))
        decided = decides(self._at(service), asked, call.client.principal, mesh)
        return decided and self._sent_on(call, service.namespace, service.labels[USE])

    def by_address(self, call: ArrivingCall, waypoint: str) -> bool:
        """Whether it is taken by way of a waypoint that takes what is for the addresses of pods: it asks no
        policy for a Service."""
        return self._sent_on(call, call.workload.namespace, waypoint)

    def _sent_on(self, call: ArrivingCall, namespace: str, waypoint: str) -> bool:
        domain = self._mesh_of(call).trust_domain
        own = CallingPod(
            cluster=call.cluster, namespace=namespace, account=waypoint, trust_domain=domain, ip="10.9.9.9"
        )
        return self.pods.admitted(_seen(replace(call, client=own)))

    def _mesh_of(self, call: ArrivingCall) -> Mesh:
        named = (mesh for mesh in self.meshes if mesh.name == call.workload.mesh)
        return next(named, self.meshes[0])

    def _at(self, service: Service) -> list[Body]:
        return [
            body
            for body in self.objects
            if body["metadata"]["namespace"] == service.namespace
            and any(one["name"] == service.name for one in body["spec"].get("targetRefs", ()))
        ]


def _seen(call: ArrivingCall) -> ArrivingCall:
    return replace(call, request=BLIND) if call.workload.dataplane == "ambient" else call


def _ambient(workload: Workload, dataplane: Any) -> Workload:
    return with_fields(workload, dataplane=dataplane if workload.mesh and not workload.gateway else "sidecar")


@st.composite
def ambient(draw: st.DrawFn, facts: ClusterFacts) -> ClusterFacts:
    """The same cluster in ambient, with most of its Services bound to a waypoint of their namespace."""
    places = sorted({f"{service.namespace}/{name}=ready" for service in facts.services for name in WAYPOINTS})
    settings = {"waypoints": ",".join(places)}
    bound = st.sampled_from(({USE: "waypoint"}, {USE: "waypoint"}, {USE: "other"}, {USE: "missing"}, {}))
    return with_fields(
        facts,
        meshes=tuple(with_fields(mesh, ambient=True, settings=settings) for mesh in facts.meshes),
        services=tuple(with_fields(one, labels={**one.labels, **draw(bound)}) for one in facts.services),
        workloads=tuple(
            _ambient(one, draw(st.sampled_from(("ambient", "ambient", "ambient", "sidecar"))))
            for one in facts.workloads
        ),
    )
