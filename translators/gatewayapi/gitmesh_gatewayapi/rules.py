"""One row of a destination -> the rule of an HTTPRoute for one of its matches, without the matches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gitmesh.model.base import Disabled
from gitmesh.model.policies import Origin
from gitmesh.model.requests import Cors, Headers, Redirect, Retries, Rewrite
from gitmesh.model.routes import Decided, Route, Target
from gitmesh.model.services import Service
from gitmesh_gatewayapi.conditions import RouteMatch
from gitmesh_gatewayapi.filters import (
    cors_filter,
    header_filters,
    mirror_filter,
    redirect_filter,
    rewrite_filter,
)
from gitmesh_gatewayapi.remarks import Remarks
from gitmesh_gatewayapi.shares import parted

MAX_BACKENDS = 16
_FILTERS = ("headers", "rewrite", "redirect", "mirror", "cors")
_NOT_WITH_REDIRECT = ("rewrite", "timeout", "retries", "mirror")
_UNKNOWN = {
    "fault": "HTTPRoutes cannot inject faults",
    "direct_response": "HTTPRoutes cannot answer requests themselves",
}
_NOT_FOUND = 404
_NOT_BEFORE_ANSWERS = {"timeout", "retries"}
"""What has no meaning for requests that are sent nowhere."""
_UNITS = (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_MOST_HOURS = 99_999


class HttpRule(Struct, frozen=True):
    """A rule but for its matches, and where its parts come from: dotted path below the rule -> origin."""

    body: Mapping[str, Any]
    origins: Mapping[str, Origin]


class Called(Struct, frozen=True):
    """What requests asked for: the Service and its port, in whose namespace the route is."""

    service: Service
    port: int


def untouched(called: Called) -> HttpRule:
    """The rule of what no row matches: an HTTPRoute answers 404 where no rule does."""
    # 1 is the CRD's default, written out.
    backend = {**_service(called.service, called.port, called), "weight": 1}
    return HttpRule({"backendRefs": [backend]}, {})


def is_not_found(route: Route) -> bool:
    """Whether its requests get just what they get where no rule matches (HTTPRouteRule: 404)."""
    fields = {n: decided for n, decided in route.fields.items() if not isinstance(decided.value, Disabled)}
    answer = fields.pop("direct_response", None)
    plain = answer is not None and answer.value.status == _NOT_FOUND and not answer.value.body
    return plain and fields.keys() <= _NOT_BEFORE_ANSWERS


def rule(route: Route, match: RouteMatch, called: Called, remarks: Remarks) -> HttpRule:
    """What becomes of the requests of a row that meet this match."""
    fields = _in_force(route, remarks)
    own, of_shares = parted(
        _value(fields, "headers"), [item.headers for item in _value(fields, "split") or ()]
    )
    filters: list[tuple[dict[str, Any], Origin]] = []
    for name in _FILTERS:
        if name in fields:
            origin = fields[name].origin
            made = (
                header_filters(own, origin, remarks)
                if name == "headers"
                else _filters(fields[name], route, match, called, remarks)
            )
            filters += [(one, origin) for one in made]
    body: dict[str, Any] = {"filters": [one for one, _ in filters]} if filters else {}
    origins = {f"filters[{number}]": origin for number, (_, origin) in enumerate(filters)}
    # A redirect answers: beside it the CRD takes no backendRefs (HTTPRouteRule).
    if "redirect" not in fields:
        body["backendRefs"] = _backends(route, fields.get("split"), of_shares, called, remarks)
        if "split" in fields:
            origins["backendRefs"] = fields["split"].origin
    for name, piece, origin in _timing(fields, remarks):
        part, _, inner = name.partition(".")
        body[part] = {**body.get(part, {}), **({inner: piece} if inner else piece)}
        origins[name] = origin
    return HttpRule(body, origins)


def _in_force(route: Route, remarks: Remarks) -> dict[str, Decided]:
    """The fields that a rule is made of; what has no meaning beside a redirect is noted, and what cannot be
    said."""
    fields = {n: decided for n, decided in route.fields.items() if not isinstance(decided.value, Disabled)}
    for name, text in _UNKNOWN.items():
        if name in fields:
            remarks.unsupported(text, fields[name].origin)
    unused = [name for name in _NOT_WITH_REDIRECT if name in fields] if "redirect" in fields else []
    for name in unused:
        text = f"{name} has no meaning where redirect answers the request; it is left out there"
        remarks.add("GM215", text, fields[name].origin)
    return {name: decided for name, decided in fields.items() if name not in unused}


def _filters(
    decided: Decided, route: Route, match: RouteMatch, called: Called, remarks: Remarks
) -> Iterable[dict[str, Any]]:
    origin = decided.origin
    match decided.value:
        case Rewrite() as rewrite:
            return [rewrite_filter(rewrite, route.match.path, match, origin, remarks)]
        case Redirect() as redirect:
            return [redirect_filter(redirect, route.match.path, match, called.port, origin, remarks)]
        case Cors() as cors:
            return [cors_filter(cors, origin, remarks)]
        case tuple() as items:
            return [
                mirror_filter(_backend(target, called, origin, remarks), item.percent, origin, remarks)
                for item, target in zip(items, route.mirrors, strict=True)
                # A mirror of nothing is none.
                if item.percent > 0
            ]
        case other:
            raise TypeError(f"{type(other).__name__} is no value of a request field")


def _value(fields: Mapping[str, Decided], name: str) -> Any:
    return fields[name].value if name in fields else None


def _backends(
    route: Route,
    split: Decided | None,
    headers: Sequence[Headers | None],
    called: Called,
    remarks: Remarks,
) -> list[dict[str, Any]]:
    if split is None:
        return [{**_service(called.service, called.port, called), "weight": 1}]
    found = []
    for item, target, changes in zip(split.value, route.targets, headers, strict=True):
        backend = {**_backend(target, called, split.origin, remarks), "weight": item.weight}
        if changes is not None:
            backend["filters"] = header_filters(changes, split.origin, remarks)
        found.append(backend)
    if len(found) > MAX_BACKENDS:
        remarks.unsupported(f"an HTTPRoute splits among {MAX_BACKENDS} at most", split.origin)
    return found


def _backend(target: Target, called: Called, origin: Origin, remarks: Remarks) -> dict[str, Any]:
    """A Service of the cluster at a port of its own: the one that is named, else the requested one, else the
    only one.
    """
    service = target.service
    shown = f"{service.namespace}/{service.name}"
    if target.subset:
        remarks.unsupported(
            f"an HTTPRoute names Services, and no subset of {shown}",
            origin,
            "Make a Service that selects these pods, and name it.",
        )
    numbers = [port.number for port in service.ports]
    # A backendRef to a Service has a port (BackendObjectReference: required where the referent is a
    # Service).
    port = target.port or (called.port if called.port in numbers else 0)
    if not port and len(numbers) == 1:
        port = numbers[0]
    if not port:
        remarks.unsupported(f"{shown} has no port {called.port}; name one of its ports", origin)
    return _service(service, port, called)


def _service(service: Service, port: int, called: Called) -> dict[str, Any]:
    elsewhere = service.namespace != called.service.namespace
    place = {"namespace": service.namespace} if elsewhere else {}
    return {"group": "", "kind": "Service", "name": service.name, **place, "port": port}


def _timing(fields: Mapping[str, Decided], remarks: Remarks) -> Iterable[tuple[str, Any, Origin]]:
    """(dotted name, value, origin) of timeouts and retries; "timeouts.request" is one field of `timeouts`."""
    if timeout := fields.get("timeout"):
        remarks.served("spec.rules.timeouts.request", timeout.origin)
        yield "timeouts.request", _duration(timeout.value, timeout.origin, remarks), timeout.origin
    if decided := fields.get("retries"):
        retries: Retries = decided.value
        if retries.per_try_timeout is not None:
            remarks.served("spec.rules.timeouts.backendRequest", decided.origin)
            each = retries.per_try_timeout
            # HTTPRouteTimeouts: backendRequest must not exceed request, but 0 switches request off.
            if timeout and 0 < timeout.value < each:
                remarks.unsupported("an HTTPRoute takes no perTryTimeout above timeout", decided.origin)
            yield "timeouts.backendRequest", _duration(each, decided.origin, remarks), decided.origin
        yield "retry", _retry(retries, decided.origin, remarks), decided.origin


def _retry(retries: Retries, origin: Origin, remarks: Remarks) -> dict[str, Any]:
    remarks.served("spec.rules.retry", origin)
    spec: dict[str, Any] = {"attempts": retries.attempts}
    if not retries.attempts:  # HTTPRouteRetry of 1.6: at least one; without `retry` a mesh may have its own
        remarks.unsupported("HTTPRoutes cannot say that nothing is retried", origin)
    always = remarks.dialect.always_retried
    wanted = set(retries.retry_on or ())
    codes = sorted({int(condition) for condition in wanted if condition.isdigit()})
    if any(code < 400 for code in codes):
        remarks.unsupported("HTTPRoutes retry on codes from 400 on", origin)
    if unknown := sorted(name for name in wanted - always if not name.isdigit()):
        remarks.unsupported(
            f"HTTPRoutes retry on status codes; {', '.join(unknown)} cannot be expressed",
            origin,
            "Write codes, in quotes.",
        )
    if retries.retry_on and (further := sorted(always - wanted)):
        text = f"{remarks.dialect.mesh} retries on {', '.join(further)}, too"
        remarks.add("GM303", text, origin)
    if codes:
        spec["codes"] = codes
    if retries.backoff is not None:
        spec["backoff"] = _duration(retries.backoff, origin, remarks)
    return spec


def _duration(millis: int, origin: Origin, remarks: Remarks) -> str:
    """`1h30s`: whole numbers of units, of five digits (GEP-2257)."""
    parts, left = [], millis
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        parts += [f"{count}{unit}"] if count else []
    if millis // _UNITS[0][1] > _MOST_HOURS:
        remarks.unsupported(f"an HTTPRoute takes no time above {_MOST_HOURS} hours", origin)
    return "".join(parts) or "0s"
