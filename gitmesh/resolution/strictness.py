"""Connections that a destination refuses: TLS other than the mesh's own towards pods that take nothing
else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.facts import Service, Workload
from gitmesh.model.policies import Origin
from gitmesh.model.traffic import Tls
from gitmesh.model.units import Decided
from gitmesh.resolution.index import targets

REFUSED = "GM220"
_OWN = "MeshMutual"
_PERHAPS = "Mutual"
"""A client certificate from a file, which may be one of the mesh's."""


def refused_connections(
    cluster: str,
    service: Service,
    workloads: Sequence[Workload],
    settings: Mapping[int, Mapping[str, Decided]],
    strict: Mapping[str, Origin],
    named: Collection[str],
) -> tuple[Diagnostic, ...]:
    """A finding on each `tls` with which connections to the Service fail; `strict` says by mesh where it is
    made Strict.

    An error where every connection fails to what a policy selects by name (`named` are those policies), else
    a warning.
    """
    found: dict[Origin, Diagnostic] = {}
    for port, decided in _by_port(settings):
        meeting = _refusing(service, port, workloads, strict)
        if not any(meeting):
            continue
        origin, mode = decided.origin, decided.value.mode
        certain = all(meeting) and mode != _PERHAPS and origin.policy in named
        where = strict[next(w.mesh for w, refuses in zip(workloads, meeting, strict=True) if refuses)]
        unless = " unless the certificate is one of the mesh's" if mode == _PERHAPS else ""
        name = f"{service.namespace}/{service.name}"
        text = (
            f"tls {mode}: pods behind Service {name} refuse it{unless}, as {where.policy} ({where.at}) says"
            " Strict"
        )
        one = finding(
            REFUSED,
            text,
            at=origin.at,
            policy=origin.policy,
            field=origin.field,
            cluster=cluster,
            severity=Severity.ERROR if certain else Severity.WARNING,
        )
        if origin not in found or one.is_error:
            found[origin] = one
    return tuple(found.values())


def _by_port(settings: Mapping[int, Mapping[str, Decided]]) -> Iterator[tuple[int, Decided]]:
    """Every decision on `tls` that is not the mesh's own, with the Service port that it is for, 0 = all."""
    for port, fields in sorted(settings.items()):
        decided = fields.get("tls")
        while decided is not None:
            if isinstance(decided.value, Tls) and decided.value.mode != _OWN:
                yield port, decided
            decided = decided.fallback


def _refusing(
    service: Service, port: int, workloads: Sequence[Workload], strict: Mapping[str, Origin]
) -> list[bool]:
    """For each shape of pods whether they refuse; a proxy refuses only on ports that it sees."""
    ports = [one for one in service.ports if port in (0, one.number)]
    return [
        workload.mesh in strict
        and all(workload.guards(number) for one in ports for number in targets(one, [workload]))
        for workload in workloads
    ]
