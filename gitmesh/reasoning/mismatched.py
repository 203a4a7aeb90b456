"""Connections that a mode of mTLS of ours refuses, as their clients make them otherwise: what somebody else's
object says of TLS, or the mesh's settings, stays so when pods come to ask for mTLS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, first_of
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ObjectKey
from gitmesh.model.policies import Origin
from gitmesh.model.services import Service
from gitmesh.model.strangers import ClientTls
from gitmesh.model.units import MeshUnit
from gitmesh.reasoning.foreign import mode_of
from gitmesh.reasoning.questions import Known

_MOST_NAMED = 5
_PLAIN = ("Disable", "Simple")
"""Modes with which a client shows no identity of the mesh; of a certificate of its own that is not known."""


class _Refused(Struct):
    """Of which namespaces ("" = of any) one object, or the mesh's settings, has clients connect so, and to
    which Services."""

    namespaces: set[str] = set()
    services: set[str] = set()


def mismatched(facts: ClusterFacts, built: Build) -> Iterator[Diagnostic]:
    """A finding for each Strict of ours and each who makes connections otherwise, at the line that says
    it."""
    strict = {
        unit.mesh.name: unit.mtls.origin
        for unit in built.units
        if isinstance(unit, MeshUnit)
        and unit.mtls is not None
        and unit.mtls.value.mode == "Strict"
        and unit.key not in built.held_units
    }
    if not strict or not built.client_tls:
        return
    found: dict[tuple[Origin, ObjectKey | None, str], _Refused] = {}
    known = Known.of(facts, built)
    for key, links in sorted(built.client_tls.items()):
        service = facts.service_index[key]
        for link in links:
            for mesh, mode in sorted(set(_refusing(service, link, known, strict))):
                one = found.setdefault((strict[mesh], link.by, mode), _Refused())
                one.services.add("/".join(key))
                one.namespaces.add(link.namespace)
    for (origin, by, mode), one in sorted(
        found.items(), key=lambda item: (item[0][0], str(item[0][1]), item[0][2])
    ):
        yield origin.finding("GM327", _text(by, mode, one), cluster=facts.cluster)


def _refusing(
    service: Service, link: ClientTls, known: Known, strict: Mapping[str, Origin]
) -> Iterator[tuple[str, str]]:
    """The meshes of ours whose Strict refuses such connections at some pods of the Service, each with the
    mode of their TLS."""
    for port in service.ports:
        mode = link.at(port.number)
        if mode not in _PLAIN:
            continue
        for pair in known.behind(service, port.number):
            mesh = pair.workload.mesh
            if mesh in strict and pair.workload.guards(pair.number):
                # A stranger's mode for these pods goes before that of the mesh.
                found, by = mode_of(pair.foreign, pair.number, "Strict")
                if found == "Strict" and by is None:
                    yield mesh, mode


def _text(by: ObjectKey | None, mode: str, one: _Refused) -> str:
    services = first_of(sorted(one.services), _MOST_NAMED)
    local = sorted(one.namespaces - {""})
    whose = "clients" if "" in one.namespaces or not local else f"clients in {first_of(local, _MOST_NAMED)}"
    why = f"{by}, which is not ours, has" if by else "the mesh's settings have"
    return f"{why} {whose} connect to Service {services} with tls {mode}, which Strict refuses"
