"""The message of a status commit: a fixed template and names that cannot say anything else (reliability S03, S11)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gitmesh.model.objects import ObjectKey
from gitmesh.model.report import Report, SourceResult, State

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?\Z")
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]/-]{1,200}\Z")
_MAX_FIELDS = 10
_MAX_LINES = 100


def message(report: Report, healed: Sequence[str] = ()) -> str:
    """Subject, what was healed, and the trailers that lead back to the sources. `[skip ci]` keeps CI systems asleep."""
    sources = [report.sources[name] for name in sorted(report.sources)]
    synced = sum(result.state is State.SYNCED for result in report.clusters.values())
    count = len(report.diagnostics)
    commit = next((_commit(source)[:12] for source in _first_in_order(report)), "")
    subject = (
        f"{subject_of(report.instance)} {commit + ' ' if commit else ''}{synced}/{len(report.clusters)} clusters synced, "
        f"{count} finding{'' if count == 1 else 's'} [skip ci]"
    )
    body = ["", *healed[:_MAX_LINES]] if healed else []
    trailers = [f"GitMesh-Source: {_commit(source)}" for source in sources if _commit(source)]
    return "\n".join([subject, *body, *(["", *trailers] if trailers else [])]) + "\n"


def subject_of(instance: str) -> str:
    """How the message of every status commit of an instance begins."""
    return f"gitmesh {instance}:"


def heals(report: Report) -> tuple[str, ...]:
    """One line for each object that had been changed in a cluster, not in Git, and was put right in this run."""
    lines = []
    for name, result in sorted(report.clusters.items()):
        done = {outcome.key for outcome in result.outcomes if outcome.ok}
        drifted = {change.key: change for change in (result.plan.changes if result.plan else ()) if change.drift and change.key in done}
        for key in sorted(drifted):
            fields = [_field(change.path) for change in drifted[key].fields]
            shown = ", ".join(fields[:_MAX_FIELDS]) + (f" and {len(fields) - _MAX_FIELDS} more" if len(fields) > _MAX_FIELDS else "")
            lines.append(f"healed {name} {_object(key)}" + (f": {shown}" if shown else f": {drifted[key].action}d"))
    return tuple(lines)


def _first_in_order(report: Report) -> list[SourceResult]:
    """The sources in the order of the configuration, those with a commit."""
    return [source for source in report.sources.values() if _commit(source)]


def _commit(source: SourceResult) -> str:
    """What the report is about: the tip, or what is in force while there is no tip."""
    return source.seen or source.accepted


def _object(key: ObjectKey) -> str:
    return "/".join(part if _NAME.match(part) else "(name not shown)" for part in (key.kind, key.namespace, key.name) if part)


def _field(path: str) -> str:
    """A field's path comes from a live object, where keys may be any text."""
    return path if _FIELD.match(path) else "(field not shown)"
