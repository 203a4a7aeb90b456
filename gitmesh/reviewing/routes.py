"""How requests are treated otherwise by two revisions: the first-match tables of one destination laid over
each other.

A request is decided by the first row of each table that means it. So for each pair of rows, one of either
table, the requests that meet both are one region, unless an earlier row of one table takes all of them; what
both rows say of it is compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from gitmesh.model.base import Disabled
from gitmesh.model.comparison import RouteChange
from gitmesh.model.conditions import RequestMatch
from gitmesh.model.naming import camel
from gitmesh.model.policies import Origin
from gitmesh.model.requests import Redirect
from gitmesh.model.routes import Decided, Route, Target
from gitmesh.model.units import RoutingUnit
from gitmesh.reasoning.values import UntoldError
from gitmesh.render.answers import spelt
from gitmesh.render.values import listed, shortened, shown
from gitmesh.resolution.matching import Disjoint, Inexpressible, conjunction, implies, normal
from gitmesh.resolution.routes import replacement, replaces_prefix
from gitmesh.reviewing.requests import match_text

_EVERYTHING = Route(match=RequestMatch(), fields={})
"""What stands below every table: requests that no row means keep the mesh's own behaviour."""


class _Said(NamedTuple):
    """What one revision says of a field: as a value, in people's words (cut, and without credentials), who
    says so, and to where requests go by it: services, and hosts as ("", host)."""

    value: object
    text: str
    origins: tuple[Origin, ...]
    places: frozenset[tuple[str, str]]


_NOTHING = _Said(None, "", (), frozenset())
_CHANGED = "(changed)"


MOST_LOOKS = 2_000_000
"""Looks at single rows, for all destinations of one cluster; ten seconds or so. Two tables cost the third
power of their rows.
"""
_LOOKS_OF_A_CHANGE = 20
_TOO_MUCH = "its requests are told apart in too many ways to compare how each of them goes"


class Effort:
    """What may be spent on the routes of one cluster. `tick` is called in between; what it raises ends the
    comparison.
    """

    def __init__(self, tick: Callable[[], object] = lambda: None, most: int = MOST_LOOKS) -> None:
        self._tick, self._left = tick, most

    def spend(self, looks: int) -> None:
        """Raises UntoldError where there is nothing left."""
        self._tick()
        self._left -= looks
        if self._left < 0:
            raise UntoldError(_TOO_MUCH)


def route_changes(
    before: RoutingUnit | None, after: RoutingUnit | None, effort: Effort | None = None
) -> tuple[RouteChange, ...]:
    """Every field of the routing of one destination that differs, with the requests for which it does; one
    change that is unknown where that costs more than may be spent."""
    unit = after or before
    service = unit.service.key if unit else ("", "")
    connections = _connection_changes(service, before, after)
    try:
        requests = tuple(_request_changes(service, _table(before), _table(after), effort or Effort()))
    except UntoldError as error:
        requests = (
            RouteChange(
                service=service, requests="", field="routes", before="", after="", unknown=str(error)
            ),
        )
    return tuple(sorted({*requests, *connections}))


def _request_changes(
    service: tuple[str, str], was: Sequence[Route], now: Sequence[Route], effort: Effort
) -> Iterator[RouteChange]:
    rows: dict[tuple[str, str, str, bool], list[tuple[RequestMatch, RouteChange]]] = {}
    for region, old, new in _regions(was, now, effort):
        for change in _row_changes(service, region, old, new):
            kept = rows.setdefault((change.field, change.before, change.after, change.elsewhere), [])
            effort.spend(_LOOKS_OF_A_CHANGE + 2 * len(kept))
            # A region inside of one that is told already says nothing new, and a wider one takes the place of
            # those inside of it.
            if not any(implies(region, wider) for wider, _ in kept):
                kept[:] = [(narrow, row) for narrow, row in kept if not implies(narrow, region)]
                kept.append((region, change))
    yield from (change for kept in rows.values() for _, change in kept)


def _table(unit: RoutingUnit | None) -> tuple[Route, ...]:
    return (*unit.routes, _EVERYTHING) if unit else (_EVERYTHING,)


def _regions(
    old: Sequence[Route], new: Sequence[Route], effort: Effort
) -> Iterator[tuple[RequestMatch, Route, Route]]:
    """The requests that one pair of rows decides, as far as a match can say it. Raises UntoldError."""
    # Most changes leave the matches as they are: then each row is compared with its own pair alone, and not
    # with every other row.
    if [row.match for row in old] == [row.match for row in new]:
        yield from ((row.match, row, other) for row, other in zip(old, new, strict=True))
        return
    for (i, row), (j, other) in product(enumerate(old), enumerate(new)):
        effort.spend(1)
        region = _meeting(row.match, other.match)
        if region is None:
            continue
        effort.spend(i + j)
        if not _taken(region, old[:i]) and not _taken(region, new[:j]):
            yield region, row, other


def _meeting(a: RequestMatch, b: RequestMatch) -> RequestMatch | None:
    """The requests that meet both; of two conditions that no match can join the narrower row's."""
    one, other = normal(a), normal(b)
    if not isinstance(one, RequestMatch) or not isinstance(other, RequestMatch):
        return None
    both = conjunction(one, other)
    if isinstance(both, Disjoint):
        return None
    return one if isinstance(both, Inexpressible) else both


