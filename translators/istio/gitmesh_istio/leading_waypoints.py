"""Waypoints that lead to the pods of a destination. A pod's waypoint is a matter of each Service that selects
it, so other Services' waypoints send on to the same pods: the decision must stand there too, or the pods must
not let them in. Nor do they let in one that also takes what is for their own addresses: no policy for a
Service is asked there (istio/istio#56505), and the pods see its identity on both ways.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gitmesh.model.facts import Mesh
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import AccessUnit
from gitmesh_istio.names import sorted_unique
from gitmesh_istio.waypoints import Binding, binding, pod_binding

MAX_TARGETS = 16
"""targetRefs of one object (CRD)."""


class LeadingWaypoints:
    """Who comes to the pods by a waypoint: `principals` with requests for the Service itself. `denied` and
    `allowed` are the Services at whose waypoints our Deny and our Allow must stand. `held` are those whose
    requests would come past the decision: no Allow is about them, and none of ours can stand for them; the
    pods deny their waypoints, which are `shut`. So are those `by_address`, which take what is for the
    addresses of the pods."""

    def __init__(self, unit: AccessUnit, bound: Binding | None, meshes: Sequence[Mesh]) -> None:
        own = unit.service
        found = [
            (service, governed, other.principals(meshes))
            for service, governed in unit.sharing
            if (other := binding(service, meshes)) is not None and not other.trouble
        ]
        loose = [service for service, governed, _ in found if not governed]
        first = [own] if bound else []
        self.by_address = _by_address(unit, meshes)
        past = {name for one in self.by_address for name in one.principals(meshes)}
        self.principals = bound.principals(meshes) if bound and bound not in self.by_address else []
        self.denied = [*first, *(service for service, _, _ in found)]
        self.allowed = [
            *first,
            *(
                service
                for service, governed, _ in found
                if _is_part(own, service) or (governed and _adds(unit, service))
            ),
        ]
        # No Allow guards these Services, so an ALLOW of ours at their waypoints would close them for all
        # that is not ours.
        self.held = [service for service in loose if not _is_part(own, service)]
        self.alike = all(_is_part(own, service) for service in self.denied)
        # One object takes no more: the waypoints of the other Services are shut out instead.
        if len(self.denied) > MAX_TARGETS:
            self.held, self.denied, self.allowed = self.denied[len(first) :], first, first
        self.shut = sorted_unique(
            (*past, *(name for service, _, names in found if service in self.held for name in names))
        )


def _by_address(unit: AccessUnit, meshes: Sequence[Mesh]) -> list[Binding]:
    """The waypoints that take what is for the addresses of the unit's pods."""
    # Pods are yet to come where there are none, and are then bound as their namespace is.
    every = [pods.labels for pods in unit.workloads] or [{}]
    found = [] if _admits_all(unit) else [pod_binding(one, unit.service.namespace, meshes) for one in every]
    return sorted({one for one in found if one}, key=str)


def _admits_all(unit: AccessUnit) -> bool:
    """Whether nobody is refused whom the pods could not tell from a waypoint."""
    access = unit.access
    exempt = access.exempt is not None and bool(access.exempt.callers)
    return not (access.denies or exempt) and all(
        any(caller.kind == "all" for caller in grant.callers)
        and not any(one.asks_http for one in grant.operations)
        for grant in access.allows
    )


def _is_part(service: Service, other: Service) -> bool:
    """Whether every pod of the other is one of the Service's, at the same ports."""
    ports = {port.number: port.target for port in service.ports}
    return service.selector.items() <= other.selector.items() and all(
        ports.get(port.number) == port.target for port in other.ports
    )


def _adds(unit: AccessUnit, other: Service) -> bool:
    """Whether what is allowed at the unit's pods can be said at the waypoint of the other, which an Allow of
    its own guards: every pod of the other is one of the unit's, the numbers of the ports mean the same, and
    no port is left open."""
    own, access = unit.service, unit.access
    mine = {port.number: targets_of(port, unit) for port in own.ports}
    others = {port.number: targets_of(port, unit) for port in other.ports}
    shared = {*itertools.chain(*mine.values())} & {*itertools.chain(*others.values())}
    leading = [{(n, to) for n, to in ports.items() if shared & {*to}} for ports in (mine, others)]
    closed = access.governed and {*itertools.chain(*mine.values())} <= {*access.governed_ports}
    return (
        closed
        and own.selector.items() <= other.selector.items()
        and leading[0] == leading[1]
        and all(mine[number] == others[number] for number in mine.keys() & others.keys())
    )


def targets_of(port: ServicePort, unit: AccessUnit) -> tuple[int, ...]:
    """The workload ports behind a Service port, as far as they are known."""
    if isinstance(port.target, str):
        return tuple(
            sorted({number for workload in unit.workloads for number in workload.numbers(port.target)})
        )
    return (port.target or port.number,)
