"""Where the requests of a row go: shares of a split, copies, or the Service that was called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gitmesh.model.policies import Origin
from gitmesh.model.requests import Headers, Mirror, Rewrite, SplitTarget
from gitmesh.model.routes import Route, Target
from gitmesh.model.services import Service
from gitmesh_istio.headers import header_operations
from gitmesh_istio.names import host, subset_name
from gitmesh_istio.scope import Notes

LEAST_PERCENT = 0.0001
"""Smallest share that Istio can express, 0 apart (one in a million)."""


class Forward(Struct, frozen=True):
    """Where the requests of a row come from: the Service that was called, and the port that all of them asked
    for (0 = any).
    """

    service: Service
    port: int


def new_host(route: Route) -> str:
    """What the row makes of the authority, "" where it stays."""
    rewrite = route.fields.get("rewrite")
    return (
        (rewrite.value.hostname or "") if rewrite is not None and isinstance(rewrite.value, Rewrite) else ""
    )


def percentage(percent: float, what: str, origin: Origin, notes: Notes) -> dict[str, float]:
    """A share in percent."""
    if 0 < percent < LEAST_PERCENT:
        notes.add("GM301", f"{what}: Istio knows no share between 0 and {LEAST_PERCENT} percent", origin)
    # Always written: left out, it means 100 for mirrors and nothing for faults.
    return {"value": int(percent) if percent == int(percent) else percent}


def mirrors(
    items: Sequence[Mirror], targets: Sequence[Target], port: int, origin: Origin, notes: Notes
) -> list[dict[str, Any]]:
    """Where copies go; a share of 0 is no mirror, so it is left out."""
    return [
        {
            "destination": destination(target, port, notes),
            "percentage": percentage(item.percent, "mirror", origin, notes),
        }
        for item, target in zip(items, targets, strict=True)
        if item.percent > 0
    ]


def split(
    items: Sequence[SplitTarget], route: Route, port: int, origin: Origin, notes: Notes
) -> list[dict[str, Any]]:
    """A single share takes all requests whatever its weight, so it is written without one.

    Of several destinations Envoy makes the header changes before the route's own; istiod makes one list of
    both where there is one destination, the route's first (route.go, processDestination). A second one
    without weight keeps the order.
    """
    shares = []
    for item, target in zip(items, route.targets, strict=True):
        share: dict[str, object] = {"destination": destination(target, port, notes)}
        if len(items) > 1:
            share["weight"] = item.weight
        if item.headers is not None:
            share["headers"] = header_operations(item.headers, new_host(route), origin, notes)
        shares.append(share)
    if len(shares) == 1 and "headers" in shares[0] and _changes_headers(route):
        # With one destination istiod makes one list of its header changes and the route's, the route's
        # first (route.go, processDestination); the second, of weight 0, keeps Envoy's own order.
        return [{**shares[0], "weight": 1}, {"destination": shares[0]["destination"], "weight": 0}]
    return shares


def _changes_headers(route: Route) -> bool:
    headers = route.fields.get("headers")
    return headers is not None and isinstance(headers.value, Headers)


def is_ambiguous(target: Target) -> bool:
    """Whether the target names no port, and its Service has several."""
    return not target.port and len(target.service.ports) > 1


def destination(target: Target, asked: int, notes: Notes) -> dict[str, Any]:
    """A resolved target; without a port Istio keeps the requested one, which is named (`asked`) where there
    are several.
    """
    service = target.service
    spec: dict[str, object] = {"host": host(service.namespace, service.name, notes.scope.domain)}
    if target.subset:
        spec["subset"] = subset_name(target.subset)
    port = asked if is_ambiguous(target) else target.port
    if port:
        spec["port"] = {"number": port}
    return spec
