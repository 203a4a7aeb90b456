"""What must hold in every world at rest, judged by readings of policies and of Istio that know nothing of the
product. A law yields what is wrong, a line each; nothing where all is well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gitmesh.model.report import State
from gitmesh.model.workloads import Workload
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer
from gitmesh.status.states import policy_states, views
from tests.soundness.requests import ArrivingCall
from tests.soundness.unified import pairs
from tests.worlds.case_laws import (
    idle_fields_are_told,
    led_round_is_told,
    mtls_stays,
    private_routes_hold_nobody_else,
    probes_go_on,
    what_is_not_http_is_said,
)
from tests.worlds.drawing import CLUSTER
from tests.worlds.judge import JudgedMoment, is_held, name_of, shown
from tests.worlds.routing_laws import routes_lead_somewhere, treated_as_decided
from tests.worlds.truth import PORTS, spoken_at
from tests.worlds.way_laws import never_wider_on_the_way

Law = Callable[["JudgedMoment"], Iterator[str]]


_NO_ANSWER = frozenset({"GM209", "GM310", "GM327"})
"""Findings that explain no refusal: a selector finds nothing, paths are compared as the mesh normalises them,
connections are refused in TLS, of which no object of ours decides.
"""


_ON_ITS_WAY = "GM406"
"""The finding on what waits: in a world at rest, for an object of somebody else."""


def never_wider(judge: JudgedMoment) -> Iterator[str]:
    """Nobody is admitted whom neither the policies nor strangers admit, by whatever way; where only strangers
    do, or a policy could not be put in force, an error or a warning says so.
    """
    for pod in judge.guarded:
        told = any(is_held(one) or one.code == _ON_ITS_WAY for one in judge.about(pod))
        for call in judge.calls(pod) if not told else ():
            # What pods keep from their own proxies nobody guards; where a policy means it, another law asks.
            if not pod.guards(call.port):
                continue
            for way in judge.ways(call):
                if not judge.now.admitted(call, way):
                    continue
                if not judge.unified.admitted(call):
                    yield f"admitted though no policy says so, and nothing tells it: {shown(call)}{way}"
                if not judge.theirs.admitted(call, way) and not judge.granted(call):
                    yield f"closed by a stranger and opened by an object of ours: {shown(call)}{way}"


def never_narrower(judge: JudgedMoment) -> Iterator[str]:
    """Who is admitted by policies and strangers is admitted on the way that the request takes, or a finding
    tells it.
    """
    for pod in judge.guarded:
        told = any(one.code not in _NO_ANSWER for one in judge.about(pod))
        for call in judge.calls(pod) if not told else ():
            for way in judge.asked(call):
                if (
                    judge.unified.admitted(call)
                    and judge.theirs.admitted(call, way)
                    and not judge.now.admitted(call, way)
                ):
                    yield f"refused though the policies admit it, and nothing tells it: {shown(call)}{way}"


def open_pods_are_told(judge: JudgedMoment) -> Iterator[str]:
    """Where a policy closes a port that no proxy sees, an error says that nothing guards it."""
    for pod in judge.facts.workloads:
        closing = [
            policy
            for port in PORTS
            if not (pod.mesh and pod.guards(port))
            for policy, _ in judge.unified.pair(CLUSTER, pod, port).selecting
            if any(not judge.unified.admitted(call) for call in judge.calls(pod) if call.port == port)
        ]
        for policy in closing:
            if not any(map(is_held, judge.said_of(policy))):
                yield f"{name_of(policy)} closes {pod.namespace}/{pod.name}, where no proxy is: not told"


def in_force_or_told(judge: JudgedMoment) -> Iterator[str]:
    """A policy that is not Synced has a finding."""
    states = policy_states(judge.moment.report)
    for policy in judge.moment.world.policies:
        state = states.get(name_of(policy))
        if state is not State.SYNCED and not judge.said_of(policy) and not judge.told_at_large:
            yield f"{name_of(policy)} is {state}, and no finding says why"


def synced_is_in_force(judge: JudgedMoment) -> Iterator[str]:
    """A policy of which an error or a hold speaks, or of which an object is not live as it is wanted, is not
    Synced; nor is a cluster with such a policy.
    """
    report, result = judge.moment.report, judge.moment.result
    view = views(report)[1][CLUSTER]
    for policy in judge.moment.world.policies:
        standing = view.standing(name_of(policy))
        if standing is not None and standing.state is State.SYNCED:
            yield from (f"{name_of(policy)} is Synced: {why}" for why in judge.out_of_force(policy))
        if standing is not None and standing.state is not State.SYNCED and result.state is State.SYNCED:
            yield f"the cluster is Synced, and {name_of(policy)} is {standing.state} in it"


def calculator_agrees(judge: JudgedMoment) -> Iterator[str]:
    """What `can` says of a Service's port is what happens at its pods; where it cannot say, a hold or a
    stranger is why. What the mesh cannot spare of what is no HTTP is told (GM304), and not what policies say.
    """
    if judge.moment.result.state in (State.HELD, State.UNREACHABLE):
        return
    calculator = judge.calculator
    for service in judge.facts.services:
        for port in service.ports:
            reached = [(w, n) for p, w, n in pairs(service, judge.facts) if p == port and p.seen]
            for client in judge.clients if reached else ():
                for request in spoken_at(port):
                    calls = [
                        ArrivingCall(client=client, cluster=CLUSTER, workload=w, port=n, request=request)
                        for w, n in reached
                    ]
                    way = judge.waypoints.asked(client, service, port)
                    happens = {judge.now.admitted(call, way) for call in calls}
                    says = can(judge.question(client, service, port, request), calculator).answer
                    unsure = (says is Answer.UNKNOWN and (judge.moment.theirs or judge.is_ambient)) or (
                        not request.http and any(_narrows(judge, workload) for workload, _ in reached)
                    )
                    if says is not _ANSWERS[frozenset(happens)] and not unsure:
                        yield f"can says {says} of {service.key}:{port.number}: {shown(calls[0])}"


def _narrows(judge: JudgedMoment, pod: Workload) -> bool:
    return any(one.code == "GM304" for one in judge.about(pod))


_ANSWERS = {
    frozenset({True}): Answer.ALLOWED,
    frozenset({False}): Answer.DENIED,
    frozenset({True, False}): Answer.DEPENDS,
}


LAWS: tuple[Law, ...] = (
    never_wider,
    never_wider_on_the_way,
    never_narrower,
    open_pods_are_told,
    routes_lead_somewhere,
    treated_as_decided,
    in_force_or_told,
    synced_is_in_force,
    calculator_agrees,
    idle_fields_are_told,
    private_routes_hold_nobody_else,
    mtls_stays,
    led_round_is_told,
    what_is_not_http_is_said,
    probes_go_on,
)