def _taken(region: RequestMatch, earlier: Iterable[Route]) -> bool:
    return any(implies(region, row.match) for row in earlier)


def _row_changes(
    service: tuple[str, str], region: RequestMatch, old: Route, new: Route
) -> Iterator[RouteChange]:
    was, now = dict(_said(old, region)), dict(_said(new, region))
    for name in sorted(was.keys() | now.keys()):
        yield from _changed(
            service, match_text(region), name, was.get(name, _NOTHING), now.get(name, _NOTHING)
        )


def _changed(
    service: tuple[str, str], requests: str, name: str, was: _Said, now: _Said
) -> Iterator[RouteChange]:
    if was.value != now.value:
        # Requests that stay with the Service itself do not go elsewhere.
        new = now.places - was.places - {service}
        text = _with_places(now.text, new)
        yield RouteChange(
            service=service,
            requests=requests,
            field=name,
            before=was.text,
            after=text if text != was.text else f"{text} {_CHANGED}",
            elsewhere=bool(new),
            origins=tuple(sorted({*was.origins, *now.origins})),
        )


def _with_places(text: str, new: Iterable[tuple[str, str]]) -> str:
    """The text with the places that are new, where it is cut before it names them."""
    unsaid = sorted(
        name for name in ("/".join(filter(None, place)) for place in new) if not _names(text, name)
    )
    return f"{text}, among them to {listed(unsaid)}" if unsaid else text


def _names(text: str, place: str) -> bool:
    # Whole names only: `shop/web` is not named where `shop/webhook` is.
    return re.search(rf"(?<![\w./-]){re.escape(place)}(?![\w./-])", text) is not None


def _said(row: Route, region: RequestMatch) -> Iterator[tuple[str, _Said]]:
    for name, decided in row.fields.items():
        if name == "split":
            shares = (
                (str(item.weight), target) for item, target in zip(decided.value, row.targets, strict=True)
            )
            yield name, _shared(decided, shares, row.targets)
        elif name == "mirror":
            copies = (
                (f"{item.percent:g}%", target)
                for item, target in zip(decided.value, row.mirrors, strict=True)
            )
            yield name, _shared(decided, copies, row.mirrors)
        else:
            yield camel(name), _value(name, decided, row.match, region)


def _shared(decided: Decided, items: Iterable[tuple[str, Target]], targets: Iterable[Target]) -> _Said:
    text = ", ".join(f"{share} to {_target(target)}" for share, target in items)
    return _Said(
        (spelt(decided.value), text),
        shortened(text),
        (decided.origin,),
        frozenset(target.service.key for target in targets),
    )


def _target(target: Target) -> str:
    port = f":{target.port}" if target.port else ""
    return f"{target.service.namespace}/{target.service.name}{port}" + "".join(
        f" {key}={value}" for key, value in target.subset
    )


def _value(
    name: str,
    decided: Decided,
    row: RequestMatch = _EVERYTHING.match,
    region: RequestMatch = _EVERYTHING.match,
) -> _Said:
    """What is said of a field other than a split or a mirror, for the requests of the region."""
    value, prefix = decided.value, ""
    if replaces_prefix(value):
        # The prefix is that of the row, which may be another one in the other revision: both are compared as
        # the region sees them.
        path = replacement(value.path.replace_prefix_match, row, region)
        prefix = match_text(RequestMatch(path=row.path)) if path is None else ""
        value = value if path is None else value.model_copy(update={"path": path})
    found = spelt(value)
    return _Said((found, prefix), shown(camel(name), found), (decided.origin,), _hosts(value))


def _hosts(value: object) -> frozenset[tuple[str, str]]:
    """Where clients are sent by a redirect to another host."""
    return (
        frozenset({("", value.hostname)}) if isinstance(value, Redirect) and value.hostname else frozenset()
    )


def _connection_changes(
    service: tuple[str, str], before: RoutingUnit | None, after: RoutingUnit | None
) -> Iterator[RouteChange]:
    """Settings of connections, by port; 0 is the whole destination."""
    was, now = before.settings if before else {}, after.settings if after else {}
    for port in sorted(was.keys() | now.keys()):
        # A port without settings of its own has those of the whole destination.
        old, new = (_settings(side.get(port, side.get(0, {}))) for side in (was, now))
        requests = f"port {port}" if port else ""
        for key in sorted(old.keys() | new.keys()):
            clients, name = key
            told = " ".join(part for part in (requests, clients) if part)
            yield from _changed(service, told, name, old.get(key, _NOTHING), new.get(key, _NOTHING))


def _settings(decided: Mapping[str, Decided]) -> dict[tuple[str, str], _Said]:
    """(clients, field) -> what is said of it; `otherwise` is for the clients that are left."""
    found: dict[tuple[str, str], _Said] = {}
    for name, one in decided.items():
        left: Decided | None = one
        while left is not None:
            if not isinstance(left.value, Disabled):
                found.setdefault(
                    (match_text(RequestMatch(source=left.source)), camel(name)), _value(name, left)
                )
            left = left.fallback
    return found
