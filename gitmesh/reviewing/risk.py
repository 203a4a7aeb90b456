"""How much a reviewer should look at a change, with the reasons and the lines that make it so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.comparison import (
    AccessChange,
    ClusterComparison,
    RightChange,
    Risk,
    RiskLevel,
    Weight,
    calling,
)
from gitmesh.model.policies import Origin
from gitmesh.render.meaning import callers_text
from gitmesh.render.values import listed


class _Reason(NamedTuple):
    weight: Weight
    text: str
    origins: tuple[Origin, ...] = ()


def risk_of(clusters: Mapping[str, ClusterComparison], appeared: Iterable[Diagnostic]) -> Risk:
    """High where something opens for strangers, a guard weakens, data goes elsewhere, callers lose what they
    had, or it cannot be told; low for any other change. The reasons are those of the level, the weightiest
    first.
    """
    compared = clusters.values()
    found = [reason for one in compared for reason in _reasons(one, calling(one, compared))]
    if any(one.is_error for one in appeared):
        found.append(_Reason(Weight.UNTOLD, "errors keep a part of it from coming into force"))
    heavy = [one for one in found if one.weight < Weight.LESSER]
    level = (
        RiskLevel.HIGH
        if heavy
        else RiskLevel.LOW
        if any(one.changes for one in clusters.values())
        else RiskLevel.NONE
    )
    # By their text: clusters in which the same is a risk give one reason.
    told: dict[str, set[Origin]] = {}
    for one in sorted(heavy or found):
        told.setdefault(one.text, set()).update(one.origins)
    return Risk(level=level, reasons=tuple((text, tuple(sorted(origins))) for text, origins in told.items()))


def _reasons(cluster: ClusterComparison, names: frozenset[str]) -> Iterator[_Reason]:
    if cluster.unknown:
        yield _Reason(Weight.UNTOLD, f"cluster {cluster.name}: {cluster.unknown}")
    yield from (
        _of_access(change, callers_text(change.callers, cluster.name, names)) for change in cluster.access
    )
    yield from (
        _Reason(change.weight, f"{change.subject}: {change.text}", change.origins)
        for change in cluster.protection
    )
    for place in cluster.waiting:
        yield _Reason(
            Weight.UNTOLD,
            f"{place.policy} differs and is held: what it comes to when that is mended cannot be told",
            (place,),
        )
    for route in cluster.routes:
        if route.unknown:
            yield _Reason(
                route.weight, f"{_name(route.service)} {route.field} cannot be told: {route.unknown}"
            )
        if route.elsewhere:
            yield _Reason(
                route.weight,
                f"{_name(route.service)}: {route.field} sends requests to {route.after}",
                route.origins,
            )


def _of_access(change: AccessChange, callers: str) -> _Reason:
    name, whom = _name(change.service), callers + (f" ({listed(change.requests)})" if change.requests else "")
    pods = f" ({change.before} -> {change.after})" if change.effect is RightChange.CHANGED else ""
    return _Reason(change.weight, f"{name} {_DONE[change.effect]} {whom}{pods}", change.origins)


_DONE = {
    RightChange.GAINED: "opens to",
    RightChange.LOST: "closes to",
    RightChange.UNKNOWN: "cannot be told:",
    RightChange.CHANGED: "answers otherwise, pod by pod:",
}


def _name(service: tuple[str, str]) -> str:
    return "/".join(service)
