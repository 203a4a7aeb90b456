"""Changes of objects that decide who may call: what each does to who is admitted, and its way there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.admission import NARROWING, Effect
from gitmesh.model.objects import decode
from gitmesh.model.plan import Action, Change, Turn
from gitmesh.planning.rows import in_state

if TYPE_CHECKING:
    from gitmesh.model.objects import Body, ObjectKey
    from gitmesh.planning.scenery import Scenery
    from gitmesh.ports import Translator


class Move(NamedTuple):
    """A change of an object that decides who may call. `refuses`: the object comes to narrow. `between` is
    the spec on the way, None where one write is enough; `passes`: that admits more, and proxies must have
    learnt of it before the object goes on.
    """

    row: Change
    effect: Effect
    refuses: bool
    between: Mapping[str, Any] | None
    passes: bool

    @property
    def grants(self) -> bool:
        """Whether it is one of those that add up."""
        return not self.refuses and self.effect in (Effect.NARROWS, Effect.WIDENS, Effect.BOTH)

    @property
    def narrows(self) -> bool:
        """Whether some who were admitted may not be any more."""
        return self.effect in NARROWING


def move_of(row: Change, scenery: Scenery) -> Move:
    """What a row that is written does, and by which way."""
    writer = scenery.writers[row.key]
    before, after = body_in(row.before), body_in(row.body)
    between = writer.between(before, after, frozenset())
    passes = between is not None and _widens(row, before, between, writer)
    # A proxy may still work by one of these, so the state between is needed for the step from there, too.
    for earlier in () if passes else scenery.before.get(row.key, ()):
        version = body_in(earlier.body) if earlier else None
        state = writer.between(version, after, frozenset()) if version or after else None
        if state is not None and _widens(row, version, state, writer):
            between, passes = state, True
    return Move(
        row=row,
        effect=writer.effect(before, after),
        refuses=any(writer.effect(None, body) is Effect.NARROWS for body in (before, after) if body),
        between=between,
        passes=passes,
    )


def _widens(row: Change, before: Body | None, state: Mapping[str, Any], writer: Translator) -> bool:
    return writer.effect(before, decode(in_state(row, state))) is Effect.WIDENS


def state_between(move: Move, turn: Turn, note: str) -> Change:
    """The step to the state on the way."""
    row = move.row
    # On its way out it is first written once more, in a form that still refuses.
    action = Action.UPDATE if row.withdraws else row.action
    return replace(row, action=action, body=in_state(row, move.between or {}), turn=turn, note=note)


def behind(row: Change, turn: Turn, keys: Iterable[ObjectKey]) -> Change:
    """The step in its turn, and not where the write of one of these failed."""
    return replace(row, turn=turn, relies_on=(*row.relies_on, *keys))


def body_in(content: bytes | None) -> Body | None:
    """The object in these bytes, if there is one."""
    return decode(content) if content else None


def staged(row: Change, note: str, cluster: str) -> Diagnostic:
    """The finding on a change that takes more than one tick."""
    policy = row.policies[0] if row.policies else ""
    return finding("GM406", f"{row.key} in {cluster}: {note}", policy=policy, cluster=cluster)
