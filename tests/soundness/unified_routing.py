"""What is decided for a request, by shared/api.md (TrafficPolicy, Precedence) alone: every rule is tried, the greatest wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import re2

from gitmesh.model.facts import Service, Workload
from tests.soundness.requests import Request

Document: TypeAlias = Mapping[str, Any]
Decision: TypeAlias = dict[Any, Any]
"""Field -> value; ("headers", side, name) -> (operation, value)."""

ROUTING = ("split", "redirect", "directResponse")
_PATHS = ("regex", "suffix", "stringPrefix", "prefix", "exact")
_SOURCES = ("clusters", "namespaces", "labels", "serviceAccounts")
_DESTINATIONS = ("clusters", "namespaces", "labels", "name")


class AmbiguousError(Exception):
    """Two equal rules give one field different values for this request: api.md says that this is an error."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request of a client of the cluster to a port of a Service."""

    client: Workload
    cluster: str
    service: Service
    port: int
    request: Request


def decided(policies: Sequence[Document], asked: Asked) -> Decision:
    """The value of every field that some rule sets. Raises AmbiguousError."""
    best: dict[Any, tuple[Any, Any]] = {}
    for key, field, value in sorted(_said(policies, asked), key=lambda each: repr(each[0])):
        known = best.get(field)
        if known is None or key > known[0]:
            best[field] = (key, value)
    tied = [f for k, f, v in _said(policies, asked) if best[f][0] == k and best[f][1] != v]
    if tied:
        raise AmbiguousError(str(tied))
    return {field: value for field, (_, value) in best.items() if value != {"disabled": True}}


def _said(policies: Sequence[Document], asked: Asked) -> Iterator[tuple[Any, Any, Any]]:
    """(key of the rule, field, value) of every rule that matches."""
    for policy in policies:
        spec = policy["spec"]
        destinations = [_form(d, _DESTINATIONS) for d in spec["destinations"] if _selects(d, policy["metadata"]["namespace"], asked)]
        sources = [_form(s, _SOURCES) for s in spec.get("sources", [{}]) if _sends(s, asked)]
        for match in spec.get("matches", [{}]):
            if destinations and sources and _matches(match, asked):
                key = (spec.get("priority", 0), *_rank(match), max(sources), max(destinations))
                yield from ((key, field, value) for field, value in _fields(spec))


def _fields(spec: Document) -> Iterator[tuple[Any, Any]]:
    for name in ROUTING:
        if name in spec:
            yield "routing", spec[name] if spec[name] == {"disabled": True} else {name: spec[name]}
    for name in ("timeout", "retries", "fault", "rewrite"):
        if name in spec:
            yield name, spec[name]
    for side, operations in spec.get("headers", {}).items():
        for operation in ("set", "add"):
            yield from ((("headers", side, name.lower()), (operation, value)) for name, value in operations.get(operation, {}).items())
        yield from ((("headers", side, name.lower()), ("remove", "")) for name in operations.get("remove", ()))


def _form(item: Document, forms: Sequence[str]) -> int:
    return max((rank for rank, name in enumerate(forms, 1) if name in item), default=0)


def _selects(item: Document, namespace: str, asked: Asked) -> bool:
    service = asked.service
    namespaces = item.get("namespaces", [namespace] if "name" in item else [service.namespace])
    named = item.get("name", service.name) == service.name and service.namespace in namespaces
    return (
        named and asked.cluster in item.get("clusters", [asked.cluster]) and bool(item.get("labels", {}).items() <= service.labels.items())
    )


def _sends(item: Document, asked: Asked) -> bool:
    client = asked.client
    return (
        client.namespace in item.get("namespaces", [client.namespace])
        and asked.cluster in item.get("clusters", [asked.cluster])
        and bool(item.get("labels", {}).items() <= client.labels.items())
    )


def _rank(match: Document) -> tuple[Any, ...]:
    """Path form and length, header and query conditions, method, authority, port."""
    path = match.get("path", {})
    form = next((name for name in _PATHS if name in path), "")
    length = len(path[form]) if form in ("prefix", "stringPrefix") else 0
    place = _PATHS.index(form) + 1 if form else 0
    return (
        place,
        length,
        len(match.get("headers", ())),
        len(match.get("queryParams", ())),
        "method" in match,
        "authority" in match,
        "port" in match,
    )


def _matches(match: Document, asked: Asked) -> bool:
    request = asked.request
    port = next(p for p in asked.service.ports if p.number == asked.port)
    return (
        ("path" not in match or _path(match["path"], request.path))
        and match.get("method", request.method) == request.method
        and ("port" not in match or match["port"] in (port.number, port.name))
        and ("authority" not in match or _text(match["authority"], request.host))
        and all(_header(h, request.headers) for h in match.get("headers", ()))
        and all(q["name"] in request.query and _text(q, request.query[q["name"]]) for q in match.get("queryParams", ()))
    )


def _path(condition: Document, path: str) -> bool:
    if condition.get("ignoreCase"):
        lowered = {name: value.lower() for name, value in condition.items() if name not in ("ignoreCase", "regex")}
        return _path({**lowered, **({"regex": f"(?i){condition['regex']}"} if "regex" in condition else {})}, path.lower())
    if "prefix" in condition:
        whole = condition["prefix"].rstrip("/")
        return path == whole or path.startswith(f"{whole}/")
    if "stringPrefix" in condition:
        return path.startswith(condition["stringPrefix"])
    return _text(condition, path)


def _text(condition: Document, value: str) -> bool:
    if "regex" in condition and re2.fullmatch(condition["regex"], value) is None:
        return False
    return (
        value == condition.get("exact", value)
        and value.startswith(condition.get("prefix", ""))
        and value.endswith(condition.get("suffix", ""))
    )


def _header(condition: Document, headers: Mapping[str, str]) -> bool:
    value = headers.get(condition["name"].lower())
    return (value is not None and _text(condition, value)) is not condition.get("invert", False)
