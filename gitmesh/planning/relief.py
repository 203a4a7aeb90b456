"""The steps of a plan where pods change from one guard to another: none leaves them before the next has come
(planning/relieving says which). Called by ordering; no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gitmesh.model.plan import Action, Change, Turn
from gitmesh.planning.moves import behind

if TYPE_CHECKING:
    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.planning.moves import Move

STAYS = "stays at its pods until what is to guard them is there"
_BESIDE = "refuses what it refused while others stay at pods that are to be guarded anew"


class Changeover:
    """The objects of one plan that others follow at pods. `copies` are the rows of those that stay there in
    place of what goes to other pods."""

    def __init__(self, rows: Sequence[Change], built: Build) -> None:
        self._relieved = built.relieved
        self.copies: Mapping[ObjectKey, Change] = {row.key: row for row in rows if row.key in built.copies}

    def copy_of(self, row: Change) -> Change | None:
        """The row of what stays in place of an object, if something does."""
        relief = self._relieved.get(row.key)
        return self.copies.get(relief.copy) if relief and relief.copy else None

    def lacking(self, row: Change) -> ObjectKey | None:
        """What should stay in place of an object and cannot: somebody else's is there, say."""
        copy = self.copy_of(row)
        if copy is None or copy.writes or (copy.action is Action.KEEP and not copy.staged):
            return None
        return copy.key

    def bereft(self, moves: Iterable[Move]) -> frozenset[ObjectKey]:
        """The objects beside which a refusal leaves pods at once, and no copy of it stays."""
        going = (move for move in moves if move.refuses and not move.row.withdraws)
        alone = (one.row.key for one in going if one.between is None and self.copy_of(one.row) is None)
        return frozenset().union(*(self._relieved[key].by for key in alone if key in self._relieved))

    def in_turn(self, steps: Sequence[Change], waits: Callable[[Change, str], Change]) -> Iterator[Change]:
        """The steps, of which what goes relies on what follows it; where that does not come with this plan it
        waits, and so does what would refuse less beside what stays there."""
        coming = {step.key for step in steps if step.writes and not step.staged}
        copied = {key.namespace for key in self.copies}
        # Grants that leave the same pods go together: beside a copy of one alone, whom only the others let in
        # would be kept out until that goes, too.
        staying = {
            step.key
            for step in steps
            if (by := self._followers(step)) and (step.key.namespace in copied or not by <= coming)
        }
        places = copied.union(key.namespace for key in staying)
        for step in steps:
            if step.key in staying:
                missing = sorted(self._followers(step) - coming)
                yield waits(step, f"stays at its pods until {missing[0]} is there" if missing else STAYS)
            elif step.turn is Turn.RELEASES and step.key.namespace in places:
                yield waits(step, _BESIDE)
            else:
                yield behind(step, step.turn, sorted(self._followers(step)))

    def _followers(self, step: Change) -> frozenset[ObjectKey]:
        """What is to come to the pods of an object that goes because nobody wants it any more."""
        relief = self._relieved.get(step.key)
        return relief.by if relief and step.withdraws else frozenset()
