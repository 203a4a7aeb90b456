"""A request match of the policy API -> VirtualService matches.

Istio compares prefixes by characters, ignores case in exact and prefix paths only, and lets one StringMatch
stand for each header; so one match of ours becomes several of Istio's, all of which mean the same row.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.model.expressions import fullmatch
from gitmesh.model.policies import Origin
from gitmesh_istio.names import quoted
from gitmesh_istio.scope import Notes

MAX_ALTERNATIVES = 256
"""Istio matches that one row of ours may become."""

IGNORED_HEADERS = frozenset({"uri", "scheme", "method", "authority"})
"""Header names that Istio drops from `headers` and `withoutHeaders` (virtual_service.proto)."""

Shape = Literal["any", "exact", "segments", "text", "pattern"]


class Choice(Struct, frozen=True, kw_only=True):
    """One Istio match. `shape` and `path` say what its uri matches, for rewrites: the exact path, or the
    prefix.
    """

    shape: Shape
    path: str
    body: Mapping[str, Any]


def choices(match: RequestMatch, origin: Origin, notes: Notes) -> tuple[Choice, ...]:
    """Every Istio match that together mean this one; empty where it cannot be expressed (noted)."""
    before = len(notes.diagnostics)
    common = _common(match)
    headers = _headers(match.headers, origin, notes)
    query = _by_name(match.query, "query parameter", origin, notes)
    sources = _sources(match.source)
    paths = _paths(match.path)
    if any(diagnostic.is_error for diagnostic in notes.diagnostics[before:]):
        return ()
    # Counted before they are made: lenient headers double the number, each.
    if len(paths) * len(headers) * len(sources) > MAX_ALTERNATIVES:
        notes.add(
            "GM301",
            f"the match needs more than {MAX_ALTERNATIVES} Istio matches; name fewer namespaces",
            origin,
        )
        return ()
    params = {"queryParams": query} if query else {}
    combined = itertools.product(paths, headers, sources)
    return tuple(
        Choice(shape=path.shape, path=path.path, body={**common, **params, **path.body, **heads, **source})
        for path, heads, source in combined
    )


def _common(match: RequestMatch) -> dict[str, object]:
    body: dict[str, object] = {}
    if match.method:
        body["method"] = {"exact": match.method}
    if match.port:
        body["port"] = match.port
    if match.authority is not None:
        body["authority"] = string_match(match.authority)
    return body


def string_match(condition: TextCondition) -> dict[str, str]:
    """A condition on text as a StringMatch; `{}` is presence."""
    form, value = condition.form, condition.value
    if form == "present":
        return {}
    if form in ("exact", "prefix", "stringPrefix") and not condition.ignore_case:
        return {"exact" if form == "exact" else "prefix": value}
    # A StringMatch has no suffix, and ignores no case but that of a path.
    return {"regex": _expression(condition)}


def _expression(condition: TextCondition) -> str:
    wrap = {"exact": "{}", "prefix": "{}.*", "stringPrefix": "{}.*", "suffix": ".*{}"}
    text = (
        condition.value
        if condition.form == "regex"
        else wrap[condition.form].replace("{}", quoted(condition.value))
    )
    return f"(?i:{text})" if condition.ignore_case else text


def _paths(path: TextCondition | None) -> tuple[Choice, ...]:
    if path is None:
        return (Choice(shape="any", path="", body={}),)
    case = {"ignoreUriCase": True} if path.ignore_case else {}
    if path.form == "exact":
        return (Choice(shape="exact", path=path.value, body={"uri": {"exact": path.value}, **case}),)
    if path.form == "stringPrefix":
        return (Choice(shape="text", path=path.value, body={"uri": {"prefix": path.value}, **case}),)
    if path.form == "prefix":
        # Istio's prefix means characters: `/foo` alone would take `/foobar`, too.
        return _segments(path.value.rstrip("/"), case)
    return (Choice(shape="pattern", path="", body={"uri": {"regex": _expression(path)}}),)


def _segments(base: str, case: Mapping[str, object]) -> tuple[Choice, ...]:
    """Whole segments: `/foo` and what begins with `/foo/`; everything for the root."""
    below = Choice(shape="segments", path=base, body={"uri": {"prefix": f"{base}/"}, **case})
    return (
        (Choice(shape="exact", path=base, body={"uri": {"exact": base}, **case}), below) if base else (below,)
    )


def _sources(source: SourceCondition) -> tuple[dict[str, object], ...]:
    assert not source.service_accounts, "not supported: left out, the route would be for every client"
    labels: dict[str, object] = {"sourceLabels": dict(source.labels)} if source.labels else {}
    if not source.namespaces:
        return (labels,)
    return tuple({**labels, "sourceNamespace": namespace} for namespace in source.namespaces)


def _headers(
    conditions: Sequence[NamedCondition], origin: Origin, notes: Notes
) -> tuple[dict[str, object], ...]:
    for name in sorted({c.name for c in conditions} & IGNORED_HEADERS):
        notes.add("GM301", f"Istio ignores conditions on a header named {name!r}", origin)
    wanted = _by_name([c for c in conditions if not c.invert], "header", origin, notes)
    refused = [c for c in conditions if c.invert]
    without = _by_name(refused, "inverted header", origin, notes)
    lenient = sorted({c.name for c in refused if c.name not in wanted and _takes_empty(c.condition)})
    return tuple(
        _header_case(wanted, without, lenient, absent)
        for absent in itertools.product((True, False), repeat=len(lenient))
    )


def _header_case(
    wanted: Mapping[str, object],
    without: Mapping[str, object],
    lenient: Sequence[str],
    absent: Sequence[bool],
) -> dict[str, object]:
    """`headers` and `withoutHeaders` of one match, where these names are absent."""
    # Istio treats an absent header as empty in `withoutHeaders`. Where the empty value meets the condition,
    # absence would count as meeting it: so one match says `absent`, another one `present but different`.
    missing: dict[str, dict[str, str]] = {
        name: {} for name, gone in zip(lenient, absent, strict=True) if gone
    }
    present: dict[str, dict[str, str]] = {
        name: {} for name, gone in zip(lenient, absent, strict=True) if not gone
    }
    heads, no_heads = {**present, **wanted}, {**without, **missing}
    return {key: value for key, value in (("headers", heads), ("withoutHeaders", no_heads)) if value}


def _takes_empty(condition: TextCondition) -> bool:
    """Whether the empty text meets the condition, by the rules of RE2, as proxies read it."""
    if condition.form == "regex":
        return fullmatch(condition.value, "", ignore_case=condition.ignore_case)
    return condition.form == "exact" and condition.value == ""


def _by_name(
    conditions: Iterable[NamedCondition], what: str, origin: Origin, notes: Notes
) -> dict[str, dict[str, str]]:
    """Name -> StringMatch. Istio has room for one condition a name; presence goes without saying where
    another stands.
    """
    found: dict[str, dict[str, str]] = {}
    for condition in conditions:
        match = string_match(condition.condition)
        other = found.setdefault(condition.name, match)
        if {} in (match, other):
            # `present` adds nothing to another condition; inverted it refuses all that the other one
            # refuses.
            found[condition.name] = {} if condition.invert else match or other
        elif match != other:
            notes.add(
                "GM301",
                f"Istio has room for one condition on the {what} {condition.name!r}, not for two",
                origin,
            )
    return found
