"""A moment with everything that laws ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import Workload
from gitmesh.parsing.parse import parse
from gitmesh.reasoning.questions import Known
from tests.factories import snapshot_of
from tests.soundness.calculator import known
from tests.soundness.istio import Istio
from tests.soundness.requests import ArrivingCall
from tests.soundness.unified import Document, Unified, behind, pairs, selects
from tests.worlds.objects import Object
from tests.worlds.playing import CLUSTER, Moment, json_stream
from tests.worlds.truth import PORTS, clients, spoken, truth

WHOLE = ""
"""The policy of findings on a cluster as a whole: everything is left as it is, say."""


class JudgedMoment:
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

    def calls(self, pod: Workload) -> Iterator[ArrivingCall]:
        """Everything that anybody may ask of a pod."""
        for port in (port for port in PORTS if not self._of_kin_alone(pod, port)):
            for request in spoken(self.facts, pod, port):
                for client in clients(self.moment.world):
                    yield ArrivingCall(
                        client=client, cluster=CLUSTER, workload=pod, port=port, request=request
                    )

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
            found.setdefault(one.policy, []).append(one)
        return found

    @cached_property
    def calculator(self) -> Known:
        """What the product itself knows of the cluster."""
        facts = self.moment.result.facts
        assert facts is not None
        policies, _ = parse(snapshot_of({"p.yaml": json_stream(self.moment.world.policies)}))
        return known(policies, {CLUSTER: facts}, {CLUSTER: {}})[CLUSTER]

    def said_of(self, policy: Document) -> list[Diagnostic]:
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

    def granted(self, call: ArrivingCall) -> bool:
        """Whether the policies admit the call of themselves, not by leaving the port alone."""
        governed = any(True for _ in self.unified.pair(CLUSTER, call.workload, call.port).by("Allow"))
        return governed and self.unified.admitted(call)


def is_held(finding: Diagnostic) -> bool:
    """Whether a finding says that something is not in force."""
    return finding.is_error or finding.code == "GM314"


def name_of(policy: Document) -> str:
    """As findings name it."""
    return f"{policy['kind']}/{policy['metadata']['namespace']}/{policy['metadata']['name']}"
