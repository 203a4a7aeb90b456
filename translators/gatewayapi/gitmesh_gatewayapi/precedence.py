"""A first-match list -> matches of which the most specific one decides, so that every request gets the same.

Where a lesser row has a match that is more specific than one of a greater row, and some request meets both, a
match for just these requests goes to the greater row: their conjunction is at least as specific as either. Of
equally specific ones the earlier decides, as within one route. So for every request the first match of the
list that it meets has a most specific one among those that it meets, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from msgspec import Struct

from gitmesh_gatewayapi.conditions import EVERYTHING, NoMeeting, RouteMatch, meet, within

MAX_WORK = 256
"""Matches that one port of a destination may need before the needless ones are left out."""


class ListedMatch(Struct, frozen=True, kw_only=True):
    """One row of a first-match list: requests that meet `match` and none of `never` get what `action` names,
    a number of the caller's.
    """

    match: RouteMatch
    action: int
    never: tuple[RouteMatch, ...] = ()


class Placed(Struct, frozen=True, order=True):
    """A match, and the `position` of its row: of equally specific ones the smaller decides."""

    position: int
    match: RouteMatch
    action: int


class TooMany(Struct, frozen=True):
    """More matches than a port may have; `action` is of the row at which they became too many."""

    action: int


class Unsayable(Struct, frozen=True):
    """The requests that two rows mean cannot be said in one match."""

    actions: tuple[int, int]


def most_specific(rows: Sequence[ListedMatch]) -> tuple[Placed, ...] | TooMany | Unsayable:
    """The matches in order of their positions. The last row must match every request."""
    assert rows
    assert rows[-1].match == EVERYTHING
    listed = _without_never(rows)
    if not isinstance(listed, list):
        return listed
    found = _closed(listed)
    return found if isinstance(found, TooMany | Unsayable) else _needed(found)


def _without_never(rows: Sequence[ListedMatch]) -> list[ListedMatch] | TooMany | Unsayable:
    """The same list without inverted conditions: what a row leaves out gets, before it, what the rows behind
    give.
    """
    behind: list[ListedMatch] = []
    for row in reversed(rows):
        carved = [row]
        for never in reversed(row.never):
            hidden = meet(row.match, never)
            for other in reversed(behind) if hidden is not NoMeeting.DISJOINT else ():
                both = hidden if isinstance(hidden, NoMeeting) else meet(hidden, other.match)
                if both is NoMeeting.UNSAYABLE:
                    return Unsayable((row.action, other.action))
                if isinstance(both, RouteMatch):
                    carved.insert(0, ListedMatch(match=both, action=other.action))
        behind = [*carved, *behind]
        # Looked at after each row: every inverted condition may double what stands behind it.
        if len(behind) > MAX_WORK:
            return TooMany(row.action)
    return behind


def _closed(rows: Sequence[ListedMatch]) -> list[Placed] | TooMany | Unsayable:
    """With all conjunctions that the order of meshes makes necessary."""
    found: dict[RouteMatch, int] = {}
    left = deque((row.match, position) for position, row in enumerate(rows))
    while left:
        match, position = left.popleft()
        # The same match was found for a greater row already, which decides it.
        if found.get(match, len(rows)) <= position:
            continue
        found[match] = position
        if len(found) > MAX_WORK:
            return TooMany(rows[position].action)
        for other, its in found.items():
            (first, second), before = ((match, other), position) if position < its else ((other, match), its)
            # The greater row's match is at least as specific: meshes take it first by themselves.
            if position == its or first.rank >= second.rank:
                continue
            both = meet(first, second)
            if both is NoMeeting.UNSAYABLE:
                return Unsayable((rows[min(position, its)].action, rows[max(position, its)].action))
            if isinstance(both, RouteMatch):
                left.append((both, before))
    return [Placed(position, match, rows[position].action) for match, position in found.items()]


def _needed(placed: Sequence[Placed]) -> tuple[Placed, ...]:
    """Without those whose requests get the same from a wider match."""
    kept = sorted(placed)
    for one in sorted(placed, key=_precedence):
        others = [other for other in kept if other is not one]
        wider = [o for o in others if o.action == one.action and within(one.match, o.match)]
        # The most specific of them: what stands between it and one stands between one and the others, too.
        if wider and _stands_in(min(wider, key=_precedence), one, others):
            kept = others
    return tuple(kept)


def unanswered(placed: Sequence[Placed], actions: Collection[int]) -> tuple[Placed, ...]:
    """Without those of these actions whose requests no other match takes up: they then meet none at all."""
    behind: list[Placed] = []
    for one in sorted(placed, key=_precedence, reverse=True):
        taken_up = (meet(other.match, one.match) is not NoMeeting.DISJOINT for other in behind)
        if one.action not in actions or any(taken_up):
            behind.append(one)
    return tuple(sorted(behind))


def _precedence(placed: Placed) -> tuple[object, ...]:
    """Sorts what a mesh takes first to the front."""
    exact, length, method, headers, query = placed.match.rank
    return (not exact, -length, not method, -headers, -query, placed.position)


def _stands_in(wider: Placed, one: Placed, others: Sequence[Placed]) -> bool:
    """Whether requests of one come to the wider match where one is left out: nothing that does something else
    stands between them.
    """
    return not any(
        other.action != one.action
        and wider.match.rank <= other.match.rank <= one.match.rank
        and meet(other.match, one.match) is not NoMeeting.DISJOINT
        for other in others
    )
