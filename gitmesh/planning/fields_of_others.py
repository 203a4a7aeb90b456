"""What is to be written of the fields that are ours in somebody else's object. Called by wanting; no I/O.

Nothing else of the object is: it is not created where it is not there, not adopted, and bears no marks. A
field that somebody else has set is theirs, unless the ledger knows that we wrote it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from gitmesh.diagnostics import first_of
from gitmesh.model.objects import canonical, decode, digest
from gitmesh.model.ownership import Ownership, differing, dotted, only_fields, outermost
from gitmesh.model.plan import Action, Change
from gitmesh.planning.leaving import waits
from gitmesh.planning.ownership import fields_in, manager_of_fields, policies_of
from gitmesh.planning.rows import field_changes, is_kept, laid_over, wanted_row

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gitmesh.model.ledger import Entry, Ledger
    from gitmesh.model.manifests import Manifest
    from gitmesh.model.ownership import FieldPath
    from gitmesh.model.plan import Live

TAKEN, MISSING = "GM416", "GM418"
_MOST_NAMED = 3


class FieldsRow(NamedTuple):
    """The row of wanted fields, with what stands in their way ("" = nothing does)."""

    row: Change
    code: str = ""
    text: str = ""


def wanted_fields(
    manifest: Manifest, live: Live | None, cluster: str, ledger: Ledger, *, is_object: bool
) -> FieldsRow | None:
    """What is to be written; None where all of it is there already. `is_object`: the object itself is ours,
    too.
    """
    # What is on its way out takes nothing: whoever makes it anew decides what stands in it.
    if live is None or live.deleting:
        return _without_object(manifest, live, cluster)
    # To own less of it would leave the rest to nobody: no ledger would list it any more.
    if is_object:
        text = f"{manifest.key} in {cluster} is ours as a whole, and only some fields of it are wanted"
        return _taken(manifest, live, text)
    taken = _set_by_others(manifest, live, ledger)
    row = _due(manifest, live, taken, ledger)
    if not taken:
        return FieldsRow(row) if row else None
    text = f"{manifest.key} in {cluster} is not ours, and somebody else has set {_named(taken)} of it"
    text += _by(live, taken)
    if row is None:
        return _taken(manifest, live, text)
    # What nobody has taken comes all the same: whoever may write the object must not keep a field that
    # decides who may call away by setting another.
    return FieldsRow(replace(row, note=text, staged=True), TAKEN, text)


def _due(manifest: Manifest, live: Live, taken: Collection[FieldPath], ledger: Ledger) -> Change | None:
    """The row that writes what of the fields is ours and is not as it is to be."""
    known, there, wanted = fields_in(live, ledger) or Ownership(), decode(live.body), manifest.ownership
    # What somebody else has set alike is theirs: it is not taken off when we want it no more.
    alike = (path for path in wanted.only if wanted.sets(there, path) and not known.covers(path))
    every = {*wanted.only, *known.only}.difference(taken, alike)
    if not every:
        return None
    ownership = outermost(every)
    mine = replace(manifest, body=canonical(ownership.part(decode(manifest.body))), ownership=ownership)
    return None if is_kept(mine, live) else _written(mine, live, ledger)


def with_kept(manifest: Manifest, live: Live | None, entry: Entry) -> Manifest:
    """The wanted fields, and beside them those that stay as they are live: of units that are held, or of a
    source that cannot be read. One half of a destination must not hold the other for standing in one object.
    """
    if live is None or entry.uid != live.uid:
        return manifest
    mine, wanted, there = manifest.ownership, decode(manifest.body), decode(live.body)
    # As it is live, changed or not: what is held is neither written nor put right.
    every = mine.joined(entry.ownership).only
    kept = [path for path in every if not mine.sets(wanted, path) and mine.sets(there, path)]
    if not kept:
        return manifest
    ownership = mine.joined(only_fields(kept))
    body = canonical(only_fields(kept).onto(there, wanted))
    return replace(
        manifest,
        body=body,
        digest=digest(body),
        ownership=ownership,
        units=tuple(sorted({*manifest.units, *entry.units})),
        policies=tuple(sorted({*manifest.policies, *policies_of(live, entry)})),
    )


def _written(mine: Manifest, live: Live, ledger: Ledger) -> Change:
    entry = ledger.entries.get(mine.key)
    healed = entry is not None and entry.uid == live.uid and entry.digest == mine.digest
    return wanted_row(
        Action.UPDATE,
        mine,
        body=laid_over(mine, live),
        before=live.body,
        uid=live.uid,
        resource_version=live.resource_version,
        fields=field_changes(mine, live),
        manager=manager_of_fields(ledger.instance),
        drift=healed,
    )


def _without_object(manifest: Manifest, live: Live | None, cluster: str) -> FieldsRow:
    missing = waits(live.finalizers) if live else "is not there"
    fields = _named(manifest.ownership.only)
    text = f"{manifest.key} in {cluster} {missing}; {fields} of it is set once somebody has made it"
    row = wanted_row(
        Action.HELD,
        manifest,
        body=None,
        before=live.body if live else b"",
        note=f"waits for {manifest.key}, which {missing}",
    )
    return FieldsRow(row, MISSING, text)


def _taken(manifest: Manifest, live: Live, text: str) -> FieldsRow:
    fields = field_changes(manifest, live)
    row = wanted_row(Action.CONFLICT, manifest, body=None, before=live.body, fields=fields, note=text)
    return FieldsRow(row, TAKEN, text)


def _set_by_others(manifest: Manifest, live: Live, ledger: Ledger) -> tuple[FieldPath, ...]:
    """The fields that stand otherwise than we want them and are not ours to change: those that the ledger
    does not know, and those that another manager applies. Over who merely edits a field of ours we go."""
    # Whose a value is the server's count of managers cannot tell: who edits a field of ours takes it over.
    known = fields_in(live, ledger) or Ownership()
    paths = differing(manifest.ownership, decode(live.body), decode(manifest.body))
    return tuple(path for path in paths if not known.covers(path) or _is_applied(live, path, ledger.instance))


def _is_applied(live: Live, path: FieldPath, instance: str) -> bool:
    manager = live.field_managers.get(dotted(path), "")
    return manager != manager_of_fields(instance) and live.managers.get(manager) == "Apply"


def _named(paths: Iterable[FieldPath]) -> str:
    return first_of(map(dotted, paths), _MOST_NAMED)


def _by(live: Live, paths: Iterable[FieldPath]) -> str:
    managers = sorted({live.field_managers.get(dotted(path), "") for path in paths} - {""})
    return f" ({', '.join(managers)})" if managers else ""
