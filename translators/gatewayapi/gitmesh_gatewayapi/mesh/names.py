"""The objects that a destination may own, and the versions in which they are written."""

from __future__ import annotations

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.services import Service
from gitmesh_gatewayapi.kinds import ROUTES
from gitmesh_gatewayapi.routes import MAX_ROUTES, route_name

Place = tuple[str, str]


def key_of(kind: ApiKind, place: Place) -> ObjectKey:
    """Of the object of a kind at (namespace, name)."""
    return ObjectKey(kind.group, kind.kind, *place)


def routes_of(place: Place, service: Service | None) -> frozenset[ObjectKey]:
    """The routes of a Service, as far as its ports are known."""
    ports = service.ports if service else ()
    names = [route_name(place[1], port.number, part) for port in ports for part in range(MAX_ROUTES)]
    return frozenset(key_of(kind, (place[0], name)) for kind in ROUTES for name in names)


def served_version(kind: ApiKind, facts: ClusterFacts) -> str:
    """The first version that the cluster serves, "" if it serves none; where nothing is known of its kinds,
    the preferred one."""
    served = facts.kind_index.get((kind.group, kind.kind))
    # A kind that is missing in a list of kinds is not served; where there is no list nothing says so.
    known = served.versions if served else () if facts.kinds else kind.versions
    return next((one for one in kind.versions if one in known), "")
