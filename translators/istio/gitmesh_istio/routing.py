"""Routes of a destination -> one VirtualService for its host.

Sidecars use one VirtualService for each host and drop the rest, so all policies end in this one. Its rows are ours in their order;
the last one sends what no row matched to the destination itself, so that nothing turns into 404. That row names no port: Istio then
keeps the requested one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gitmesh.model.manifests import Fragment, Phase
from gitmesh.model.policies import Origin
from gitmesh.model.units import DestinationUnit, Route
from gitmesh_istio.actions import action
from gitmesh_istio.kinds import VIRTUAL_SERVICE
from gitmesh_istio.matches import choices
from gitmesh_istio.names import host
from gitmesh_istio.scope import Notes, Part, below, fragment


@dataclass(frozen=True, slots=True)
class _Row:
    """One Istio route: its matches with where they come from, and what is done."""

    matches: tuple[tuple[dict[str, Any], Origin], ...]
    action: Part


def virtual_service(unit: DestinationUnit, version: str, notes: Notes) -> Fragment:
    """The VirtualService of a destination that has routes."""
    service = unit.service
    name = host(service.namespace, service.name, notes.scope.domain)
    rows = _coalesced(row for route in unit.routes for row in _rows(route, unit, name, notes))
    spec: dict[str, Any] = {"hosts": [name], "http": [_http(row) for row in rows]}
    if not any(body == {} for row in rows for body, _ in row.matches):
        spec["http"].append({"route": [{"destination": {"host": name}}]})
    first = _origin(unit.routes[0])
    origins: dict[str, Origin] = {"": first}
    for number, row in enumerate(rows):
        origins.update(below(f"http[{number}]", row.action.origins))
        origins.update({f"http[{number}].match[{index}]": origin for index, (_, origin) in enumerate(row.matches)})
    taking_part = {origin.policy for route in unit.routes for origin in (*route.origins, *(d.origin for d in route.fields.values()))}
    place = (service.namespace, service.name)
    return fragment(VIRTUAL_SERVICE, place, version, Phase.ROUTE, Part(spec, origins), taking_part)


def _origin(route: Route) -> Origin:
    """The greatest rule of a row."""
    return route.origins[0] if route.origins else min(decided.origin for decided in route.fields.values())


def _rows(route: Route, unit: DestinationUnit, default: str, notes: Notes) -> Iterable[_Row]:
    """The rows that one route becomes: one for each different action, since rewrites depend on what was matched."""
    origin = _origin(route)
    for choice in choices(route.match, unit.service, origin, notes):
        yield _Row(matches=((dict(choice.body), origin),), action=action(route, choice, default, notes))


def _coalesced(rows: Iterable[_Row]) -> Sequence[_Row]:
    """Neighbours that do the same become one row with several matches."""
    merged: list[_Row] = []
    for row in rows:
        if merged and merged[-1].action.value == row.action.value:
            matches = merged[-1].matches + tuple(m for m in row.matches if m[0] not in [body for body, _ in merged[-1].matches])
            merged[-1] = _Row(matches=matches, action=merged[-1].action)
        else:
            merged.append(row)
    return merged


def _http(row: _Row) -> dict[str, Any]:
    """A row that matches every request is written without matches; so is one whose alternatives include everything."""
    bodies = [body for body, _ in row.matches]
    return dict(row.action.value) if {} in bodies else {"match": bodies, **row.action.value}
