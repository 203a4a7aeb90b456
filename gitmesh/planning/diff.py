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

Of somebody else's object of which only some fields are ours (`Ownership.only`):

| desired | live    | the field is          | action |
|---------|---------|-----------------------|--------|
| yes     | no      | -                     | nothing until somebody makes the object |
| yes     | yes     | as wanted             | keep |
| yes     | yes     | not set, or ours      | update (a heal where the wish did not change) |
| yes     | yes     | set by somebody else  | conflict |
| no      | yes     | ours                  | release: the field goes, the object stays |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.model.manifests import Build
from gitmesh.model.plan import Action, Change, Live, Observed, Plan, Turn
from gitmesh.planning.elsewhere import ALONE, Asking
from gitmesh.planning.fights import without_fights
from gitmesh.planning.guard import Consent, guarded
from gitmesh.planning.ordering import Ordering
from gitmesh.planning.relieving import is_copy
from gitmesh.planning.relying import relied
from gitmesh.planning.rows import held_row, wanted_row
from gitmesh.planning.scenery import Scenery
from gitmesh.planning.unwanted import Unwanted
from gitmesh.planning.wanting import Wanting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping, Sequence

    from gitmesh.diagnostics import Diagnostic
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
    elsewhere: Asking | None = None,
) -> Plan:
    """What must be written, in order, and what stays with the reason why. The arguments are `Scenery`'s."""
    scenery = Scenery(
        built=built,
        observed=observed,
        stored=stored,
        translators=translators,
        consent=consent,
        before=before,
        memo=memo,
        elsewhere=elsewhere or Asking(ALONE),
    )
    wanting, unwanted = Wanting(scenery), Unwanted(scenery)
    wanted = [wanting.want(m) for m in built.manifests.values() if m.key not in built.held]
    held = list(_held(scenery))
    # Guarded before fights and order are looked at: consent is asked for what would go, whenever it would.
    deletions, prune_held, guarding = _guarded([*unwanted.deletions(), *unwanted.leaving()], scenery)
    peaceful, fights = without_fights([*wanted, *deletions], stored.ledger.heals, built.cluster)
    # Held rows are no writes, but others may rely on what they are about.
    linked = relied([*peaceful, *held], scenery)
    ordering = Ordering(linked.rows, scenery)
    steps = ordering.steps()
    writes, late = _without_late([step for step in steps if step.writes], _turns(wanting.gone_soon, ordering))
    resting = [row for row in linked.rows if not row.writes]
    staged = [step for step in steps if not step.writes]
    return Plan(
        cluster=built.cluster,
        # Writes first, in the order in which they are carried out; what follows is for people.
        changes=(*writes, *resting, *late, *staged, *unwanted.staying(), *unwanted.unknown()),
        prune_held=tuple(prune_held),
        diagnostics=(
            *observed.diagnostics,
            *wanting.diagnostics,
            *fights,
            *linked.diagnostics,
            *ordering.diagnostics,
            *unwanted.diagnostics,
            *wanting.told_of_strangers(),
            *guarding,
        ),
    )


def _held(scenery: Scenery) -> Iterator[Change]:
    """The objects that findings hold: those that stay as they are, and those that are not made."""
    built, live = scenery.built, scenery.observed.live
    for key in sorted(built.held):
        if key in live:
            yield held_row(live[key], built, scenery.decides(live[key]))
        elif key in built.manifests:
            note = "it is not made while findings on what it is for hold it"
            yield wanted_row(Action.HELD, built.manifests[key], body=None, note=note)


def _guarded(
    deletions: list[Change], scenery: Scenery
) -> tuple[list[Change], list[Change], tuple[Diagnostic, ...]]:
    """Deletions that may be made, those that wait for consent, and what is said of these."""
    ledger, live = scenery.ledger, scenery.observed.live
    # The share is of what still stands: objects that are on their way out would make the rest look small.
    standing = [
        key for key in ledger.entries if (found := live.get(key)) and not found.deleting and not is_copy(key)
    ]
    return guarded(deletions, len(standing), scenery.cluster, scenery.consent, ledger.approved)


def _turns(gone_soon: Sequence[Change], ordering: Ordering) -> list[tuple[Change, Turn]]:
    """Objects that are about to go, with when they come again."""
    wanted = ordering.scenery.built.manifests
    return [(gone, ordering.turn(gone, wanted[gone.key].body)) for gone in gone_soon]


def _without_late(
    writes: Sequence[Change], gone_soon: Sequence[tuple[Change, Turn]]
) -> tuple[list[Change], list[Change]]:
    """Writes that may be made, and those that come after an object of the same unit that is about to go: they
    wait for it, as they would if its own write had failed."""
    if not gone_soon:
        return list(writes), []
    late = [
        c
        for c in writes
        if any(not set(c.units).isdisjoint(gone.units) and turn < c.turn for gone, turn in gone_soon)
    ]
    keys = {change.key for change in late}
    waiting = [
        replace(c, action=Action.KEEP, body=None, fields=(), drift=False, note=_WAITS, staged=True)
        for c in late
    ]
    return [c for c in writes if c.key not in keys], waiting
