"""How the ledger follows a plan: the intent before the first write, the truth after the last answer.

A kill at any step leaves no object of ours unknown: intents are saved before writes, and an entry goes only
when the cluster confirmed the deletion (docs/design.md#ledger), or says of the object itself that it is not
there: a list may be from before our own write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.empty import EMPTY
from gitmesh.model.ledger import Entry, Ledger, Stored
from gitmesh.model.ownership import only_fields
from gitmesh.model.plan import WITHDRAWING, Action, Change, Observed, Outcome, Plan
from gitmesh.planning.ownership import fields_by_manager, is_marked
from gitmesh.planning.parts import parts_of
from gitmesh.planning.readings import is_there

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, MutableMapping

    from gitmesh.model.manifests import Build, Manifest
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.ownership import Ownership
    from gitmesh.model.units import UnitKey

MOST_WARNED = 200
"""Objects whose warnings are kept: a webhook that warns of every object must not fill the ledger, which ends
at 1 MiB.
"""
_MOST_WARNINGS, _LONGEST_WARNING = 3, 256


def rebuilt(stored: Stored, observed: Observed) -> Ledger:
    """The ledger as read; a lost or unreadable one made again from the marks on live objects, and from the
    cluster's count of who set which field of others' objects (docs/reliability.md X11).
    """
    ledger = stored.ledger
    # A version says that the store holds one. None at all may also be a ledger that somebody deleted.
    if stored.version and not stored.corrupt:
        return ledger
    # Without digest and units: what was wanted of them is not known, so the next comparison tells, and
    # nothing is taken for drift.
    found: dict[ObjectKey, Entry] = {}
    for live in observed.live.values():
        if is_marked(live, observed.cluster, ledger.instance):
            found[live.key] = Entry(uid=live.uid)
        elif fields := fields_by_manager(live, ledger.instance):
            found[live.key] = Entry(uid=live.uid, ownership=fields)
    return replace(ledger, entries={**found, **ledger.entries})


def intend(ledger: Ledger, plan: Plan, built: Build) -> Ledger:
    """Add an entry without uid for every object that the plan creates or adopts, and one for the fields that
    it sets in somebody else's."""
    entries = dict(ledger.entries)
    for change in plan.writes:
        if change.action is Action.CREATE:
            before = entries.get(change.key, Entry())
            units = _units(before, built.manifests[change.key])
            ownership = built.manifests[change.key].ownership
            # Without uid: whether the object was made is only known when the cluster has answered.
            entries[change.key] = Entry(commit=before.commit, units=units, ownership=ownership)
        elif change.action is Action.UPDATE and not change.ownership.is_object:
            entries[change.key] = _intended_fields(entries.get(change.key), change, built)
        elif change.action is Action.ADOPT:
            manifest = built.manifests[change.key]
            units = _units(Entry(), manifest)
            entries[change.key] = Entry(uid=change.uid, units=units, ownership=manifest.ownership)
    return ledger if entries == ledger.entries else replace(ledger, entries=entries)


def _intended_fields(entry: Entry | None, change: Change, built: Build) -> Entry:
    """Until the answer is there what is ours is what was before and what is to be."""
    # An intent of fields has a uid from the beginning, as their object is there already.
    before = entry if entry and entry.uid == change.uid else Entry(uid=change.uid)
    manifest = built.manifests.get(change.key)
    units = _units(before, manifest) if manifest else before.units
    return replace(before, units=units, ownership=change.ownership)


class _Recorded(Struct, frozen=True):
    """What the entries of the last record were made of: while neither object nor homes moved, its entry is
    the same, and a change of one object costs what it touches.
    """

    manifests: Mapping[ObjectKey, Manifest]
    homes: Mapping[str, str]
    entries: Mapping[ObjectKey, Entry]

    def is_still(self, change: Change, entry: Entry | None, manifest: Manifest) -> bool:
        """Whether an object that is kept has the very entry that was made of the very same."""
        return (
            entry is not None
            and entry is self.entries.get(change.key)
            and manifest is self.manifests.get(change.key)
            and (entry.uid, entry.digest) == (change.uid, manifest.digest)
        )


