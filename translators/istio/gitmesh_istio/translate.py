"""One unit -> its Istio objects. Errors hold routing; access is closed in spite of them."""

from __future__ import annotations

from collections.abc import Sequence

from gitmesh_gatewayapi import HTTP_ROUTE
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Fragment, Translation
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.policies import Origin
from gitmesh.model.units import AccessUnit, MeshUnit, RoutingUnit, Unit
from gitmesh_istio import meshwide
from gitmesh_istio.ambient import access_policies
from gitmesh_istio.destination import destination_rule
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, DESTINATION_RULE, PEER_AUTHENTICATION, VIRTUAL_SERVICE
from gitmesh_istio.precedence import contested, note_overrides
from gitmesh_istio.routing import virtual_service
from gitmesh_istio.scope import Notes, Scope, note_ignored, note_unserved, served_version
from gitmesh_istio.waypoint_routes import note_made_cookies, note_no_waypoint, note_unrouted, waypoint_routes
from gitmesh_istio.waypoints import is_ambient, waypoint_of


def translate(unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
    """The objects of one unit, for the cluster's Istio meshes; `held` where they cannot be said."""
    scope = Scope(facts=facts, meshes=tuple(meshes))
    match unit:
        case MeshUnit():
            # Mesh-wide settings of one mesh; the cluster may have others that are another translator's.
            return _of_mesh(unit, scope) if unit.mesh in meshes else Translation()
        case RoutingUnit():
            return _routing(unit, scope)
        case AccessUnit():
            return _access(unit, scope)


def _served(fragments: Sequence[Fragment], notes: Notes, *, held: bool) -> Translation:
    """The fragments, unless they are held already or the cluster's schemas lack something of them."""
    before = len(notes.diagnostics)
    for made in fragments:
        # All of them looked at before any is given away: half of a unit's objects may be worse than none.
        note_unserved(made, notes)
    held = held or len(notes.diagnostics) > before
    return Translation(
        fragments=() if held else tuple(fragments),
        diagnostics=tuple(notes.diagnostics),
        held=held,
    )


def _key(resource: ApiKind, place: tuple[str, str]) -> ObjectKey:
    return ObjectKey(group=resource.group, kind=resource.kind, namespace=place[0], name=place[1])


def _version(resource: ApiKind, origin: Origin, notes: Notes) -> str:
    """The API version to write; where the cluster serves none, noted."""
    version = served_version(resource, notes.scope.facts)
    if not version:
        wanted = " or ".join(resource.versions)
        notes.add(
            "GM504",
            f"cluster {notes.scope.facts.cluster} does not serve {resource.kind}.{resource.group} in"
            f" {wanted}",
            origin,
        )
    return version


def _of_mesh(unit: MeshUnit, scope: Scope) -> Translation:
    notes = Notes(scope)
    made: list[Fragment] = []
    if unit.mtls is not None:
        version = _version(PEER_AUTHENTICATION, unit.mtls.origin, notes)
        made.append(meshwide.mtls(unit, unit.mtls, version, notes))
    default = unit.access_default
    # Notes of their own: errors about gateways are told, and must not make `notes` fail.
    doors = Notes(scope)
    stays: dict[ObjectKey, Diagnostic] = {}
    if default is not None and default.value == "Deny":
        version = _version(AUTHORIZATION_POLICY, default.origin, notes)
        denying = meshwide.default_deny(unit, default.origin, version, notes, doors)
        made += denying.fragments
        stays = {_key(AUTHORIZATION_POLICY, place): said for place, said in denying.stays.items()}
    for one in made:
        note_ignored(one, (unit.mesh,), notes, Severity.ERROR)
    translation = _served(made, notes, held=notes.failed)
    # What is not a gateway for sure holds nothing: whoever may start a pod could hold the whole mesh by it.
    return replace(translation, diagnostics=(*translation.diagnostics, *doors.diagnostics), stays=stays)


def _routing(unit: RoutingUnit, scope: Scope) -> Translation:
    notes = Notes(scope)
    made = _traffic(unit, notes)
    held = notes.failed
    _note_ignored(made, notes)
    return _served(made, notes, held=held)


def _access(unit: AccessUnit, scope: Scope) -> Translation:
    """What cannot be said is closed in spite of the error; only a kind that the cluster does not serve holds
    it.
    """
    notes, access = Notes(scope), unit.access
    origins = [grant.origin for grant in (*access.allows, *access.denies)]
    origins += [access.exempt.origin] if access.exempt else []
    if not (origins or access.governed):
        return Translation()
    version = (
        _version(AUTHORIZATION_POLICY, min(origins), notes)
        if origins
        else served_version(AUTHORIZATION_POLICY, scope.facts)
    )
    made = access_policies(unit, access, version, notes)
    _note_ignored(made, notes)
    return _served(made, notes, held=not version)


def _note_ignored(made: Sequence[Fragment], notes: Notes) -> None:
    for one in made:
        note_ignored(one, notes.scope.meshes, notes, Severity.WARNING)


def _traffic(unit: RoutingUnit, notes: Notes) -> tuple[Fragment, ...]:
    if (unit.routes or unit.settings) and waypoint_of(unit, notes) is None:
        if is_ambient(unit):
            note_no_waypoint(unit, notes)
            return ()
        if notes.scope.facts.ambient_namespaces:
            note_unrouted(unit, notes)
    if is_ambient(unit):
        note_made_cookies(unit, notes)
    made: list[Fragment] = []
    if unit.settings or unit.subsets:
        decided = [field.origin for settings in unit.settings.values() for field in settings.values()]
        origins = sorted([*decided, *(origin for subset in unit.subsets for origin in subset.origins)])
        version = (
            _version(DESTINATION_RULE, origins[0], notes)
            if origins
            else served_version(DESTINATION_RULE, notes.scope.facts)
        )
        rule = destination_rule(unit, version, notes)
        made += [contested(rule, unit)] if rule is not None else []
    made += (contested(route, unit) for route in _routes(unit, notes))
    note_overrides(unit, notes)
    return tuple(made)


def _routes(unit: RoutingUnit, notes: Notes) -> tuple[Fragment, ...]:
    """What routes requests: for pods in ambient what their waypoint reads."""
    if not unit.routes:
        return ()
    origin = unit.routes[0].origins[0]
    if is_ambient(unit):
        return waypoint_routes(unit, _version(HTTP_ROUTE, origin, notes), notes)
    return (virtual_service(unit, _version(VIRTUAL_SERVICE, origin, notes), notes),)
