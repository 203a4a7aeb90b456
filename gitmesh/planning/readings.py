"""What a reading says of objects of ours, held against the ledger. A list may be from before our own write,
so what it lacks, or shows otherwise than the ledger knows it, is asked for by name first.

A read of one object is a read of the quorum; the ledger that is relied on is proved by the save that comes
before all writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.model.plan import Action
from gitmesh.planning.ownership import is_marked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from gitmesh.model.ledger import Entry, Ledger
    from gitmesh.model.manifests import Build, Manifest
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Change, Live, Observed, Plan
    from gitmesh.ports import Cluster

_REASONS = ("unseen", "doubted")


def unseen(ledger: Ledger, observed: Observed) -> list[ObjectKey]:
    """The objects of the ledger that a reading does not show, or shows another in place of. What an intent
    made is known by its marks alone, which those that stood there before bear too: a list may still show one
    of these."""
    return [
        key
        for key, entry in ledger.entries.items()
        if key[:2] not in observed.missing_kinds
        and (not entry.uid or not is_there(key, entry, observed, ledger.instance))
    ]


def unvouched(plan: Plan, built: Build, observed: Observed, ledger: Ledger) -> list[ObjectKey]:
    """Wanted objects that a plan leaves as they are by what a reading says and the ledger does not: they are
    as wanted, though we wrote something else last, or bear our marks, though we know nothing of them, or have
    a field of ours as somebody else set it. What
    others rely on must be there (design law 2), and a list may be from before."""
    return [
        change.key
        for change in plan.changes
        if (manifest := built.manifests.get(change.key))
        and (live := observed.live.get(change.key))
        and _is_doubted(change, manifest, ledger.entries.get(change.key))
        and (is_marked(live, plan.cluster, ledger.instance) or not manifest.ownership.is_object)
    ]


def _is_doubted(change: Change, manifest: Manifest, entry: Entry | None) -> bool:
    if change.action is Action.CONFLICT:
        return entry is None
    # What is kept as the ledger has it was written by us so: reading and ledger bear each other out.
    return change.action is Action.KEEP and not (change.staged or (entry and entry.digest == manifest.digest))


def is_there(key: ObjectKey, entry: Entry, observed: Observed, instance: str) -> bool:
    """Whether a reading shows the very object of the entry. An intent that came to nothing knows only what
    bears our marks.
    """
    live = observed.live.get(key)
    if live is None:
        return False
    return entry.uid == live.uid if entry.uid else is_marked(live, observed.cluster, instance)


def by_name(
    cluster: Cluster,
    observed: Observed,
    keys: Sequence[ObjectKey],
    ledger: Ledger,
    memo: MutableMapping[Any, Any],
    why: str,
) -> Observed:
    """The reading with what the cluster says of each of these objects by name: a list may be from before our
    own write (design law 3). It is asked once, for one reason (`why`), while neither list nor ledger moves
    and nothing is written."""
    known, asked = {key: ledger.entries.get(key) for key in keys}, memo.get(why)
    if not keys or (asked and asked[0] is observed and asked[1] == known):
        return observed
    found = _as_found(observed, keys, cluster.find(keys))
    # Remembered only where nothing moved: a reading that was corrected is another value in the next cycle
    # anyhow.
    if found is observed:
        memo[why] = (observed, known)
    return found


def ask_again(memo: MutableMapping[Any, Any]) -> None:
    """Ask for everything again: something is about to be written, and whatever the answers say, what was not
    there may be there then."""
    for why in _REASONS:
        memo.pop(why, None)


def _as_found(observed: Observed, keys: Iterable[ObjectKey], found: Mapping[ObjectKey, Live]) -> Observed:
    """A reading in which these objects are as they were found by name; itself where that is what it says."""
    # By identity: `find` gives back the very object of the list where it says the same.
    moved = {key for key in keys if found.get(key) is not observed.live.get(key)}
    if not moved:
        return observed
    live = {key: one for key, one in observed.live.items() if key not in moved}
    return replace(observed, live={**live, **{key: found[key] for key in sorted(moved & found.keys())}})
