"""The security law, by two evaluators that share nothing: what Istio admits of the objects, the policies
admit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import yaml
from hypothesis import assume, given, note

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import decode
from gitmesh.model.workloads import Workload
from gitmesh.parsing.parse import parse
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer, Basis, Ruling
from tests.factories import snapshot_of
from tests.rendered import Rendered, rendered
from tests.soundness.access_documents import as_files, policy_sets
from tests.soundness.calculator import admits, known
from tests.soundness.istio import Istio
from tests.soundness.profile import searching
from tests.soundness.requests import ArrivingCall
from tests.soundness.unified import Unified, behind, pairs, selects
from tests.soundness.worlds import PORTS, REQUESTS, clients, worlds

WEST = {"west": {"region": "west"}}


def render(policies: list[dict[str, Any]], world: Mapping[str, ClusterFacts]) -> Rendered:
    """Through the public door, from YAML; what a whole revision is refused for is not looked at."""
    found = rendered(as_files(policies), world, WEST)
    assume(not any(d.is_error and d.code < "GM208" for d in found.findings))
    return found


def istio_of(found: Rendered, cluster: str, facts: ClusterFacts) -> Istio:
    return Istio(
        [decode(manifest.body) for manifest in found.builds[cluster].manifests.values()], facts.meshes
    )


def held(found: Rendered, cluster: str, facts: ClusterFacts, workload: Workload) -> bool:
    """Whether something that decides about the pod is held: it keeps what is live, of which nothing is known
    here.
    """
    units = found.builds[cluster].held_units
    names = {(key.namespace, key.name) for key in units if key.half == "access"}
    whole = any(key.half == "mesh" and key.name == workload.mesh for key in units)
    return whole or any(
        service.key in names for service in facts.services if workload in behind(service, facts)
    )


def calls(world: Mapping[str, ClusterFacts], cluster: str, workload: Workload) -> Iterator[ArrivingCall]:
    for port in PORTS:
        for client in clients(world):
            for request in REQUESTS:
                yield ArrivingCall(
                    client=client, cluster=cluster, workload=workload, port=port, request=request
                )


def speaks(facts: ClusterFacts, call: ArrivingCall) -> bool:
    """Whether the proxy may see the request as it is: HTTP is not seen on ports that are declared TCP."""
    said = [
        port.protocol
        for service in facts.services
        for port, w, n in pairs(service, facts)
        if (w, n) == (call.workload, call.port)
    ]
    http = not said or any(protocol != "tcp" for protocol in said)
    raw = not said or any(protocol in ("tcp", "") for protocol in said)
    return http if call.request.http else raw


def shown(policies: list[dict[str, Any]], found: Rendered) -> str:
    """For whoever reads a failure."""
    objects = [{"kind": o["kind"], "name": o["metadata"]["name"], "spec": o["spec"]} for o in found.bodies]
    return "\n".join([yaml.safe_dump_all(policies), *found.said, yaml.safe_dump_all(objects)])


def explained(found: Rendered, unified: Unified, cluster: str, workload: Workload) -> bool:
    """Whether some finding on a policy that acts on the pod says that a translation is stricter, or that pods
    are shared.
    """
    facts = unified.world[cluster]
    here = [service for service in facts.services if workload in behind(service, facts)]
    said = {
        d.policy
        for d in found.findings
        if (d.code.startswith("GM3") and d.code not in ("GM310", "GM327")) or d.code == "GM213"
    }
    return any(
        policy["kind"] == "VirtualMesh" or any(selects(policy, cluster, service) for service in here)
        for policy in unified.policies
        if f"{policy['kind']}/{policy['metadata']['namespace']}/{policy['metadata']['name']}" in said
    )


@searching(100)
@given(worlds(), policy_sets())
def test_istio_never_admits_more_than_the_policies(
    world: dict[str, ClusterFacts], policies: list[dict[str, Any]]
) -> None:
    found = render(policies, world)
    note(shown(policies, found))
    unified = Unified(policies, world)
    for cluster, facts in world.items():
        istio = istio_of(found, cluster, facts)
        for workload in facts.workloads:
            if workload.mesh and not held(found, cluster, facts, workload):
                for call in calls(world, cluster, workload):
                    if speaks(facts, call) and istio.admitted(call):
                        assert unified.admitted(call), f"admitted though no policy says so: {call}"


@searching(100)
@given(worlds(), policy_sets())
def test_what_no_finding_explains_is_the_same(
    world: dict[str, ClusterFacts], policies: list[dict[str, Any]]
) -> None:
    found = render(policies, world)
    note(shown(policies, found))
    unified = Unified(policies, world)
    for cluster, facts in world.items():
        istio = istio_of(found, cluster, facts)
        for workload in facts.workloads:
            reached = {n for service in facts.services for _, w, n in pairs(service, facts) if w == workload}
            if (
                workload.mesh
                and not held(found, cluster, facts, workload)
                and not explained(found, unified, cluster, workload)
            ):
                for call in calls(world, cluster, workload):
                    if call.port in reached and speaks(facts, call):
                        assert istio.admitted(call) == unified.admitted(call), f"not the same: {call}"


@searching(100)
@given(worlds(), policy_sets())
def test_what_is_closed_or_open_by_itself_is_so(
    world: dict[str, ClusterFacts], policies: list[dict[str, Any]]
) -> None:
    """Where no policy means the pods, the calculator says what the objects for others make of them."""
    found = render(policies, world)
    note(shown(policies, found))
    labels = {**WEST, **{name: facts.labels for name, facts in world.items()}}
    unified = Unified(policies, world)
    calculators = known(parse(snapshot_of(as_files(policies)))[0], world, labels)
    for cluster, facts in world.items():
        istio = istio_of(found, cluster, facts)
        for service in facts.services:
            for port, caller, request in product(service.ports, clients(world), REQUESTS):
                answer = can(admits(caller, service.key, port.number, request), calculators[cluster])
                for workload, number, ruling in answer.pods:
                    call = ArrivingCall(
                        client=caller, cluster=cluster, workload=workload, port=number, request=request
                    )
                    open_ = told_open(ruling) and not explained(found, unified, cluster, workload)
                    itself = open_ or ruling.basis is Basis.CLOSED
                    if itself and speaks(facts, call) and not held(found, cluster, facts, workload):
                        assert istio.admitted(call) == open_, f"{call} {ruling}"


def told_open(ruling: Ruling) -> bool:
    """Whether nothing is said, so nothing is refused."""
    return ruling.basis is Basis.DEFAULT and ruling.answer is Answer.ALLOWED


@searching(100)
@given(worlds(), policy_sets())
def test_pods_outside_the_mesh_are_said_to_be_open(
    world: dict[str, ClusterFacts], policies: list[dict[str, Any]]
) -> None:
    found = render(policies, world)
    unified = Unified(policies, world)
    for cluster, facts in world.items():
        for workload in (w for w in facts.workloads if not w.mesh and not held(found, cluster, facts, w)):
            if any(not unified.admitted(call) for call in calls(world, cluster, workload)):
                assert any(d.code == "GM308" and d.cluster == cluster and d.is_error for d in found.findings)
