"""Who is taken at the end of a way: at the proxies of pods and nodes, and at the waypoint before them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts
from tests.soundness.ambient import USE, Ambient
from tests.soundness.istio import Istio
from tests.soundness.requests import ArrivingCall
from tests.worlds.objects import Object
from tests.worlds.waypoints import STRAIGHT, TakenWay, Waypoints


class Arrivals:
    """The mesh objects of one moment, or some of them."""

    def __init__(self, objects: Sequence[Object], facts: ClusterFacts, waypoints: Waypoints) -> None:
        self._mesh = Ambient(objects, facts.meshes, Istio(objects, facts.meshes))
        self._waypoints = waypoints

    def admitted(self, call: ArrivingCall, way: TakenWay) -> bool:
        """Whether a call is taken that comes by this way. Whoever shows no identity comes to no waypoint."""
        if way == STRAIGHT:
            return self._mesh.direct(call)
        if call.client.trust_domain is None:
            return False
        if way.service is None or way.port is None:
            return self._mesh.by_address(call, way.address)
        bound = {**way.service.labels, USE: self._waypoints.of(way.service)}
        return self._mesh.through(call, replace(way.service, labels=bound), way.port)
