"""A request match of the policy API -> matches of an HTTPRoute.

Of paths these know exact ones and whole segments alone; of other values exact ones and expressions. What is
inverted they cannot say: it becomes what the row does not mean, for `precedence` to carve out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.model.policies import Origin
from gitmesh_gatewayapi.conditions import ANYTHING, NoMeeting, RouteMatch, ValueMatch, meet, values
from gitmesh_gatewayapi.remarks import Remarks

Side = Literal["headers", "query"]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""What `method` takes (HTTPMethod)."""
MAX_PATH, MAX_VALUES = 1024, 16
_PATH = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+\Z")
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_THE_END = ("/..", "/.")
"""What the CRD refuses in paths."""
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}\Z")
_HOST = "host"


class Meant(Struct, frozen=True, kw_only=True):
    """The requests that meet `match` and none of `never`."""

    match: RouteMatch
    never: tuple[RouteMatch, ...] = ()


def meant(match: RequestMatch, origin: Origin, remarks: Remarks) -> Meant | None:
    """What an HTTPRoute of the port can say of the match, whose port is not looked at; None where it cannot
    say it (noted), and where no request meets it.
    """
    before = len(remarks.found)
    _check_source(match.source, origin, remarks)
    _check_method(match.method, origin, remarks)
    path, exact = _path(match.path, origin, remarks)
    authority = [] if match.authority is None else [NamedCondition(name=_HOST, condition=match.authority)]
    # HTTPRouteMatch has no authority, and hostnames of a route do not count where its parent is a Service.
    headers = [*match.headers, *authority]
    wanted: RouteMatch | NoMeeting = RouteMatch(path=path, exact=exact, method=match.method)
    for one in _singly(headers, "headers", origin, remarks, invert=False):
        wanted = wanted if isinstance(wanted, NoMeeting) else meet(wanted, one)
    for one in _singly(match.query, "query", origin, remarks, invert=False):
        wanted = wanted if isinstance(wanted, NoMeeting) else meet(wanted, one)
    never = (
        *_singly(headers, "headers", origin, remarks, invert=True),
        *_singly(match.query, "query", origin, remarks, invert=True),
    )
    if wanted is NoMeeting.UNSAYABLE:
        remarks.unsupported("an HTTPRoute has room for one condition on each name, not for two", origin)
    if isinstance(wanted, NoMeeting) or len(remarks.found) > before:
        return None
    if max(len(wanted.headers), len(wanted.query)) > MAX_VALUES:
        remarks.unsupported(
            f"an HTTPRoute takes {MAX_VALUES} conditions on headers, and as many on parameters", origin
        )
        return None
    return Meant(match=wanted, never=never)


def _check_source(source: SourceCondition, origin: Origin, remarks: Remarks) -> None:
    if source != SourceCondition():
        remarks.unsupported(
            "HTTPRoutes of a Service hold for every client: `sources` cannot be expressed",
            origin,
            "Leave `sources` out, or tell the clients apart by a header that they send.",
        )


def _check_method(method: str, origin: Origin, remarks: Remarks) -> None:
    if method and method not in METHODS:
        remarks.unsupported(f"HTTPRoutes know no method {method}", origin)


def _path(path: TextCondition | None, origin: Origin, remarks: Remarks) -> tuple[str, bool]:
    """Path, and whether it is exact."""
    if path is None:
        return "/", False
    if path.form not in ("exact", "prefix") or path.ignore_case:
        form = f"{path.form} without regard to case" if path.ignore_case else path.form
        remarks.unsupported(
            f"HTTPRoutes compare exact paths and whole segments; path.{form} cannot be expressed",
            origin,
            "Use path.exact or path.prefix.",
        )
        return "/", False
    # As a prefix `/a/` and `/a` are the same (HTTPPathMatch, "PathPrefix"); the shorter one is written, so
    # that equal matches are equal texts.
    value = path.value if path.form == "exact" else path.value.rstrip("/") or "/"
    odd = (
        not _PATH.match(value)
        or any(part in value for part in _NOT_IN_PATHS)
        or value.endswith(_NOT_AT_THE_END)
        or len(value) > MAX_PATH
    )
    if odd:
        remarks.unsupported(f"HTTPRoutes do not take the path {value[:100]}", origin)
    return value, path.form == "exact"


def _singly(
    conditions: Iterable[NamedCondition], side: Side, origin: Origin, remarks: Remarks, *, invert: bool
) -> tuple[RouteMatch, ...]:
    """A match for each of the conditions that are inverted, or for each that is not."""
    found = []
    for condition in conditions:
        if condition.invert == invert and _is_known(condition, side, origin, remarks):
            by_name = values({condition.name: _value(condition.condition)})
            found.append(RouteMatch(headers=by_name) if side == "headers" else RouteMatch(query=by_name))
    return tuple(found)


def _is_known(condition: NamedCondition, side: Side, origin: Origin, remarks: Remarks) -> bool:
    what = "header" if side == "headers" else "query parameter"
    if not _NAME.match(condition.name):
        remarks.unsupported(f"HTTPRoutes do not take the {what} name {condition.name[:100]!r}", origin)
    elif side == "headers" and condition.name in remarks.dialect.dropped_headers:
        text = f"{remarks.dialect.mesh} ignores conditions on a header named {condition.name!r}"
        remarks.unsupported(text, origin)
    # The CRD wants at least one character in a value.
    elif condition.condition.form == "exact" and not condition.condition.value:
        remarks.unsupported(f"HTTPRoutes cannot compare {condition.name!r} with the empty text", origin)
    else:
        return True
    return False


_AROUND = {"exact": "{}", "prefix": "{}.*", "stringPrefix": "{}.*", "suffix": ".*{}", "present": ANYTHING}


def _value(condition: TextCondition) -> ValueMatch:
    if condition.form == "exact" and not condition.ignore_case:
        return ValueMatch(condition.value)
    text = (
        condition.value
        if condition.form == "regex"
        else _AROUND[condition.form].replace("{}", re.escape(condition.value))
    )
    return ValueMatch(f"(?i:{text})" if condition.ignore_case else text, is_expression=True)
