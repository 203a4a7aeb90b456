"""Request fields of a row -> filters of an HTTPRoute's rule. Defaults of the CRD are written out, so that
what a server adds is no difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gitmesh.model.conditions import TextCondition
from gitmesh.model.policies import Origin
from gitmesh.model.requests import Cors, HeaderOps, Headers, PathRewrite, Redirect, Rewrite
from gitmesh_gatewayapi.conditions import RouteMatch
from gitmesh_gatewayapi.matches import METHODS
from gitmesh_gatewayapi.remarks import Remarks

Filter: TypeAlias = dict[str, Any]

MAX_CHANGES, MAX_CORS = 16, 64
_HOSTNAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_ORIGIN = re.compile(r"https?://(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:[0-9]{1,5})?)\Z")
_WELL_KNOWN = (80, 443)
_DEFAULT_MAX_AGE = 5
_HOST = "host"


def header_filters(headers: Headers | None, origin: Origin, remarks: Remarks) -> list[Filter]:
    """A filter for each side that is changed."""
    sides = (("Request", headers.request), ("Response", headers.response)) if headers else ()
    return [
        {
            "type": f"{side}HeaderModifier",
            f"{side.lower()}HeaderModifier": _operations(ops, origin, remarks),
        }
        for side, ops in sides
        if ops is not None
    ]


def _operations(ops: HeaderOps, origin: Origin, remarks: Remarks) -> dict[str, Any]:
    changes = {"set": _named(ops.set or {}, origin, remarks), "add": _named(ops.add or {}, origin, remarks)}
    spec: dict[str, Any] = {name: values for name, values in changes.items() if values}
    if ops.remove:
        spec["remove"] = sorted(set(ops.remove))
    if _HOST in {*(ops.set or ()), *(ops.add or ()), *(ops.remove or ())}:
        remarks.unsupported(
            "an HTTPRoute cannot change the Host header", origin, "Use rewrite.hostname for requests."
        )
    if any(len(values) > MAX_CHANGES for values in spec.values()):
        remarks.unsupported(f"an HTTPRoute takes {MAX_CHANGES} header changes of a kind", origin)
    return spec


def _named(values: Mapping[str, str], origin: Origin, remarks: Remarks) -> list[dict[str, str]]:
    for name, value in sorted(values.items()):
        if not value or any((one < " " and one != "\t") or one == "\x7f" for one in value):
            remarks.unsupported(
                f"an HTTPRoute takes no empty value and no control characters for header {name!r}", origin
            )
    doubled = remarks.dialect.doubled_percent
    return [
        # Envoy reads %NAME% in header values as a variable, and a policy means text.
        {"name": name, "value": value.replace("%", "%%") if doubled else value}
        for name, value in sorted(values.items())
    ]


def rewrite_filter(
    rewrite: Rewrite, asked: TextCondition | None, match: RouteMatch, origin: Origin, remarks: Remarks
) -> Filter:
    """`asked` is the condition on paths of the row, `match` one of its matches."""
    spec: dict[str, Any] = {}
    if rewrite.hostname is not None:
        spec["hostname"] = _hostname(rewrite.hostname, origin, remarks)
    if rewrite.path is not None:
        spec["path"] = _new_path(rewrite.path, asked, match, origin, remarks)
    return {"type": "URLRewrite", "urlRewrite": spec}


def redirect_filter(
    redirect: Redirect,
    asked: TextCondition | None,
    match: RouteMatch,
    port: int,
    origin: Origin,
    remarks: Remarks,
) -> Filter:
    """The port is written: left out, it would be that of the scheme, not the requested one."""
    spec: dict[str, Any] = {"statusCode": redirect.status_code}
    if redirect.scheme is not None:
        spec["scheme"] = redirect.scheme
    hostname, given = _host_and_port(redirect.hostname)
    if hostname:
        spec["hostname"] = _hostname(hostname, origin, remarks)
    new = redirect.port or given or port
    # HTTPRequestRedirectFilter, port: where a scheme is given, its well-known port is what is left out.
    if redirect.port or given or not redirect.scheme or new not in _WELL_KNOWN:
        spec["port"] = new
    if redirect.path is not None:
        spec["path"] = _new_path(redirect.path, asked, match, origin, remarks)
    return {"type": "RequestRedirect", "requestRedirect": spec}


def _host_and_port(text: str | None) -> tuple[str, int]:
    host, _, port = (text or "").partition(":")
    return host, int(port) if port else 0


def _hostname(text: str, origin: Origin, remarks: Remarks) -> str:
    if not _HOSTNAME.match(text.lower()):
        remarks.unsupported(f"an HTTPRoute takes a host name without a port, not {text}", origin)
    return text.lower()


def _new_path(
    new: PathRewrite, asked: TextCondition | None, match: RouteMatch, origin: Origin, remarks: Remarks
) -> dict[str, str]:
    """What becomes of the path. A narrower match must keep what it matches beyond the row's own prefix."""
    if new.replace_full_path is not None:
        return {"type": "ReplaceFullPath", "replaceFullPath": new.replace_full_path}
    if asked is None or asked.form != "prefix" or asked.value == "/":
        remarks.unsupported(
            "HTTPRoutes replace the prefix that path.prefix of the match names, and / is none", origin
        )
        return {}
    # A match that was made narrower than the row's own prefix: what it matches beyond that must stay in the
    # path.
    rest = match.path[len(asked.value.rstrip("/")) :]
    text = (new.replace_prefix_match or "").rstrip("/") + rest if rest else new.replace_prefix_match or "/"
    # ReplacePrefixMatch is valid with a prefix match alone (HTTPPathModifier).
    if match.exact:
        return {"type": "ReplaceFullPath", "replaceFullPath": text or "/"}
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": text or "/"}


