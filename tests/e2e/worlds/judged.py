"""A standing world with everything that laws ask of it: who is taken is what its proxies do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.e2e.promises import SAID_BY_MESHES
from tests.e2e.worlds.cluster import StandingWorld
from tests.e2e.worlds.dialling import Asked, Dialled
from tests.soundness.requests import ArrivingCall, CallingPod
from tests.worlds.drawing import CLUSTER
from tests.worlds.judge import JudgedMoment, shown
from tests.worlds.playing import Moment
from tests.worlds.truth import PORTS, clients, spoken, trust_domain
from tests.worlds.waypoints import STRAIGHT

_REFUSED = frozenset({"GM505", "GM511"})


class StandingMoment(JudgedMoment):
    """A moment that stands in the lab. `left` counts what is not asked of it, by reason."""

    def __init__(self, moment: Moment, standing: StandingWorld) -> None:
        super().__init__(moment)
        # What the mesh says of an object comes when it likes, and explains nobody's refusal.
        self.findings = tuple(one for one in self.findings if one.code not in SAID_BY_MESHES)
        self.left: Counter[str] = Counter()
        self._read = self.now
        self.now = self.dialled = Dialled(standing, self)

    @property
    def clients(self) -> Sequence[CallingPod]:
        """Those of the mesh, and who shows no identity: the others are a law of their own."""
        own = (None, trust_domain(self.moment.world))
        return tuple(one for one in clients(self.moment.world) if one.trust_domain in own)

    def proxies_do_as_read(self) -> Iterator[str]:
        """What the judge reads in the objects is what proxies do, for every call by every way."""
        asked = list(self._asked())
        self.dialled.ask(asked)
        for call, way in asked:
            taken, read = self.dialled.admitted(call, way), self._read.admitted(call, way)
            if taken != read:
                yield f"{'taken' if taken else 'refused'}, read otherwise: {shown(call)}{way}"

    def _asked(self) -> Iterator[Asked]:
        """Every call by every way, as far as requests can tell."""
        for pod in self.facts.workloads:
            for call in self.calls(pod):
                for way in self.ways(call):
                    reason = self.dialled.cannot_tell(call, way)
                    if reason:
                        self.left[f"access: {reason}"] += 1
                    else:
                        yield call, way

    def objects_are_taken(self) -> Iterator[str]:
        """The API server and the mesh's own validation refuse nothing that GitMesh writes."""
        for one in self.moment.report.diagnostics:
            if one.code in _REFUSED:
                yield f"{one.code} {one.policy}: {one.message}"

    def other_domains_are_refused(self) -> Iterator[str]:
        """Proxies take no identity of another trust domain, though the same CA has signed it (Istio's
        PILOT_SKIP_VALIDATE_TRUST_DOMAIN is off).
        """
        domain = trust_domain(self.moment.world)
        others = [one for one in clients(self.moment.world) if one.trust_domain not in (None, domain)]
        for pod in self.guarded:
            for port in PORTS:
                for request in spoken(self.facts, pod, port):
                    for client in others:
                        call = ArrivingCall(
                            client=client, cluster=CLUSTER, workload=pod, port=port, request=request
                        )
                        if self._is_shown(call) and self.dialled.admitted(call, STRAIGHT):
                            yield f"taken from another trust domain: {shown(call)}"

    def _is_shown(self, call: ArrivingCall) -> bool:
        """Whether the pod's proxy sees who calls, and its answer tells what it makes of that."""
        return self.dialled.shows(call) and not self.dialled.cannot_tell(call, STRAIGHT)
