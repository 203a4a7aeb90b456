"""Access to pods, in sidecars' meshes and in ambient.

Ztunnels see connections, no requests. Of an object that selects pods and has HTTP fields they drop the rule
from an ALLOW and the fields from a DENY (istio.io, 'Layer 4 authorization'), so at pods in ambient we say
what is true of connections alone. Requests are told apart at a waypoint, by objects that name the Service. It
comes to the pods, whatever proxy they have, with an identity of its own. So for a Service that is bound to
one:

1. at the waypoint stands all of the decision, in ports of the Service, which it sees instead of the pods';
2. at the pods the waypoint is admitted, and who comes another way as far as no request need be looked into;
3. at the pods no Deny means the waypoint, which denies for itself;
4. other Services whose waypoints send on to the same pods are guarded there too, or these are denied.

What needs a waypoint and has none closes: an Allow loses that alternative, a Deny loses that restriction.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace as with_fields
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Severity, first_of
from gitmesh.model.facts import Mesh, Service, ServicePort
from gitmesh.model.manifests import Fragment
from gitmesh.model.policies import Origin
from gitmesh.model.units import Access, AccessUnit, Caller, DestinationUnit, Exemption, Grant
from gitmesh_istio.names import sorted_unique
from gitmesh_istio.operations import note_silent, open_ports, unseen
from gitmesh_istio.scope import Notes
from gitmesh_istio.security import Door, Rule, Ruleset, access_objects, allowing, denying
from gitmesh_istio.waypoints import Binding, binding, gateways_come_by, is_waypoint

MAX_TARGETS = 16
"""targetRefs of one object (CRD)."""
_MOST_NAMED = 8
_NAMELESS = frozenset({"all", "address"})
"""Kinds of callers that mean such as have no identity, too."""
_Behind: TypeAlias = Mapping[int, frozenset[int]]
"""Port of a Service -> the ports of pods behind it."""


def is_ambient(unit: DestinationUnit) -> bool:
    """Whether some of its pods have no proxy of their own."""
    return any(workload.mesh and workload.dataplane == "ambient" for workload in unit.workloads)


def waypoint_of(unit: DestinationUnit, notes: Notes) -> Binding | None:
    """The waypoint that requests for the destination go through; None where there is none."""
    bound = binding(unit.service, notes.scope.meshes)
    return None if bound is None or bound.trouble else bound


def decided_at(unit: AccessUnit, meshes: Sequence[Mesh]) -> tuple[Service, ...]:
    """The Services at whose waypoints the destination's decision stands."""
    beside = _beside(unit, meshes)
    return tuple(service for service in beside.denied if service not in beside.held) if beside else ()


def shut_out(unit: AccessUnit, meshes: Sequence[Mesh]) -> tuple[Service, ...]:
    """The Services whose waypoint the destination's pods do not let in, whatever Service it sends for: it
    shows one identity."""
    beside, access = _beside(unit, meshes), unit.access
    if beside is None or not beside.shut or not (access.allows or access.denies or access.exempt):
        return ()
    every = ((one, binding(one, meshes)) for one in (unit.service, *(one for one, _ in unit.sharing)))
    return tuple(
        service
        for service, bound in every
        if bound and not bound.trouble and not set(beside.shut).isdisjoint(bound.principals(meshes))
    )


def _beside(unit: AccessUnit, meshes: Sequence[Mesh]) -> _Beside | None:
    """Who comes to the pods by waypoints; None where no object selects them."""
    if not unit.service.selector or is_waypoint(unit.service, meshes):
        return None
    bound = binding(unit.service, meshes)
    return _Beside(unit, None if bound is None or bound.trouble else bound, meshes)


def lacking(unit: DestinationUnit, notes: Notes) -> str:
    """Why no request for the destination goes through a waypoint, for a finding."""
    bound = binding(unit.service, notes.scope.meshes)
    return (
        f"{_shown(unit.service)} is bound to no waypoint" if bound is None else f"its {bound} {bound.trouble}"
    )


def _shown(service: Service) -> str:
    return f"Service {service.namespace}/{service.name}"


def access_policies(unit: AccessUnit, access: Access, version: str, notes: Notes) -> tuple[Fragment, ...]:
    """The access objects of a destination. Errors are noted; what can be closed is closed in spite of them.

    A Service without selector has none: its object would select every pod of the namespace. Nor has that of a
    waypoint, where nobody's requests are for itself: it takes those that are for others, and obeys no object
    that selects its pods.
    """
    if is_waypoint(unit.service, notes.scope.meshes):
        for origin in {grant.origin for grant in (*access.allows, *access.denies)}:
            notes.add("GM215", f"{_shown(unit.service)} is a waypoint: requests go through it", origin)
        return ()
    if not unit.service.selector:
        return ()
    bound = waypoint_of(unit, notes)
    if is_ambient(unit) and bound is None:
        _note_unseen(unit, access, notes)
    elif is_ambient(unit) and bound is not None:
        _note_past(unit, access, bound, notes)
    beside = _Beside(unit, bound, notes.scope.meshes)
    decided = _decided_at_pods(unit, access, beside, notes)
    return (
        *_at_waypoints(unit, access, beside, decided.allow, version, notes),
        *access_objects(decided.allow, decided.deny, Door(service=unit.service), version, notes),
    )


