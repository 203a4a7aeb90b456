"""Clients that follow no route of ours to some destinations, as nothing is written for their mesh there: a
mesh that is presumed of its pods has no part in destinations of another one (planning/translating).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, first_of
from gitmesh.model.conditions import SourceCondition
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided
from gitmesh.model.units import RoutingUnit
from gitmesh.model.workloads import Workload
from gitmesh.reasoning.routing import is_elsewhere

_MOST_NAMED = 5


class _Vain(Struct):
    """What of one policy some clients do not follow: where it stands, to which Services, and from which
    namespaces they call."""

    origin: Origin
    services: set[str] = set()
    clients: set[str] = set()


def unfollowed(facts: ClusterFacts, built: Build) -> Iterator[Diagnostic]:
    """One finding for each policy of which such clients are meant, and each such mesh."""
    routing = [one for one in built.units if isinstance(one, RoutingUnit) and one.key not in built.held_units]
    for mesh in (one.name for one in facts.meshes if one.presumed):
        clients = [one for one in facts.workloads if one.mesh == mesh and one.pods]
        units = [one for one in routing if is_elsewhere(one, mesh)] if clients else []
        for vain in _by_policy(units, clients).values():
            text = (
                f"clients in mesh {mesh} ({first_of(sorted(vain.clients), _MOST_NAMED)}) do not follow it to"
                f" Service {first_of(sorted(vain.services), _MOST_NAMED)}: the pods are in another mesh"
            )
            yield vain.origin.finding("GM326", text, cluster=facts.cluster, mesh=mesh)


def _by_policy(units: Iterable[RoutingUnit], clients: Iterable[Workload]) -> Mapping[str, _Vain]:
    found: dict[str, _Vain] = {}
    meant: dict[SourceCondition, set[str]] = {}  # many rules have the same clients
    for unit in units:
        for source, origin in _said(unit):
            if source not in meant:
                meant[source] = {one.namespace for one in clients if _is_meant(one, source)}
            if places := meant[source]:
                vain = found.setdefault(origin.policy, _Vain(origin))
                vain.origin = min(origin, vain.origin)
                vain.services.add("/".join(unit.service.key))
                vain.clients |= places
    return found


def _is_meant(client: Workload, source: SourceCondition) -> bool:
    return (
        (not source.namespaces or client.namespace in source.namespaces)
        and (not source.service_accounts or client.service_account in source.service_accounts)
        and client.may_carry(dict(source.labels))
    )


def _said(unit: RoutingUnit) -> Iterator[tuple[SourceCondition, Origin]]:
    """Whose requests the unit decides something for, and where that stands."""
    for route in unit.routes:
        yield from ((route.match.source, one.origin) for one in route.fields.values())
    for settings in unit.settings.values():
        for decided in settings.values():
            one: Decided | None = decided
            while one is not None:
                yield one.source, one.origin
                one = one.fallback
