"""Waypoints that lead to the pods of a destination. A pod's waypoint is a matter of each Service that selects
it, so other Services' waypoints send on to the same pods: the decision must stand there too, or the pods must
not let them in.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gitmesh.model.facts import Mesh
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import AccessUnit
from gitmesh_istio.names import sorted_unique
from gitmesh_istio.waypoints import Binding, binding

MAX_TARGETS = 16
"""targetRefs of one object (CRD)."""


class LeadingWaypoints:
    """Who comes to the pods by a waypoint: `principals` with requests for the Service itself. `denied` and
    `allowed` are the Services at whose waypoints our Deny and our Allow must stand. `held` are those whose
    requests would come past the decision: no Allow is about them, and none of ours can stand for them; the
    pods deny their waypoints, which are `shut`."""

    def __init__(self, unit: AccessUnit, bound: Binding | None, meshes: Sequence[Mesh]) -> None:
        own = unit.service
        found = [
            (service, governed, other.principals(meshes))
            for service, governed in unit.sharing
            if (other := binding(service, meshes)) is not None and not other.trouble
        ]
        loose = [service for service, governed, _ in found if not governed]
        first = [own] if bound else []
        self.principals = bound.principals(meshes) if bound else []
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
            principal for service, _, names in found if service in self.held for principal in names
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
