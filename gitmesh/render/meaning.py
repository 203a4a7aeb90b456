"""What a comparison means, as rows for people: access, routes and protection, told once for clusters in which
they are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.comparison import (
    NAMELESS,
    AccessChange,
    ClusterComparison,
    Comparison,
    ProtectionChange,
    RightChange,
    RiskLevel,
    RouteChange,
    Weight,
    calling,
    is_stranger,
)
from gitmesh.model.policies import Origin
from gitmesh.render.values import counted, listed, shortened

_CALLERS_SHOWN = 6
# Characters of callers or requests in a row: no row may be so long that it leaves no room for others.
_MOST_OF_A_PART = 300
OBSERVED = "only observed"
RISKS: Mapping[RiskLevel, str] = {
    RiskLevel.NONE: "no risk",
    RiskLevel.LOW: "low risk",
    RiskLevel.HIGH: "high risk",
}


class Section(StrEnum):
    """The parts of a meaning, in their order."""

    ACCESS = "Who may call whom"
    ROUTES = "How requests go"
    PROTECTION = "What protects"


class MeaningRow(Struct, frozen=True, kw_only=True, order=True):
    """One line: what happens (`Gained`, `weaker`), to what, where it is so ("" = in every cluster), and the
    lines that make it so. `text` is not escaped: its names come from repositories and clusters."""

    mark: str
    text: str
    where: str = ""
    origins: tuple[Origin, ...] = ()
    weight: Weight = Weight.LESSER


def meaning(comparison: Comparison) -> Mapping[Section, tuple[MeaningRow, ...]]:
    """The rows of each section that has some, the weightiest first."""
    told: dict[Section, dict[MeaningRow, list[ClusterComparison]]] = {section: {} for section in Section}
    for cluster in comparison.clusters.values():
        for section, row in _rows(cluster, calling(cluster, comparison.clusters.values())):
            told[section].setdefault(row, []).append(cluster)
    every = len(comparison.clusters)
    sorted_rows = {
        section: sorted(rows.items(), key=lambda one: one[0].weight) for section, rows in told.items() if rows
    }
    return {
        section: tuple(_placed(row, where, every) for row, where in rows)
        for section, rows in sorted_rows.items()
    }


def _rows(cluster: ClusterComparison, names: frozenset[str]) -> Iterator[tuple[Section, MeaningRow]]:
    for access in sorted(cluster.access, key=lambda one: (one.weight, one)):
        yield Section.ACCESS, _access(access, callers_text(access.callers, cluster.name, names))
    yield from ((Section.ROUTES, _route(change)) for change in cluster.routes)
    yield from ((Section.PROTECTION, _protection(change)) for change in cluster.protection)


def _placed(row: MeaningRow, clusters: Sequence[ClusterComparison], every: int) -> MeaningRow:
    """The row with where it is so."""
    written = [one.name for one in clusters if one.enforce]
    # That a cluster is only observed is always said: nothing comes of it there.
    watched = [one.name for one in clusters if not one.enforce]
    if len(written) == every:
        return row
    parts = [listed(written, 8)] if written else []
    parts += [f"{listed(watched, 8)} ({OBSERVED})"] if watched else []
    return replace(row, where=", ".join(parts))


def callers_text(callers: Sequence[str], cluster: str, clusters: frozenset[str]) -> str:
    """`anybody else, shop/web, shop/batch@west`. A caller of another cluster is named with it, and one of
    this cluster, too, where the same name elsewhere is not meant.
    """
    # Strangers first, so that a list that is cut never hides them.
    strangers = [caller for caller in callers if is_stranger(caller)]
    # Known pods without identity need no name where everybody without one is meant.
    nameless = [caller for caller in callers if caller.endswith(f" {NAMELESS}") and NAMELESS not in strangers]
    homes: dict[tuple[str, str], set[str]] = {}
    for caller in callers:
        if caller not in strangers and not caller.endswith(f" {NAMELESS}"):
            name, _, rest = caller.partition(" ")
            account, _, home = name.partition("@")
            homes.setdefault((account, rest and f" {rest}"), set()).add(home or cluster)
    named = nameless + [
        text
        for (account, rest), where in sorted(homes.items())
        for text in _homes(account, rest, where, clusters)
    ]
    return shortened(listed([*strangers, *named], max(_CALLERS_SHOWN, len(strangers) + 2)), _MOST_OF_A_PART)


def _homes(account: str, rest: str, where: set[str], clusters: frozenset[str]) -> Iterator[str]:
    if where >= clusters:
        yield f"{account}{rest}"
    else:
        yield from (f"{account}@{home}{rest}" for home in sorted(where))


def _access(change: AccessChange, callers: str) -> MeaningRow:
    requests = f" {shortened(', '.join(change.requests), _MOST_OF_A_PART)}" if change.requests else ""
    ports = f":{','.join(map(str, change.ports))}" if change.ports else ""
    decided = (
        f" ({change.before} -> {change.after})"
        if change.effect in (RightChange.CHANGED, RightChange.UNKNOWN)
        else ""
    )
    text = f"{callers} -> {_name(change.service)}{ports}{requests}{decided}"
    return MeaningRow(mark=change.effect.value, text=text, origins=change.origins, weight=change.weight)


def _route(change: RouteChange) -> MeaningRow:
    if change.unknown:
        return MeaningRow(
            mark="Unknown",
            text=f"{_name(change.service)} {change.field}: {change.unknown}",
            weight=change.weight,
        )
    requests = f" [{shortened(change.requests, _MOST_OF_A_PART)}]" if change.requests else ""
    text = (
        f"{_name(change.service)}{requests} {change.field}: {change.before or OWN} -> {change.after or OWN}"
    )
    return MeaningRow(
        mark="elsewhere" if change.elsewhere else "changed",
        text=text,
        origins=change.origins,
        weight=change.weight,
    )


OWN = "(the mesh's own)"
"""What is shown where no policy sets a field."""


def _protection(change: ProtectionChange) -> MeaningRow:
    mark = "weaker" if change.weaker else "stronger"
    return MeaningRow(
        mark=mark, text=f"{change.subject}: {change.text}", origins=change.origins, weight=change.weight
    )


def _name(service: tuple[str, str]) -> str:
    return "/".join(service)


def reach_text(comparison: Comparison) -> str:
    """`3 services, 5 workloads in 2 clusters`."""
    touched = [one for one in comparison.clusters.values() if one.changes]
    services = sum(len(one.reach.services) for one in touched)
    workloads = sum(len(one.reach.workloads) for one in touched)
    return (
        f"{counted(services, 'service')}, {counted(workloads, 'workload')} in"
        f" {counted(len(touched), 'cluster')}"
    )


def access_total(comparison: Comparison) -> str:
    """`access 2 gained, 0 lost`: as many as rows are told, whatever the number of clusters."""
    # Of what is unknown nobody can say that it is unchanged.
    if not any(one.access or one.unknown for one in comparison.clusters.values()):
        return "access unchanged"
    return f"access {access_counts([row.mark for row in meaning(comparison).get(Section.ACCESS, ())])}"


def access_counts(effects: Sequence[str]) -> str:
    """`2 gained, 0 lost, 1 otherwise`."""
    gained, lost = effects.count(RightChange.GAINED), effects.count(RightChange.LOST)
    rest = len(effects) - gained - lost
    return f"{gained} gained, {lost} lost" + (f", {rest} otherwise" if rest else "")


def headline(comparison: Comparison) -> str:
    """The counts, first of all: `access 1 gained, 0 lost; 2 to create, 1 to change, 0 to delete in 2
    clusters`. What it means comes first, as forges show only the beginning of a status."""
    deltas = [delta for one in comparison.clusters.values() for delta in one.objects]
    counts = {
        name: sum(delta.action.value == name for delta in deltas) for name in ("create", "update", "delete")
    }
    clusters = [one for one in comparison.clusters.values() if one.changes]
    unknown = sum(bool(one.unknown) for one in comparison.clusters.values())
    said = [
        # First, as forges show only the beginning of a status.
        access_total(comparison),
        (
            f"{counts['create']} to create, {counts['update']} to change, {counts['delete']} to delete in"
            f" {counted(len(clusters), 'cluster')}"
        ),
    ]
    said += [f"{counted(unknown, 'cluster')} unknown"] if unknown else []
    return "; ".join(said)
