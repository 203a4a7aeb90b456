"""What is decided for a request, by docs/concepts.md#precedence alone: every rule is tried, the
greatest wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import re2

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service
from gitmesh.model.workloads import Workload
from tests.soundness.requests import AskedRequest
from tests.soundness.unified_fields import LookedAt, effect, headers

Document: TypeAlias = Mapping[str, Any]
Decision: TypeAlias = dict[Any, Any]
"""Field -> its value in normal form (unified_fields); ("headers", side, name) -> what is done to the header.
"""

ROUTING = ("split", "redirect", "directResponse")
OTHERS = ("rewrite", "fault", "timeout", "retries", "cors", "mirror")
CONNECTION = ("outlierDetection", "connectionPool", "loadBalancing", "tls")
DISABLED = {"disabled": True}
NO_MORE_HEADERS = ("headers",)
OMITTED: Mapping[str, Document] = {
    "outlierDetection": {
        "consecutiveErrors": 5,
        "interval": "10s",
        "baseEjectionTime": "30s",
        "maxEjectionPercent": 10,
        "minHealthPercent": 0,
    }
}
"""What the omitted parts of a field mean."""
_PATHS = ("regex", "suffix", "stringPrefix", "prefix", "exact")
_SOURCES = ("clusters", "namespaces", "labels", "serviceAccounts")
_DESTINATIONS = ("clusters", "namespaces", "labels", "name")


class AmbiguousError(Exception):
    """Two equal rules give one field different values for this request: docs/concepts.md#precedence says that
    this is an error."""


@dataclass(frozen=True, kw_only=True)
class RoutedRequest:
    """A request of a client of the cluster to a port of a Service."""

    client: Workload
    facts: ClusterFacts
    service: Service
    port: int
    request: AskedRequest

    def place(self, condition: Document) -> LookedAt:
        """For the values of a rule with this path condition."""
        return LookedAt(
            facts=self.facts,
            service=self.service,
            port=self.port,
            path=self.request.path,
            condition=condition,
        )


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one rule that matches says of one field."""

    key: Any
    policy: str
    field: Any
    value: Any


def decided(policies: Sequence[Document], asked: RoutedRequest) -> Decision:
    """The value of every field that some rule sets. Raises AmbiguousError."""
    said = list(_said(policies, asked))
    end = max((one.key for one in said if one.field == NO_MORE_HEADERS), default=None)
    if any(end == one.key and one.field[0] == "headers" and _differs(one, end, said) for one in said):
        raise AmbiguousError("headers")
    left = [one for one in said if end is None or one.field[0] != "headers" or one.key >= end]
    best: dict[Any, Said] = {}
    for one in left:
        best[one.field] = max(best.get(one.field, one), one, key=lambda each: each.key)
    tied = [
        one.field for one in left if one.key == best[one.field].key and one.value != best[one.field].value
    ]
    if tied:
        raise AmbiguousError(str(tied))
    return {field: one.value for field, one in best.items() if one.value != DISABLED}


def _differs(one: Said, end: Any, said: Sequence[Said]) -> bool:
    """Whether an equal rule of another policy ends what this one begins."""
    ends = {other.policy for other in said if other.field == NO_MORE_HEADERS and other.key == end}
    return one.field != NO_MORE_HEADERS and bool(ends - {one.policy})


def _said(policies: Sequence[Document], asked: RoutedRequest) -> Iterator[Said]:
    for policy in policies:
        spec = policy["spec"]
        destinations = [
            _form(d, _DESTINATIONS)
            for d in spec["destinations"]
            if _selects(d, policy["metadata"]["namespace"], asked)
        ]
        sources = [_form(s, _SOURCES) for s in spec.get("sources", [{}]) if _sends(s, asked)]
        for match in spec.get("matches", [{}]):
            if destinations and sources and _matches(match, asked):
                key = (spec.get("priority", 0), *_rank(match), max(sources), max(destinations))
                name = f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
                fields = _fields(spec, asked.place(match.get("path", {})))
                yield from (Said(key=key, policy=name, field=field, value=value) for field, value in fields)


def _fields(spec: Document, place: LookedAt) -> Iterator[tuple[Any, Any]]:
    for name in (*ROUTING, *OTHERS, *CONNECTION):
        if name in spec:
            value = DISABLED if spec[name] == DISABLED else effect(name, _whole(name, spec[name]), place)
            yield (
                ("routing", value if value == DISABLED else {name: value})
                if name in ROUTING
                else (name, value)
            )
    if spec.get("headers") == DISABLED:
        yield NO_MORE_HEADERS, DISABLED
    elif "headers" in spec:
        yield from (
            (("headers", side, name), value) for (side, name), value in headers(spec["headers"]).items()
        )


def _whole(name: str, value: Any) -> Any:
    """The value with its omitted parts, where these have a meaning of their own."""
    return {**OMITTED[name], **value} if name in OMITTED else value


def _form(item: Document, forms: Sequence[str]) -> int:
    return max((rank for rank, name in enumerate(forms, 1) if name in item), default=0)


def _selects(item: Document, namespace: str, asked: RoutedRequest) -> bool:
    service = asked.service
    namespaces = item.get("namespaces", [namespace] if "name" in item else [service.namespace])
    named = item.get("name", service.name) == service.name and service.namespace in namespaces
    return (
        named
        and asked.facts.cluster in item.get("clusters", [asked.facts.cluster])
        and bool(item.get("labels", {}).items() <= service.labels.items())
    )


def _sends(item: Document, asked: RoutedRequest) -> bool:
    client = asked.client
    return (
        client.namespace in item.get("namespaces", [client.namespace])
        and client.service_account in item.get("serviceAccounts", [client.service_account])
        and asked.facts.cluster in item.get("clusters", [asked.facts.cluster])
        and bool(item.get("labels", {}).items() <= client.labels.items())
    )


def _rank(match: Document) -> tuple[Any, ...]:
    """Path form and length, header and query conditions, method, authority, port."""
    path = match.get("path", {})
    form = next((name for name in _PATHS if name in path), "")
    length = (
        len(path[form].rstrip("/") or "/")
        if form == "prefix"
        else len(path[form])
        if form == "stringPrefix"
        else 0
    )
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


def _matches(match: Document, asked: RoutedRequest) -> bool:
    request = asked.request
    port = next(p for p in asked.service.ports if p.number == asked.port)
    return (
        ("path" not in match or _path(match["path"], request.path))
        and match.get("method", request.method) == request.method
        and ("port" not in match or match["port"] in (port.number, port.name))
        and ("authority" not in match or _text(match["authority"], request.host))
        and all(_header(h, request.headers) for h in match.get("headers", ()))
        and all(
            q["name"] in request.query and _text(q, request.query[q["name"]])
            for q in match.get("queryParams", ())
        )
    )


def _path(condition: Document, path: str) -> bool:
    if condition.get("ignoreCase"):
        lowered = {
            name: value.lower() for name, value in condition.items() if name not in ("ignoreCase", "regex")
        }
        return _path(
            {**lowered, **({"regex": f"(?i){condition['regex']}"} if "regex" in condition else {})},
            path.lower(),
        )
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