def record(
    ledger: Ledger,
    plan: Plan,
    outcomes: Iterable[Outcome],
    observed: Observed,
    built: Build,
    accepted: Mapping[str, str],
    homes: Mapping[str, str],
    cluster_uid: str,
    memo: MutableMapping[Any, Any] | None = None,
    absent: Collection[str] = (),
) -> Ledger:
    """The ledger after the plan was carried out. `accepted`: source -> commit in force ("" = none is);
    `homes`: policy -> its source; `memo` keeps what the last one was made of; `absent` are the sources of
    which not everything is in force that should be.
    """
    memo = {} if memo is None else memo
    entries = dict(ledger.entries)
    # One text for all sources together, as an object may be made of policies of several.
    commit = ",".join(sha for _, sha in sorted(accepted.items()) if sha)
    for key in _gone(ledger, observed, built, plan):
        del entries[key]
    outcomes = tuple(outcomes)
    # Of an object with two steps the first may be done, and the other not.
    waiting = {change.key for change in plan.changes if change.staged}
    waiting |= {outcome.key for outcome in outcomes if not outcome.ok}
    writing = _Writing(entries, built.manifests, commit, waiting, _Sourced(homes, absent))
    last: _Recorded | None = memo.get("recorded")
    # A policy that moved to another source changes entries of objects that did not move.
    last = last if last is not None and last.homes == homes else None
    for change in plan.changes:
        writing.keep(change, last)
    # Of somebody else's object what was written is ours, and no field that another had taken.
    owned = {change.key: change.ownership for change in plan.writes if not change.ownership.is_object}
    warned = {key for key, entry in entries.items() if entry.warnings}
    for outcome in outcomes:
        if outcome.ok:
            writing.take(outcome, owned.get(outcome.key), warned)
    memo["recorded"] = _Recorded(built.manifests, homes, entries)
    # What was accepted of a source stays known while nothing of it is in force.
    sources = {name: sha or ledger.sources.get(name, "") for name, sha in accepted.items()}
    return replace(ledger, entries=entries, sources=sources, cluster_uid=cluster_uid or ledger.cluster_uid)


class _Writing(NamedTuple):
    """The entries in the making. Of `waiting` objects not all is done: they have no digest, as the next step
    is no correction of somebody's change.
    """

    entries: dict[ObjectKey, Entry]
    manifests: Mapping[ObjectKey, Manifest]
    commit: str
    waiting: Collection[ObjectKey]
    sourced: _Sourced

    def keep(self, change: Change, last: _Recorded | None) -> None:
        """The entry of an object that is as it is wanted."""
        key, manifest = change.key, self.manifests.get(change.key)
        if change.action is not Action.KEEP or manifest is None or key in self.waiting:
            return
        entry = self.entries.get(key)
        if last is not None and last.is_still(change, entry, manifest):
            return
        self._put(key, _kept(entry, change.uid, manifest, self.commit), manifest)

    def take(self, outcome: Outcome, owned: Ownership | None, warned: set[ObjectKey]) -> None:
        """The entry of an object that was written, on the cluster's own word alone: the answer may get lost,
        and the object must then still be known as ours.
        """
        key, manifest = outcome.key, self.manifests.get(outcome.key)
        if outcome.action in WITHDRAWING:
            self.entries.pop(key, None)
        elif manifest is not None:
            before = self.entries.get(key, Entry())
            made = replace(
                before,
                uid=outcome.uid,
                digest="" if key in self.waiting else manifest.digest,
                commit=self.commit,
                warnings=_warnings(outcome, warned),
                units=_units(before, manifest),
                writer=manifest.writer,
            )
            mine = _owned(manifest, owned)
            self._put(key, None if mine is None else replace(made, ownership=mine), manifest)

    def _put(self, key: ObjectKey, entry: Entry | None, manifest: Manifest) -> None:
        """None: nothing of the object is ours any more."""
        if entry is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = self.sourced.of(entry, manifest)


