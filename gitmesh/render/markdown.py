"""A report as a comment on a pull request: summary first, then details per object; under the forges' size
cap.

Everything that came from a repository or a cluster is escaped: names, messages and values are text, never
markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitmesh.diagnostics import Diagnostic, Severity, foremost
from gitmesh.model.plan import Action
from gitmesh.model.report import ClusterResult, Report, Stage
from gitmesh.render.changes import MARKS, ObjectChange, object_changes, tally
from gitmesh.render.escape import fenced, markdown, printable
from gitmesh.render.findings import MOST_FINDINGS, folded
from gitmesh.render.plans import FIELDS_SHOWN, origins_text
from gitmesh.render.summary import (
    by_severity,
    checked_total,
    findings_total,
    plan_total,
    revisions_line,
    summarise,
)
from gitmesh.render.values import counted, listed, shortened, shown

BUDGET = 60_000
"""Characters of one comment; GitHub's cap is 65,536."""

_ROWS_SHARE = BUDGET // 4
_FINDINGS_SHARE = BUDGET // 3
_RESERVE = 300
_ICON = {Severity.ERROR: "**error**", Severity.WARNING: "warning", Severity.INFO: "note"}
_HEADER = (
    "| Cluster | Mesh | + | ~ | - | adopt | conflict | held | State | Findings"
    " |\n|---|---|---|---|---|---|---|---|---|---|"
)


def report_markdown(report: Report) -> str:
    """The whole comment. What does not fit is cut by whole clusters, findings and objects, and the cut is
    said.
    """
    about = markdown(revisions_line(report))
    title, rows = "\n\n".join(filter(None, (_title(report), about))), _rows(report)
    found = folded(report.diagnostics)
    blocks = _objects(report)
    shown_rows, shown_findings = fitting(rows, _ROWS_SHARE), finding_rows(found, _FINDINGS_SHARE)
    used = sum(len(text) + 1 for text in (title, _HEADER, *shown_rows, *shown_findings))
    small_enough = set(fitting(sorted(blocks, key=len), BUDGET - _RESERVE - used))
    shown_blocks = [block for block in blocks if block in small_enough]
    cut = _cut(
        cluster=len(rows) - len(shown_rows),
        finding=len(found) - len(shown_findings),
        object=len(blocks) - len(shown_blocks),
    )
    table = [_HEADER, *shown_rows, ""] if rows else []
    findings = ["**Findings**", "", *shown_findings, ""] if found else []
    return "\n".join([title, "", *table, *findings, *shown_blocks, cut]).rstrip("\n") + "\n"


def _title(report: Report) -> str:
    summary = summarise(report)
    if report.until is Stage.PARSE or not report.clusters:
        return f"### GitMesh: {checked_total(summary)}"
    total = plan_total(summary, done=report.until is Stage.APPLY)
    return f"### GitMesh: {markdown(total)} ({findings_total(summary.findings)})"


def _rows(report: Report) -> list[str]:
    """One row of the table per cluster."""
    here: dict[str, list[Diagnostic]] = {}
    for one in report.diagnostics:
        here.setdefault(one.cluster, []).append(one)
    done = report.until is Stage.APPLY
    return [
        _row(result, here.get(name, []), done=done and not result.observe_only)
        for name, result in report.clusters.items()
    ]


_COLUMNS = (
    (Action.CREATE,),
    (Action.UPDATE, Action.RELEASE),
    (Action.DELETE,),
    (Action.ADOPT,),
    (Action.CONFLICT,),
    (Action.HELD,),
)
"""Whose fields are taken off stays, so it is among those that change."""


def _row(result: ClusterResult, here: list[Diagnostic], *, done: bool) -> str:
    meshes = (
        ", ".join(f"{mesh.name} {mesh.version}".strip() for mesh in result.facts.meshes)
        if result.facts
        else "unknown"
    )
    totals = tally(result, done=done) if result.plan else None
    counts = [str(sum(totals[one] for one in column)) if totals else "?" for column in _COLUMNS]
    cells = [
        markdown(result.name),
        markdown(meshes or "none"),
        *counts,
        result.state.value,
        findings_total(by_severity(here)),
    ]
    return f"| {' | '.join(cells)} |"


def finding_rows(found: Sequence[Diagnostic], room: int) -> list[str]:
    """As many as fit into so many characters, the foremost where not all do."""
    shown = fitting([_finding_row(one) for one in found[:MOST_FINDINGS]], room)
    if len(shown) == len(found):
        return shown
    return fitting([_finding_row(one) for one in foremost(found, min(MOST_FINDINGS, len(found) - 1))], room)


def _finding_row(one: Diagnostic) -> str:
    where = str(one.at) if one.at else one.policy or one.cluster or "gitmesh"
    named = (f"mesh {one.mesh}" if one.mesh else "", one.cluster if one.cluster != where else "")
    places = f" ({markdown(', '.join(filter(None, named)))})" if any(named) else ""
    hint = f" *{markdown(shortened(one.hint, 400))}*" if one.hint else ""
    text = shortened(f"{one.message} ({one.detail})" if one.detail else one.message, 1000)
    return f"- {_ICON[one.severity]} {one.code} {one.name} {markdown(where)}{places}: {markdown(text)}{hint}"


def _objects(report: Report) -> list[str]:
    """One folded block per changed object; an object that changes alike in several clusters is told once."""
    same: dict[str, list[str]] = {}
    for result in report.clusters.values():
        for change in object_changes(result):
            same.setdefault(_details(change), []).append(result.name)
    return [f"<details><summary>{markdown(', '.join(names))}: {body}" for body, names in same.items()]


def _details(change: ObjectChange) -> str:
    lines = "\n".join(_diff(change))
    origins = origins_text(change.origins)
    said = [markdown(note) for note in (*change.notes, f"from {origins}" if origins else "") if note]
    failure = [f"**failed**: {markdown(shortened(change.failure, 1000))}"] if change.failure else []
    body = "\n\n".join([fenced(lines, "diff"), *said, *failure])
    drift = ", drift" if change.drift else ""
    return (
        f"{markdown(str(change.key))}"
        f" ({markdown(MARKS[change.action][0])}{drift})</summary>\n\n{body}\n\n</details>"
    )


def _diff(change: ObjectChange) -> Iterator[str]:
    mark = {Action.CREATE: "+", Action.DELETE: "-"}.get(change.action, " ")
    yield printable(f"{mark} {change.key}")
    for field in change.fields[:FIELDS_SHOWN]:
        path = printable(field.path)
        if field.live is not None:
            yield f"- {path}: {shown(field.path, field.live)}"
        if field.want is not None:
            yield f"+ {path}: {shown(field.path, field.want)}"
    if len(change.fields) > FIELDS_SHOWN:
        yield f"  ... and {len(change.fields) - FIELDS_SHOWN} more fields"


def fitting(texts: list[str], room: int) -> list[str]:
    """As many texts, from the first, as fit."""
    kept: list[str] = []
    for text in texts:
        room -= len(text) + 1
        if room < 0:
            break
        kept.append(text)
    return kept


def _cut(**left_out: int) -> str:
    parts = [counted(number, noun) for noun, number in left_out.items() if number]
    return f"Cut to fit a comment: {listed(parts)}. The whole plan: `gitmesh diff -o json`." if parts else ""
