"""Header changes -> Istio's header operations.

Istio hands values to Envoy, which reads % as the start of a variable: ours are literal, so % is doubled. The
Host header is special: setting it on a request rewrites the authority, every other change of it is refused by
istiod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitmesh.model.policies import Origin
from gitmesh.model.requests import HeaderOps, Headers
from gitmesh_istio.scope import Notes


def header_operations(headers: Headers, new_host: str, origin: Origin, notes: Notes) -> dict[str, Any]:
    """`headers` of a route or of one of its destinations; `new_host` is what rewrite makes of the
    authority.
    """
    _check_host(headers, new_host, origin, notes)
    sides = {"request": headers.request, "response": headers.response}
    return {side: _operations(ops, origin, notes) for side, ops in sides.items() if ops is not None}


def _operations(ops: HeaderOps, origin: Origin, notes: Notes) -> dict[str, object]:
    spec: dict[str, object] = {
        name: _literal(values, origin, notes)
        for name, values in (("set", ops.set), ("add", ops.add))
        if values
    }
    if ops.remove:
        spec["remove"] = sorted(set(ops.remove))
    return spec


def _literal(values: Mapping[str, str], origin: Origin, notes: Notes) -> dict[str, str]:
    for name, value in sorted(values.items()):
        if any((character < " " and character != "\t") or character == "\x7f" for character in value):
            notes.add("GM301", f"Istio refuses control characters in the value of header {name!r}", origin)
    # Doubled, as Envoy reads % as the start of a variable, and refuses a value with one that it does not
    # know (Envoy, "HTTP header manipulation").
    return {name: value.replace("%", "%%") for name, value in values.items()}


def _check_host(headers: Headers, new_host: str, origin: Origin, notes: Notes) -> None:
    request, response = headers.request or HeaderOps(), headers.response or HeaderOps()
    changed = [ops for ops in (request.set, request.add) if ops and "host" in ops]
    refused = "host" in (request.remove or ()) or any(
        "host" in (ops or ()) for ops in (response.set, response.add, response.remove)
    )
    if refused:
        notes.add(
            "GM301",
            "Istio can set the Host header on requests, but not remove it, nor change it on responses",
            origin,
        )
    # All of them become the one host_rewrite of Envoy's RouteAction.
    if len(changed) + bool(new_host) > 1:
        notes.add(
            "GM301", "Istio takes one new Host only: from rewrite.hostname, or from one header change", origin
        )
