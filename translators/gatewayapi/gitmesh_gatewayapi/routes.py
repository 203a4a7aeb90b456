"""Routes of a destination -> HTTPRoutes with the Service as parent, one or more for each port.

The port of the parent is always written: without it some meshes accept the route and program nothing. The
last rule sends what no row matches to the Service itself; what a row answers with 404 alone needs no rule. A
route takes 16 rules and 128 matches; what does not fit goes to further ones. Which of two routes a mesh takes
where matches are equally specific depends on their age, so such matches stay in one route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gitmesh.model.objects import ApiKind, canonical
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Route
from gitmesh.model.units import RoutingUnit
from gitmesh_gatewayapi.conditions import EVERYTHING, NoMeeting, RouteMatch, Values, meet
from gitmesh_gatewayapi.grants import grants
from gitmesh_gatewayapi.grpc import call_of, listed_for_grpc, speaks_grpc, unsaid
from gitmesh_gatewayapi.kinds import GRPC_ROUTE, HTTP_ROUTE
from gitmesh_gatewayapi.matches import meant
from gitmesh_gatewayapi.objects import GrantObject, RouteObject
from gitmesh_gatewayapi.precedence import ListedMatch, Placed, TooMany, Unsayable, most_specific, unanswered
from gitmesh_gatewayapi.remarks import Dialect, Remark, Remarks
from gitmesh_gatewayapi.rules import Called, HttpRule, is_not_found, rule, untouched

MAX_RULES, MAX_MATCHES, MAX_RULE_MATCHES, MAX_ROUTES = 16, 128, 64, 4
"""Of a route, of a route, of a rule (HTTPRouteSpec), and routes of one port (ours)."""


class HttpRoutes(Struct, frozen=True, kw_only=True):
    """The routes of a destination, HTTPRoutes or GRPCRoutes, the leave that they need, and what could not be
    said; with an error none of them may be used."""

    routes: tuple[RouteObject, ...]
    grants: tuple[GrantObject, ...] = ()
    remarks: tuple[Remark, ...]


class _Ruled(Struct):
    """A rule with its matches, in the order in which they must be tried where they are equally specific."""

    made: HttpRule
    placed: list[Placed]
    origin: Origin


def route_name(service: str, port: int, part: int = 0) -> str:
    """`<service>.<port>`, and `<service>.<port>-2` for the second of a port. No Service has a dot in its
    name, so no two give one."""
    return f"{service}.{port}-{part + 1}" if part else f"{service}.{port}"


def http_routes(unit: RoutingUnit, ports: Iterable[int], dialect: Dialect) -> HttpRoutes:
    """The routes of a destination on those of its ports that carry requests: HTTPRoutes, or GRPCRoutes where
    the mesh reads these, the port carries gRPC, and they can say all of it."""
    remarks = Remarks(dialect)
    known = sorted(set(ports))
    for route in unit.routes:
        if not known or route.match.port not in (0, *known):
            shown = f"{unit.service.namespace}/{unit.service.name}"
            what = f"port {route.match.port} of {shown}" if route.match.port else f"every port of {shown}"
            remarks.unsupported(f"HTTPRoutes act on HTTP alone, which {what} does not carry", _origin(route))
    made = [one for port in known for one in _of_port(unit, port, remarks)]
    asked = made if dialect.asks_leave else []
    leave = grants(asked, unit.service, remarks)
    return HttpRoutes(routes=tuple(made), grants=leave, remarks=tuple(remarks.found))


def _origin(route: Route) -> Origin:
    """The greatest rule of a row."""
    return route.origins[0] if route.origins else min(decided.origin for decided in route.fields.values())


def _of_port(unit: RoutingUnit, port: int, remarks: Remarks) -> Sequence[RouteObject]:
    rows = [route for route in unit.routes if route.match.port in (0, port)]
    listed = []
    for number, route in enumerate(rows):
        what = meant(route.match, _origin(route), remarks)
        if what is not None:
            listed.append(ListedMatch(match=what.match, action=number, never=what.never))
    if not listed:
        return ()
    called = Called(unit.service, port)
    if remarks.dialect.grpc_routes and speaks_grpc(unit.service, port):
        lacking = list(unsaid(listed, [(row, _origin(row)) for row in rows]))
        if not lacking:
            return _written(GRPC_ROUTE, listed_for_grpc(listed), rows, called, remarks)
        where = f"port {port} of Service {unit.service.namespace}/{unit.service.name} carries gRPC"
        for text, origin in lacking:
            remarks.add("GM325", f"{where}, and a GRPCRoute cannot say this: {text}", origin)
    return _written(HTTP_ROUTE, listed, rows, called, remarks)


def _written(
    kind: ApiKind, listed: Sequence[ListedMatch], rows: Sequence[Route], called: Called, remarks: Remarks
) -> Sequence[RouteObject]:
    # The row for what none of ours matches: without it the rest would be answered with 404.
    placed = most_specific([*listed, ListedMatch(match=EVERYTHING, action=len(rows))])
    if isinstance(placed, TooMany | Unsayable):
        _note_unsaid(placed, rows, remarks)
        return ()
    placed = unanswered(placed, _silent(rows) if kind == HTTP_ROUTE else frozenset())
    if not placed:
        text = "an HTTPRoute has a rule at least, so it cannot leave every request unanswered"
        remarks.unsupported(text, _origin(rows[0]))
        return ()
    parts = _parts(_ruled(placed, rows, called, remarks), remarks)
    return [_object(kind, part, called, number) for number, part in enumerate(parts)]


def _silent(rows: Sequence[Route]) -> frozenset[int]:
    return frozenset(number for number, row in enumerate(rows) if is_not_found(row))


def _note_unsaid(placed: TooMany | Unsayable, rows: Sequence[Route], remarks: Remarks) -> None:
    if isinstance(placed, TooMany):
        origin = _origin(rows[min(placed.action, len(rows) - 1)])
        remarks.unsupported("the matches of this destination overlap in too many ways for HTTPRoutes", origin)
        return
    greater, lesser = (rows[min(action, len(rows) - 1)] for action in placed.actions)
    at = _origin(lesser).at
    remarks.unsupported(
        "the requests that this match and the one at"
        f" {at.path}:{at.line} mean cannot be said in an HTTPRoute: both have an expression on one name",
        _origin(greater),
    )


def _ruled(placed: Sequence[Placed], rows: Sequence[Route], called: Called, remarks: Remarks) -> list[_Ruled]:
    """The rules, each with the neighbours that do the same."""
    found: list[_Ruled] = []
    first = _origin(rows[0])
    for one in placed:
        is_rest = one.action == len(rows)
        made = untouched(called) if is_rest else rule(rows[one.action], one.match, called, remarks)
        # Only with the neighbour before: the order of rules decides between equally specific matches
        # (HTTPRouteRule), so a rule must not jump over another.
        fits = found and len(found[-1].placed) < MAX_RULE_MATCHES and not _by_prefix(made.body)
        if fits and canonical(found[-1].made.body) == canonical(made.body):
            found[-1].placed.append(one)
        else:
            found.append(_Ruled(made, [one], first if is_rest else _origin(rows[one.action])))
    return found


def _by_prefix(body: Mapping[str, Any]) -> bool:
    """Whether it replaces the prefix that is matched: such a rule has one match (CRD)."""
    kinds = ("urlRewrite", "requestRedirect")
    paths = (one.get(kind, {}).get("path", {}) for one in body.get("filters", ()) for kind in kinds)
    return any(path.get("type") == "ReplacePrefixMatch" for path in paths)


def _parts(ruled: Sequence[_Ruled], remarks: Remarks) -> list[list[_Ruled]]:
    """The rules of each route; noted where they cannot be parted."""
    parts: list[list[_Ruled]] = []
    for group in _bound_together(ruled):
        # First fit: as few routes as is easily had, and the same ones at each run.
        fitting = next((part for part in parts if _fits([*part, *group])), None)
        if fitting is None:
            parts.append(fitting := [])
        fitting += group
    if len(parts) > MAX_ROUTES or not all(map(_fits, parts)):
        remarks.unsupported(
            f"the rows of this destination do not fit into {MAX_ROUTES} HTTPRoutes of {MAX_RULES} rules and"
            f" {MAX_MATCHES} matches a port",
            ruled[0].origin,
        )
    return [sorted(part, key=lambda one: one.placed[0]) for part in parts]


def _fits(rules: Sequence[_Ruled]) -> bool:
    return len(rules) <= MAX_RULES and sum(len(one.placed) for one in rules) <= MAX_MATCHES


def _bound_together(ruled: Sequence[_Ruled]) -> list[list[_Ruled]]:
    """Groups of rules of which equally specific matches mean a request in common."""
    groups: list[list[_Ruled]] = []
    for one in ruled:
        bound = [group for group in groups if any(_tied(one, other) for other in group)]
        groups = [group for group in groups if not any(group is other for other in bound)]
        groups.append([*(other for group in bound for other in group), one])
    return groups


def _tied(one: _Ruled, other: _Ruled) -> bool:
    return any(
        # Between routes not the order of rules decides but their age and name, so such rules must stay in
        # one.
        mine.match.rank == theirs.match.rank and meet(mine.match, theirs.match) is not NoMeeting.DISJOINT
        for mine in one.placed
        for theirs in other.placed
    )


def _object(kind: ApiKind, ruled: Sequence[_Ruled], called: Called, part: int) -> RouteObject:
    service = called.service
    # The group is written out: left out, it is the Gateway API's own (ParentReference).
    parent = {"group": "", "kind": "Service", "name": service.name, "port": called.port}
    origins: dict[str, Origin] = {"": min(one.origin for one in ruled)}
    rules = []
    for number, one in enumerate(ruled):
        rules.append({**_matches(kind, one.placed), **one.made.body})
        origins[f"rules[{number}]"] = one.origin
        origins |= {f"rules[{number}].{path}": origin for path, origin in one.made.origins.items()}
    name = route_name(service.name, called.port, part)
    return RouteObject(kind=kind, name=name, spec={"parentRefs": [parent], "rules": rules}, origins=origins)


def _matches(kind: ApiKind, placed: Sequence[Placed]) -> dict[str, Any]:
    """`matches` of a rule. One of a GRPCRoute that means every request has none."""
    if kind is HTTP_ROUTE:
        return {"matches": [_match(one.match) for one in placed]}
    matches = [_call(one.match) for one in placed]
    return {"matches": matches} if matches != [{}] else {}


def _match(match: RouteMatch) -> dict[str, Any]:
    body: dict[str, Any] = {"path": {"type": "Exact" if match.exact else "PathPrefix", "value": match.path}}
    if match.method:
        body["method"] = match.method
    for field, conditions in (("headers", match.headers), ("queryParams", match.query)):
        if conditions:
            body[field] = _conditions(conditions)
    return body


def _call(match: RouteMatch) -> dict[str, Any]:
    """A match of a GRPCRoute."""
    called = call_of(match)
    headers = {"headers": _conditions(match.headers)} if match.headers else {}
    return {**({"method": called} if called else {}), **headers}


def _conditions(conditions: Values) -> list[dict[str, str]]:
    return [
        {"type": "RegularExpression" if one.is_expression else "Exact", "name": name, "value": one.value}
        for name, one in conditions
    ]
