"""How the ledger follows a plan: the intent before the first write, the truth after the last answer.

A kill at any step leaves no object of ours unknown: intents are saved before writes, and an entry goes only
when the cluster confirmed the deletion (reliability, property 8), or says of the object itself that it is not
there: a list may be from before our own write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.model.ledger import Entry, Ledger, Stored
from gitmesh.model.plan import Action, Observed, Outcome, Plan
from gitmesh.planning.ownership import is_marked
from gitmesh.planning.readings import is_there
from gitmesh.planning.retaining import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.units import UnitKey

MOST_WARNED = 200
"""Objects whose warnings are kept: a webhook that warns of every object must not fill the ledger, which ends
at 1 MiB.
"""
_MOST_WARNINGS, _LONGEST_WARNING = 3, 256


def rebuilt(stored: Stored, observed: Observed) -> Ledger:
    """The ledger as read; a lost or unreadable one made again from the marks on live objects (reliability
    X11).
    """
    ledger = stored.ledger
    if stored.version and not stored.corrupt:
        return ledger
    marked = (live for live in observed.live.values() if is_marked(live, observed.cluster, ledger.instance))
    return replace(ledger, entries={**{live.key: Entry(uid=live.uid) for live in marked}, **ledger.entries})


def intend(ledger: Ledger, plan: Plan, built: Build) -> Ledger:
    """Add an entry without uid for every object that the plan creates or adopts."""
    entries = dict(ledger.entries)
    for change in plan.writes:
        if change.action is Action.CREATE:
            before = entries.get(change.key, Entry())
            entries[change.key] = Entry(commit=before.commit, units=_units(before, built, change.key))
        elif change.action is Action.ADOPT:
            entries[change.key] = Entry(uid=change.uid, units=_units(Entry(), built, change.key))
    return ledger if entries == ledger.entries else replace(ledger, entries=entries)


def record(
    ledger: Ledger,
    plan: Plan,
    outcomes: Iterable[Outcome],
    observed: Observed,
    built: Build,
    accepted: Mapping[str, str],
    homes: Mapping[str, str],
    cluster_uid: str,
) -> Ledger:
    """The ledger after the plan was carried out. `accepted`: source -> commit in force ("" = none is);
    `homes`: policy -> its source.
    """
    entries = dict(ledger.entries)
    commit = ",".join(sha for _, sha in sorted(accepted.items()) if sha)
    for key in _gone(ledger, observed, built, plan):
        del entries[key]
    waiting = {change.key for change in plan.changes if change.staged}
    for change in plan.changes:
        if change.action is Action.KEEP and change.key in built.manifests and change.key not in waiting:
            entries[change.key] = _sourced(
                _kept(entries.get(change.key), change.uid, built, change.key, commit),
                built,
                change.key,
                homes,
            )
    warned = {key for key, entry in entries.items() if entry.warnings}
    for outcome in outcomes:
        if outcome.ok and outcome.action is Action.DELETE:
            entries.pop(outcome.key, None)
        elif outcome.ok and outcome.key in built.manifests:
            # What a step wrote is not yet what is wanted: the next step is no correction of somebody's
            # change.
            digest = "" if outcome.key in waiting else built.manifests[outcome.key].digest
            warnings = _warnings(outcome, warned)
            before = entries.get(outcome.key, Entry())
            units = _units(before, built, outcome.key)
            made = replace(
                before, uid=outcome.uid, digest=digest, commit=commit, warnings=warnings, units=units
            )
            entries[outcome.key] = _sourced(made, built, outcome.key, homes)
    # What was accepted of a source stays known while nothing of it is in force.
    sources = {name: sha or ledger.sources.get(name, "") for name, sha in accepted.items()}
    return replace(ledger, entries=entries, sources=sources, cluster_uid=cluster_uid or ledger.cluster_uid)


def _sourced(entry: Entry, built: Build, key: ObjectKey, homes: Mapping[str, str]) -> Entry:
    """The entry with the sources that the object is made of. A part of a policy that no source in force has
    is as it was.
    """
    manifest = built.manifests[key]
    unknown = any(policy not in homes for policy in manifest.policies)
    sources = {homes[policy] for policy in manifest.policies if policy in homes}
    parts = parts_of(manifest, homes)
    if unknown:
        absent = [source for source in entry.sources if source not in sources]
        sources |= set(absent)
        parts = {**parts, **{source: entry.parts[source] for source in absent if source in entry.parts}}
        if not entry.sources:
            return replace(entry, sources=(), parts={})
    return replace(entry, sources=tuple(sorted(sources)), parts=parts)


def _warnings(outcome: Outcome, warned: set[ObjectKey]) -> tuple[str, ...]:
    """What to remember of the cluster's words on a write; `warned` are the objects of which there is
    something already.
    """
    warned.discard(outcome.key)
    if not outcome.warnings or len(warned) >= MOST_WARNED:
        return ()
    warned.add(outcome.key)
    return tuple(text[:_LONGEST_WARNING] for text in outcome.warnings[:_MOST_WARNINGS])


def _gone(ledger: Ledger, observed: Observed, built: Build, plan: Plan) -> list[ObjectKey]:
    """Entries of objects that are neither wanted nor there any more, or that are there and are not ours."""
    planned = {change.key for change in plan.writes}
    return [
        key
        for key, entry in ledger.entries.items()
        if key not in built.manifests
        and key not in built.held
        and key not in planned
        and key[:2] not in observed.missing_kinds
        and not is_there(key, entry, observed, ledger.instance)
    ]


def _kept(entry: Entry | None, uid: str, built: Build, key: ObjectKey, commit: str) -> Entry:
    wanted = built.manifests[key].digest
    before = entry or Entry()
    units = _units(before, built, key)
    if entry is not None and (entry.uid, entry.digest, entry.units) == (uid, wanted, units):
        return entry
    warnings = before.warnings if (before.uid, before.digest) == (uid, wanted) else ()
    return replace(
        before, uid=uid, digest=wanted, commit=before.commit or commit, warnings=warnings, units=units
    )


def _units(entry: Entry, built: Build, key: ObjectKey) -> tuple[UnitKey, ...]:
    """The units that the object is of. A part of it that stays though nobody wants it is of those of
    before."""
    return built.manifests[key].units or entry.units
