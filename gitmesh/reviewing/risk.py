"""How much a reviewer should look at a change, with the reasons and the lines that make it so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.comparison import AccessChange, ClusterComparison, Effect, Level, Risk
from gitmesh.model.policies import Origin
from gitmesh.render.meaning import STRANGERS, callers_text
from gitmesh.render.values import listed


class _Reason(NamedTuple):
    high: bool
    text: str
    origins: tuple[Origin, ...] = ()


def risk_of(clusters: Mapping[str, ClusterComparison], appeared: Iterable[Diagnostic]) -> Risk:
    """High where something opens for strangers, a guard weakens, data goes elsewhere, callers lose what they had, or it cannot be told;
    low for any other change. The reasons are those of the level."""
    names = frozenset(clusters)
    found = [reason for one in clusters.values() for reason in _reasons(one, names)]
    if any(one.is_error for one in appeared):
        found.append(_Reason(True, "errors keep a part of it from coming into force"))
    level = Level.HIGH if any(one.high for one in found) else Level.LOW if any(one.changes for one in clusters.values()) else Level.NONE
    told: dict[str, set[Origin]] = {}
    for one in found:
        if one.high or level is not Level.HIGH:
            told.setdefault(one.text, set()).update(one.origins)
    return Risk(level=level, reasons=tuple((text, tuple(sorted(origins))) for text, origins in sorted(told.items())))


def _reasons(cluster: ClusterComparison, names: frozenset[str]) -> Iterator[_Reason]:
    if cluster.unknown:
        yield _Reason(True, f"cluster {cluster.name}: {cluster.unknown}")
    yield from (_of_access(change, callers_text(change.callers, cluster.name, names)) for change in cluster.access)
    yield from (_Reason(change.weaker, f"{change.subject}: {change.text}", change.origins) for change in cluster.protection)
    for route in cluster.routes:
        if route.elsewhere:
            yield _Reason(True, f"{_name(route.service)}: {route.field} sends requests to {route.after}", route.origins)


def _of_access(change: AccessChange, callers: str) -> _Reason:
    name, whom = _name(change.service), callers + (f" ({listed(change.requests)})" if change.requests else "")
    if change.effect is Effect.GAINED:
        strangers = any(caller.startswith(STRANGERS) for caller in change.callers)
        return _Reason(strangers, f"{name} opens to {whom}", change.origins)
    if change.effect is Effect.LOST:
        return _Reason(True, f"{name} closes to {whom}", change.origins)
    if change.effect is Effect.UNKNOWN:
        return _Reason(True, f"{name} cannot be told: {whom}", change.origins)
    return _Reason(False, f"{name} answers otherwise, pod by pod: {whom}", change.origins)


def _name(service: tuple[str, str]) -> str:
    return "/".join(service)
