"""Routes of others for a Service. A mesh merges what is for one Service, the oldest first where matches are
equally specific, and drops HTTPRoutes beside a GRPCRoute (GEP-1426): ours are not written beside them. Those
in another namespace are for the clients of that one alone (GEP-1294, consumer routes).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.objects import Body, ObjectKey, mapping
from gitmesh.model.services import Service
from gitmesh.model.strangers import ALONE, EVERYBODY, Around, ClientTls, Contender, Override, Stranger
from gitmesh.model.units import DestinationUnit, RoutingUnit
from gitmesh_gatewayapi.kinds import ROUTES
from gitmesh_gatewayapi.mesh.names import routes_of
from gitmesh_gatewayapi.objects import parents_of

_KINDS = frozenset(one.kind for one in ROUTES)


def reduced(
    key: ObjectKey,
    body: Body,
    meshes: Sequence[Mesh],  # noqa: ARG001 - the port gives them
) -> Stranger | None:
    """A route with Services as parents; others do nothing to a mesh."""
    if key.kind not in _KINDS:
        return None
    places = parents_of(mapping(body.get("spec")), key.namespace)
    hosts = sorted({f"{name}.{namespace}.svc" for namespace, name in places})
    return Stranger(**key._asdict(), hosts=tuple(hosts), shown=(EVERYBODY,)) if hosts else None


def surroundings(
    facts: ClusterFacts,
    meshes: Sequence[Mesh],  # noqa: ARG001 - the port gives them
) -> Callable[[DestinationUnit], Around]:
    """The routes of others for each destination."""
    theirs: Mapping[tuple[str, str], list[Stranger]] = defaultdict(list)
    for one in facts.strangers:
        for host in one.hosts if one.kind in _KINDS else ():
            name, namespace, *_ = (*host.split("."), "")
            theirs[namespace, name].append(one)
    return lambda unit: _around(unit, theirs.get(unit.service.key, ()))


def client_tls(
    facts: ClusterFacts,  # noqa: ARG001 - the port gives them
    meshes: Sequence[Mesh],  # noqa: ARG001 - the port gives them
) -> Callable[[Service, RoutingUnit | None], tuple[ClientTls, ...]] | None:
    """Nothing: the Gateway API has no word for how clients in a mesh connect."""
    return None


def _around(unit: DestinationUnit, theirs: Collection[Stranger]) -> Around:
    if not theirs or not isinstance(unit, RoutingUnit) or not unit.routes:
        return ALONE
    place, own = unit.service.key, routes_of(unit.service.key, unit.service)
    others = [one for one in theirs if one.key not in own]
    # Routes in the Service's namespace are for every client (GEP-1294, producer routes), so they would be
    # merged with ours.
    producing = [one for one in others if one.namespace == place[0]]
    host = f"{place[1]}.{place[0]}.svc"
    return Around(
        contenders=tuple(Contender(of="routes", by=one.key, host=host) for one in producing[:1]),
        overrides=tuple(_consuming(place, others)),
    )


def _consuming(place: tuple[str, str], others: Iterable[Stranger]) -> list[Override]:
    """One for each namespace whose clients follow somebody else's."""
    first: dict[str, Override] = {}
    for one in others:
        if one.namespace != place[0]:
            taken = Override(of="routes", service=place, namespace=one.namespace, by=one.key)
            first.setdefault(one.namespace, taken)
    return [first[namespace] for namespace in sorted(first)]
