"""Request fields of a decided row -> the action of a VirtualService route."""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.model.base import Disabled, format_duration
from gitmesh.model.policies import Origin
from gitmesh.model.requests import Cors, DirectResponse, Fault, Headers, Redirect, Retries, Rewrite
from gitmesh.model.routes import Decided, Route, Target
from gitmesh_istio.forwarding import Forward, destination, mirrors, new_host, percentage, split
from gitmesh_istio.headers import header_operations
from gitmesh_istio.matches import Choice
from gitmesh_istio.paths import redirection, rewriting
from gitmesh_istio.scope import Notes, Part, Spelling, part_origins

_NEW_PATH = ("path.replaceFullPath", "path.replacePrefixMatch")

SPELT: Spelling = {
    "retries": {
        "attempts": ("retries.attempts",),
        "perTryTimeout": ("retries.perTryTimeout",),
        "retryOn": ("retries.retryOn",),
        "backoff": ("retries.backoff",),
    },
    "fault": {
        "delay.fixed": ("fault.delay.fixedDelay",),
        "delay.percent": ("fault.delay.percentage",),
        "abort.httpStatus": ("fault.abort.httpStatus",),
        "abort.percent": ("fault.abort.percentage",),
    },
    "cors": {
        "allowOrigins": ("corsPolicy.allowOrigins",),
        "allowMethods": ("corsPolicy.allowMethods",),
        "allowHeaders": ("corsPolicy.allowHeaders",),
        "exposeHeaders": ("corsPolicy.exposeHeaders",),
        "maxAge": ("corsPolicy.maxAge",),
        "allowCredentials": ("corsPolicy.allowCredentials",),
    },
    "rewrite": {
        "hostname": ("rewrite.authority",),
        **dict.fromkeys(_NEW_PATH, ("rewrite.uri", "rewrite.uriRegexRewrite")),
    },
    "redirect": {
        "scheme": ("redirect.scheme",),
        "hostname": ("redirect.authority",),
        "port": ("redirect.port",),
        "statusCode": ("redirect.redirectCode",),
        **dict.fromkeys(_NEW_PATH, ("redirect.uri", "redirect.prefixRewrite")),
    },
    "direct_response": {"status": ("directResponse.status",), "body": ("directResponse.body",)},
}
"""Request field -> part of it -> the fields of a route that say it."""
_ANSWERS = ("redirect", "direct_response")
"""Fields by which the client's proxy answers a request itself."""
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


def action(route: Route, choice: Choice, asked: Forward, notes: Notes) -> Part:
    """All of one Istio route but its match. Where no split says otherwise the row goes to what was asked
    for.
    """
    fields = _in_force(route)
    answered = next((name for name in _ANSWERS if name in fields), "")
    if answered:
        fields = _without_unused(fields, answered, notes)
    _note_fault(fields, answered, notes)
    value: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    # Sorted, so that equal actions are equal texts whatever the order in which rules decided them.
    for name, decided in sorted(fields.items()):
        piece = _piece(name, decided, route, choice, asked, notes)
        value.update(piece)
        origins.update(dict.fromkeys(piece, decided.origin))
        origins.update(
            {**part_origins(SPELT, name, decided), **_item_origins(name, decided, route)} if piece else {}
        )
    # istiod refuses a route that neither forwards nor answers (pkg/config/validation, "HTTP route").
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
        # A mirror of 0 percent is not written, so the places of those behind it move up.
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
    """The fields of a row that is answered by the client's proxy."""
    what = "redirect" if answered == "redirect" else "directResponse"
    for name in _UNUSED_IN_ANSWERS:
        if name in fields:
            notes.add(
                "GM215",
                f"{name} has no meaning where {what} answers the request; it is left out there",
                fields[name].origin,
            )
    # Such a row forwards nothing, so that what shapes forwarding has no meaning there.
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
) -> dict[str, object]:
    """The Istio fields that one field of ours becomes."""
    origin = decided.origin
    match decided.value:
        case Redirect() as redirect:
            return {"redirect": redirection(redirect, choice, origin, notes)}
        case DirectResponse() as answer:
            body = {"body": {"string": answer.body}} if answer.body is not None else {}
            return {"directResponse": {"status": answer.status, **body}}
        case Rewrite() as rewrite:
            return {"rewrite": rewriting(rewrite, choice, origin, notes)}
        case Fault() as fault:
            faults = _fault(fault, origin, notes)
            return {"fault": faults} if faults else {}
        case Retries() as retries:
            return {"retries": _retries(retries, origin, notes)}
        case Cors() as cors:
            return {"corsPolicy": _cors(cors, origin, notes)}
        case Headers() as headers:
            return {"headers": header_operations(headers, new_host(route), origin, notes)}
        case int() as millis if name == "timeout":
            return {"timeout": format_duration(millis)}
        case tuple() as items if name == "mirror":
            copies = mirrors(items, route.mirrors, asked.port, origin, notes)
            return {"mirrors": copies} if copies else {}
        case tuple() as items if name == "split":
            return {"route": split(items, route, asked.port, origin, notes)}
        case other:
            raise TypeError(f"{name}: {type(other).__name__} is no value of a request field")


def _fault(fault: Fault, origin: Origin, notes: Notes) -> dict[str, object]:
    """A share of 0 is no fault at all, so it is left out."""
    spec: dict[str, object] = {}
    if fault.delay is not None and fault.delay.percent > 0:
        share = percentage(fault.delay.percent, "fault.delay", origin, notes)
        spec["delay"] = {"fixedDelay": format_duration(fault.delay.fixed), "percentage": share}
    if fault.abort is not None and fault.abort.percent > 0:
        share = percentage(fault.abort.percent, "fault.abort", origin, notes)
        spec["abort"] = {"httpStatus": fault.abort.http_status, "percentage": share}
    return spec


def _retries(retries: Retries, origin: Origin, notes: Notes) -> dict[str, object]:
    """`retries` of a route. An omitted retryOn leaves Istio's list in force."""
    # Also 0: left out, the mesh's default of two retries stays in force.
    spec: dict[str, object] = {"attempts": retries.attempts}
    if retries.per_try_timeout is not None:
        spec["perTryTimeout"] = format_duration(retries.per_try_timeout)
    if retries.retry_on is not None:
        # One such code, and istiod refuses the whole VirtualService, with all routes of the Service.
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


def _cors(cors: Cors, origin: Origin, notes: Notes) -> dict[str, object]:
    foreign = sorted(set(cors.allow_methods or ()) - _CORS_METHODS)
    if foreign:
        notes.add("GM301", f"Istio's corsPolicy does not take the method {', '.join(foreign)}", origin)
    forms = [
        {form: getattr(item, form)}
        for item in cors.allow_origins
        for form in ("exact", "prefix", "regex")
        if getattr(item, form)
    ]
    spec: dict[str, object] = {"allowOrigins": sorted(forms, key=lambda form: sorted(form.items()))}
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