def mirror_filter(backend: dict[str, Any], percent: float, origin: Origin, remarks: Remarks) -> Filter:
    """The share is always written; a fraction counts in parts of a million where it is no whole percent."""
    spec: dict[str, Any] = {"backendRef": backend}
    if percent == int(percent):
        remarks.served("spec.rules.filters.requestMirror.percent", origin)
        spec["percent"] = int(percent)
    else:
        remarks.served("spec.rules.filters.requestMirror.fraction", origin)
        parts = round(percent * 10_000)
        # Rounded to 0 it would say "no copy", where the policy wants some.
        if not parts:
            remarks.unsupported("mirror: HTTPRoutes know no share between 0 and 0.0001 percent", origin)
        spec["fraction"] = {"numerator": parts, "denominator": 1_000_000}
    return {"type": "RequestMirror", "requestMirror": spec}


def cors_filter(cors: Cors, origin: Origin, remarks: Remarks) -> Filter:
    """Origins by name, with `*` for any host."""
    remarks.served("spec.rules.filters.cors", origin)
    origins = [item.exact or "" for item in cors.allow_origins]
    if any(one != "*" and not _ORIGIN.match(one) for one in origins):
        remarks.unsupported(
            "the cors filter of HTTPRoutes takes exact origins (scheme://host[:port]) and *, no prefix or"
            " regex",
            origin,
        )
    if foreign := sorted(set(cors.allow_methods or ()) - METHODS):
        remarks.unsupported(f"HTTPRoutes know no method {', '.join(foreign)}", origin)
    lists: dict[str, Sequence[str]] = {
        # `*` beside others is refused by the CRD, and says all of them anyway.
        "allowOrigins": ["*"] if "*" in origins else origins,
        "allowMethods": cors.allow_methods or (),
        "allowHeaders": cors.allow_headers or (),
        "exposeHeaders": cors.expose_headers or (),
    }
    spec: dict[str, Any] = {name: sorted(set(values)) for name, values in lists.items() if values}
    if any(len(values) > MAX_CORS for values in spec.values()):
        remarks.unsupported(f"the cors filter takes lists of at most {MAX_CORS}", origin)
    # HTTPCORSFilter, maxAge: 5 by default, written out so that what a server adds is no difference.
    spec["maxAge"] = _DEFAULT_MAX_AGE if cors.max_age is None else cors.max_age // 1000
    # The CRD's minimum is 1 (HTTPCORSFilter, maxAge).
    if not spec["maxAge"]:
        remarks.unsupported("the cors filter takes no maxAge of 0", origin)
    if cors.allow_credentials:
        spec["allowCredentials"] = True
    return {"type": "CORS", "cors": spec}
