"""Request fields of a decided row -> the action of a VirtualService route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from gitmesh.model.base import Disabled, format_duration
from gitmesh.model.facts import Service
from gitmesh.model.policies import Origin
from gitmesh.model.traffic import (
    Cors,
    DirectResponse,
    Fault,
    Headers,
    Mirror,
    Redirect,
    Retries,
    Rewrite,
    SplitTarget,
)
from gitmesh.model.units import Decided, Route, Target
from gitmesh_istio.headers import header_operations
from gitmesh_istio.matches import Choice
from gitmesh_istio.names import host, subset_name
from gitmesh_istio.paths import redirect_path, rewrite_path
from gitmesh_istio.places import part_origins
from gitmesh_istio.scope import Notes, Part

LEAST_PERCENT = 0.0001
"""Smallest share that Istio can express, 0 apart (one in a million)."""

_ANSWERS = ("redirect", "direct_response")
_UNUSED_IN_ANSWERS = ("rewrite", "timeout", "retries", "mirror")
_NAMED_CODES = frozenset(
    (
        *range(100, 104),
        *range(200, 209),
        226,
        *range(300, 306),
        307,
        308,
        *range(400, 419),
        *range(421, 427),
        428,
        429,
        431,
        451,
    )
) | {*range(500, 509), 510, 511}
"""Status codes that istiod's validation knows by name (Go's net/http)."""

_LISTS = {"split": "route", "mirror": "mirrors"}
_PARTS = {
    "": "",
    "weight": ".weight",
    "percent": ".percentage",
    "headers": ".headers",
    "destination.name": ".destination.host",
    "destination.subset": ".destination.subset",
    "destination.port": ".destination.port",
}
"""Parts of an item of a split or mirror -> below the item in Istio."""

_CORS_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"})


class Forward(Struct, frozen=True):
    """Where the requests of a row come from: the Service that was called, and the port that all of them asked
    for (0 = any).
    """

    service: Service
    port: int


def action(route: Route, choice: Choice, asked: Forward, notes: Notes) -> Part:
    """All of one Istio route but its match. Where no split says otherwise the row goes to what was asked
    for.
    """
    fields = _in_force(route)
    answered = next((name for name in _ANSWERS if name in fields), "")
    if answered:
        fields = _without_unused(fields, answered, notes)
    _note_fault(fields, answered, notes)
    value: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name, decided in sorted(fields.items()):
        piece = _piece(name, decided, route, choice, asked, notes)
        value.update(piece)
        origins.update(dict.fromkeys(piece, decided.origin))
        origins.update(
            {**part_origins(name, decided), **_item_origins(name, decided, route)} if piece else {}
        )
    if not answered and "route" not in value:
        value["route"] = [{"destination": destination(Target(service=asked.service), asked.port, notes)}]
    return Part(value, origins)


def _item_origins(name: str, decided: Decided, route: Route) -> dict[str, Origin]:
    """Where each entry of a list and its parts come from, and each header that is changed."""
    if name == "headers":
        who = route.header_origins.items()
        return {
            f"headers.{side}.{kind}.{header}": origin
            for (side, header), origin in who
            for kind in ("set", "add")
        }
    items = route.item_origins.get(name, ())
    if name == "mirror" and items:
        items = tuple(parts for parts, item in zip(items, decided.value, strict=True) if item.percent > 0)
    return {
        f"{_LISTS[name]}[{number}]{_PARTS[part]}": origin
        for number, parts in enumerate(items)
        for part, origin in parts.items()
    }


def is_answered(route: Route) -> bool:
    """Whether the client's proxy answers the requests of the row itself."""
    return any(name in _in_force(route) for name in _ANSWERS)


def _in_force(route: Route) -> dict[str, Decided]:
    return {
        name: decided for name, decided in route.fields.items() if not isinstance(decided.value, Disabled)
    }


def _without_unused(fields: Mapping[str, Decided], answered: str, notes: Notes) -> dict[str, Decided]:
    """A row that is answered by the client's proxy forwards nothing: what shapes forwarding has no meaning
    there.
    """
    what = "redirect" if answered == "redirect" else "directResponse"
    for name in _UNUSED_IN_ANSWERS:
        if name in fields:
            notes.add(
                "GM215",
                f"{name} has no meaning where {what} answers the request; it is left out there",
                fields[name].origin,
            )
    return {name: decided for name, decided in fields.items() if name not in _UNUSED_IN_ANSWERS}


