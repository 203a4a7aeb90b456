"""What of a destination's rows a GRPCRoute can say.

A port has routes of one kind: where both are for it, a mesh follows the GRPCRoute and drops the HTTPRoute
(GEP-1426, 'Route types'). HTTPRoutes say more (timeouts, retries, rewrites), and meshes that proxy HTTP
follow them on ports of gRPC, too; clients that speak gRPC without a proxy follow GRPCRoutes alone. So a port
of gRPC has a GRPCRoute where that says all of its rows, else HTTPRoutes, which is told.

The path of a gRPC request is `/service/method`, its method POST, and it has no query (gRPC over HTTP2). Of
two matches that a request meets both kinds take the same one: an exact path is a service with a method, whole
segments are a service, and headers count alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from gitmesh.model.base import Disabled
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Route
from gitmesh.model.services import Service
from gitmesh_gatewayapi.conditions import RouteMatch
from gitmesh_gatewayapi.precedence import ListedMatch

_PROTOCOL = "grpc"
_FIELDS = frozenset({"split", "mirror", "headers"})
"""The request fields that a GRPCRouteRule has."""
_SERVICE = re.compile(r"\.?[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*\Z")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")
"""What `service` and `method` take (GRPCMethodMatch)."""


def speaks_grpc(service: Service, port: int) -> bool:
    """Whether a port is declared to carry gRPC: by appProtocol, or by its name."""
    # Declared, not guessed: a GRPCRoute for a port of plain HTTP would drop its requests that are no calls.
    return any(one.number == port and one.protocol == _PROTOCOL for one in service.ports)


def listed_for_grpc(listed: Sequence[ListedMatch]) -> list[ListedMatch]:
    """The same rows in terms of services and methods, as far as that can be said (`unsaid`)."""
    return [
        ListedMatch(match=match, action=one.action, never=one.never)
        for one in listed
        if (match := _of_calls(one.match)) is not None
    ]


def unsaid(
    listed: Sequence[ListedMatch], rows: Sequence[tuple[Route, Origin]]
) -> Iterator[tuple[str, Origin]]:
    """What keeps rows from being a GRPCRoute, and where it is said."""
    for one in listed:
        if _of_calls(one.match) is None or any(_of_calls(never) is None for never in one.never):
            yield "its match is not one of services, methods and headers", rows[one.action][1]
    for row, _ in rows:
        for name, decided in sorted(row.fields.items()):
            if name not in _FIELDS and not isinstance(decided.value, Disabled):
                yield f"it has no {name.replace('_', ' ')}", decided.origin


def _of_calls(match: RouteMatch) -> RouteMatch | None:
    """The match in which an exact path is a method, a prefix a service or all; None where it is another."""
    parts = match.path.split("/")[1:]
    if match.method not in ("", "POST") or match.query:
        return None
    if match.path == "/" and not match.exact:
        return replace(match, method="")
    named = _SERVICE.match(parts[0]) and all(map(_METHOD.match, parts[1:]))
    # A prefix of two segments means `/service/method` and everything below it, which no call has: it is the
    # method.
    most, least = 2, 2 if match.exact else 1
    if not named or not least <= len(parts) <= most:
        return None
    return replace(match, method="", exact=len(parts) == most)


def call_of(match: RouteMatch) -> dict[str, str]:
    """The service and the method that a match of `listed_for_grpc` means; none for all of them."""
    parts = [part for part in match.path.split("/") if part]
    return {"type": "Exact", **dict(zip(("service", "method"), parts, strict=False))} if parts else {}