def _note_unseen(unit: AccessUnit, access: Access, notes: Notes) -> None:
    found = [(one, grant.origin, "is not admitted") for grant in access.allows for one in grant.operations]
    for grant in access.denies:
        for one in grant.operations:
            if unseen(one, access) is None:
                note_silent(one.targets or access.targets, one.origin or grant.origin, notes)
            else:
                found.append((one, grant.origin, "is denied with every request"))
    for operation, origin, then in found:
        if operation.asks_http:
            text = (
                f"what tells requests apart {then}: ztunnels see none, and {lacking(unit, notes)}; the"
                " rest of the port is decided by who calls"
            )
            notes.add("GM317", text, operation.origin or origin)


def _of_connections(access: Access) -> Access:
    """The part of the decision that is true of connections: at most what is allowed, at least what is
    denied. An Allow of which nothing is left still closes."""
    return replace(
        access,
        allows=tuple(map(_without_requests, access.allows)),
        denies=tuple(found for grant in access.denies if (found := _unseen(grant, access)) is not None),
    )


def _without_requests(grant: Grant) -> Grant:
    left = tuple(one for one in grant.operations if not one.asks_http)
    return replace(grant, operations=left, callers=grant.callers if left or not grant.operations else ())


def _unseen(grant: Grant, access: Access) -> Grant | None:
    """A Deny of connections; None where it means none."""
    found = (unseen(one, access) for one in grant.operations)
    left = tuple(one for one in found if one is not None)
    return replace(grant, operations=left) if left or not grant.operations else None


class _Beside:
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
        self.held = [service for service in loose if not _is_part(own, service)]
        self.alike = all(_is_part(own, service) for service in self.denied)
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
    mine = {port.number: _targets_of(port, unit) for port in own.ports}
    others = {port.number: _targets_of(port, unit) for port in other.ports}
    shared = {*itertools.chain(*mine.values())} & {*itertools.chain(*others.values())}
    leading = [{(n, to) for n, to in ports.items() if shared & {*to}} for ports in (mine, others)]
    closed = access.governed and {*itertools.chain(*mine.values())} <= {*access.governed_ports}
    return (
        closed
        and own.selector.items() <= other.selector.items()
        and leading[0] == leading[1]
        and all(mine[number] == others[number] for number in mine.keys() & others.keys())
    )


