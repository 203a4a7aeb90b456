"""How the ledger follows a plan: the intent before the first write, the truth after the last answer.

A kill at any step leaves no object of ours unknown: intents are saved before writes, and an entry goes only when
the cluster confirmed the deletion (reliability, property 8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Action, Observed, Outcome, Plan


def intend(ledger: Ledger, plan: Plan) -> Ledger:
    """Add an entry without uid for every object that the plan creates or adopts."""
    entries = dict(ledger.entries)
    for change in plan.writes:
        if change.action is Action.CREATE:
            entries[change.key] = Entry(commit=entries.get(change.key, Entry()).commit)
        elif change.action is Action.ADOPT:
            entries[change.key] = Entry(uid=change.uid)
    return ledger if entries == ledger.entries else replace(ledger, entries=entries)


def record(
    ledger: Ledger, plan: Plan, outcomes: Iterable[Outcome], observed: Observed, built: Build, accepted: Mapping[str, str], cluster_uid: str
) -> Ledger:
    """The ledger after the plan was carried out. `accepted`: source -> commit in force."""
    entries = dict(ledger.entries)
    commit = ",".join(sha for _, sha in sorted(accepted.items()) if sha)
    for key in _gone(ledger, observed, built, plan):
        del entries[key]
    for change in plan.changes:
        if change.action is Action.KEEP and change.key in built.manifests:
            entries[change.key] = _kept(entries.get(change.key), change.uid, built, change.key, commit)
    for outcome in outcomes:
        if outcome.ok and outcome.action is Action.DELETE:
            entries.pop(outcome.key, None)
        elif outcome.ok and outcome.key in built.manifests:
            entries[outcome.key] = Entry(uid=outcome.uid, digest=built.manifests[outcome.key].digest, commit=commit)
    return replace(ledger, entries=entries, sources=dict(accepted), cluster_uid=cluster_uid or ledger.cluster_uid)


def _gone(ledger: Ledger, observed: Observed, built: Build, plan: Plan) -> list[ObjectKey]:
    """Entries of objects that are neither wanted nor there any more, or that are there under another uid: not ours."""
    planned = {change.key for change in plan.writes}
    return [
        key
        for key, entry in ledger.entries.items()
        if key not in built.manifests
        and key not in built.held
        and key not in planned
        and (key.group, key.kind) not in observed.missing_kinds
        and ((live := observed.live.get(key)) is None or entry.uid not in ("", live.uid))
    ]


def _kept(entry: Entry | None, uid: str, built: Build, key: ObjectKey, commit: str) -> Entry:
    wanted = built.manifests[key].digest
    if entry is not None and entry.uid == uid and entry.digest == wanted:
        return entry
    return Entry(uid=uid, digest=wanted, commit=entry.commit if entry and entry.commit else commit)
