"""A moment with everything that laws ask of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Protocol

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.objects import decode
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from gitmesh.reasoning.questions import Known, Question
from tests.soundness.calculator import admits
from tests.soundness.requests import ArrivingCall, AskedRequest, CallingPod
from tests.soundness.unified import Document, Unified, behind, pairs, selects
from tests.worlds.arrivals import Arrivals
from tests.worlds.drawing import CLUSTER
from tests.worlds.objects import Object
from tests.worlds.playing import Moment, place
from tests.worlds.truth import PORTS, clients, spoken, truth
from tests.worlds.waypoints import TakenWay, Waypoints

_OF_THE_GONE = "GM414"
_GONE = re.compile(r"[A-Z]\w+Policy/[^ ,()]+")
WHOLE = ""
"""The policy of findings on a cluster as a whole: everything is left as it is, say."""


class Admitting(Protocol):
    """What tells who is taken: a reading of objects, or the proxies themselves."""

    def admitted(self, call: ArrivingCall, way: TakenWay) -> bool:
        """Whether a call is taken that comes by this way."""
        ...


class JudgedMoment:
    """A moment with everything that laws ask of it, worked out once."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.facts = truth(moment.world)
        self.unified = Unified(moment.world.policies, {CLUSTER: self.facts})
        self.waypoints = Waypoints(moment.world)
        self.now: Admitting = Arrivals(moment.live, self.facts, self.waypoints)
        self.theirs = Arrivals(moment.theirs, self.facts, self.waypoints)
        self.findings = moment.report.diagnostics

    @property
    def pods(self) -> list[Object]:
        """As they stand in the cluster."""
        return [one for one in self.moment.world.objects if one["kind"] == "Pod"]

    @property
    def clients(self) -> Sequence[CallingPod]:
        """Who may call."""
        return clients(self.moment.world)

    @property
    def guarded(self) -> list[Workload]:
        """The pods that carry a proxy."""
        return [pod for pod in self.facts.workloads if pod.mesh]

    def calls(self, pod: Workload) -> Iterator[ArrivingCall]:
        """Everything that anybody may ask of a pod."""
        for port in (port for port in PORTS if not self._of_kin_alone(pod, port)):
            for request in spoken(self.facts, pod, port):
                for client in self.clients:
                    yield ArrivingCall(
                        client=client, cluster=CLUSTER, workload=pod, port=port, request=request
                    )

    def ways(self, call: ArrivingCall) -> Iterator[TakenWay]:
        """Every way by which the call may come."""
        return self.waypoints.to(self.facts, call.workload, call.port)

    def asked(self, call: ArrivingCall) -> Iterator[TakenWay]:
        """The ways that the call takes to the pod, by each Service that leads there."""
        for service in self.facts.services if self._exists(call.client) else ():
            for port, workload, number in pairs(service, self.facts):
                if (workload.name, number) == (call.workload.name, call.port) and port.seen:
                    yield self.waypoints.asked(call.client, service, port)

    def _exists(self, client: CallingPod) -> bool:
        """Whether somebody may be this client: in a cluster with ambient, one with a proxy of its own comes
        by another way, and is told by name.
        """
        place = (client.namespace, client.account)
        known = {(pod.namespace, pod.service_account) for pod in self.guarded if pod.dataplane == "sidecar"}
        goes_past = client.trust_domain and not self.waypoints.enrols(client.namespace)
        return not self.is_ambient or not goes_past or place in known

    @property
    def is_ambient(self) -> bool:
        """Whether some pods have no proxy of their own and are in the mesh all the same."""
        return any(pod.dataplane == "ambient" for pod in self.facts.workloads)

    def question(
        self, client: CallingPod, service: Service, port: ServicePort, request: AskedRequest
    ) -> Question:
        """What the calculator is asked; who shows an identity is in the mesh."""
        asked = admits(client, service.key, port.number, request)
        named = self.is_ambient and client.trust_domain is not None
        return replace(asked, client=replace(asked.client, mesh="istio" if named else ""))

    def _of_kin_alone(self, pod: Workload, port: int) -> bool:
        """Whether a Service reaches the port on other pods of the controller, and the pod does not have it:
        in the middle of a rollout the number of the others is no port there.
        """
        kin = [one for one in self.guarded if one.labels["app"] == pod.labels["app"]]
        reached = {
            (workload.name, number)
            for service in self.facts.services
            for _, workload, number in pairs(service, self.facts)
            if workload in kin and number == port
        }
        own = port in pod.ports.values() or (pod.name, port) in reached
        return bool(reached) and not own

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
            # It is about an object whose policies are all gone, and names these: nothing else is told by it.
            names = _GONE.findall(one.message) if one.code == _OF_THE_GONE else [one.policy]
            for name in names:
                found.setdefault(name, []).append(one)
        return found

    @cached_property
    def calculator(self) -> Known:
        """What the product itself knows of the cluster."""
        facts, built = self.moment.result.facts, self.moment.result.build
        assert facts is not None
        assert built is not None
        # Whom proxies refuse in TLS comes to no policy, so nothing would be judged of callers from elsewhere.
        meshes = tuple(replace(mesh, takes=()) for mesh in facts.meshes)
        return Known.of(replace(facts, meshes=meshes), built)

    def said_of(self, policy: Document) -> list[Diagnostic]:
        """The findings on one policy."""
        return self._by_policy.get(name_of(policy), [])

    def out_of_force(self, policy: Document) -> Iterator[str]:
        """What of the policy is not in force, by the findings, and by what is live in place of what it
        wants."""
        name, built = name_of(policy), self.moment.result.build
        yield from (one.message for one in self.said_of(policy) if one.is_error or one.hold)
        live = {place(one): one for one in self.moment.live}
        for wanted in built.manifests.values() if built else ():
            body = decode(wanted.body)
            there = live.get(place(body))
            if name in wanted.policies and (there is None or there.get("spec") != body.get("spec")):
                yield f"{wanted.key} is {'not there' if there is None else 'otherwise'}"

    @property
    def told_at_large(self) -> bool:
        """Whether a finding speaks of the cluster as a whole."""
        return WHOLE in self._by_policy

    def told_of(self, body: Object, but: Collection[str] = ()) -> bool:
        """Whether a finding speaks of a policy that an object of ours is for, `but` for those of some
        codes.
        """
        names = body["metadata"]["annotations"]["gitmesh.io/policies"].split(",")
        return any(one.code not in but for name in (*names, WHOLE) for one in self._by_policy.get(name, ()))

    def granted(self, call: ArrivingCall) -> bool:
        """Whether the policies admit the call of themselves, not by leaving the port alone."""
        governed = any(True for _ in self.unified.pair(CLUSTER, call.workload, call.port).by("Allow"))
        return governed and self.unified.admitted(call)


def shown(call: ArrivingCall) -> str:
    """A call in a line."""
    who = call.client.principal or "nobody"
    what = f"{call.request.method} {call.request.path}" if call.request.http else "TCP"
    return f"{who} -> {call.workload.namespace}/{call.workload.name}:{call.port} {what}"


def is_held(finding: Diagnostic) -> bool:
    """Whether a finding says that something is not in force."""
    return finding.is_error or finding.code == "GM314"


def name_of(policy: Document) -> str:
    """As findings name it."""
    return f"{policy['kind']}/{policy['metadata']['namespace']}/{policy['metadata']['name']}"
