"""An access decision at waypoints: AuthorizationPolicies that name Services by targetRefs.

A waypoint knows the Service that a request is for and not the pod that takes it, so the decision is said in
ports of the Service. A connection reaches it through ztunnels, so addresses of callers are not known there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace as with_fields
from typing import Any, TypeAlias

from msgspec.structs import replace

from gitmesh.model.grants import Access, Caller, Exemption, Grant
from gitmesh.model.manifests import Fragment
from gitmesh.model.policies import Origin
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import AccessUnit
from gitmesh_istio.leading_waypoints import LeadingWaypoints, targets_of
from gitmesh_istio.scope import Notes
from gitmesh_istio.security import Door, Ruleset, access_objects, allowing, denying

_Behind: TypeAlias = Mapping[int, frozenset[int]]
"""Port of a Service -> the ports of pods behind it."""


def at_waypoints(
    unit: AccessUnit,
    access: Access,
    leading: LeadingWaypoints,
    direct: Ruleset | None,
    version: str,
    notes: Notes,
) -> tuple[Fragment, ...]:
    """The whole decision. Where the pods have an Allow there is one here, be it empty."""
    if not leading.denied:
        return ()
    seen, decision = _in_service_ports(unit, access, notes)
    allow, deny = allowing(seen, decision, notes), denying(seen, decision, notes)
    # An ALLOW at the pods alone would leave the way by the waypoint open, which the pods admit.
    if allow is None and direct is not None:
        allow = Ruleset((), direct.given)
    if deny is not None and not leading.alike:
        # One DENY for several Services whose port numbers differ: without ports it refuses at least what it
        # must.
        deny = Ruleset([(_on_every_port(rule), origin) for rule, origin in deny.rules], deny.given)
    if not leading.allowed:
        allow = None
    return (
        *access_objects(None, deny, _door(unit.service, leading.denied), version, notes),
        *access_objects(allow, None, _door(unit.service, leading.allowed), version, notes),
    )


def _door(service: Service, targets: Sequence[Service]) -> Door:
    """At the waypoints of these Services."""
    return Door(service=service, targets=tuple(sorted(target.name for target in targets)))


def _on_every_port(rule: Mapping[str, Any]) -> dict[str, object]:
    """A rule of a Deny without its ports, whose numbers are not the same on other Services."""
    operations = [
        {name: value for name, value in one["operation"].items() if name != "ports"}
        for one in rule.get("to", ())
    ]
    rest = {name: value for name, value in rule.items() if name != "to"}
    return {
        **rest,
        **({"to": [{"operation": one} for one in operations]} if all(operations) and operations else {}),
    }


def _in_service_ports(unit: AccessUnit, access: Access, notes: Notes) -> tuple[AccessUnit, Access]:
    """The same destination as a waypoint sees it: its pods' ports are those of the Service, and callers have
    no addresses there."""
    service = unit.service
    behind = {port.number: frozenset(targets_of(port, unit)) for port in service.ports if port.seen}
    # A port whose target no pod has counts as guarded: nobody knows where it will lead.
    covered = {number for number, found in behind.items() if not found or found & set(access.governed_ports)}
    closed = access.governed and covered.issuperset(behind)
    seen = tuple(replace(port, target=port.number) for port in service.ports)
    return replace(unit, service=replace(service, ports=seen)), replace(
        access,
        allows=tuple(_told_at_waypoint(grant, behind, notes, denies=False) for grant in access.allows),
        denies=tuple(_told_at_waypoint(grant, behind, notes, denies=True) for grant in access.denies),
        targets=tuple(sorted(behind)),
        unresolved_targets=(),
        governed_ports=tuple(sorted(covered)),
        # Nothing is left open that a rule of its own would have to leave so.
        default="Deny" if closed else access.default,
        exempt=access.exempt and _exempt_at_waypoint(access.exempt, behind, notes),
        mixed=(),
        apart=(),
        spoken={number: _spoken(found, access) for number, found in behind.items()},
    )


def _spoken(targets: Iterable[int], access: Access) -> tuple[ServicePort, ...]:
    """The ports of every Service that lead to these of pods."""
    # The decision stands at the waypoints of those Services, too.
    return tuple(dict.fromkeys(port for target in sorted(targets) for port in access.spoken.get(target, ())))


def _exempt_at_waypoint(exempt: Exemption, behind: _Behind, notes: Notes) -> Exemption | None:
    callers = tuple(_without_addresses(exempt.callers, exempt.origin, notes, denies=False))
    if exempt.callers and not callers:
        return None
    numbers = _leading_to(exempt.targets, behind, denies=False) if exempt.targets else set(behind)
    return replace(exempt, targets=tuple(sorted({*exempt.ports, *numbers})), callers=callers)


def _told_at_waypoint(grant: Grant, behind: _Behind, notes: Notes, *, denies: bool) -> Grant:
    operations = tuple(
        with_fields(
            one,
            targets=tuple(sorted({*one.ports, *_leading_to(one.targets, behind, denies=denies)})),
            unresolved_ports=(),
        )
        for one in grant.operations
    )
    callers = tuple(_without_addresses(grant.callers, grant.origin, notes, denies=denies))
    return replace(grant, operations=operations, callers=callers)


def _leading_to(targets: Iterable[int], behind: _Behind, *, denies: bool) -> set[int]:
    """The ports of the Service that lead to some of these ports of pods, or, to be allowed, to no others."""
    wanted = set(targets)
    # Access is decided by the ports of pods, whichever port of the Service leads there.
    return {number for number, found in behind.items() if found & wanted and (denies or found <= wanted)}


def _without_addresses(
    callers: Iterable[Caller], origin: Origin, notes: Notes, *, denies: bool
) -> Iterable[Caller]:
    """The callers as a waypoint can tell them."""
    for caller in callers:
        if not caller.ip_blocks and not caller.not_ip_blocks:
            yield caller
            continue
        # A waypoint does not see the address of the caller. To stay on the closed side, an Allow by address
        # admits nobody, and a Deny by address refuses every address.
        then = "is denied at any address" if denies else "is not admitted"
        notes.add("GM304", f"a waypoint does not see addresses: a caller that is told by one {then}", origin)
        if denies:
            kind = "all" if caller.kind == "address" else caller.kind
            yield replace(caller, kind=kind, ip_blocks=(), not_ip_blocks=())
