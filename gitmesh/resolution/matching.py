"""Algebra of request matches (docs/concepts.md#precedence): conjunction, implication, overlap, evaluation.

Matches are built with `normal`, which keeps at most one positive and one negative condition for each header
name: more than that no mesh's map of headers can say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.resolution.conditions import Disjoint, Inexpressible, excludes, holds, meet, normal_path
from gitmesh.resolution.conditions import implies as text_implies

Conjunction: TypeAlias = RequestMatch | Disjoint | Inexpressible

__all__ = [
    "Conjunction",
    "Disjoint",
    "Inexpressible",
    "Request",
    "conjunction",
    "implies",
    "matches",
    "named_holds",
    "normal",
    "overlaps",
    "source_holds",
]


class Request(Struct, frozen=True, kw_only=True):
    """A request as matches see it: path without query, header names in lower case, Service port number, the
    client's workload.
    """

    path: str = "/"
    headers: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    method: str = "GET"
    port: int = 80
    authority: str = ""
    labels: Mapping[str, str] = {}
    namespace: str = "default"
    service_account: str = "default"


def matches(match: RequestMatch, request: Request) -> bool:
    """Whether the request meets the match."""
    return (
        (match.path is None or holds(match.path, request.path, path=True))
        and (match.authority is None or holds(match.authority, request.authority, path=False))
        and match.method in ("", request.method)
        and match.port in (0, request.port)
        and all(named_holds(condition, request.headers) for condition in match.headers)
        and all(named_holds(condition, request.query) for condition in match.query)
        and source_holds(match.source, request)
    )


def named_holds(condition: NamedCondition, values: Mapping[str, str]) -> bool:
    """Whether headers (or query parameters) by name meet the condition."""
    value = values.get(condition.name)
    met = value is not None and holds(condition.condition, value, path=False)
    return met != condition.invert


def source_holds(source: SourceCondition, request: Request) -> bool:
    """Whether the client of the request is meant."""
    return (
        all(request.labels.get(key) == value for key, value in source.labels)
        and (not source.namespaces or request.namespace in source.namespaces)
        and (not source.service_accounts or request.service_account in source.service_accounts)
    )


@lru_cache(maxsize=16384)
def normal(match: RequestMatch) -> Conjunction:
    """The same match in normal form: conditions merged per name and sorted; `Disjoint` if nothing can meet
    it.
    """
    headers, query = _merged(match.headers), _merged(match.query)
    for part in (headers, query):
        if not isinstance(part, tuple):
            return part
    assert isinstance(headers, tuple)
    assert isinstance(query, tuple)
    return replace(match, path=normal_path(match.path) if match.path else None, headers=headers, query=query)


def conjunction(a: RequestMatch, b: RequestMatch) -> Conjunction:
    """The match of the requests that meet both normal matches.

    `Inexpressible` only where the parts that can be decided do not already exclude each other.
    """
    return Disjoint() if _apart(a, b) else _conjunction(a, b)


def _apart(a: RequestMatch, b: RequestMatch) -> bool:
    """Whether single conditions exclude each other."""
    # Quick to see, and asked first: most rules of one destination mean other requests.
    if (a.method != b.method and a.method and b.method) or (a.port != b.port and a.port and b.port):
        return True
    if a.path is not None and b.path is not None and a.path != b.path and excludes(a.path, b.path, path=True):
        return True
    mine, others = a.source.namespaces, b.source.namespaces
    if mine != others and mine and others and set(mine).isdisjoint(others):
        return True
    return bool(a.headers and b.headers) and any(
        one.name == other.name
        and not (one.invert or other.invert)
        and excludes(one.condition, other.condition, path=False)
        for one in a.headers
        for other in b.headers
    )


@lru_cache(maxsize=16384)
def _conjunction(a: RequestMatch, b: RequestMatch) -> Conjunction:
    source = _source(a.source, b.source)
    if source is None:
        return Disjoint()
    path, authority = _optional(a.path, b.path, path=True), _optional(a.authority, b.authority, path=False)
    headers, query = _merged((*a.headers, *b.headers)), _merged((*a.query, *b.query))
    failed = [
        part for part in (path, authority, headers, query) if isinstance(part, Disjoint | Inexpressible)
    ]
    if failed:
        # What nobody can meet needs no match, so it does not matter that a part of it could not be written.
        return next((part for part in failed if isinstance(part, Disjoint)), failed[0])
    assert not isinstance(path, Disjoint | Inexpressible)
    assert not isinstance(authority, Disjoint | Inexpressible)
    assert not isinstance(headers, Disjoint | Inexpressible)
    assert not isinstance(query, Disjoint | Inexpressible)
    return RequestMatch(
        path=path,
        headers=headers,
        query=query,
        method=a.method or b.method,
        port=a.port or b.port,
        authority=authority,
        source=source,
    )


def overlaps(a: RequestMatch, b: RequestMatch) -> bool:
    """False only if no request can meet both."""
    return not isinstance(conjunction(a, b), Disjoint)


def implies(a: RequestMatch, b: RequestMatch) -> bool:
    """True only if every request that meets `a` meets `b`."""
    return (
        b.method in ("", a.method)
        and b.port in (0, a.port)
        and _source_implies(a.source, b.source)
        and _optional_implies(a.path, b.path, path=True)
        and _optional_implies(a.authority, b.authority, path=False)
        and all(_named_implied(a.headers, condition) for condition in b.headers)
        and all(_named_implied(a.query, condition) for condition in b.query)
    )


def _optional(
    a: TextCondition | None, b: TextCondition | None, *, path: bool
) -> TextCondition | Disjoint | Inexpressible | None:
    if a is None or b is None:
        return a or b
    return meet(a, b, path=path)


def _optional_implies(a: TextCondition | None, b: TextCondition | None, *, path: bool) -> bool:
    return b is None or text_implies(a or TextCondition(form="present"), b, path=path)


def _merged(conditions: Iterable[NamedCondition]) -> tuple[NamedCondition, ...] | Disjoint | Inexpressible:
    """At most one positive and one negative condition for each name."""
    names: dict[str, list[NamedCondition]] = {}
    for condition in conditions:
        names.setdefault(condition.name, []).append(condition)
    found: list[NamedCondition] = []
    failed: list[Inexpressible] = []
    for name in sorted(names):
        merged = names[name] if len(names[name]) == 1 else _of_one_name(name, names[name])
        if isinstance(merged, Disjoint):
            return merged
        if isinstance(merged, Inexpressible):
            # Not yet the answer: a later name may show that no request meets both, and then nothing needs
            # to be written.
            failed.append(merged)
        else:
            found += merged
    return failed[0] if failed else tuple(found)


def _of_one_name(
    name: str, conditions: list[NamedCondition]
) -> list[NamedCondition] | Disjoint | Inexpressible:
    positive: TextCondition | Inexpressible | None = None
    refused = sorted({c.condition for c in conditions if c.invert})
    required = sorted({c.condition for c in conditions if not c.invert})
    # Before conjunction is tried: that nobody can meet both is certain even where the conjunction cannot be
    # written.
    if any(text_implies(yes, no, path=False) for yes in required for no in refused):
        return Disjoint()
    for wanted in required:
        together = (
            wanted
            if positive is None or isinstance(positive, Inexpressible)
            else meet(positive, wanted, path=False)
        )
        if isinstance(together, Disjoint):
            return together
        positive = positive if isinstance(positive, Inexpressible) else together
    if isinstance(positive, Inexpressible):
        return Inexpressible(f"{name}: {positive.reason}")
    return _with_refused(name, positive, refused)


def _with_refused(
    name: str, positive: TextCondition | None, refused: list[TextCondition]
) -> list[NamedCondition] | Disjoint | Inexpressible:
    """Negative conditions that say something beside the positive one and beside each other."""
    if positive is not None and any(text_implies(positive, no, path=False) for no in refused):
        return Disjoint()
    # What the positive condition rules out anyway need not be refused; fewer conditions can be said by more
    # meshes.
    useful = [no for no in refused if positive is None or not excludes(positive, no, path=False)]
    widest = [
        no
        for no in useful
        if not any(no != other and text_implies(no, other, path=False) for other in useful)
    ]
    if len(widest) > 1:
        # Meshes keep negative conditions by name as well, and a name has one.
        return Inexpressible(f"{name}: more than one inverted condition cannot be written in one match")
    found = [] if positive is None else [NamedCondition(name=name, condition=positive)]
    return [*found, *(NamedCondition(name=name, condition=no, invert=True) for no in widest)]


def _named_implied(given: tuple[NamedCondition, ...], wanted: NamedCondition) -> bool:
    same = [condition for condition in given if condition.name == wanted.name]
    if not wanted.invert:
        return any(not c.invert and text_implies(c.condition, wanted.condition, path=False) for c in same)
    return any(
        text_implies(wanted.condition, c.condition, path=False)
        if c.invert
        else excludes(c.condition, wanted.condition, path=False)
        for c in same
    )


def _source(a: SourceCondition, b: SourceCondition) -> SourceCondition | None:
    """None: no client is both."""
    labels = dict(a.labels)
    if any(labels.setdefault(key, value) != value for key, value in b.labels):
        return None
    namespaces, accounts = (
        _common(a.namespaces, b.namespaces),
        _common(a.service_accounts, b.service_accounts),
    )
    if namespaces is None or accounts is None:
        return None
    return SourceCondition(
        labels=tuple(sorted(labels.items())), namespaces=namespaces, service_accounts=accounts
    )


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...] | None:
    if not a or not b:
        return a or b
    # None and not empty, for an empty list of names means everybody.
    return tuple(sorted(set(a) & set(b))) or None


def _source_implies(a: SourceCondition, b: SourceCondition) -> bool:
    return set(b.labels) <= set(a.labels) and all(
        not wider or (narrower and set(narrower) <= set(wider))
        for narrower, wider in ((a.namespaces, b.namespaces), (a.service_accounts, b.service_accounts))
    )