def _note_fault(fields: Mapping[str, Decided], answered: str, notes: Notes) -> None:
    fault = fields.get("fault")
    if fault is None:
        return
    if answered:
        notes.add("GM301", "Istio takes no fault together with redirect or directResponse", fault.origin)
    for name in ("timeout", "retries"):
        if name in fields:
            notes.add(
                "GM303",
                f"Istio does not apply {name} to requests that the fault hits: they are neither cut short nor"
                " retried",
                fault.origin,
            )


def _piece(
    name: str, decided: Decided, route: Route, choice: Choice, asked: Forward, notes: Notes
) -> dict[str, Any]:
    """The Istio fields that one field of ours becomes."""
    origin = decided.origin
    match decided.value:
        case Redirect() as redirect:
            return {"redirect": _redirect(redirect, choice, origin, notes)}
        case DirectResponse() as answer:
            body = {"body": {"string": answer.body}} if answer.body is not None else {}
            return {"directResponse": {"status": answer.status, **body}}
        case Rewrite() as rewrite:
            return {"rewrite": _rewrite(rewrite, choice, origin, notes)}
        case Fault() as fault:
            faults = _fault(fault, origin, notes)
            return {"fault": faults} if faults else {}
        case Retries() as retries:
            return {"retries": _retries(retries, origin, notes)}
        case Cors() as cors:
            return {"corsPolicy": _cors(cors, origin, notes)}
        case Headers() as headers:
            return {"headers": header_operations(headers, _new_host(route), origin, notes)}
        case int() as millis if name == "timeout":
            return {"timeout": format_duration(millis)}
        case tuple() as items if name == "mirror":
            mirrors = _mirrors(items, route.mirrors, asked.port, origin, notes)
            return {"mirrors": mirrors} if mirrors else {}
        case tuple() as items if name == "split":
            return {"route": _split(items, route, asked.port, origin, notes)}
        case other:
            raise TypeError(f"{name}: {type(other).__name__} is no value of a request field")


def _new_host(route: Route) -> str:
    rewrite = route.fields.get("rewrite")
    return (
        (rewrite.value.hostname or "") if rewrite is not None and isinstance(rewrite.value, Rewrite) else ""
    )


def _redirect(redirect: Redirect, choice: Choice, origin: Origin, notes: Notes) -> dict[str, Any]:
    """The code is always written: Istio's default is 301, ours 302. A new host would drop the port that was
    asked for.
    """
    spec: dict[str, Any] = {"redirectCode": redirect.status_code}
    if redirect.hostname is not None and ":" not in redirect.hostname and redirect.port is None:
        spec["derivePort"] = "FROM_REQUEST_PORT"
    given = {"scheme": redirect.scheme, "authority": redirect.hostname, "port": redirect.port}
    spec.update({name: value for name, value in given.items() if value is not None})
    if redirect.path is not None:
        spec.update(redirect_path(redirect.path, choice, origin, notes))
    return spec


def _rewrite(rewrite: Rewrite, choice: Choice, origin: Origin, notes: Notes) -> dict[str, Any]:
    spec: dict[str, Any] = {"authority": rewrite.hostname} if rewrite.hostname is not None else {}
    if rewrite.path is not None:
        spec.update(rewrite_path(rewrite.path, choice, origin, notes))
    return spec


def _percentage(percent: float, what: str, origin: Origin, notes: Notes) -> dict[str, float]:
    """Always written: left out, Istio means 100 for mirrors and nothing for faults."""
    if 0 < percent < LEAST_PERCENT:
        notes.add("GM301", f"{what}: Istio knows no share between 0 and {LEAST_PERCENT} percent", origin)
    return {"value": int(percent) if percent == int(percent) else percent}


