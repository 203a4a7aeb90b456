"""Routes of a destination -> one VirtualService for its host.

Sidecars use one VirtualService for each host and drop the rest, so all policies end in this one. Its rows are
ours in their order; the last ones send what no row matched to the destination itself, so that nothing turns
into 404.

Where a destination names no port Istio keeps the requested one. Its analysis calls that an error for a
Service with several ports (IST0112), so there every row is written once for each port that can be requested.

The Service may get a port of which this object knows nothing, and a held one never learns of it. No row may
then speak of that port unless one speaks of all its requests, which would be 404 else: the rows of a Service
with several ports name theirs, all of them, and istiod gives clients of a further port the routes of a
Service without a VirtualService (route.go, BuildHTTPRoutesForVirtualService: "no routes matched"); those of a
Service with one port name none, and the last of them takes what is left on any.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from gitmesh.model.manifests import Fragment
from gitmesh.model.objects import canonical
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Route, Target
from gitmesh.model.units import RoutingUnit
from gitmesh_istio.actions import action, is_answered
from gitmesh_istio.effects import is_http
from gitmesh_istio.forwarding import Forward, destination, is_ambiguous
from gitmesh_istio.kinds import VIRTUAL_SERVICE
from gitmesh_istio.matches import choices
from gitmesh_istio.names import host
from gitmesh_istio.scope import Notes, Part, below, fragment
from gitmesh_istio.unseen import without_unseen


class _Row(Struct, frozen=True):
    """One Istio route: its matches with where they come from, and what is done."""

    matches: tuple[tuple[dict[str, Any], Origin], ...]
    action: Part


def virtual_service(unit: RoutingUnit, version: str, notes: Notes) -> Fragment:
    """The VirtualService of a destination that has routes."""
    service = unit.service
    rows = _coalesced(_reachable(row for route in unit.routes for row in _all_rows(route, unit, notes)))
    http = [*(_http(row) for row in rows), *_rest(rows, unit, notes)]
    spec: dict[str, object] = {
        "hosts": [host(service.namespace, service.name, notes.scope.domain)],
        "http": http,
    }
    spec |= notes.scope.exported(VIRTUAL_SERVICE.kind)
    first = _origin(unit.routes[0])
    origins: dict[str, Origin] = {"": first}
    for number, row in enumerate(rows):
        origins.update(below(f"http[{number}]", row.action.origins))
        origins.update(
            {f"http[{number}].match[{index}]": origin for index, (_, origin) in enumerate(row.matches)}
        )
    taking_part = {
        origin.policy
        for route in unit.routes
        for origin in (*route.origins, *(d.origin for d in route.fields.values()))
    }
    place = (service.namespace, service.name)
    return fragment(VIRTUAL_SERVICE, place, version, Part(spec, origins), taking_part)


def _origin(route: Route) -> Origin:
    """The greatest rule of a row."""
    return route.origins[0] if route.origins else min(decided.origin for decided in route.fields.values())


def _all_rows(route: Route, unit: RoutingUnit, notes: Notes) -> Iterable[_Row]:
    """The rows of a route; before them the same without subsets for clients that do not find these."""
    for namespaces, without in without_unseen(route, unit.around):
        yield from (
            row for row in map(partial(_only, namespaces), _rows(without, unit, notes)) if row.matches
        )
    yield from _rows(route, unit, notes)


def _only(namespaces: Sequence[str], row: _Row) -> _Row:
    """The row for clients of these namespaces alone, in no more of its matches than it has."""
    matches = (
        ({**body, "sourceNamespace": namespace}, origin)
        for body, origin in row.matches
        for namespace in namespaces
        if body.get("sourceNamespace", namespace) == namespace
    )
    return _Row(matches=tuple(matches), action=row.action)


def _rows(route: Route, unit: RoutingUnit, notes: Notes) -> Iterable[_Row]:
    """The rows that one route becomes."""
    origin = _origin(route)
    ports = (route.match.port,) if route.match.port else _ports_to_tell(_targets(route), unit)
    # One for each different action, since rewrites depend on what was matched.
    for choice, port in itertools.product(choices(route.match, origin, notes), ports):
        body = {**choice.body, "port": port} if port else dict(choice.body)
        yield _Row(
            matches=((body, origin),), action=action(route, choice, Forward(unit.service, port), notes)
        )


def _targets(route: Route) -> tuple[Target, ...]:
    """Where requests and copies of a row go beside the Service itself; nowhere where the client's proxy
    answers them.
    """
    return () if is_answered(route) else (*route.targets, *route.mirrors)


def _ports_to_tell(targets: Iterable[Target], unit: RoutingUnit) -> tuple[int, ...]:
    """The ports of which each needs a row of its own; (0,) where one row does for all."""
    if not any(map(is_ambiguous, (Target(service=unit.service), *targets))):
        return (0,)
    return tuple(sorted(port.number for port in unit.service.ports if is_http(port))) or (0,)


def _rest(rows: Iterable[_Row], unit: RoutingUnit, notes: Notes) -> Iterable[dict[str, object]]:
    """The rows for what no row matches."""
    matched = [body for row in rows for body, _ in row.matches]
    own = Target(service=unit.service)
    for port in _ports_to_tell((), unit):
        body = {"port": port} if port else {}
        # A VirtualService that matches no row of a request answers 404: it replaces the host's routes
        # altogether.
        if {} not in matched and body not in matched:
            route = [{"destination": destination(own, port, notes)}]
            yield {"match": [body], "route": route} if body else {"route": route}


def _reachable(rows: Iterable[_Row]) -> Iterable[_Row]:
    """The rows without those of which an earlier one takes all requests."""
    taken: set[bytes] = set()
    for row in rows:
        # Neighbours are put together only afterwards, so each row still has its one match.
        body = canonical(row.matches[0][0])
        # A row for one port may stand before one for every port.
        if body not in taken:
            taken.add(body)
            yield row


def _coalesced(rows: Iterable[_Row]) -> Sequence[_Row]:
    """Neighbours that do the same become one row with several matches."""
    merged: list[_Row] = []
    for row in rows:
        # Neighbours only: a row that moved past another one would be found before it.
        if merged and merged[-1].action.value == row.action.value:
            matches = merged[-1].matches + tuple(
                m for m in row.matches if m[0] not in [body for body, _ in merged[-1].matches]
            )
            merged[-1] = _Row(matches=matches, action=merged[-1].action)
        else:
            merged.append(row)
    return merged


def _http(row: _Row) -> dict[str, object]:
    """A row that matches every request is written without matches; so is one whose alternatives include
    everything.
    """
    bodies = [body for body, _ in row.matches]
    # Alternatives add nothing to a match that takes everything.
    return dict(row.action.value) if {} in bodies else {"match": bodies, **row.action.value}
