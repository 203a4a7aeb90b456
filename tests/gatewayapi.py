"""What a mesh does with HTTPRoutes, or GRPCRoutes, of one Service, read from the specification alone (Gateway
API 1.6, HTTPRouteRule and GRPCRouteRule `matches`, and GEP-1426), to compare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jsonschema_rs
import yaml

from gitmesh.resolution.matching import Request
from tests.contract.schemas import CRDS, closed

Body = Mapping[str, Any]
Precedence = tuple[bool, int, bool, int, int]


def decided(specs: Sequence[Body], request: Request) -> list[Body]:
    """The rules that may decide a request: of each route the first of its most specific ones; routes may be
    of any age, so what is equally specific in two of them is in doubt."""
    best: dict[int, tuple[Precedence, int, Body]] = {}
    for number, spec in enumerate(specs):
        if not any(parent["port"] == request.port for parent in spec["parentRefs"]):
            continue
        for place, rule in enumerate(spec["rules"]):
            for match in rule["matches"]:
                if not _meets(match, request):
                    continue
                precedence = _precedence(match)
                if number not in best or (precedence, -place) > (best[number][0], -best[number][1]):
                    best[number] = (precedence, place, rule)
    highest = max((precedence for precedence, _, _ in best.values()), default=None)
    return [rule for precedence, _, rule in best.values() if precedence == highest]


GrpcPrecedence = tuple[int, int, int]


def decided_calls(specs: Sequence[Body], request: Request) -> list[Body]:
    """The same of GRPCRoutes, for a request with the path `/service/method`."""
    best: dict[int, tuple[GrpcPrecedence, int, Body]] = {}
    for number, spec in enumerate(specs):
        if not any(parent["port"] == request.port for parent in spec["parentRefs"]):
            continue
        for place, rule in enumerate(spec["rules"]):
            for match in rule.get("matches") or [{}]:
                if not _meets_call(match, request):
                    continue
                called = match.get("method", {})
                precedence = (
                    len(called.get("service", "")),
                    len(called.get("method", "")),
                    len(match.get("headers", ())),
                )
                if number not in best or (precedence, -place) > (best[number][0], -best[number][1]):
                    best[number] = (precedence, place, rule)
    highest = max((precedence for precedence, _, _ in best.values()), default=None)
    return [rule for precedence, _, rule in best.values() if precedence == highest]


def _meets_call(match: Body, request: Request) -> bool:
    _, service, method = request.path.split("/")
    called, headers = match.get("method", {}), {**request.headers, "host": request.authority}
    return (
        called.get("service", service) == service
        and called.get("method", method) == method
        and all(_has(headers, one) for one in match.get("headers", ()))
    )


def _precedence(match: Body) -> Precedence:
    path = match["path"]
    is_exact = path["type"] == "Exact"
    return (
        is_exact,
        0 if is_exact else len(path["value"]),
        "method" in match,
        len(match.get("headers", ())),
        len(match.get("queryParams", ())),
    )


def _meets(match: Body, request: Request) -> bool:
    headers = {**request.headers, "host": request.authority}
    return (
        _on_path(match["path"], request.path)
        and match.get("method") in (None, request.method)
        and all(_has(headers, one) for one in match.get("headers", ()))
        and all(_has(request.query, one) for one in match.get("queryParams", ()))
    )


def _on_path(path: Body, given: str) -> bool:
    value: str = path["value"]
    if path["type"] == "Exact":
        return given == value
    return [part for part in value.split("/") if part] == _segments(given)[: len(_segments(value))]


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/") if path.strip("/") else []


def _has(values: Mapping[str, str], condition: Body) -> bool:
    value = values.get(condition["name"])
    if value is None:
        return False
    wanted: str = condition["value"]
    return value == wanted if condition["type"] == "Exact" else re.fullmatch(wanted, value) is not None


@cache
def schema(kind: str) -> Any:
    """The closed schema of a kind's spec in the experimental channel, which has every field."""
    name = f"gateway.networking.k8s.io_{kind.lower()}s.yaml"
    crd = yaml.safe_load((CRDS / "gateway-api" / "experimental" / name).read_text())
    version = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return jsonschema_rs.Draft202012Validator(closed(version))