def _fault(fault: Fault, origin: Origin, notes: Notes) -> dict[str, Any]:
    """A share of 0 is no fault at all, so it is left out."""
    spec: dict[str, Any] = {}
    if fault.delay is not None and fault.delay.percent > 0:
        share = _percentage(fault.delay.percent, "fault.delay", origin, notes)
        spec["delay"] = {"fixedDelay": format_duration(fault.delay.fixed), "percentage": share}
    if fault.abort is not None and fault.abort.percent > 0:
        share = _percentage(fault.abort.percent, "fault.abort", origin, notes)
        spec["abort"] = {"httpStatus": fault.abort.http_status, "percentage": share}
    return spec


def _retries(retries: Retries, origin: Origin, notes: Notes) -> dict[str, Any]:
    """attempts: 0 switches Istio's own two retries off; an omitted retryOn leaves Istio's list in force."""
    spec: dict[str, Any] = {"attempts": retries.attempts}
    if retries.per_try_timeout is not None:
        spec["perTryTimeout"] = format_duration(retries.per_try_timeout)
    if retries.retry_on is not None:
        unknown = sorted(c for c in retries.retry_on if c.isdigit() and int(c) not in _NAMED_CODES)
        if unknown:
            notes.add(
                "GM301",
                f"Istio cannot retry on the status {', '.join(unknown)}, which has no standard name",
                origin,
            )
        spec["retryOn"] = ",".join(sorted(set(retries.retry_on)))
    if retries.backoff is not None:
        spec["backoff"] = format_duration(retries.backoff)
    return spec


def _cors(cors: Cors, origin: Origin, notes: Notes) -> dict[str, Any]:
    foreign = sorted(set(cors.allow_methods or ()) - _CORS_METHODS)
    if foreign:
        notes.add("GM301", f"Istio's corsPolicy does not take the method {', '.join(foreign)}", origin)
    forms = [
        {form: getattr(item, form)}
        for item in cors.allow_origins
        for form in ("exact", "prefix", "regex")
        if getattr(item, form)
    ]
    spec: dict[str, Any] = {"allowOrigins": sorted(forms, key=lambda form: sorted(form.items()))}
    lists = {
        "allowMethods": cors.allow_methods,
        "allowHeaders": cors.allow_headers,
        "exposeHeaders": cors.expose_headers,
    }
    spec.update({name: sorted(set(values)) for name, values in lists.items() if values})
    if cors.max_age is not None:
        spec["maxAge"] = format_duration(cors.max_age)
    if cors.allow_credentials:
        spec["allowCredentials"] = True
    return spec


def _mirrors(
    items: Sequence[Mirror], targets: Sequence[Target], port: int, origin: Origin, notes: Notes
) -> list[dict[str, Any]]:
    return [
        {
            "destination": destination(target, port, notes),
            "percentage": _percentage(item.percent, "mirror", origin, notes),
        }
        for item, target in zip(items, targets, strict=True)
        if item.percent > 0
    ]


def _split(
    items: Sequence[SplitTarget], route: Route, port: int, origin: Origin, notes: Notes
) -> list[dict[str, Any]]:
    """A single share takes all requests whatever its weight, so it is written without one.

    Of several destinations Envoy makes the header changes before the route's own; istiod makes one list of
    both where there is one destination, the route's first (route.go, processDestination). A second one
    without weight keeps the order.
    """
    shares = []
    for item, target in zip(items, route.targets, strict=True):
        share: dict[str, Any] = {"destination": destination(target, port, notes)}
        if len(items) > 1:
            share["weight"] = item.weight
        if item.headers is not None:
            share["headers"] = header_operations(item.headers, _new_host(route), origin, notes)
        shares.append(share)
    if len(shares) == 1 and "headers" in shares[0] and "headers" in _in_force(route):
        return [{**shares[0], "weight": 1}, {"destination": shares[0]["destination"], "weight": 0}]
    return shares


def is_ambiguous(target: Target) -> bool:
    """Whether the target names no port, and its Service has several."""
    return not target.port and len(target.service.ports) > 1


def destination(target: Target, asked: int, notes: Notes) -> dict[str, Any]:
    """A resolved target; without a port Istio keeps the requested one, which is named (`asked`) where there
    are several.
    """
    service = target.service
    spec: dict[str, Any] = {"host": host(service.namespace, service.name, notes.scope.domain)}
    if target.subset:
        spec["subset"] = subset_name(target.subset)
    port = asked if is_ambiguous(target) else target.port
    if port:
        spec["port"] = {"number": port}
    return spec
