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
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.admission import GUARDING, NARROWING, Effect
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Action, Change, Turn
from gitmesh.planning.moves import Move, body_in, staged, state_between
from gitmesh.planning.rows import in_state, is_same

if TYPE_CHECKING:
    from gitmesh.model.objects import Body
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
        self.moves = {row.key: self._move(row) for row in self.rows if row.decides in GUARDING}
        self.away = self._away(rows)
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
        return sorted(found, key=lambda step: (step.turn, step.level, step.key))

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

    # --- what is not as it is wanted after this plan, and so refuses too little

    def _away(self, rows: Sequence[Change]) -> Mapping[str, ObjectKey]:
        """By namespace an object that would narrow who may call and is kept from it, "" for one that is about
        all of them. There nothing refuses less meanwhile, and nowhere else: what a tenant makes holds nobody
        else's, so only what a mesh has in its root namespace is about all. What errors hold is as it is to
        be.
        """
        roots = {mesh.root_namespace for mesh in self.scenery.built.meshes} - {""}
        kept = (row.key for row in rows if self._is_kept_away(row, roots))
        found = sorted((*kept, *self._staying()), reverse=True)
        # Only who may write a mesh's root namespace can write what is about all pods.
        everywhere = [key for key in found if key.namespace in roots]
        # Found in reverse, so that the first by name of each namespace is the one that is told.
        away = {key.namespace: key for key in found}
        return {**away, "": everywhere[-1]} if everywhere else away

    def _is_kept_away(self, row: Change, roots: Collection[str]) -> bool:
        """Whether a stranger in its place, a finalizer, or what it waits for keeps a wanted object away. What
        a stranger's object does instead counts in the root namespaces of meshes alone, which no tenant has.
        """
        wanted = self.scenery.built.manifests.get(row.key)
        if wanted is None or row.decides not in GUARDING or row.writes:
            return False
        if row.action not in (Action.CONFLICT, Action.HELD) and not row.staged:
            return False
        # A tenant who puts an object of his own in our place must not be able to hold up what others are
        # denied.
        tenants = row.action is Action.CONFLICT and row.key.namespace not in roots
        before = body_in(row.before)
        after = wanted.ownership.onto(decode(wanted.body), before)
        # Of somebody else's object the rest is as it is: there is no state without it.
        there = None if tenants and wanted.ownership.is_object else before
        return self.scenery.writers[row.key].effect(there, after) in NARROWING

    def _staying(self) -> Iterator[ObjectKey]:
        """Ours that nobody wants and this plan does not delete, for whatever reason: it is protected, too
        many would go, its finalizers wait, or the ledger that tells what may go is lost."""
        built, live = self.scenery.built, self.scenery.observed.live
        going = {row.key for row in self.rows if row.withdraws}
        ours = (
            key for key in live.keys() - built.manifests.keys() - built.held - going if self._is_ours(key)
        )
        for key in ours:
            before, mine = decode(live[key].body), self.scenery.ours_in(live[key])
            rest = mine.rest(before) if mine else None
            if self.scenery.writers[key].effect(before, rest) in NARROWING:
                yield key

    def _is_ours(self, key: ObjectKey) -> bool:
        return (
            self.scenery.ours_in(self.scenery.observed.live[key]) is not None
            and self.scenery.writers.get(key) is not None
        )

    # --- what a change does

    def _move(self, row: Change) -> Move:
        writer = self.scenery.writers[row.key]
        before, after = body_in(row.before), body_in(row.body)
        between = writer.between(before, after, frozenset())
        passes = between is not None and self._widens(row, before, between)
        # A proxy may still work by one of these, so the state between is needed for the step from there,
        # too.
        for earlier in () if passes else self.scenery.before.get(row.key, ()):
            version = body_in(earlier.body) if earlier else None
            state = writer.between(version, after, frozenset()) if version or after else None
            if state is not None and self._widens(row, version, state):
                between, passes = state, True
        return Move(
            row=row,
            effect=writer.effect(before, after),
            refuses=any(writer.effect(None, body) is Effect.NARROWS for body in (before, after) if body),
            between=between,
            passes=passes,
        )

    def _widens(self, row: Change, before: Body | None, state: Mapping[str, Any]) -> bool:
        effect = self.scenery.writers[row.key].effect
        return effect(before, decode(in_state(row, state))) is Effect.WIDENS

    # --- when it is made

    def _steps(self, row: Change) -> Iterator[Change]:
        move = self.moves.get(row.key)
        if move is None:
            yield replace(row, turn=Turn.LEAVES if row.withdraws else Turn.ROUTES)
        elif row.decides == "trust":
            yield self._of_trust(move)
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
        other = self.away.get(row.key.namespace) or self.away.get("")
        away = f"refuses what it refused until {other} is as it is wanted" if other else ""
        match move.effect:
            case Effect.CLOSES:
                # It waits for no grant: one that cannot be written would keep all others' pods open. And
                # no grant waits for it: one that follows a Service to other pods leaves the old ones open
                # until this is written, but nothing selected those in the revision before either, and by
                # waiting the new ones would be closed to callers whom both revisions admit. No one object can
                # select old and new: the labels they share may be on pods that others guard.
                if move.between is not None and row.key.namespace in self.granting:
                    yield state_between(move, Turn.PREPARES, "keeps who may call until all grants are there")
                yield replace(row, turn=Turn.CLOSES)
            case Effect.OPENS:
                # One object speaks for all pods, so its end waits for every refusal that is still to be
                # written, in whichever namespace: pods there would be open to callers whom both revisions
                # refuse. Only for one whose write fails, though, which is the server's word, and not for one
                # that somebody else's object keeps away: a tenant could hold the whole mesh like that.
                narrowing = tuple(key for keys in self.narrowing.values() for key in keys)
                yield replace(row, turn=Turn.OPENS, relies_on=(*row.relies_on, *narrowing))
            case Effect.NEITHER if deletes:
                yield replace(row, turn=Turn.ENDS)
            # Deleting the last grant may open the pods, where the first one closed them to all others.
            case Effect.BOTH if deletes and not move.refuses:
                yield self._withdrawn(row)
            case _ if not move.refuses:
                if move.effect is Effect.BOTH and move.between is not None and self._is_refused(row):
                    yield state_between(move, Turn.PREPARES, _NOBODY)
                yield replace(row, turn=Turn.WITHDRAWS if deletes else Turn.GRANTS)
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

    def _withdrawn(self, row: Change) -> Change:
        """A grant that goes and may leave its pods open to all, as the first of its kind closed them: not
        before there is what is to close them, or to refuse."""
        missing = self._missed(row.key.namespace)
        if missing is not None:
            return self._waits(row, f"closes what it grants until {missing} is as it is wanted")
        near = (self.moves[key] for key in self._near(row))
        closing = tuple(one.row.key for one in near if one.refuses or self._is_everywhere(one))
        return replace(row, turn=Turn.WITHDRAWS, relies_on=(*row.relies_on, *closing))

    def _missed(self, namespace: str) -> ObjectKey | None:
        """What is to close or to refuse there when a grant has gone, and is kept away.

        A refusal may be missed by whom the grant alone kept out, so the grant stays, with those whom it
        admitted until now; where all is closed anyway nobody comes in, and it goes. What keeps a refusal away
        may be a tenant's: it is missed in that namespace alone.
        """
        everywhere = self.away.get("")
        if everywhere is not None and self._closes(everywhere):
            return everywhere
        return None if self._stays_closed else self.away.get(namespace)

    @cached_property
    def _stays_closed(self) -> bool:
        """Whether every mesh has what closes all of it by existing, and keeps it."""
        live, roots = self.scenery.observed.live, {mesh.root_namespace for mesh in self.scenery.built.meshes}
        there = (key for key in self.scenery.built.manifests if key.namespace in roots and key in live)
        closed = {
            key.namespace
            for key in there
            if key not in self.moves
            and self.scenery.writers[key].effect(None, decode(live[key].body)) is Effect.CLOSES
        }
        return closed == roots

    def _closes(self, key: ObjectKey) -> bool:
        wanted = self.scenery.built.manifests.get(key)
        effect = self.scenery.writers[key].effect
        return wanted is not None and effect(None, decode(wanted.body)) is Effect.CLOSES

    def _near(self, row: Change) -> tuple[ObjectKey, ...]:
        """What narrows who may call the same pods, perhaps: objects of its namespace, and what closes by
        existing."""
        mine = self.narrowing.get(row.key.namespace, ())
        return mine if not self.everywhere else (*mine, *self.everywhere)

    def _hangs_together(self, row: Change) -> bool:
        return any(key != row.key for key in self._near(row))

    def _is_refused(self, row: Change) -> bool:
        """Whether something comes to refuse otherwise at the pods of a grant, perhaps. What closes them or
        grants otherwise is no reason to rest, in which nobody is let in whom both revisions do."""
        return any(self.moves[key].refuses for key in self._near(row))

    def _released(self, row: Change) -> Change:
        return replace(row, turn=Turn.RELEASES, relies_on=(*row.relies_on, *self._near(row)))

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
