"""The security law in ambient, by two evaluators that share nothing: what ztunnels and waypoints admit, the
policies admit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import decode
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer
from gitmesh.reasoning.questions import Known
from tests.properties.test_access_soundness import calls, explained, held, istio_of, render, shown, speaks
from tests.rendered import Rendered
from tests.soundness.access_documents import policy_sets
from tests.soundness.ambient import USE, WAYPOINTS, Ambient, ambient
from tests.soundness.calculator import admits
from tests.soundness.profile import searching
from tests.soundness.requests import ArrivingCall
from tests.soundness.unified import Unified, pairs
from tests.soundness.worlds import REQUESTS, clients, worlds


@st.composite
def ambient_worlds(draw: st.DrawFn) -> dict[str, ClusterFacts]:
    return {name: draw(ambient(facts)) for name, facts in draw(worlds()).items()}


def ambient_of(found: Rendered, cluster: str, facts: ClusterFacts) -> Ambient:
    objects = [decode(manifest.body) for manifest in found.builds[cluster].manifests.values()]
    return Ambient(objects, facts.meshes, istio_of(found, cluster, facts))


def ways(facts: ClusterFacts, workload: Workload, port: int) -> Iterator[tuple[Service, ServicePort]]:
    """The Services with a waypoint, and their ports, by which a port of a pod is reached."""
    for service in facts.services:
        if service.labels.get(USE) in WAYPOINTS:
            for each, behind, number in pairs(service, facts):
                if (behind, number) == (workload, port):
                    yield service, each


@searching(100)
@given(ambient_worlds(), policy_sets())
def test_ambient_never_admits_more_than_the_policies(
    world: dict[str, ClusterFacts], policies: list[dict[str, Any]]
) -> None:
    found = render(policies, world)
    note(shown(policies, found))
    unified = Unified(policies, world)
    for cluster, facts in world.items():
        mesh = ambient_of(found, cluster, facts)
        for workload in facts.workloads:
            if workload.mesh and not held(found, cluster, facts, workload):
                by = {port: list(ways(facts, workload, port)) for port in (8080, 9090, 7070, 15999)}
                for call in calls(world, cluster, workload):
                    if not speaks(facts, call) or unified.admitted(call):
                        continue
                    assert not mesh.direct(call), f"admitted though no policy says so: {call}"
                    for service, port in by[call.port] if call.client.trust_domain else ():
                        said = f"admitted through Service {service.name}:{port.number}: {call}"
                        assert not mesh.through(call, service, port), said


@searching(100)
@given(ambient_worlds(), policy_sets())
def test_what_a_waypoint_refuses_a_finding_explains(
    world: dict[str, ClusterFacts], policies: list[dict[str, Any]]
) -> None:
    found = render(policies, world)
    note(shown(policies, found))
    unified = Unified(policies, world)
    for cluster, facts in world.items():
        mesh = ambient_of(found, cluster, facts)
        for workload in facts.workloads:
            if workload.dataplane != "ambient" or held(found, cluster, facts, workload):
                continue
            if explained(found, unified, cluster, workload):
                continue
            for call in calls(world, cluster, workload):
                # Who has no identity comes to pods directly, and an address is lost on the way.
                if not call.client.trust_domain or not speaks(facts, call) or not unified.admitted(call):
                    continue
                for service, port in ways(facts, workload, call.port):
                    assert mesh.through(call, service, port), f"refused without a finding: {service} {call}"


@searching(60)
@given(ambient_worlds(), policy_sets())
def test_what_the_calculator_says_is_allowed_pods_take(
    world: dict[str, ClusterFacts], policies: list[dict[str, Any]]
) -> None:
    found = render(policies, world)
    note(shown(policies, found))
    unified = Unified(policies, world)
    for cluster, facts in world.items():
        mesh, built = ambient_of(found, cluster, facts), found.builds[cluster]
        calculator = Known.of(facts, built)
        for service, port in ((one, port) for one in facts.services for port in one.ports):
            bound = service.labels.get(USE) in WAYPOINTS
            for caller, request in itertools.product(clients(world), REQUESTS):
                asked = admits(caller, service.key, port.number, request)
                question = replace(
                    asked, client=replace(asked.client, mesh="istio" if caller.trust_domain else "")
                )
                for workload, number, ruling in can(question, calculator).pods:
                    if workload.dataplane != "ambient" or ruling.answer is not Answer.ALLOWED:
                        continue
                    # What Istio cannot say is refused with an error; its translator alone knows that.
                    if explained(found, unified, cluster, workload):
                        continue
                    call = ArrivingCall(
                        client=caller, cluster=cluster, workload=workload, port=number, request=request
                    )
                    taken = (
                        mesh.through(call, service, port)
                        if bound and question.client.mesh
                        else mesh.direct(call)
                    )
                    assert taken, f"{service.name}:{port.number} {call} {ruling}"
