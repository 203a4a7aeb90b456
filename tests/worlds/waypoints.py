"""By which ways a request comes to pods, as Istio documents them (istio.io, 'Configure waypoint proxies'):
straight, by the waypoint of the Service that it is for, or by that of the pods whose address was called.
Read from a world's objects, with nothing of the product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from tests.soundness.requests import CallingPod
from tests.soundness.unified import pairs
from tests.worlds.drawing import MODE, USE, World
from tests.worlds.objects import Object

_FOR = "istio.io/waypoint-for"


@dataclass(frozen=True)
class TakenWay:
    """`service` and `port`: by the waypoint of this Service; `address`: by the waypoint of this name, to the
    address of a pod; neither: straight to the pods."""

    service: Service | None = None
    port: ServicePort | None = None
    address: str = ""

    def __str__(self) -> str:
        if self.address:
            return f" to its address by waypoint {self.address}"
        return f" by the waypoint of {self.service.key}" if self.service else ""


STRAIGHT = TakenWay()


@dataclass(frozen=True)
class Waypoints:
    """The waypoints of a world that take requests, and the Services that are bound to them."""

    world: World

    def of(self, service: Service) -> str:
        """The waypoint that requests for the Service go through, "" where there is none. A headless Service
        has no address: who names it calls its pods, and ztunnels lead only what is for a Service's address
        through its waypoint (ztunnel, src/proxy/outbound.rs, build_request).
        """
        if service.type == "ExternalName" or service.headless:
            return ""
        name = service.labels.get(USE, self._labels(service.namespace).get(USE, ""))
        gateway = self._gateways().get((service.namespace, name))
        return name if gateway is not None and _takes(gateway) else ""

    def to(self, facts: ClusterFacts, pod: Workload, port: int) -> Iterator[TakenWay]:
        """Every way on which somebody may come to a port of a pod."""
        yield STRAIGHT
        if taking := self._of_pods(pod.namespace):
            yield TakenWay(address=taking)
        for service in facts.services:
            for each, workload, number in pairs(service, facts) if self.of(service) else ():
                if (workload.name, number) == (pod.name, port) and each.seen:
                    yield TakenWay(service, each)

    def asked(self, client: CallingPod, service: Service, port: ServicePort) -> TakenWay:
        """The way that a client's request to a Service takes: proxies of pods, and who has none, go past
        waypoints.
        """
        enrolled = self.enrols(client.namespace) and client.trust_domain is not None
        if enrolled and self.of(service):
            return TakenWay(service, port)
        # Who calls a headless Service calls its pods.
        return TakenWay(address=self._of_pods(service.namespace) if enrolled and service.headless else "")

    def enrols(self, namespace: str) -> bool:
        """Whether the namespace asks for ambient."""
        return self._labels(namespace).get(MODE) == "ambient"

    def _of_pods(self, namespace: str) -> str:
        """The waypoint that takes what is for the addresses of a namespace's pods, none of which has a label
        of its own; "" where there is none."""
        name = self._labels(namespace).get(USE, "")
        gateway = self._gateways().get((namespace, name))
        return name if gateway is not None and _takes(gateway, "workload") else ""

    def _labels(self, namespace: str) -> Mapping[str, str]:
        found: Mapping[str, str] = {}
        for one in self.world.objects:
            if (one["kind"], one["metadata"]["name"]) == ("Namespace", namespace):
                found = one["metadata"]["labels"]
        return found

    def _gateways(self) -> dict[tuple[str, str], Object]:
        found = (one for one in self.world.objects if one["kind"] == "Gateway")
        return {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in found}


def _takes(gateway: Object, what: str = "service") -> bool:
    ready = bool(gateway["status"].get("addresses"))
    return ready and gateway["metadata"]["labels"].get(_FOR, "service") in (what, "all")