def _at_waypoints(
    unit: AccessUnit,
    access: Access,
    beside: _Beside,
    direct: Ruleset | None,
    version: str,
    notes: Notes,
) -> tuple[Fragment, ...]:
    """The whole decision. Where the pods have an Allow there is one here, be it empty."""
    if not beside.denied:
        return ()
    seen, decision = _in_service_ports(unit, access, notes)
    allow, deny = allowing(seen, decision, notes), denying(seen, decision, notes)
    if allow is None and direct is not None:
        allow = Ruleset((), direct.given)
    if deny is not None and not beside.alike:
        deny = Ruleset([(_on_every_port(rule), origin) for rule, origin in deny.rules], deny.given)
    if not beside.allowed:
        allow = None
    return (
        *access_objects(None, deny, _door(unit.service, beside.denied), version, notes),
        *access_objects(allow, None, _door(unit.service, beside.allowed), version, notes),
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
    behind = {port.number: frozenset(_targets_of(port, unit)) for port in service.ports if port.seen}
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


def _targets_of(port: ServicePort, unit: AccessUnit) -> tuple[int, ...]:
    """The workload ports behind a Service port, as far as they are known."""
    if isinstance(port.target, str):
        return tuple(
            sorted({number for workload in unit.workloads for number in workload.numbers(port.target)})
        )
    return (port.target or port.number,)


def _spoken(targets: Iterable[int], access: Access) -> tuple[ServicePort, ...]:
    """The ports of every Service that lead to these of pods: the decision stands at their waypoints, too."""
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
    """The ports of the Service that lead to some of these ports of pods, or, to be allowed, to no others:
    access is decided by pods' ports, whichever of the Service leads there."""
    wanted = set(targets)
    return {number for number, found in behind.items() if found & wanted and (denies or found <= wanted)}


def _without_addresses(
    callers: Iterable[Caller], origin: Origin, notes: Notes, *, denies: bool
) -> Iterable[Caller]:
    """A waypoint does not see the address of who called: who is allowed by it is not, who is denied by it is
    denied at any."""
    for caller in callers:
        if not caller.ip_blocks and not caller.not_ip_blocks:
            yield caller
            continue
        then = "is denied at any address" if denies else "is not admitted"
        notes.add("GM304", f"a waypoint does not see addresses: a caller that is told by one {then}", origin)
        if denies:
            kind = "all" if caller.kind == "address" else caller.kind
            yield replace(caller, kind=kind, ip_blocks=(), not_ip_blocks=())


class _AtPods(Struct, frozen=True):
    """What is decided at the pods."""

    allow: Ruleset | None
    deny: Ruleset | None


def _decided_at_pods(unit: AccessUnit, access: Access, beside: _Beside, notes: Notes) -> _AtPods:
    direct = _of_connections(access) if is_ambient(unit) else access
    allow, deny = allowing(unit, direct, notes), denying(unit, direct, notes)
    origins = [grant.origin for grant in (*access.allows, *access.denies)]
    origins += [access.exempt.origin] if access.exempt else []
    if not origins:  # what said something is withheld: nobody is admitted, and no waypoint has to be let in
        return _AtPods(allow, deny)
    origin = min(origins)
    ports = [str(port) for port in sorted(open_ports(access.targets, access, origin, notes))]
    to = {"to": [{"operation": {"ports": ports}}]} if ports else {}
    if deny is not None and beside.principals:
        deny = Ruleset([(_but(rule, beside.principals), its) for rule, its in deny.rules], deny.given)
    if beside.shut:
        _note_held(unit, beside.held, origin, notes)
        shut: Rule = ({"from": [{"source": {"principals": beside.shut}}], **to}, origin)
        deny = Ruleset([*(deny.rules if deny else ()), shut], deny.given if deny else [origin])
    if allow is not None and ports and beside.principals:
        through = {"from": [{"source": {"principals": beside.principals}}], **to}
        allow = replace(allow, rules=[*allow.rules, *((through, one) for one in allow.given)])
    return _AtPods(allow, deny)


def _but(rule: Mapping[str, Any], principals: Sequence[str]) -> dict[str, object]:
    """A rule of a Deny without the waypoint; who has no identity is not it."""
    sources = [item["source"] for item in rule.get("from", ())] or [{}]
    without = [
        source
        if "*" in (left := source.get("notPrincipals", ()))
        else {**source, **_left_out(left, principals)}
        for source in sources
    ]
    return {**rule, "from": [{"source": source} for source in without]}


def _left_out(already: Sequence[str], principals: Sequence[str]) -> dict[str, list[str]]:
    return {"notPrincipals": sorted_unique([*already, *principals])}


def _note_held(unit: AccessUnit, held: Sequence[Service], origin: Origin, notes: Notes) -> None:
    names = ", ".join(f"{one.namespace}/{one.name}" for one in held[:_MOST_NAMED])
    text = (
        f"the waypoint sends requests for Service {names} on to pods of"
        f" {unit.service.namespace}/{unit.service.name}, past this decision, so they do not let it in"
    )
    notes.add("GM318", text, origin, Severity.ERROR, f"Let the policy select {names} too, or unbind it.")


def _note_past(unit: AccessUnit, access: Access, bound: Binding, notes: Notes) -> None:
    """Callers that come to the pods without a waypoint, where only that could tell what they may."""
    by_waypoint = gateways_come_by(unit.service, notes.scope.meshes)
    for grant in access.allows:
        if not any(one.asks_http for one in grant.operations):
            continue
        past = sorted(
            {
                f"{namespace}/{account}"
                for namespace, account, is_gateway in notes.scope.facts.proxied
                if not (is_gateway and by_waypoint) and _means(grant.callers, namespace, account)
            }
        )
        if past:
            text = (
                f"{first_of(past, _MOST_NAMED)} may call, but with a proxy of their own they come"
                f" past {bound}, so the requests that this grants are refused"
            )
            notes.add("GM318", text, grant.origin)
        if any(caller.kind in _NAMELESS for caller in grant.callers):
            text = (
                f"who is in no mesh comes past {bound}, which alone tells requests apart, so what this grants"
                " to them is refused"
            )
            notes.add("GM318", text, grant.origin, Severity.WARNING)
    for grant in access.denies:
        if any(one.asks_http and unseen(one, access) is not None for one in grant.operations):
            text = (
                f"who comes past {bound}, which alone tells requests apart, is denied with every request:"
                " callers in no mesh, and those with a proxy of their own that this means"
            )
            notes.add("GM318", text, grant.origin, Severity.WARNING)


def _means(callers: Iterable[Caller], namespace: str, account: str) -> bool:
    return any(
        caller.kind != "principals"
        or any(
            one.namespace in ("", namespace) and one.service_account in ("", account)
            for one in caller.principals
        )
        for caller in callers
    )
