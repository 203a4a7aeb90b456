"""Routing of a destination in ambient -> HTTPRoutes that its waypoint reads.

A VirtualService is never beside them: what a waypoint does with both for one host is undefined (istio.io,
'Migrate policies'). Sidecars read the same HTTPRoutes, for requests that come past the waypoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gitmesh_gatewayapi import HTTP_ROUTE, MAX_ROUTES, Dialect, http_routes, route_name

from gitmesh.diagnostics import Severity, first_of
from gitmesh.model.conditions import SourceCondition
from gitmesh.model.connections import LoadBalancing
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Fragment
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided, Target
from gitmesh.model.services import Service
from gitmesh.model.units import RoutingUnit
from gitmesh_istio.effects import is_http
from gitmesh_istio.matches import IGNORED_HEADERS
from gitmesh_istio.scope import Notes, Part, fragment
from gitmesh_istio.waypoints import lacking

_MOST_NAMED = 8
RETRIED = frozenset({"connect-failure", "refused-stream", "unavailable", "cancelled"})
"""What Istio retries on wherever a route has `retry` (pilot/pkg/config/kube/gateway/conversion.go)."""


def waypoint_routes(unit: RoutingUnit, version: str, notes: Notes) -> tuple[Fragment, ...]:
    """The HTTPRoutes of a destination that has routes; none where something cannot be said (noted)."""
    # No `asks_leave`: istiod asks routes of Services for no ReferenceGrant (route_collections.go, `!mesh`),
    # and one would open the Service to the routes of gateways, for which it is asked.
    served = notes.scope.facts.kind_index.get((HTTP_ROUTE.group, HTTP_ROUTE.kind))
    dialect = Dialect(
        mesh="Istio",
        served=lambda path: served is None or served.serves(path),
        dropped_headers=IGNORED_HEADERS,
        doubled_percent=True,
        always_retried=RETRIED,
    )
    made = http_routes(unit, (port.number for port in unit.service.ports if is_http(port)), dialect)
    for remark in made.remarks:
        notes.add(remark.code, remark.text, remark.origin, hint=remark.hint)
    _note_sent_past(unit, notes)
    place, policies = unit.service.namespace, _policies(unit)
    return tuple(
        fragment(HTTP_ROUTE, (place, one.name), version, Part(one.spec, one.origins), policies)
        for one in made.routes
    )


def _policies(unit: RoutingUnit) -> set[str]:
    origins = [origin for route in unit.routes for origin in route.origins]
    origins += [decided.origin for route in unit.routes for decided in route.fields.values()]
    return {origin.policy for origin in origins}


def _note_sent_past(unit: RoutingUnit, notes: Notes) -> None:
    """What a waypoint sends on to other pods than the Service's own comes to them with its own identity, and
    past their waypoint."""
    for route in unit.routes:
        for name, targets in (("split", route.targets), ("mirror", route.mirrors)):
            for target in targets if name in route.fields else ():
                if not _is_own(target, unit.service):
                    shown = f"{target.service.namespace}/{target.service.name}"
                    text = (
                        f"the waypoint sends requests on to Service {shown} with an identity of its own, and"
                        " past the waypoint of that Service: access to it is not decided by who called"
                    )
                    notes.add("GM318", text, route.fields[name].origin, Severity.WARNING)


def _is_own(target: Target, service: Service) -> bool:
    """Whether every pod of the target is one of the Service's."""
    other = target.service
    return (
        other.namespace == service.namespace
        and bool(service.selector)
        # Who asks for more labels selects fewer pods.
        and (service.selector.items() <= other.selector.items())
    )


def note_made_cookies(unit: RoutingUnit, notes: Notes) -> None:
    """A cookie that Envoy makes is a hash of the connection (envoyproxy.io, RouteAction.HashPolicy), and from
    ztunnels many clients' requests come by one."""
    for settings in unit.settings.values():
        decided = settings.get("load_balancing")
        hashed = (
            decided.value.consistent_hash if decided and isinstance(decided.value, LoadBalancing) else None
        )
        if decided and hashed and hashed.cookie and hashed.cookie.ttl is not None:
            text = "a waypoint gives the same cookie to all requests that come by one connection of a ztunnel"
            notes.add("GM303", text, decided.origin)


def note_no_waypoint(unit: RoutingUnit, notes: Notes) -> None:
    """One finding for each policy whose routing needs a waypoint."""
    text = f"ztunnels do not route requests, and {lacking(unit, notes)}"
    for origin in _first_of_each(unit).values():
        notes.add("GM317", text, origin)


def note_unrouted(unit: RoutingUnit, notes: Notes) -> None:
    """One finding for each policy whose routing clients in ambient do not follow."""
    # Its pods have proxies, but nobody routes what comes to them from pods that have none.
    for policy, origin in _first_of_each(unit).items():
        places = sorted({place for source in _sources(unit, policy) for place in _meant(source, notes)})
        if places:
            text = (
                f"clients in ambient ({first_of(places, _MOST_NAMED)}) do not follow it: ztunnels do not"
                f" route requests, and {lacking(unit, notes)}"
            )
            notes.add("GM317", text, origin, Severity.WARNING)


def _sources(unit: RoutingUnit, policy: str) -> Iterator[SourceCondition]:
    """Whose requests the policy decides something for."""
    for route in unit.routes:
        if any(one.policy == policy for one in route.origins):
            yield route.match.source
    for settings in unit.settings.values():
        for decided in settings.values():
            one: Decided | None = decided
            while one is not None:
                if one.origin.policy == policy:
                    yield one.source
                one = one.fallback


def _meant(source: SourceCondition, notes: Notes) -> Iterable[str]:
    there = notes.scope.facts.ambient_namespaces
    return (place for place in there if not source.namespaces or place in source.namespaces)


def _first_of_each(unit: RoutingUnit) -> Mapping[str, Origin]:
    """Policy -> its least origin."""
    decided = [d for route in unit.routes for d in route.fields.values()]
    decided += [d for settings in unit.settings.values() for d in settings.values()]
    origins = [*(one.origin for one in decided), *(o for route in unit.routes for o in route.origins)]
    return {origin.policy: origin for origin in sorted(origins, reverse=True)}


def route_names(place: tuple[str, str], facts: ClusterFacts) -> Iterable[str]:
    """The names that HTTPRoutes of a Service may have, as far as its ports are known."""
    service = facts.service_index.get(place)
    for port in service.ports if service else ():
        yield from (route_name(place[1], port.number, part) for part in range(MAX_ROUTES))
