"""Reports as versioned documents for programs: fields may be added, none is renamed or removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from gitmesh.diagnostics import Diagnostic, Location
from gitmesh.model.kinds import API_VERSION
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import FieldChange
from gitmesh.model.policies import Origin
from gitmesh.model.report import ClusterResult, Report, SourceResult, Stage, Verdict
from gitmesh.render.changes import ObjectChange, failed, object_changes, tally
from gitmesh.render.summary import by_severity, summarise
from gitmesh.render.values import masked

Document: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal[
    "Report",
    "Plan",
    "Findings",
    "Facts",
    "Check",
    "Version",
    "Admission",
    "Routing",
    "Access",
    "Comparison",
    "Status",
    "History",
]


def document(kind: Kind, **content: Any) -> Document:
    """A versioned document: `apiVersion`, `kind`, then the content."""
    return {"apiVersion": API_VERSION, "kind": kind, **content}


def findings_document(report: Report) -> Document:
    """What `validate` answers."""
    return document("Findings", summary=summary_document(report), findings=findings(report.diagnostics))


def plan_document(report: Report, kind: Literal["Plan", "Report"] = "Plan") -> Document:
    """What `diff` and `sync` answer: sources, findings, and what happens to which object in each cluster."""
    return document(
        kind,
        instance=report.instance,
        summary=summary_document(report),
        sources=[_source(source) for source in report.sources.values()],
        findings=findings(report.diagnostics),
        clusters=[_cluster(result, done=report.until is Stage.APPLY) for result in report.clusters.values()],
    )


def objects_document(report: Report) -> Document:
    """What `render` answers: the desired objects of each cluster with their origins."""
    clusters = [
        {"name": name, "objects": _objects(result.build)}
        for name, result in report.clusters.items()
        if result.build
    ]
    return document(
        "Report",
        instance=report.instance,
        summary=summary_document(report),
        findings=findings(report.diagnostics),
        clusters=clusters,
    )


def summary_document(report: Report) -> Document:
    """The numbers of a report; findings are counted as the document lists them, each cluster's on its own."""
    summary = summarise(report)
    return {
        "policies": summary.policies,
        "files": summary.files,
        "findings": {severity.value: number for severity, number in by_severity(report.diagnostics).items()},
        "objects": {action.value: number for action, number in summary.objects.items()},
        "observed": {action.value: number for action, number in summary.observed.items()},
        "failed": summary.failed,
        "clusters": summary.clusters,
        "unreachable": list(summary.unreachable),
        "verdicts": {verdict.value: summary.verdicts.get(verdict, 0) for verdict in Verdict},
    }


def findings(diagnostics: Iterable[Diagnostic]) -> list[Document]:
    """Findings, each with every key that has a value."""
    # Without the source's line (`excerpt`), which stays on the terminal.
    return [_finding(one) for one in diagnostics]


def _finding(one: Diagnostic) -> Document:
    content = {
        "code": one.code,
        "name": one.name,
        "severity": one.severity.value,
        "message": one.message,
        **(_at(one.at) if one.at else {}),
        "policy": one.policy,
        "field": one.field,
        "cluster": one.cluster,
        "mesh": one.mesh,
        "hint": one.hint,
        "hold": one.hold,
        "detail": one.detail,
    }
    return {key: value for key, value in content.items() if value != ""}


def _at(at: Location) -> Document:
    return {"source": at.source, "file": at.path, "line": at.line, "column": at.column}


def _source(source: SourceResult) -> Document:
    flags = {"refused": source.refused, "unavailable": source.unavailable}
    return {"name": source.name, "seen": source.seen, "accepted": source.accepted, **flags}


def _cluster(result: ClusterResult, *, done: bool) -> Document:
    meshes = result.facts.meshes if result.facts else ()
    counts = tally(result, done=done and not result.observe_only) if result.plan else None
    return {
        "name": result.name,
        "state": result.state.value,
        "observeOnly": result.observe_only,
        "meshes": [
            {"name": mesh.name, "version": mesh.version, "trustDomain": mesh.trust_domain} for mesh in meshes
        ],
        "summary": {action.value: number for action, number in counts.items()} if counts else None,
        "changes": [_change(change) for change in object_changes(result)],
        "failures": [
            {**_key(outcome.key), "message": outcome.message, "code": outcome.code}
            for outcome in failed(result.outcomes)
        ],
        "verdicts": [
            {**_key(key), "verdict": verdict.value, "text": text}
            for key, (verdict, text) in sorted(result.verdicts.items())
            if verdict is not Verdict.ACCEPTED
        ],
    }


def _change(change: ObjectChange) -> Document:
    return {
        "action": change.action.value,
        **_key(change.key),
        "policies": list(change.policies),
        "origins": origins(change.origins),
        "fields": [field_document(field) for field in change.fields],
        "drift": change.drift,
        "notes": list(change.notes),
    }


def field_document(field: FieldChange) -> Document:
    """One field that differs, without credentials."""
    content: Document = {
        "path": field.path,
        "live": masked(field.path, field.live),
        "want": masked(field.path, field.want),
    }
    if field.manager:
        content["manager"] = field.manager
    return content | ({"origin": _origin(field.origin)} if field.origin else {})


def origins(found: Iterable[Origin]) -> list[Document]:
    """Where something comes from: policy, field and place in Git."""
    return [_origin(origin) for origin in found]


def _origin(origin: Origin) -> Document:
    return {"policy": origin.policy, "field": origin.field, **_at(origin.at)}


def _objects(build: Build) -> list[Document]:
    ordered = sorted(build.manifests.items())
    return [
        {
            "policies": list(one.policies),
            "origins": origins(object_origins(one.fields)),
            "object": decode(one.body),
        }
        for _, one in ordered
    ]


def object_origins(fields: Mapping[str, Origin]) -> tuple[Origin, ...]:
    """The origins of an object's fields, each once, sorted."""
    return tuple(sorted(set(fields.values())))


def _key(key: ObjectKey) -> Document:
    return {"group": key.group, "kind": key.kind, "namespace": key.namespace, "name": key.name}
