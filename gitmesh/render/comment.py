"""A comparison as the comment on a pull request: counts first, then what it means and why that is a risk,
then objects, then findings.

Everything that came from a repository or a cluster is escaped: names, messages and values are text, never
markup. The whole stays within the forge's limit: what does not fit is cut by whole rows and whole objects,
the largest last, and the cut is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitmesh.diagnostics import Severity
from gitmesh.model.comparison import ClusterComparison, Comparison, ObjectDelta, RiskLevel
from gitmesh.model.objects import decode
from gitmesh.model.plan import Action
from gitmesh.model.policies import Origin
from gitmesh.model.report import Report
from gitmesh.render.changes import MARKS, object_changes
from gitmesh.render.escape import fenced, markdown, printable
from gitmesh.render.findings import folded
from gitmesh.render.markdown import finding_rows, fitting
from gitmesh.render.meaning import OBSERVED, RISKS, MeaningRow, access_counts, headline, meaning, reach_text
from gitmesh.render.plans import FIELDS_SHOWN, origins_text
from gitmesh.render.summary import by_severity, findings_total
from gitmesh.render.values import counted, listed, masked, shortened, shown
from gitmesh.yaml_text import dump

_HEADER = "| Cluster | Mesh | + | ~ | - | Access | Protection | Held |\n|---|---|---|---|---|---|---|---|"
# What part of the room each section may take at most, so that every one of them is seen.
_SHARES = {"clusters": 0.12, "risk": 0.15, "meaning": 0.3, "findings": 0.2}
_REASONS_SHOWN, _MOST_OF_PLACES = 10, 300
"""Reasons of a risk; and characters of the places behind one row, whose paths may be of any length."""
_FINDINGS = {True: "Findings that are new", False: "Findings"}
# Characters that are kept for the title, the cut and the last line.
_RESERVE = 900


def comparison_markdown(
    comparison: Comparison, *, limit: int, whole: str, drift: Report | None = None
) -> str:
    """The comment, of at most `limit` characters. `whole` says where all of it stands; `drift` is the base
    against the live clusters.
    """
    room = limit - _RESERVE
    rows = _clusters(comparison)
    found = folded(comparison.told)
    table = fitting(rows, int(room * _SHARES["clusters"]))
    told, untold = _meaning(comparison, int(room * _SHARES["meaning"]))
    findings = finding_rows(found, int(room * _SHARES["findings"]))
    head = [
        _title(comparison),
        "",
        *([_HEADER, *table, ""] if rows else []),
        *told,
        *_risk(comparison, int(room * _SHARES["risk"])),
        *_reach(comparison),
    ]
    tail = [
        *([f"**{_FINDINGS[bool(comparison.clusters)]}**", "", *findings, ""] if found else []),
        _others(comparison),
    ]
    used = sum(len(text) + 1 for text in (*head, *tail))
    blocks = [*_objects(comparison), *_drift(drift)]
    # The smallest first, so that most objects are shown of a change that does not fit.
    small_enough = set(fitting(sorted(blocks, key=len), room - used))
    kept = [block for block in blocks if block in small_enough]
    cut = _cut(
        whole,
        cluster=len(rows) - len(table),
        row=untold,
        object=len(blocks) - len(kept),
        finding=len(found) - len(findings),
    )
    return "\n".join([*head, *kept, "", *tail, *cut, _last(comparison)]).rstrip("\n") + "\n"


def _title(comparison: Comparison) -> str:
    if comparison.base_problem:
        problem = markdown(shortened(comparison.base_problem, 200))
        return f"### GitMesh: {markdown(headline(comparison))} (compared with nothing: {problem})"
    if not comparison.clusters:
        errors = sum(one.is_error for one in (*comparison.appeared, *comparison.standing))
        return f"### GitMesh: {counted(errors, 'error')}: this revision is refused, and nothing changes"
    if not any(one.changes for one in comparison.clusters.values()):
        return f"### GitMesh: nothing changes in {counted(len(comparison.clusters), 'cluster')}"
    return f"### GitMesh: {markdown(headline(comparison))}; {_risk_total(comparison.risk.level)}"


def _risk_total(level: RiskLevel) -> str:
    return f"**{RISKS[level]}**" if level is RiskLevel.HIGH else RISKS[level]


def _clusters(comparison: Comparison) -> list[str]:
    """One row for clusters in which the same happens."""
    same: dict[str, list[str]] = {}
    for cluster in comparison.clusters.values():
        same.setdefault(_numbers(cluster), []).append(cluster.name)
    return [f"| {markdown(listed(names, 8))} {numbers}" for numbers, names in same.items()]


def _numbers(cluster: ClusterComparison) -> str:
    meshes = ", ".join(f"{mesh.name} {mesh.version}".strip() for mesh in cluster.meshes) or "unknown"
    mode = "" if cluster.enforce else f"({OBSERVED}) "
    if cluster.unknown and not cluster.objects:
        return f"{mode}| {markdown(meshes)} | ? | ? | ? | {markdown(cluster.unknown)} | ? | ? |"
    counts = [
        str(sum(delta.action is action for delta in cluster.objects))
        for action in (Action.CREATE, Action.UPDATE, Action.DELETE)
    ]
    access = markdown(cluster.unknown) if cluster.unknown else _access_of(cluster)
    weaker = sum(change.weaker for change in cluster.protection)
    guards = f"{weaker} weaker, {len(cluster.protection) - weaker} stronger"
    return f"{mode}| {markdown(meshes)} | {' | '.join(counts)} | {access} | {guards} | {len(cluster.held)} |"


def _access_of(cluster: ClusterComparison) -> str:
    return access_counts([change.effect for change in cluster.access]) if cluster.access else "unchanged"


def _risk(comparison: Comparison, room: int) -> list[str]:
    """The first reasons, as far as they fit."""
    reasons = comparison.risk.reasons
    rows = fitting(
        [f"- {markdown(text)}{_places(origins)}" for text, origins in reasons[:_REASONS_SHOWN]], room
    )
    more = len(reasons) - len(rows)
    rest = [f"- and {counted(more, 'more reason')}"] if more else []
    return [f"**Risk: {comparison.risk.level.value}**", "", *rows, *rest, ""] if reasons else []


def _meaning(comparison: Comparison, room: int) -> tuple[list[str], int]:
    """The sections with as many of their rows as fit, and how many rows do not. What is cut is what weighs
    least, wherever it stands.
    """
    sections = meaning(comparison)
    every = sorted((row for rows in sections.values() for row in rows), key=lambda row: row.weight)
    kept = set(every[: len(fitting([_row(row) for row in every], room))])
    lines = []
    for section, rows in sections.items():
        if shown_rows := [_row(row) for row in rows if row in kept]:
            lines += [f"**{section.value}**", "", *shown_rows, ""]
    return lines, len(every) - len(kept)


def _row(row: MeaningRow) -> str:
    where = f" *in {markdown(row.where)}*" if row.where else ""
    return f"- **{row.mark}** {markdown(row.text)}{where}{_places(row.origins)}"


def _places(origins: tuple[Origin, ...]) -> str:
    return f" - {markdown(shortened(origins_text(origins), _MOST_OF_PLACES))}" if origins else ""


def _reach(comparison: Comparison) -> list[str]:
    return (
        [f"Reach: {reach_text(comparison)}.", ""]
        if any(one.changes for one in comparison.clusters.values())
        else []
    )


def _others(comparison: Comparison) -> str:
    """Findings that this change neither makes nor mends are counted only."""
    standing, gone = folded(comparison.standing), folded(comparison.gone)
    said = [f"{findings_total(by_severity(standing))} as before"] if standing else []
    said += [f"{counted(len(gone), 'finding')} fixed"] if gone else []
    return f"Findings: {', '.join(said)}.\n" if said else ""


def _objects(comparison: Comparison) -> list[str]:
    """One folded block per object; an object that changes alike in several clusters of one mode is told
    once.
    """
    same: dict[tuple[str, bool], list[str]] = {}
    for cluster in comparison.clusters.values():
        for delta in cluster.objects:
            same.setdefault((_details(delta), cluster.enforce), []).append(cluster.name)
    return [
        _folded(names, body, "" if enforce else f" ({OBSERVED})") for (body, enforce), names in same.items()
    ]


def _folded(names: Sequence[str], body: str, note: str = "") -> str:
    return f"<details><summary>{markdown(listed(names, 8))}{note}: {body}"


def _details(delta: ObjectDelta) -> str:
    origins = origins_text(delta.origins)
    lines = [fenced("\n".join(_diff(delta)), "diff"), *([f"from {markdown(origins)}"] if origins else [])]
    return (
        f"{markdown(str(delta.key))}"
        f" ({MARKS[delta.action][0]})</summary>\n\n{chr(10).join(lines)}\n\n</details>"
    )


def _diff(delta: ObjectDelta) -> Iterator[str]:
    mark = MARKS[delta.action][0]
    if delta.action is not Action.UPDATE:
        yield from (printable(f"{mark} {line}") for line in body_lines(delta))
        return
    yield printable(f"  {delta.key}")
    for field in delta.fields[:FIELDS_SHOWN]:
        path, place = printable(field.path), f"   # {origins_text((field.origin,))}" if field.origin else ""
        old, new = shown(field.path, field.live), shown(field.path, field.want)
        if field.live is not None:
            yield f"- {path}: {old}"
        if field.want is not None:
            # Where both are cut, or are credentials that are not shown, they read alike.
            yield f"+ {path}: {new if new != old else f'{new} (changed)'}{place}"
        elif place:
            yield f"  {place.lstrip()}"
    if len(delta.fields) > FIELDS_SHOWN:
        yield f"  ... and {len(delta.fields) - FIELDS_SHOWN} more fields"


def body_lines(delta: ObjectDelta) -> list[str]:
    """The object that is new, or that goes, as YAML without credentials."""
    return dump(masked("", decode(delta.after or delta.before))).splitlines()


def _drift(drift: Report | None) -> list[str]:
    """What the live clusters differ in from the base already: not of this change."""
    if drift is None:
        return []
    rows = [
        f"- {markdown(result.name)}: {markdown(str(change.key))} ({markdown(MARKS[change.action][0])})"
        for result in drift.clusters.values()
        for change in object_changes(result)
    ]
    if not rows:
        return []
    total = counted(len(rows), "object")
    return [
        "<details><summary>Not of this change: live clusters differ in"
        f" {total}</summary>\n\n{chr(10).join(rows)}\n\n</details>"
    ]


def _cut(whole: str, **left_out: int) -> list[str]:
    parts = [counted(number, noun) for noun, number in left_out.items() if number > 0]
    return [f"Cut to fit a comment: {listed(parts)}. All of it: {whole}.", ""] if parts else []


def _last(comparison: Comparison) -> str:
    base, head = comparison.base[:12] or "?", comparison.head[:12] or "?"
    facts = f" Facts: {markdown(comparison.facts)}." if comparison.facts else ""
    return f"<sub>`gitmesh diff --base {printable(base)} --head {printable(head)}`.{facts}</sub>"


STATUS_ROOM = 140
"""Characters of a commit status that every forge takes whole: what a forge cut would look like another status
ever after.
"""


def status_text(comparison: Comparison) -> str:
    """The text of a commit status: `low risk; access 1 gained, 0 lost; 2 to create, ...`."""
    new = by_severity(folded(comparison.appeared))
    errors = f", {counted(new[Severity.ERROR], 'new error')}" if new[Severity.ERROR] else ""
    if not comparison.clusters:
        return f"refused{errors}; nothing changes"
    if not any(one.changes for one in comparison.clusters.values()):
        return f"nothing changes in {counted(len(comparison.clusters), 'cluster')}{errors}"
    # The risk and new errors first, as forges show only the beginning of a status.
    return shortened(f"{RISKS[comparison.risk.level]}{errors}; {headline(comparison)}", STATUS_ROOM)
