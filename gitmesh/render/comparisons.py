"""A comparison as a person reads it on a terminal, and as a versioned document."""

from __future__ import annotations

from collections.abc import Iterator

from gitmesh.model.comparison import ClusterComparison, Comparison, ObjectDelta, RiskLevel
from gitmesh.model.objects import decode
from gitmesh.model.plan import Action
from gitmesh.model.policies import Origin
from gitmesh.model.report import Report
from gitmesh.render.changes import MARKS, object_changes
from gitmesh.render.comment import body_lines
from gitmesh.render.document import Document, document, field_document, findings, origins
from gitmesh.render.escape import printable
from gitmesh.render.findings import findings_text
from gitmesh.render.meaning import OBSERVED, RISKS, MeaningRow, access_total, headline, meaning, reach_text
from gitmesh.render.paint import Paint, Role, plain
from gitmesh.render.plans import FIELDS_SHOWN, field_text, origins_text
from gitmesh.render.summary import by_severity, findings_total
from gitmesh.render.values import counted, masked

_ROLES: dict[RiskLevel, Role] = {RiskLevel.NONE: "good", RiskLevel.LOW: "warning", RiskLevel.HIGH: "error"}
_MARK_ROLES: dict[str, Role] = {
    "Gained": "change",
    "weaker": "error",
    "elsewhere": "error",
    "Lost": "error",
    "Unknown": "warning",
}


def comparison_text(
    comparison: Comparison,
    *,
    drift: Report | None = None,
    full: bool = False,
    access_only: bool = False,
    paint: Paint = plain,
) -> str:
    """What it means first, then the objects, then new findings, then one line of totals. With `full`, new
    objects show their body; with `access_only` nothing else was compared, and no total speaks of it."""
    lines = [
        *_meaning(comparison, paint),
        *_objects(comparison, full=full, paint=paint),
        *_drift(drift, paint),
    ]
    found = findings_text(comparison.told, paint=paint)
    totals = _totals(comparison, paint, access_only=access_only)
    return "".join(f"{line}\n" for line in lines) + found + "".join(f"{line}\n" for line in totals)


def _meaning(comparison: Comparison, paint: Paint) -> Iterator[str]:
    for section, rows in meaning(comparison).items():
        yield paint("strong", section.value)
        yield from (_row(row, paint) for row in rows)
    for cluster in comparison.clusters.values():
        if cluster.unknown:
            yield f"{paint('warning', 'Unknown')}  {printable(cluster.name)}: {printable(cluster.unknown)}"


def _row(row: MeaningRow, paint: Paint) -> str:
    where = f" in {printable(row.where)}" if row.where else ""
    places = paint("faint", f"   {origins_text(row.origins)}") if row.origins else ""
    return f"  {paint(_MARK_ROLES.get(row.mark, 'change'), row.mark)}  {printable(row.text)}{where}{places}"


def _objects(comparison: Comparison, *, full: bool, paint: Paint) -> Iterator[str]:
    """A block for each set of clusters in which the same objects change."""
    blocks: dict[tuple[str, ...], list[str]] = {}
    for cluster in comparison.clusters.values():
        lines = tuple(line for delta in cluster.objects for line in _delta(delta, full=full, paint=paint))
        mode = "" if cluster.enforce else f" ({OBSERVED})"
        if lines or cluster.held:
            held = (f"  held: {printable(', '.join(cluster.held))}",) if cluster.held else ()
            blocks.setdefault((mode, *lines, *held), []).append(cluster.name)
    for (mode, *told), names in blocks.items():
        yield f"{paint('strong', printable(', '.join(names)))}{mode}:"
        yield from told


def _delta(delta: ObjectDelta, *, full: bool, paint: Paint) -> Iterator[str]:
    mark, role = MARKS[delta.action]
    places = origins_text(delta.origins)
    yield f"  {paint(role, printable(f'{mark} {delta.key}'))}" + (
        paint("faint", f"   {places}") if places else ""
    )
    if delta.action is Action.UPDATE:
        yield from (f"      {field_text(field, paint)}" for field in delta.fields[:FIELDS_SHOWN])
        if len(delta.fields) > FIELDS_SHOWN:
            yield f"      ... and {len(delta.fields) - FIELDS_SHOWN} more fields (-o yaml shows all)"
    elif full:
        yield from (f"      {printable(line)}" for line in body_lines(delta))


