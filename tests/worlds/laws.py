"""What must hold in every world at rest, judged by readings of policies and of Istio that know nothing of the
product. A law yields what is wrong, a line each; nothing where all is well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import Workload
from gitmesh.model.report import State
from gitmesh.parsing.parse import parse
from gitmesh.reasoning.access import Answer, can
from gitmesh.reasoning.questions import Known
from gitmesh.status.states import policy_states
from tests.factories import snapshot_of
from tests.soundness.calculator import admits, known
from tests.soundness.istio import Istio
from tests.soundness.requests import Call
from tests.soundness.unified import Unified, behind, pairs, selects
from tests.worlds.objects import Object
from tests.worlds.playing import CLUSTER, Moment, json_stream
from tests.worlds.resolving import leads_to, taken_rule
from tests.worlds.truth import PORTS, clients, spoken, spoken_at, truth

WHOLE = ""
"""The policy of findings on a cluster as a whole: everything is left as it is, say."""
_NO_ANSWER = frozenset({"GM209", "GM310"})
"""Findings that explain no refusal: a selector finds nothing, paths are compared as the mesh normalises them.
"""

Law = Callable[["Judge"], Iterator[str]]


class Judge:
    """A moment with everything that laws ask of it, worked out once."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.facts = truth(moment.world)
        self.unified = Unified(moment.world.policies, {CLUSTER: self.facts})
        self.now = Istio(moment.live, self.facts.meshes)
        self.theirs = Istio(moment.theirs, self.facts.meshes)
        self.findings = moment.report.diagnostics

    @property
    def guarded(self) -> list[Workload]:
        """The pods that carry a proxy."""
        return [pod for pod in self.facts.workloads if pod.mesh]

    def calls(self, pod: Workload) -> Iterator[Call]:
        """Everything that anybody may ask of a pod."""
        for port in PORTS:
            for request in spoken(self.facts, pod, port):
                for client in clients(self.moment.world):
                    yield Call(client=client, cluster=CLUSTER, workload=pod, port=port, request=request)

    def about(self, pod: Workload) -> list[Diagnostic]:
        """The findings on policies that act on the pod: by their words, or by an object that is there yet."""
        here = [service for service in self.facts.services if pod in behind(service, self.facts)]
        acting = {
            name_of(policy)
            for policy in self.moment.world.policies
            if policy["kind"] == "VirtualMesh" or any(selects(policy, CLUSTER, each) for each in here)
        }
        for one in self.moment.ours:
            wanted = one["spec"].get("selector", {}).get("matchLabels", {})
            if one["metadata"]["namespace"] == pod.namespace and wanted.items() <= pod.labels.items():
                acting.update(one["metadata"]["annotations"]["gitmesh.io/policies"].split(","))
        acting.add(WHOLE)
        return [one for name in sorted(acting) for one in self._by_policy.get(name, ())]

    @cached_property
    def _by_policy(self) -> dict[str, list[Diagnostic]]:
        found: dict[str, list[Diagnostic]] = {}
        for one in self.findings:
            found.setdefault(one.policy, []).append(one)
        return found

    @cached_property
    def calculator(self) -> Known:
        """What the product itself knows of the cluster."""
        facts = self.moment.result.facts
        assert facts is not None
        policies, _ = parse(snapshot_of({"p.yaml": json_stream(self.moment.world.policies)}))
        return known(policies, {CLUSTER: facts}, {CLUSTER: {}})[CLUSTER]

    def said_of(self, policy: Object) -> list[Diagnostic]:
        """The findings on one policy."""
        return self._by_policy.get(name_of(policy), [])

    @property
    def told_at_large(self) -> bool:
        """Whether a finding speaks of the cluster as a whole."""
        return WHOLE in self._by_policy

    def told_of(self, body: Object) -> bool:
        """Whether a finding speaks of a policy that an object of ours is for."""
        names = body["metadata"]["annotations"]["gitmesh.io/policies"].split(",")
        return any(self._by_policy.get(name) for name in (*names, WHOLE))

    def granted(self, call: Call) -> bool:
        """Whether the policies admit the call of themselves, not by leaving the port alone."""
        governed = any(True for _ in self.unified.pair(CLUSTER, call.workload, call.port).by("Allow"))
        return governed and self.unified.admitted(call)


def is_held(finding: Diagnostic) -> bool:
    """Whether a finding says that something is not in force."""
    return finding.is_error or finding.code == "GM314"


def name_of(policy: Object) -> str:
    """As findings name it."""
    return f"{policy['kind']}/{policy['metadata']['namespace']}/{policy['metadata']['name']}"


