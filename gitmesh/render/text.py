"""A report as a person reads it on a terminal. Colours only where `paint` adds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.report import Report, Stage
from gitmesh.model.workloads import Workload, by_controller
from gitmesh.render.escape import printable
from gitmesh.render.findings import findings_text
from gitmesh.render.paint import Paint, plain
from gitmesh.render.plans import plan_text
from gitmesh.render.summary import (
    checked_total,
    findings_total,
    plan_total,
    revisions_line,
    summarise,
    verdicts_total,
)
from gitmesh.render.values import counted


def report_text(report: Report, *, paint: Paint = plain) -> str:
    """Findings, then the plan of each cluster, then one line of totals: exactly as far as the run went."""
    found = findings_text(report.diagnostics, paint=paint)
    summary = summarise(report)
    about = f"{paint('faint', line)}\n" if (line := printable(revisions_line(report))) else ""
    if report.until is Stage.PARSE or not report.clusters:
        return f"{found}{about}{checked_total(summary)}\n"
    done = report.until is Stage.APPLY
    body = plan_text(report, paint=paint, done=done)
    total = plan_total(summary, done=done)
    noted = f" ({findings_total(summary.findings)})" if report.diagnostics else ""
    verdicts = verdicts_total(summary.verdicts) if done else ""
    return f"{found}{body}{about}{paint('strong', total)}{noted}\n" + (f"{verdicts}\n" if verdicts else "")


def facts_text(facts: Iterable[ClusterFacts], *, paint: Paint = plain) -> str:
    """What was discovered: meshes, then Services with the workloads behind them."""
    return "\n".join(_cluster_facts(one, paint) for one in facts)


def _cluster_facts(facts: ClusterFacts, paint: Paint) -> str:
    totals = (
        counted(len(facts.services), "service"),
        counted(len(by_controller(facts.workloads)), "workload"),
        counted(len(facts.namespaces), "namespace"),
    )
    partly = "" if facts.complete else paint("warning", " (incomplete: a part could not be read)")
    lines = [f"{paint('strong', facts.cluster)}: {', '.join(totals)}{partly}", *_meshes(facts)]
    rows = [_service_row(facts, index) for index in range(len(facts.services))]
    return "".join(
        line + "\n" for line in [*lines, *table(("SERVICE", "PORTS", "WORKLOADS", "MESH"), rows, indent=2)]
    )


def _meshes(facts: ClusterFacts) -> list[str]:
    if not facts.meshes:
        return ["  no mesh found"]
    return [
        printable(
            f"  mesh {mesh.name} {mesh.version or '(version unknown)'}, trust domain"
            f" {mesh.trust_domain or '(unknown)'}, {'presumed of ' if mesh.presumed else ''}"
        )
        + counted(len(by_controller(w for w in facts.workloads if w.mesh == mesh.name)), "workload")
        for mesh in facts.meshes
    ]


def _service_row(facts: ClusterFacts, index: int) -> tuple[str, ...]:
    service = facts.services[index]
    behind = facts.behind(service)
    ports = ",".join(f"{port.number}{'/' + port.protocol if port.protocol else ''}" for port in service.ports)
    meshes = dict.fromkeys(w.mesh or "none" for w in behind)
    return (
        f"{service.namespace}/{service.name}",
        ports or "-",
        ",".join(map(_workload, by_controller(behind).values())) or "-",
        ",".join(meshes) or "-",
    )


def _workload(shapes: Sequence[Workload]) -> str:
    outside = sum(one.pods for one in shapes if not one.mesh) if any(one.mesh for one in shapes) else 0
    bare = f", {outside} without proxy" if outside else ""
    return f"{shapes[0].name}({sum(one.pods for one in shapes)}{bare})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, indent: int = 0) -> list[str]:
    """Columns padded to their widest cell; nothing at all without rows."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(len(row[column]) for row in [list(header), *cells]) for column in range(len(header))]
    return [
        " " * indent + "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in [header, *cells]
    ]
