"""When the changes of a plan are made (design law 2): by what they do to who is admitted. Called by diff; no
I/O.

What refuses more comes first, and never waits. What grants comes next, for grants add up: one write of them
is safe while all refuse what they refused and what they are to refuse. What refuses less comes when nothing
is left to narrow, and so does what refuses otherwise, by way of a state between. What closes by existing
comes after the grants, and goes before them. A mode of mTLS is passed a step a tick: what it narrows comes
before all access, and what it widens after that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.admission import GUARDING, Effect
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Action, Change, Turn
from gitmesh.planning.kept_away import KeptAway
from gitmesh.planning.moves import Move, behind, move_of, staged, state_between
from gitmesh.planning.relief import STAYS, Changeover
from gitmesh.planning.rows import is_same
from gitmesh.planning.same_pods import same_pods

if TYPE_CHECKING:
    from gitmesh.model.units import UnitKey
    from gitmesh.planning.scenery import Scenery

_BOTH = "refuses the old and the new until what is granted has changed"
_NEW = "what is granted has changed; only the new is refused"
_NOBODY = "grants nothing until what is refused has changed"
_WIDER = "it admits more, so it waits until who may call has changed"


class Ordering:
    """The steps of one plan, and the findings on those that wait a tick."""

    def __init__(self, rows: Sequence[Change], scenery: Scenery) -> None:
        self.scenery = scenery
        self.diagnostics: list[Diagnostic] = []
        self.rows = [row for row in rows if row.writes]
        self.changeover = Changeover(rows, scenery.built)
        # A copy changes nothing for anybody, as what it is of is still there.
        apart = self.changeover.copies
        guarding = (row for row in self.rows if row.decides in GUARDING and row.key not in apart)
        self.moves = {row.key: move_of(row, scenery) for row in guarding}
        self.bereft = self.changeover.bereft(self.moves.values())
        self.kept = KeptAway(rows, self.moves.keys(), scenery)
        # A mode of mTLS that widens waits for these: whoever is told by identity must be told apart until
        # then.
        access = [move for move in self.moves.values() if move.row.decides == "access"]
        self.changes_access = any(move.effect is not Effect.NEITHER for move in access)
        # On its way through a state that admits more, as a mode of mTLS goes by Permissive. Until that is
        # past, only what refuses is written.
        self.passing = [
            move.row.key for move in self.moves.values() if move.passes and move.effect is not Effect.WIDENS
        ]
        self.granting = frozenset(move.row.key.namespace for move in access if move.grants)
        # Sorted once here, since these keys stand in what steps rely on, and plans are equal byte for byte.
        narrowing = sorted(move.row.key for move in self.moves.values() if move.narrows)
        self.everywhere = tuple(key for key in narrowing if self._is_everywhere(self.moves[key]))
        # By namespace, so that a step looks at its neighbours and not at all others: that would be
        # quadratic.
        found: dict[str, list[ObjectKey]] = defaultdict(list)
        for key in narrowing:
            found[key.namespace].append(key)
        self.narrowing = {place: tuple(keys) for place, keys in found.items()}

    def steps(self) -> list[Change]:
        """The writes in the order in which they are carried out, and what waits."""
        found = [step for row in self.rows for step in self._steps(row)]
        in_turn = self.changeover.in_turn(found, self._waits)
        return sorted(in_turn, key=lambda step: (step.turn, step.level, step.key))

    def turn(self, row: Change, body: bytes) -> Turn:
        """When an object would be made anew that is wanted and not there."""
        if row.decides not in GUARDING:
            return Turn.ROUTES
        writer = self.scenery.writers[row.key]
        # Compared with nothing, as the object is gone by then.
        effect = writer.effect(None, decode(body))
        if effect is Effect.CLOSES:
            return Turn.CLOSES
        return Turn.REFUSES if row.decides == "trust" or effect is Effect.NARROWS else Turn.GRANTS

    @staticmethod
    def _is_everywhere(move: Move) -> bool:
        """Whether it may be about pods of every namespace: mTLS is, and what closes by existing may be."""
        return move.row.decides == "trust" or move.effect is Effect.CLOSES

    # --- when it is made

    def _steps(self, row: Change) -> Iterator[Change]:
        move = self.moves.get(row.key)
        if row.key in self.changeover.copies:
            self._say(row, STAYS)
            yield replace(row, turn=Turn.STAYS, note=STAYS, staged=True)
        elif move is None:
            yield replace(row, turn=Turn.LEAVES if row.withdraws else Turn.ROUTES)
        elif row.decides == "trust":
            yield self._of_trust(move)
        elif lacking := self.changeover.lacking(row):
            yield self._waits(row, f"{STAYS}, as {lacking} cannot stay in its place")
        elif self.passing and move.effect is not Effect.NEITHER and not self._only_refuses(move):
            yield self._while_passing(move)
        else:
            yield from self._of_access(move)

    def _of_trust(self, move: Move) -> Change:
        if move.effect in (Effect.WIDENS, Effect.OPENS):
            # Access is told by identities, and without mTLS there are none: the weaker mode comes when that
            # has changed.
            if self.changes_access:
                return self._waits(move.row, _WIDER)
            turn = Turn.ENDS
        else:
            turn = Turn.REFUSES
        if not move.passes or move.between is None:
            return replace(move.row, turn=turn)
        return self._halfway(move, turn, "goes through a state between, a step a tick")

    def _only_refuses(self, move: Move) -> bool:
        return move.refuses and move.effect is Effect.NARROWS

    def _while_passing(self, move: Move) -> Change:
        """What is refused more comes all the same; what is admitted waits."""
        note = f"waits until {self.passing[0]} has changed"
        if move.effect is Effect.BOTH and move.refuses and move.between is not None:
            return self._halfway(move, Turn.REFUSES, note)
        return self._waits(move.row, note)

    def _of_access(self, move: Move) -> Iterator[Change]:
        row, deletes = move.row, move.row.withdraws
        other = self.kept.narrowing(row.key.namespace)
        away = f"refuses what it refused until {other} is as it is wanted" if other else ""
        match move.effect:
            case Effect.CLOSES:
                # It waits for no grant: one that cannot be written would keep all others' pods open.
                if move.between is not None and row.key.namespace in self.granting:
                    yield state_between(move, Turn.PREPARES, "keeps who may call until all grants are there")
                yield replace(row, turn=Turn.CLOSES)
            case Effect.OPENS:
                # One object speaks for all pods, so its end waits for every refusal that is still to be
                # written, in whichever namespace: pods there would be open to callers whom both revisions
                # refuse. Only for one whose write fails, though, which is the server's word, and not for one
                # that somebody else's object keeps away: a tenant could hold the whole mesh like that.
                narrowing = tuple(key for keys in self.narrowing.values() for key in keys)
                yield behind(row, Turn.OPENS, narrowing)
            case Effect.NEITHER if deletes:
                yield replace(row, turn=Turn.ENDS)
            # Deleting the last grant may open the pods, where the first one closed them to all others.
            case Effect.BOTH if deletes and not move.refuses:
                yield self._withdrawn(row)
            # A grant to callers whom a refusal beside it would keep out, and cannot.
            case Effect.WIDENS | Effect.BOTH if not move.refuses and (missed := self._unrefused(move)):
                yield self._granting_less(move, missed)
            case _ if not move.refuses:
                if move.effect is Effect.BOTH and move.between is not None and self._is_refused(row):
                    yield state_between(move, Turn.PREPARES, _NOBODY)
                turn = Turn.WITHDRAWS if deletes else Turn.GRANTS
                yield behind(row, turn, self._refusals_of_others(move))
            # At the pods of before nobody misses it: where somebody would, a copy stays.
            case Effect.BOTH if move.between is None and self._is_elsewhere(row):
                yield replace(row, turn=Turn.REFUSES)
            # Both old and new are refused for as long as something that should refuse is kept from its
            # place.
            case Effect.BOTH if away and move.between is not None:
                yield self._halfway(move, Turn.REFUSES, away)
            case Effect.WIDENS | Effect.BOTH if away:
                yield self._waits(row, away)
            case Effect.WIDENS:
                yield self._released(row)
            case Effect.BOTH if move.between is not None and self._hangs_together(row):
                yield state_between(move, Turn.REFUSES, _BOTH)
                yield replace(self._released(row), note=_NEW)
            # What only refuses more is in nobody's way.
            case _:
                yield replace(row, turn=Turn.REFUSES)

    def _is_elsewhere(self, row: Change) -> bool:
        """Whether an object goes to other pods."""
        labels = self.scenery.writers[row.key].guarded
        return labels(decode(row.before)) != labels(decode(row.body or row.before))

    def _withdrawn(self, row: Change) -> Change:
        """A grant that goes and may leave its pods open to all, as the first of its kind closed them: not
        before there is what is to close them, or to refuse."""
        by_pods = self.scenery.writers[row.key].guarded(decode(row.before)) is not None
        missing = self.kept.missed(row.key.namespace, by_pods=by_pods)
        if missing is not None:
            return self._waits(row, f"closes what it grants until {missing} is as it is wanted")
        near = (self.moves[key] for key in self._near(row))
        # What is granted from now on to another destination of its pods closes them, too.
        entry = self.scenery.ledger.entries.get(row.key)
        others = self._sharing(entry.units if entry else ())
        closing = tuple(
            one.row.key
            for one in near
            if one.refuses or self._is_everywhere(one) or not others.isdisjoint(one.row.units)
        )
        return behind(row, Turn.WITHDRAWS, closing)

    def _near(self, row: Change) -> tuple[ObjectKey, ...]:
        """What narrows who may call the same pods, perhaps: objects of its namespace, and what closes by
        existing."""
        mine = self.narrowing.get(row.key.namespace, ())
        return mine if not self.everywhere else (*mine, *self.everywhere)

    def _hangs_together(self, row: Change) -> bool:
        return any(key != row.key for key in self._near(row))

    def _granting_less(self, move: Move, missed: ObjectKey) -> Change:
        """A grant without what it gains: a withdrawal waits for nothing that a tenant could put in the
        way."""
        note = f"grants no more than before until {missed} is as it is wanted"
        if move.effect is Effect.WIDENS or move.between is None:
            return self._waits(move.row, note)
        return self._halfway(move, Turn.PREPARES, note)

    def _admits_more(self, move: Move) -> bool:
        """Whether somebody comes in by writing a grant who did not. A heal brings back what was admitted; and
        the first grant closes as it comes, unless all is closed already, or its pods are.
        """
        row = move.row
        closes = row.action is Action.CREATE and row.key not in self.scenery.built.joining
        return not row.drift and (self.kept.stays_closed or not closes)

    def _unrefused(self, move: Move) -> ObjectKey | None:
        """What is to refuse at the pods of a grant that admits more, and is somebody else's."""
        if not self._admits_more(move):
            return None
        return self.kept.refusal(sorted({*move.row.units, *self._sharing(move.row.units)}))

    def _refusals_of_others(self, move: Move) -> Iterator[ObjectKey]:
        """What comes to refuse at the pods of a grant for another destination. A failure of its own stops it
        anyway: they share a unit.
        """
        # The first grant of a destination closes its pods, and yet admits more where those of others closed
        # them: by the server's word it waits, as it does for its own refusal. A heal brings back what was.
        if move.effect is not Effect.NARROWS and not move.row.drift:
            for unit in sorted(self._sharing(move.row.units)):
                yield from self._refusing.get(unit, ())

    def _sharing(self, units: Iterable[UnitKey]) -> frozenset[UnitKey]:
        return frozenset().union(*(self._same_pods.get(unit, ()) for unit in units))

    @cached_property
    def _same_pods(self) -> Mapping[UnitKey, frozenset[UnitKey]]:
        return same_pods(self.scenery.built.units)

    @cached_property
    def _refusing(self) -> Mapping[UnitKey, list[ObjectKey]]:
        found: dict[UnitKey, list[ObjectKey]] = defaultdict(list)
        for key in sorted(key for key, move in self.moves.items() if move.refuses and move.narrows):
            for unit in self.moves[key].row.units:
                found[unit].append(key)
        return found

    def _is_refused(self, row: Change) -> bool:
        """Whether a refusal leaves the pods of a grant with it, and no copy of that stays. What closes them,
        comes there or grants otherwise is no reason for it to rest, in which nobody is let in whom both
        revisions do."""
        return row.key in self.bereft

    def _released(self, row: Change) -> Change:
        return behind(row, Turn.RELEASES, self._near(row))

    def _halfway(self, move: Move, turn: Turn, note: str) -> Change:
        """The state between for this tick; what it is already stays."""
        step = state_between(move, turn, note)
        body, before = decode(step.body or b""), decode(step.before or step.body or b"")
        # It is there already: writing it each tick while it waits would be a write in a state that is to be
        # quiet.
        if is_same(body, before, step.forbidden, step.ownership):
            return self._waits(move.row, note)
        self._say(step, note)
        return replace(step, staged=True)

    def _waits(self, row: Change, note: str) -> Change:
        self._say(row, note)
        return replace(row, action=Action.KEEP, body=None, note=note, staged=True)

    def _say(self, row: Change, note: str) -> None:
        self.diagnostics.append(staged(row, note, self.scenery.cluster))