def _drift(drift: Report | None, paint: Paint) -> Iterator[str]:
    changes = (
        (r.name, change) for r in (drift.clusters.values() if drift else ()) for change in object_changes(r)
    )
    rows = [
        f"  {paint(MARKS[change.action][1], printable(f'{name}: {MARKS[change.action][0]} {change.key}'))}"
        for name, change in changes
    ]
    if rows:
        yield paint("strong", "Not of this change: what live clusters differ in already (gitmesh diff)")
        yield from rows


def _totals(comparison: Comparison, paint: Paint, *, access_only: bool) -> Iterator[str]:
    base, head = comparison.base[:12], comparison.head[:12]
    yield f"{base} -> {head}" + (f", facts: {printable(comparison.facts)}" if comparison.facts else "")
    if comparison.base_problem:
        yield paint("warning", f"compared with nothing: {printable(comparison.base_problem)}")
    # Refused as a whole: no cluster was compared at all.
    if not comparison.clusters:
        yield paint("error", "this revision is refused, and nothing changes")
        return
    if not any(one.changes for one in comparison.clusters.values()):
        same = "decided as before" if access_only else "nothing changes"
        yield f"{same} in {counted(len(comparison.clusters), 'cluster')}{_standing(comparison)}"
        return
    for text, places in comparison.risk.reasons:
        yield f"  {paint('faint', 'because')} {printable(text)}" + (
            paint("faint", f"   {origins_text(places)}") if places else ""
        )
    risk = paint(_ROLES[comparison.risk.level], RISKS[comparison.risk.level])
    total, reach = (
        (access_total(comparison), "")
        if access_only
        else (headline(comparison), f"; {reach_text(comparison)}")
    )
    yield f"{paint('strong', total)}; {risk}{reach}{_standing(comparison)}"


def _standing(comparison: Comparison) -> str:
    return (
        f" (findings as before: {findings_total(by_severity(comparison.standing))})"
        if comparison.standing
        else ""
    )


def comparison_document(comparison: Comparison, *, drift: Report | None = None) -> Document:
    """What `diff --base` answers programs."""
    return document(
        "Comparison",
        base=comparison.base,
        head=comparison.head,
        facts=comparison.facts,
        baseProblem=comparison.base_problem,
        risk={
            "level": comparison.risk.level.value,
            "reasons": [_reason(*one) for one in comparison.risk.reasons],
        },
        findings={
            "new": findings(comparison.appeared),
            "mended": findings(comparison.gone),
            "asBefore": findings(comparison.standing),
        },
        clusters=[_cluster(one) for one in comparison.clusters.values()],
        drift=(
            []
            if drift is None
            else [
                {"cluster": result.name, "object": str(change.key), "action": change.action.value}
                for result in drift.clusters.values()
                for change in object_changes(result)
            ]
        ),
    )


def _reason(text: str, places: tuple[Origin, ...]) -> Document:
    return {"text": text, "origins": origins(places)}


def _cluster(one: ClusterComparison) -> Document:
    return {
        "name": one.name,
        "mode": "Enforce" if one.enforce else "Observe",
        "meshes": [{"name": mesh.name, "version": mesh.version} for mesh in one.meshes],
        "unknown": one.unknown,
        "access": [
            {
                "effect": change.effect.value,
                "callers": list(change.callers),
                "destination": "/".join(change.service),
                "ports": list(change.ports),
                "requests": list(change.requests),
                "before": change.before,
                "after": change.after,
                "why": change.why,
                "origins": origins(change.origins),
            }
            for change in one.access
        ],
        "routes": [
            {
                "destination": "/".join(change.service),
                "requests": change.requests,
                "field": change.field,
                "before": change.before,
                "after": change.after,
                "elsewhere": change.elsewhere,
                "unknown": change.unknown,
                "origins": origins(change.origins),
            }
            for change in one.routes
        ],
        "protection": [
            {
                "subject": change.subject,
                "text": change.text,
                "weaker": change.weaker,
                "origins": origins(change.origins),
            }
            for change in one.protection
        ],
        "reach": {
            "services": ["/".join(key) for key in one.reach.services],
            "workloads": ["/".join(key) for key in one.reach.workloads],
        },
        "held": list(one.held),
        "waiting": origins(one.waiting),
        "objects": [_object(delta) for delta in one.objects],
    }


def _object(delta: ObjectDelta) -> Document:
    return {
        "group": delta.key.group,
        "kind": delta.key.kind,
        "namespace": delta.key.namespace,
        "name": delta.key.name,
        "action": delta.action.value,
        "policies": list(delta.policies),
        "origins": origins(delta.origins),
        "fields": [field_document(field) for field in delta.fields],
        "body": (
            masked("", decode(delta.after or delta.before)) if delta.action is not Action.UPDATE else None
        ),
    }
