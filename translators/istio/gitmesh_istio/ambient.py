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

from collections.abc import Iterable, Sequence

from gitmesh.diagnostics import Severity, first_of
from gitmesh.model.facts import Mesh
from gitmesh.model.grants import Access, Caller
from gitmesh.model.manifests import Fragment
from gitmesh.model.services import Service
from gitmesh.model.units import AccessUnit
from gitmesh_istio.leading_waypoints import LeadingWaypoints
from gitmesh_istio.operations import note_silent, unseen
from gitmesh_istio.pod_access import decided_at_pods
from gitmesh_istio.scope import Notes
from gitmesh_istio.security import Door, access_objects
from gitmesh_istio.waypoint_access import at_waypoints
from gitmesh_istio.waypoints import (
    Binding,
    binding,
    gateways_come_by,
    is_ambient,
    is_waypoint,
    lacking,
    shown,
    waypoint_of,
)

_MOST_NAMED = 8
_NAMELESS = frozenset({"all", "address"})
"""Kinds of callers that mean such as have no identity, too."""


def decided_at(unit: AccessUnit, meshes: Sequence[Mesh]) -> tuple[Service, ...]:
    """The Services at whose waypoints the destination's decision stands."""
    leading = _leading(unit, meshes)
    return tuple(one for one in leading.denied if one not in leading.held) if leading else ()


def shut_out(unit: AccessUnit, meshes: Sequence[Mesh]) -> tuple[Service, ...]:
    """The Services whose waypoint the destination's pods do not let in."""
    leading, access = _leading(unit, meshes), unit.access
    if leading is None or not leading.shut or not (access.allows or access.denies or access.exempt):
        return ()
    every = ((one, binding(one, meshes)) for one in (unit.service, *(one for one, _ in unit.sharing)))
    # Whatever Service it sends for: a waypoint shows one identity for all of them.
    return tuple(
        service
        for service, bound in every
        if (bound and not bound.trouble and not set(leading.shut).isdisjoint(bound.principals(meshes)))
        # Who calls it calls its pods by their addresses.
        or (service.headless and leading.by_address)
    )


def _leading(unit: AccessUnit, meshes: Sequence[Mesh]) -> LeadingWaypoints | None:
    """Who comes to the pods by waypoints; None where no object selects them."""
    if not unit.service.selector or is_waypoint(unit.service, meshes):
        return None
    bound = binding(unit.service, meshes)
    return LeadingWaypoints(unit, None if bound is None or bound.trouble else bound, meshes)


def access_policies(unit: AccessUnit, access: Access, version: str, notes: Notes) -> tuple[Fragment, ...]:
    """The access objects of a destination. Errors are noted; what can be closed is closed in spite
    of them.
    """
    # Nobody calls a waypoint itself: it takes the requests for other Services, and obeys no object that
    # selects its own pods.
    if is_waypoint(unit.service, notes.scope.meshes):
        for origin in {grant.origin for grant in (*access.allows, *access.denies)}:
            notes.add("GM215", f"{shown(unit.service)} is a waypoint: requests go through it", origin)
        return ()
    # Without a selector an object would be for every pod of the namespace (authorization_policy.proto,
    # `selector`).
    if not unit.service.selector:
        return ()
    bound = waypoint_of(unit, notes)
    if is_ambient(unit) and bound is None:
        _note_unseen(unit, access, notes)
    elif is_ambient(unit) and bound is not None:
        _note_past(unit, access, bound, notes)
    leading = LeadingWaypoints(unit, bound, notes.scope.meshes)
    decided = decided_at_pods(unit, access, leading, notes)
    return (
        *at_waypoints(unit, access, leading, decided.allow, version, notes),
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
                # A gateway that was told to use the waypoint comes by it like everybody without a proxy.
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
