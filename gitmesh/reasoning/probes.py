"""Probes of the kubelet that a mesh refuses, though nothing is meant to keep it out: it shows no identity,
and speaks no mTLS.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, first_of
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build
from gitmesh.model.policies import Origin
from gitmesh.model.units import MeshUnit
from gitmesh.model.workloads import Probe, Workload
from gitmesh.reasoning.access import ruled
from gitmesh.reasoning.answers import Answer, Basis, Ruling
from gitmesh.reasoning.foreign import mode_of
from gitmesh.reasoning.questions import Client, Known, Question, guards_of
from gitmesh.resolution.index import targets

CUT_OFF = "GM316"
_MOST_NAMED = 8
# Only what a line of a policy decides: for the rest there is no line to tell it at.
_WHY = {
    Basis.DENY: "a Deny means its requests",
    Basis.NO_ALLOW: "no Allow admits it",
    Basis.CLOSED: "an Allow for other ports of the pods closes it",
    Basis.DEFAULT: "a default of Deny refuses it",
}
_GRPC = "/grpc.health.v1.Health/Check"


class _Refusal(Struct, frozen=True, order=True):
    """What keeps the kubelet from a port of a workload's pods."""

    origin: Origin
    why: str
    workload: str
    port: int


def cut_off(facts: ClusterFacts, built: Build) -> tuple[Diagnostic, ...]:
    """The findings on what refuses probes in a cluster, each at the line that does."""
    probed = [one for one in facts.workloads if one.mesh and any(one.guards(p.port) for p in one.probes)]
    if not probed:
        return ()
    # Who is refused for want of mTLS is refused by access, too, or not: each is told at its own line.
    units = [replace(unit, mtls=None) if isinstance(unit, MeshUnit) else unit for unit in built.units]
    known = Known(facts, units, built.held_units)
    strict = {
        unit.mesh.name: unit.mtls.origin
        for unit in built.units
        if isinstance(unit, MeshUnit) and unit.mtls is not None and unit.mtls.value.mode == "Strict"
    }
    found: dict[tuple[Origin, str], set[_Refusal]] = {}
    for workload in probed:
        for probe in workload.probes:
            if workload.guards(probe.port):
                for one in (*_by_mode(workload, probe, strict, facts), *_by_access(workload, probe, known)):
                    found.setdefault((one.origin, one.why), set()).add(one)
    return tuple(_told(sorted(found[key]), facts.cluster) for key in sorted(found))


def _by_mode(
    workload: Workload, probe: Probe, strict: dict[str, Origin], facts: ClusterFacts
) -> Iterator[_Refusal]:
    """What mTLS refuses."""
    if workload.mesh not in strict:
        return
    # A stranger's mode for these pods goes before the policies'.
    mode, _ = mode_of(guards_of(workload, facts), probe.port, "Strict")
    if mode == "Strict":
        yield _refusal(workload, probe, strict[workload.mesh], "mTLS Strict takes no plain text")


def _by_access(workload: Workload, probe: Probe, known: Known) -> Iterator[_Refusal]:
    for ruling in _rulings(workload, probe, known):
        lines = (*ruling.deciding, *(tried.origin for tried in ruling.tried))
        if ruling.answer is Answer.DENIED and ruling.basis in _WHY and lines:
            yield _refusal(workload, probe, lines[0], _WHY[ruling.basis])


def _rulings(workload: Workload, probe: Probe, known: Known) -> Iterator[Ruling]:
    """What is decided of the probe; through which Service it could have come makes no difference."""
    reached = (
        (service.key, port)
        for service in known.index.selecting(workload)
        for port in service.ports
        if probe.port in targets(port, [workload])
    )
    key, port = next(reached, (("", ""), None))
    asked = Question(
        # A kubelet shows no identity, and its address is no fact.
        client=Client(),
        service=key,
        port=port.number if port else 0,
        method="POST" if probe.grpc else "GET",
        path=_GRPC if probe.grpc else probe.path,
        http=port.http if port else True,
    )
    yield ruled(asked, known.pair(workload, probe.port), known)


def _refusal(workload: Workload, probe: Probe, origin: Origin, why: str) -> _Refusal:
    name = f"{workload.kind} {workload.namespace}/{workload.name}"
    return _Refusal(origin=origin, why=why, workload=name, port=probe.port)


def _told(refusals: list[_Refusal], cluster: str) -> Diagnostic:
    first = refusals[0]
    places = [f"port {one.port} of {one.workload}" for one in refusals]
    text = f"the kubelet's probes of {first_of(places, _MOST_NAMED)} fail: {first.why}"
    return first.origin.finding(CUT_OFF, text, cluster=cluster)