class _Sourced:
    """Entries with the sources that their objects are made of; equal sources are one tuple, as thousands of
    entries have the same.
    """

    def __init__(self, homes: Mapping[str, str], absent: Collection[str]) -> None:
        self._homes, self._absent = homes, absent
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, entry: Entry, manifest: Manifest) -> Entry:
        """The entry, itself where that is what it says. A part of a policy that no source in force has is as
        it was, and so is that of an absent source, whatever others call their policies.
        """
        homes = self._homes
        unknown = any(policy not in homes for policy in manifest.policies)
        sources = {homes[policy] for policy in manifest.policies if policy in homes}
        parts = parts_of(manifest, homes)
        kept = [
            source
            for source in entry.sources
            if source not in sources and (unknown or source in self._absent)
        ]
        sources |= set(kept)
        parts = {**parts, **{source: entry.parts[source] for source in kept if source in entry.parts}}
        # The entry is older than sources in ledgers: what is not known is written as not known, not as of
        # none.
        if unknown and not entry.sources:
            sources, parts = set(), EMPTY
        named = tuple(sorted(sources))
        if (entry.sources, entry.parts) == (named, parts):
            return entry
        return replace(entry, sources=self._shared.setdefault(named, named), parts=parts)


def _warnings(outcome: Outcome, warned: set[ObjectKey]) -> tuple[str, ...]:
    """What to remember of the cluster's words on a write; `warned` are the objects of which there is
    something already.
    """
    warned.discard(outcome.key)
    # The bound is on objects and on each one's words: both are what a webhook decides.
    if not outcome.warnings or len(warned) >= MOST_WARNED:
        return ()
    warned.add(outcome.key)
    return tuple(text[:_LONGEST_WARNING] for text in outcome.warnings[:_MOST_WARNINGS])


def _gone(ledger: Ledger, observed: Observed, built: Build, plan: Plan) -> list[ObjectKey]:
    """Entries of objects that are neither wanted nor there any more, or that are there and are not ours. What
    was ours in somebody else's object goes with it, wanted or not: another of its name is another object.
    """
    planned = {change.key for change in plan.writes}
    return [
        key
        for key, entry in ledger.entries.items()
        if (key not in built.manifests or not entry.ownership.is_object)
        and key not in built.held
        and key not in planned
        # A kind that is not served for a while, as during an upgrade of its CRD, has not lost its objects.
        and key[:2] not in observed.missing_kinds
        and not is_there(key, entry, observed, ledger.instance)
    ]


def _kept(entry: Entry | None, uid: str, manifest: Manifest, commit: str) -> Entry | None:
    """The entry of an object that is as it is wanted; None where nothing of it is ours."""
    mine = _owned(manifest, entry.ownership if entry else None)
    if mine is None:
        return None
    before = entry or Entry()
    units = _units(before, manifest)
    known = (before.uid, before.digest, before.units, before.writer, before.ownership)
    if entry is not None and known == (uid, manifest.digest, units, manifest.writer, mine):
        return entry
    warnings = before.warnings if (before.uid, before.digest) == (uid, manifest.digest) else ()
    return replace(
        before,
        uid=uid,
        digest=manifest.digest,
        commit=before.commit or commit,
        warnings=warnings,
        units=units,
        writer=manifest.writer,
        ownership=mine,
    )


def _owned(manifest: Manifest, known: Ownership | None) -> Ownership | None:
    """What of a wanted object is ours: of somebody else's those fields that were `known`, or written; None
    where there is none of these, as somebody else says the same of all."""
    if manifest.ownership.is_object:
        return manifest.ownership
    mine = [path for path in manifest.ownership.only if known is not None and known.covers(path)]
    return only_fields(mine) if mine else None


def _units(entry: Entry, manifest: Manifest) -> tuple[UnitKey, ...]:
    """The units that the object is of. A part of it that stays though nobody wants it is of those of
    before."""
    return manifest.units or entry.units