def never_wider(judge: Judge) -> Iterator[str]:
    """Nobody is admitted whom neither the policies nor strangers admit; where only strangers do, or a policy
    could not be put in force, an error or a warning says so.
    """
    for pod in judge.guarded:
        told = any(map(is_held, judge.about(pod)))
        for call in judge.calls(pod):
            if not judge.now.admitted(call):
                continue
            if not judge.unified.admitted(call) and not told:
                yield f"admitted though no policy says so, and nothing tells it: {shown(call)}"
            if not judge.theirs.admitted(call) and not judge.granted(call) and not told:
                yield f"closed by a stranger and opened by an object of ours: {shown(call)}"


def never_narrower(judge: Judge) -> Iterator[str]:
    """Who is admitted by policies and strangers is admitted, or a finding tells it."""
    for pod in judge.guarded:
        reached = {n for s in judge.facts.services for _, w, n in pairs(s, judge.facts) if w == pod}
        told = any(one.code not in _NO_ANSWER for one in judge.about(pod))
        for call in judge.calls(pod):
            if (
                not told
                and call.port in reached
                and judge.unified.admitted(call)
                and judge.theirs.admitted(call)
                and not judge.now.admitted(call)
            ):
                yield f"refused though the policies admit it, and nothing tells it: {shown(call)}"


def open_pods_are_told(judge: Judge) -> Iterator[str]:
    """Where a policy closes a port of a pod without a proxy, an error says that nothing guards it."""
    for pod in (pod for pod in judge.facts.workloads if not pod.mesh):
        closing = [
            policy
            for port in PORTS
            for policy, _ in judge.unified.pair(CLUSTER, pod, port).selecting
            if any(not judge.unified.admitted(call) for call in judge.calls(pod) if call.port == port)
        ]
        for policy in closing:
            if not any(map(is_held, judge.said_of(policy))):
                yield f"{name_of(policy)} closes {pod.namespace}/{pod.name}, which has no proxy: not told"


def routes_lead_somewhere(judge: Judge) -> Iterator[str]:
    """Whatever a route of ours names is there for every client that follows it."""
    for route in (one for one in judge.moment.ours if one["kind"] == "VirtualService"):
        for host, subset in leads_to(route):
            for place in ("shop", "bank"):
                found = taken_rule(judge.moment.live, judge.facts, host, place)
                known = {one["name"] for one in (found or {}).get("spec", {}).get("subsets", ())}
                if subset and subset not in known and not judge.told_of(route):
                    yield f"{route['metadata']['name']} leads {place} to {host} {subset}, which is not there"


def in_force_or_told(judge: Judge) -> Iterator[str]:
    """A policy that is not Synced has a finding."""
    states = policy_states(judge.moment.report)
    for policy in judge.moment.world.policies:
        state = states.get(name_of(policy))
        if state is not State.SYNCED and not judge.said_of(policy) and not judge.told_at_large:
            yield f"{name_of(policy)} is {state}, and no finding says why"


def calculator_agrees(judge: Judge) -> Iterator[str]:
    """What `can` says of a Service's port is what happens at its pods; where it cannot say, a hold or a
    stranger is why.
    """
    if judge.moment.result.state in (State.HELD, State.UNREACHABLE) or judge.moment.theirs:
        return
    calculator = judge.calculator
    for service in judge.facts.services:
        for port in service.ports:
            reached = [(w, n) for p, w, n in pairs(service, judge.facts) if p == port and p.seen]
            for client in clients(judge.moment.world) if reached else ():
                for request in spoken_at(port):
                    calls = [
                        Call(client=client, cluster=CLUSTER, workload=w, port=n, request=request)
                        for w, n in reached
                    ]
                    happens = {judge.now.admitted(call) for call in calls}
                    says = can(admits(client, service.key, port.number, request), calculator).answer
                    if says is not _ANSWERS[frozenset(happens)]:
                        yield f"can says {says} of {service.key}:{port.number}: {shown(calls[0])}"


_ANSWERS = {
    frozenset({True}): Answer.ALLOWED,
    frozenset({False}): Answer.DENIED,
    frozenset({True, False}): Answer.DEPENDS,
}


def shown(call: Call) -> str:
    """A call in a line."""
    who = call.client.principal or "nobody"
    what = f"{call.request.method} {call.request.path}" if call.request.http else "TCP"
    return f"{who} -> {call.workload.namespace}/{call.workload.name}:{call.port} {what}"


LAWS: tuple[Law, ...] = (
    never_wider,
    never_narrower,
    open_pods_are_told,
    routes_lead_somewhere,
    in_force_or_told,
    calculator_agrees,
)
