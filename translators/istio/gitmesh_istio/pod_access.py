"""An access decision at the pods, where connections arrive: at most what is allowed, at least what is denied,
and the waypoints that requests come through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Severity
from gitmesh.model.grants import Access, Grant
from gitmesh.model.policies import Origin
from gitmesh.model.services import Service
from gitmesh.model.units import AccessUnit
from gitmesh_istio.leading_waypoints import LeadingWaypoints
from gitmesh_istio.names import sorted_unique
from gitmesh_istio.operations import open_ports, unseen
from gitmesh_istio.scope import Notes
from gitmesh_istio.security import Rule, Ruleset, allowing, denying
from gitmesh_istio.waypoints import is_ambient, shown, waypoint_of

_MOST_NAMED = 8


def _of_connections(access: Access) -> Access:
    """The part of the decision that is true of connections."""
    return replace(
        access,
        # At most what is allowed, at least what is denied. An Allow of which nothing is left still closes.
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


class AtPods(Struct, frozen=True):
    """What is decided at the pods."""

    allow: Ruleset | None
    deny: Ruleset | None


def decided_at_pods(unit: AccessUnit, access: Access, leading: LeadingWaypoints, notes: Notes) -> AtPods:
    """The decision as proxies of pods enforce it; what ztunnels cannot see is closed."""
    direct = _of_connections(access) if is_ambient(unit) else access
    allow, deny = allowing(unit, direct, notes), denying(unit, direct, notes)
    origins = [grant.origin for grant in (*access.allows, *access.denies)]
    origins += [access.exempt.origin] if access.exempt else []
    if not origins:  # what said something is withheld: nobody is admitted, and no waypoint has to be let in
        return AtPods(allow, deny)
    origin = min(origins)
    ports = [str(port) for port in sorted(open_ports(access.targets, access, origin, notes))]
    to = {"to": [{"operation": {"ports": ports}}]} if ports else {}
    # A Deny at the pods that meant the waypoint would refuse everybody whom the waypoint has let through.
    if deny is not None and leading.principals:
        deny = Ruleset([(_but(rule, leading.principals), its) for rule, its in deny.rules], deny.given)
    if leading.shut:
        _note_shut(unit, leading, origin, notes)
        shut: Rule = ({"from": [{"source": {"principals": leading.shut}}], **to}, origin)
        deny = Ruleset([*(deny.rules if deny else ()), shut], deny.given if deny else [origin])
    # The waypoint has decided who called it; the pods see its identity alone. Without a known port the rule
    # would admit it on every port, so there is none.
    if allow is not None and ports and leading.principals:
        through = {"from": [{"source": {"principals": leading.principals}}], **to}
        allow = replace(allow, rules=[*allow.rules, *((through, one) for one in allow.given)])
    return AtPods(allow, deny)


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


def _note_shut(unit: AccessUnit, leading: LeadingWaypoints, origin: Origin, notes: Notes) -> None:
    if leading.held:
        _note_held(unit, leading.held, origin, notes)
    own = waypoint_of(unit, notes)
    for one in leading.by_address:
        text = (
            f"the {one} also takes what is for the addresses of pods, about which no policy for a Service"
            f" decides, so the pods of {shown(unit.service)} do not let it in"
        )
        # Who calls the Service by another way, or by none, is not concerned.
        severity = Severity.ERROR if one == own or unit.service.headless else Severity.WARNING
        hint = "Label the Gateway istio.io/waypoint-for: service, or the pods istio.io/use-waypoint: none."
        notes.add("GM318", text, origin, severity, hint)


def _note_held(unit: AccessUnit, held: Sequence[Service], origin: Origin, notes: Notes) -> None:
    names = ", ".join(f"{one.namespace}/{one.name}" for one in held[:_MOST_NAMED])
    text = (
        f"the waypoint sends requests for Service {names} on to pods of"
        f" {unit.service.namespace}/{unit.service.name}, past this decision, so they do not let it in"
    )
    notes.add("GM318", text, origin, Severity.ERROR, f"Let the policy select {names} too, or unbind it.")
