"""The message of a status commit: a fixed template and names that cannot say anything else
(docs/reliability.md S03, S11).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gitmesh.diagnostics import first_of
from gitmesh.model.ledger import FIGHT
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Change
from gitmesh.model.report import Report, SourceResult, State

# No spaces and no line ends: names and managers are whatever a live object says, and could otherwise write
# trailers of their own into the message.
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?\Z")
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]/-]{1,200}\Z")
_MANAGER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/@:-]{0,126}[A-Za-z0-9])?\Z")
_MAX_MANAGERS = 3
_MAX_FIELDS = 10
_MAX_LINES = 100


def message(report: Report, healed: Sequence[str] = ()) -> str:
    """Subject, what was healed, and the trailers that lead back to the sources."""
    sources = [report.sources[name] for name in sorted(report.sources)]
    count = len(report.diagnostics)
    subject = (
        f"{subject_of(report.instance)} {_standing(report)}, {count} finding{'' if count == 1 else 's'}"
        # So that no CI system runs for a status.
        " [skip ci]"
    )
    body = ["", *healed[:_MAX_LINES]] if healed else []
    # In a paragraph of their own, the last: Git reads trailers nowhere else.
    trailers = [f"GitMesh-Source: {_commit(source)}" for source in sources if _commit(source)]
    return "\n".join([subject, *body, *(["", *trailers] if trailers else [])]) + "\n"


def _standing(report: Report) -> str:
    """How many clusters are synced, and to which commit."""
    synced = (
        f"{sum(result.state is State.SYNCED for result in report.clusters.values())}/{len(report.clusters)}"
    )
    refused = next(
        (one for one in report.sources.values() if one.refused and one.seen and one.seen != one.accepted),
        None,
    )
    # A tip that is refused is in force nowhere: clusters are synced to the last commit that was accepted.
    if refused is not None:
        return (
            f"refused {refused.seen[:12]};"
            f" {f'{synced} at {refused.accepted[:12]}' if refused.accepted else 'nothing in force'}"
        )
    commit = next((_commit(source)[:12] for source in _first_in_order(report)), "")
    return f"{commit + ' ' if commit else ''}{synced} clusters synced"


def subject_of(instance: str) -> str:
    """How the message of every status commit of an instance begins."""
    return f"gitmesh {instance}:"


def heals(report: Report) -> tuple[str, ...]:
    """One line for each object that somebody had changed in a cluster, and that was put right in this run."""
    lines = []
    for name, result in sorted(report.clusters.items()):
        done = {outcome.key for outcome in result.outcomes if outcome.ok}
        # What is put right again and again is a fight, which its finding tells once.
        fights = {
            key for key, count in (result.ledger.heals if result.ledger else {}).items() if count > FIGHT
        }
        changes = result.plan.changes if result.plan else ()
        drifted = {change.key: change for change in changes if change.drift and change.key in done - fights}
        for key in sorted(drifted):
            fields = [_field(change.path) for change in drifted[key].fields]
            shown = first_of(fields, _MAX_FIELDS)
            lines.append(
                f"healed {name} {_object(key)}: {shown or f'{drifted[key].action}d'}{_by(drifted[key])}"
            )
    return tuple(lines)


def _by(change: Change) -> str:
    """` (by kubectl-edit)`: who had set the fields, as far as the cluster tells."""
    managers = sorted({changed.manager for changed in change.fields if changed.manager})
    said = [
        manager if _MANAGER.match(manager) else "(name not shown)" for manager in managers[:_MAX_MANAGERS]
    ]
    return f" (by {', '.join(said)})" if said else ""


def _first_in_order(report: Report) -> list[SourceResult]:
    """The sources in the order of the configuration, those with a commit."""
    return [source for source in report.sources.values() if _commit(source)]


def _commit(source: SourceResult) -> str:
    """What the report is about: the tip, or what is in force while there is no tip."""
    return source.seen or source.accepted


def _object(key: ObjectKey) -> str:
    return "/".join(
        part if _NAME.match(part) else "(name not shown)"
        for part in (key.kind, key.namespace, key.name)
        if part
    )


def _field(path: str) -> str:
    """A field's path, as far as it may be shown."""
    # It comes from a live object, where keys may be any text.
    return path if _FIELD.match(path) else "(field not shown)"
