"""Matches of an HTTPRoute as sets of requests: which of two a mesh takes, and what both mean.

Of the matches that a request meets, an exact path comes before a prefix, a longer prefix before a shorter
one, then one with a method, then more headers, then more query parameters (Gateway API, HTTPRouteRule).
Expressions on paths have no place in that order that meshes agree on, so there are none here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from gitmesh.model.expressions import fullmatch

ANYTHING = ".*"
"""The expression that every value meets: presence."""

Rank: TypeAlias = tuple[bool, int, bool, int, int]
"""Greater is taken first: exact, length of the path, method given, headers, query parameters."""


class ValueMatch(Struct, frozen=True, order=True):
    """A condition on one header or query parameter: the whole value, or an RE2 expression over all of it."""

    value: str
    is_expression: bool = False


Values: TypeAlias = tuple[tuple[str, ValueMatch], ...]
"""Sorted by name, one condition a name: of several, meshes read the first alone (HTTPRouteMatch)."""


class RouteMatch(Struct, frozen=True, kw_only=True, order=True):
    """One match of a route: `path` in whole segments, "/" = any path, unless it is `exact`."""

    path: str = "/"
    exact: bool = False
    method: str = ""
    headers: Values = ()
    query: Values = ()

    @property
    def rank(self) -> Rank:
        """Where it stands among the matches that a request meets."""
        return (
            self.exact,
            # Two exact paths that one request meets are the same path, so their length decides nothing.
            0 if self.exact else len(self.path),
            bool(self.method),
            len(self.headers),
            len(self.query),
        )


EVERYTHING = RouteMatch()


class NoMeeting(Enum):
    """Why two matches have no match for what both mean."""

    DISJOINT = "no request meets both"
    UNSAYABLE = "two expressions on one name"


def meet(one: RouteMatch, other: RouteMatch) -> RouteMatch | NoMeeting:
    """The match of the requests that meet both. Its rank is never below either's."""
    path = _path(one, other)
    if path is None or (one.method and other.method and one.method != other.method):
        return NoMeeting.DISJOINT
    headers, query = _values(one.headers, other.headers), _values(one.query, other.query)
    if isinstance(headers, NoMeeting) or isinstance(query, NoMeeting):
        return NoMeeting.DISJOINT if NoMeeting.DISJOINT in (headers, query) else NoMeeting.UNSAYABLE
    return RouteMatch(
        path=path[0], exact=path[1], method=one.method or other.method, headers=headers, query=query
    )


def within(one: RouteMatch, other: RouteMatch) -> bool:
    """Whether every request that meets one meets the other; of that two expressions say nothing."""
    return meet(one, other) == one


def _path(one: RouteMatch, other: RouteMatch) -> tuple[str, bool] | None:
    """The narrower of two paths; None where they exclude each other."""
    wide, narrow = sorted((one, other), key=lambda match: (match.exact, len(match.path)))
    if wide.exact:
        return (narrow.path, True) if narrow.path == wide.path else None
    return (narrow.path, narrow.exact) if _below(narrow.path, wide.path) else None


def _below(path: str, prefix: str) -> bool:
    return prefix == "/" or path == prefix or path.startswith(f"{prefix}/")


def _values(one: Values, other: Values) -> Values | NoMeeting:
    found: dict[str, ValueMatch] = dict(one)
    unsayable = False
    for name, condition in other:
        both = _both(found[name], condition) if name in found else condition
        if both is NoMeeting.DISJOINT:
            return NoMeeting.DISJOINT
        unsayable |= both is NoMeeting.UNSAYABLE
        # Goes on after what cannot be said: a later name may show that no request meets both, which needs
        # no match.
        found[name] = condition if isinstance(both, NoMeeting) else both
    return NoMeeting.UNSAYABLE if unsayable else tuple(sorted(found.items()))


def _both(one: ValueMatch, other: ValueMatch) -> ValueMatch | NoMeeting:
    if one == other or other == _ANY:
        return one
    if one == _ANY:
        return other
    if one.is_expression and other.is_expression:
        return NoMeeting.UNSAYABLE
    if not one.is_expression and not other.is_expression:
        return NoMeeting.DISJOINT
    exact, expression = (other, one) if one.is_expression else (one, other)
    return exact if fullmatch(expression.value, exact.value) else NoMeeting.DISJOINT


_ANY = ValueMatch(ANYTHING, True)


def values(conditions: Mapping[str, ValueMatch]) -> Values:
    """Conditions by name, in their order."""
    return tuple(sorted(conditions.items()))
