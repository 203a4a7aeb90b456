"""What Istio does with a request by its VirtualService: the first route of which one match holds (virtual_service.proto)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import re2

from tests.soundness.unified_routing import Asked

Body = Mapping[str, Any]
_KNOWN = {
    "uri",
    "ignoreUriCase",
    "method",
    "port",
    "authority",
    "headers",
    "withoutHeaders",
    "queryParams",
    "sourceLabels",
    "sourceNamespace",
}


def route_of(service: Body, asked: Asked) -> Body | None:
    """The route that takes the request; None = 404."""
    routes = service["spec"]["http"]
    return next((route for route in routes if "match" not in route or any(_matches(m, asked) for m in route["match"])), None)


def _matches(match: Body, asked: Asked) -> bool:
    unknown = match.keys() - _KNOWN
    assert not unknown, f"the evaluator does not know {unknown}"
    request, client = asked.request, asked.client
    answers = [
        "uri" not in match or _text(match["uri"], request.path, ignore_case=match.get("ignoreUriCase", False)),
        "method" not in match or _text(match["method"], request.method),
        match.get("port", asked.port) == asked.port,
        "authority" not in match or _text(match["authority"], request.host),
        match.get("sourceLabels", {}).items() <= client.labels.items(),
        match.get("sourceNamespace", client.namespace) == client.namespace,
        all(name in request.headers and _text(m, request.headers[name]) for name, m in match.get("headers", {}).items()),
        not any(_met(m, request.headers.get(name)) for name, m in match.get("withoutHeaders", {}).items()),
        all(name in request.query and _text(m, request.query[name]) for name, m in match.get("queryParams", {}).items()),
    ]
    return all(answers)


def _met(match: Body, value: str | None) -> bool:
    """Presence asks whether the header is there; everything else takes an absent one for the empty text (route.go)."""
    return _text(match, value or "") if match else value is not None


def _text(match: Body, value: str, *, ignore_case: bool = False) -> bool:
    """An empty StringMatch asks for presence only. ignoreUriCase acts on exact and prefix."""
    if "regex" in match:
        return re2.fullmatch(match["regex"], value) is not None
    if ignore_case:
        match, value = {name: text.lower() for name, text in match.items()}, value.lower()
    return bool(value == match.get("exact", value) and value.startswith(match.get("prefix", "")))
