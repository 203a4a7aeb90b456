"""What others wrote around a destination: of a host's VirtualServices, and of its DestinationRules, a client
follows one, by where it is and what is shown to it. For pods in ambient that client is their waypoint, which
reads HTTPRoutes and GRPCRoutes, too; what it does with them beside a VirtualService for one host is undefined
(istio.io, 'Migrate policies').
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from gitmesh_gatewayapi import GRPC_ROUTE, HTTP_ROUTE
from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.objects import ObjectKey
from gitmesh.model.services import Service
from gitmesh.model.strangers import ALONE, EVERYBODY, Around, Contender, Displaced, Override, Stranger
from gitmesh.model.units import AccessUnit, DestinationUnit, RoutingUnit
from gitmesh_istio.ambient import decided_at, shut_out
from gitmesh_istio.kinds import DESTINATION_RULE, VIRTUAL_SERVICE
from gitmesh_istio.lookup import Lookup
from gitmesh_istio.meshwide import root_of
from gitmesh_istio.names import cluster_domain, host, subset_name
from gitmesh_istio.waypoint_routes import route_names
from gitmesh_istio.waypoints import binding, is_ambient, places

_GATEWAY_ROUTES = (HTTP_ROUTE.kind, GRPC_ROUTE.kind)
_ROUTING = (VIRTUAL_SERVICE.kind, *_GATEWAY_ROUTES)
_Place = tuple[str, str]
"""(namespace, name) of a Service."""


def surroundings(facts: ClusterFacts, meshes: Sequence[Mesh]) -> Callable[[DestinationUnit], Around]:
    """What stands around the routing of each destination of a cluster, and for its access the ways by which
    requests come to it."""
    theirs = [one for one in facts.strangers if one.kind in (DESTINATION_RULE.kind, *_ROUTING)]
    found = _Surroundings(theirs, facts, meshes) if theirs else None

    def around(unit: DestinationUnit) -> Around:
        if isinstance(unit, AccessUnit):
            return _ways(unit, meshes) if facts.is_ambient else ALONE
        made = found.of(unit) if found and isinstance(unit, RoutingUnit) else ALONE
        if not facts.is_ambient:
            return made
        seen_as = _seen_as(unit, meshes)
        return replace(made, direct=seen_as is None, common=is_ambient(unit), seen_as=seen_as)

    return around


def _seen_as(unit: DestinationUnit, meshes: Sequence[Mesh]) -> tuple[str, str] | None:
    """The identity of the waypoint that requests for the destination go through."""
    bound = binding(unit.service, meshes)
    return None if bound is None or bound.trouble else (bound.namespace, bound.name)


def _ways(unit: AccessUnit, meshes: Sequence[Mesh]) -> Around:
    ways = decided_at(unit, meshes) if is_ambient(unit) else ()
    return Around(ways=_keys(ways), shut=_keys(shut_out(unit, meshes)), seen_as=_seen_as(unit, meshes))


def _keys(services: Iterable[Service]) -> tuple[_Place, ...]:
    return tuple(sorted(service.key for service in services))


def _wanted(unit: RoutingUnit) -> Mapping[_Place, set[str]]:
    """The Services whose DestinationRules matter to the unit, each with the names of the subsets that do."""
    found: dict[_Place, set[str]] = {}
    if unit.settings or unit.subsets:
        found[unit.service.key] = {subset_name(subset.labels) for subset in unit.subsets}
    for route in unit.routes:
        for target in (*route.targets, *route.mirrors):
            if target.subset:
                found.setdefault(target.service.key, set()).add(subset_name(target.subset))
    return found


class _Surroundings:
    """What others wrote in one cluster to route requests and to make connections, indexed once."""

    def __init__(self, theirs: Iterable[Stranger], facts: ClusterFacts, meshes: Sequence[Mesh]) -> None:
        names = {mesh.name for mesh in meshes}
        members = [one for one in facts.workloads if one.mesh in names and one.dataplane == "sidecar"]
        self._meshes, self._facts = meshes, facts
        self._callers = frozenset((one.mesh, one.namespace) for one in members if not one.router)
        self._domain = cluster_domain(meshes)
        self._roots = tuple(sorted({root_of(mesh) for mesh in meshes}))
        self._services: dict[str, list[Stranger]] = defaultdict(list)
        rules: list[Stranger] = []
        for one in theirs:
            if one.kind == DESTINATION_RULE.kind:
                rules.append(one)
            else:
                for name in one.hosts:
                    self._services[name].append(one)
        everywhere = {one.namespace for one in members} | {namespace for namespace, _ in places(meshes)}
        self._rules = Lookup(rules, facts, self._roots, everywhere)

    def of(self, unit: RoutingUnit) -> Around:
        """What stands around one destination, and around those whose subsets its routes lead to."""
        place, wanted = unit.service.key, _wanted(unit)
        routed = list(self._routes(unit)) if unit.routes else []
        own = bool(unit.settings or unit.subsets)
        settings = [one for each, names in sorted(wanted.items()) for one in self._settings(each, names)]
        overrides = [one for one in (*routed, *settings) if isinstance(one, Override)]
        contenders = [one for one in routed if isinstance(one, Contender)]
        contenders += self._same(place) if own else []
        return Around(
            overrides=tuple(sorted(overrides)),
            contenders=tuple(sorted(contenders)),
            displaced=tuple(self._displaced(place)) if own else (),
        )

    def _name(self, place: _Place) -> str:
        return host(*place, self._domain)

    def _reading(self, one: Stranger) -> frozenset[str]:
        """The namespaces with clients whose mesh reads an object."""
        return frozenset(namespace for mesh, namespace in self._callers if one.is_read_by(mesh))

    def _way(self, unit: DestinationUnit) -> str | None:
        """The namespace of the waypoint that requests for the destination go through."""
        bound = binding(unit.service, self._meshes) if is_ambient(unit) else None
        return None if bound is None or bound.trouble else bound.namespace

    def _ours(self, unit: DestinationUnit) -> set[ObjectKey]:
        """Where our routes are; who is there already is told with every other object of ours."""
        namespace, name = unit.service.key
        kind, names = VIRTUAL_SERVICE, [name]
        if is_ambient(unit):
            kind, names = HTTP_ROUTE, list(route_names(unit.service.key, self._facts))
        return {ObjectKey(kind.group, kind.kind, namespace, one) for one in names}

    def _routes(self, unit: RoutingUnit) -> Iterator[Override | Contender]:
        """An exact host goes before every wildcard, so only exact ones count (istiod since 1.19). Clients
        take what is private to their namespace first; of what others show them the oldest, so ours would be
        the later. What a waypoint reads beside ours is in the way, be it private to its namespace. One of
        each is enough to tell.
        """
        place, name, private = unit.service.key, self._name(unit.service.key), dict[str, Override]()
        contender: Contender | None = None
        theirs = self._services.get(name, ())
        way, ours = (self._way(unit), self._ours(unit)) if theirs else (None, set[ObjectKey]())
        for one in theirs:
            if one.key in ours:
                continue
            shown = _shown(one, place)
            # Clients of its own namespace take it before ours whatever ours says; whether ours may be
            # written at all hangs on whom else it is shown to.
            elsewhere, callers = shown - {one.namespace}, self._reading(one)
            if EVERYBODY in elsewhere or way in shown or not callers.isdisjoint(elsewhere):
                contender = contender or Contender(of="routes", by=one.key, host=name)
            elif one.namespace in shown and one.namespace in callers:
                taken = Override(of="routes", service=place, namespace=one.namespace, by=one.key)
                private.setdefault(one.namespace, taken)
        yield from private.values()
        if contender:
            yield contender

    def _settings(self, place: _Place, names: Iterable[str]) -> Iterator[Override]:
        for namespace, taken in self._rules.local(self._name(place)).items():
            # In the Service's own namespace rules for one host are merged instead (`_same`).
            if namespace != place[0]:
                there = tuple(taken.subsets[name] for name in sorted(names) if name in taken.subsets)
                yield Override(of="settings", service=place, namespace=namespace, by=taken.by, subsets=there)

    def _same(self, place: _Place) -> list[Contender]:
        """An object for the host in the Service's namespace."""
        name = self._name(place)
        others = (key for key in self._rules.exactly(name, place[0]) if key[2:] != place)
        # Such rules are merged with ours, and the oldest one's settings win.
        return [Contender(of="settings", by=key, host=name) for key in others][:1]

    def _displaced(self, place: _Place) -> Iterator[Displaced]:
        """What clients would find behind ours, in the order in which they would."""
        name = self._name(place)
        if self._rules.exactly(name, place[0]):
            return  # one for the same: ours is not written beside it
        for namespace in dict.fromkeys((place[0], *self._roots)):
            taken = self._rules.exported(name, namespace)
            if taken:
                names = tuple(sorted(taken.subsets))
                yield Displaced(by=taken.by, sets=taken.sets, tls=taken.tls, subsets=names)
            if taken and taken.everywhere:
                return


def _shown(one: Stranger, place: _Place) -> set[str]:
    """The namespaces whose clients see what somebody wrote for a Service."""
    # A route of the Gateway API for a Service of another namespace is for clients of its own (GEP-1294,
    # consumer routes).
    consumes = one.kind in _GATEWAY_ROUTES and one.namespace != place[0]
    return {one.namespace} if consumes else set(one.shown)
