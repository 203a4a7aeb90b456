"""Build x observed x ledger -> Plan. Called by pipeline; no I/O.

| desired | live    | ours | ledger | action |
|---------|---------|------|--------|--------|
| yes     | no      | -    | any    | create (a heal where the ledger has it) |
| yes     | yes     | yes  | -      | keep where equal, else update (a heal where the wish did not change) |
| yes     | yes     | no   | -      | adopt with consent, else conflict |
| yes     | leaving | yes  | any    | nothing until it is gone, nor what relies on it |
| no      | yes     | yes  | yes    | delete, unless held, protected, over the guard, or leaving already |
| no      | yes     | no   | -      | nothing: foreign |
| held    | any     | any  | any    | nothing |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.model.manifests import DELETE_ORDER, Build
from gitmesh.model.plan import Action, Change, Live, Observed, Plan
from gitmesh.planning.fights import without_fights
from gitmesh.planning.guard import Consent, guarded
from gitmesh.planning.relying import Scenery, relied
from gitmesh.planning.rows import held_row
from gitmesh.planning.staging import Staging
from gitmesh.planning.unwanted import Unwanted
from gitmesh.planning.wanting import Wanting

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from gitmesh.model.ledger import Stored
    from gitmesh.model.objects import ObjectKey
    from gitmesh.ports import Translator

_WAITS = "waits for an object before it that is being deleted"


def diff(
    built: Build,
    observed: Observed,
    stored: Stored,
    translators: Mapping[str, Translator],
    consent: Consent,
    memo: MutableMapping[Any, Any],
    before: Mapping[ObjectKey, Sequence[Live | None]],
) -> Plan:
    """What must be written, in order, and what stays with the reason why.

    `before` are our objects as they were until a moment ago, newest first (None: not there): proxies that
    have not learnt of our last writes work by that.
    """
    wanting = Wanting(built, observed, stored, translators, consent, memo)
    unwanted = Unwanted(built, observed, stored, translators, consent)
    rows = [wanting.want(m) for m in built.manifests.values() if m.key not in built.held]
    held = [held_row(live, built) for key in sorted(built.held) if (live := observed.live.get(key))]
    deletions = [*unwanted.deletions(), *unwanted.leaving()]
    standing = [
        key for key in stored.ledger.entries if (live := observed.live.get(key)) and not live.deleting
    ]
    deletions, waiting, guarding = guarded(
        deletions, len(standing), built.cluster, consent, stored.ledger.approved
    )
    peaceful, fights = without_fights([*rows, *deletions], stored.ledger.heals, built.cluster)
    scenery = Scenery(
        cluster=built.cluster,
        wanted=built.manifests,
        live=observed.live,
        before=before,
        writers=wanting.writers,
        meshes=built.meshes,
        ours=wanting.ours,
        memo=memo,
    )
    linked = relied([*peaceful, *held], scenery)
    staging = Staging(built.cluster, observed.live, before, wanting.writers)
    steps = staging.steps([row for row in linked.rows if row.writes])
    rest = [row for row in linked.rows if not row.writes]
    writes, late = _without_late(
        sorted((step for step in steps if step.writes), key=_rank), wanting.gone_soon
    )
    rest += [*late, *(step for step in steps if not step.writes), *unwanted.staying(), *unwanted.unknown()]
    diagnostics = (
        *observed.diagnostics,
        *wanting.diagnostics,
        *fights,
        *linked.diagnostics,
        *staging.diagnostics,
        *unwanted.diagnostics,
        *wanting.told_of_strangers(),
        *guarding,
    )
    return Plan(
        cluster=built.cluster,
        changes=(*writes, *rest),
        prune_held=tuple(waiting),
        diagnostics=diagnostics,
    )


def _without_late(writes: Sequence[Change], gone_soon: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """Writes that may be made, and those that come after an object of the same unit that is about to go: they
    wait for it, as they would if its own write had failed."""
    if not gone_soon:
        return list(writes), []
    late = [
        c
        for c in writes
        if any(
            not set(c.units).isdisjoint(gone.units) and _rank(gone)[:2] < _rank(c)[:2] for gone in gone_soon
        )
    ]
    keys = {change.key for change in late}
    waiting = [
        replace(c, action=Action.KEEP, body=None, fields=(), drift=False, note=_WAITS, staged=True)
        for c in late
    ]
    return [c for c in writes if c.key not in keys], waiting


def _rank(change: Change) -> tuple[int, int, ObjectKey]:
    deletion = change.action is Action.DELETE
    return (int(deletion), DELETE_ORDER.index(change.phase) if deletion else change.phase, change.key)
