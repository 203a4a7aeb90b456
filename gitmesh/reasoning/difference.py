"""Which requests two revisions of the policies decide otherwise, told completely: nothing is sampled.

Destinations of which all that decides is the same are skipped. What the calculator cannot tell is a change of
its own, Unknown; where neither side can be told as both are held, the last good objects stay in force on
both, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeAlias

from gitmesh.model.comparison import AccessChange, RightChange
from gitmesh.model.policies import Origin
from gitmesh.reasoning.answers import Admission, Answer, Ruling
from gitmesh.reasoning.classes import MOST_WORK, Cell, ClassRow, Destination
from gitmesh.reasoning.clients import Clients, Interest, interest
from gitmesh.reasoning.crowd import Crowd
from gitmesh.reasoning.population import Resident
from gitmesh.reasoning.questions import Known, ServiceKey
from gitmesh.reasoning.stakes import Stake, stake
from gitmesh.reasoning.strangers import ANYBODY
from gitmesh.reasoning.values import UntoldError

MOST_IN_ALL = 40_000_000
"""Looks at single rules and callers, for one cluster; a minute or two. The destination that goes beyond it is
the last.
"""

_Verdict: TypeAlias = tuple[RightChange, Answer, Answer]


def access_changes(
    before: Known,
    after: Known,
    callers: Iterable[Resident],
    among: Collection[ServiceKey] | None = None,
    tick: Callable[[], object] = lambda: None,
) -> tuple[AccessChange, ...]:
    """The requests that one cluster decides otherwise after than before, sorted. `callers` are those that are
    known (`population`).

    Everybody who is not among them is asked, too. A request whose address is not known is none: where rules
    ask for addresses, all addresses are compared. `among` are the destinations of which something that
    decides may differ (None = any). `tick` is called in between; what it raises ends the comparison.
    """
    return tuple(sorted(_Difference(before, after, tuple(callers)).changes(among, tick)))


class _Difference:
    """One cluster; classes of clients that several destinations tell apart alike are made once."""

    def __init__(self, before: Known, after: Known, callers: Sequence[Resident]) -> None:
        self.sides, self.crowd = (before, after), Crowd(callers)
        self.clients: dict[Interest, Clients] = {}
        self.left = MOST_IN_ALL

    def changes(
        self, among: Collection[ServiceKey] | None, tick: Callable[[], object]
    ) -> Iterator[AccessChange]:
        first, second = (side.index.facts.service_index.keys() for side in self.sides)
        # Both sides should have been made of the same facts; where they were not, nothing can be told.
        for key in first ^ second:
            yield _untold(key, (), "the Service is in the facts of one side only")
        for key in sorted(first & second if among is None else (first & second).intersection(among)):
            tick()
            stakes = [stake(key, side) for side in self.sides]
            # Equal stakes decide every request alike: most destinations end here.
            if stakes[0] != stakes[1]:
                yield from self._changes(key, stakes)

    def _changes(self, key: ServiceKey, stakes: Sequence[Stake]) -> Iterator[AccessChange]:
        try:
            destination = self._destination(key, stakes)
        except UntoldError as error:
            yield _untold(
                key, tuple(sorted({port.number for one in stakes for port in one.ports})), str(error)
            )
            return
        yield from (_change(key, row) for row in destination.rows(destination.cells(), _verdict))
        yield from _without_pods(key, stakes)

    def _destination(self, key: ServiceKey, stakes: Sequence[Stake]) -> Destination:
        """Raises UntoldError where it is too much, by itself or after all others: one that is costs as much
        as one may.
        """
        if self.left <= 0:
            raise UntoldError("the policies of too many destinations differ to compare all of their requests")
        # Counted as the most that one may cost, until it is known: a destination that turns out to be too
        # much raises before its own work can be read.
        work = MOST_WORK
        try:
            destination = Destination(key, self.sides, stakes, self._clients(interest(stakes)))
            work = destination.work
        finally:
            self.left -= work
        return destination

    def _clients(self, about: Interest) -> Clients:
        if about not in self.clients:
            self.clients[about] = Clients(self.crowd, about)
        return self.clients[about]


def _verdict(cell: Cell) -> _Verdict | None:
    """What becomes of a class; None where all pods answer as before."""
    before, after = cell.answers
    if _pods(before) == _pods(after):
        return None
    answers = (before.answer, after.answer)
    if Answer.UNKNOWN in answers:
        return RightChange.UNKNOWN, *answers
    if answers == (Answer.DENIED, Answer.ALLOWED):
        return RightChange.GAINED, *answers
    return RightChange.LOST if answers == (Answer.ALLOWED, Answer.DENIED) else RightChange.CHANGED, *answers


def _pods(found: Admission) -> object:
    """The answer of each pod, whatever its reason."""
    if found.ruling:
        return found.ruling.answer
    return sorted((workload.key, port, ruling.answer) for workload, port, ruling in found.pods)


def _change(key: ServiceKey, row: ClassRow[_Verdict]) -> AccessChange:
    effect, before, after = row.verdict
    told = dict.fromkeys(ruling.text for cell in row.cells for ruling in _differing(cell))
    return AccessChange(
        service=key,
        ports=row.ports,
        effect=effect,
        callers=row.callers,
        requests=row.requests,
        before=before.value,
        after=after.value,
        why="; ".join(sorted(told)),
        origins=deciding(ruling for cell in row.cells for found in cell.answers for ruling in rulings(found)),
    )


def _differing(cell: Cell) -> Iterator[Ruling]:
    """Why pods answer after the change as they did not before."""
    before, after = cell.answers
    same = {(workload.key, port, ruling.answer) for workload, port, ruling in before.pods}
    if after.ruling:
        yield after.ruling
    yield from (
        ruling for workload, port, ruling in after.pods if (workload.key, port, ruling.answer) not in same
    )


def rulings(found: Admission) -> Iterator[Ruling]:
    """Each reason of an answer."""
    if found.ruling:
        yield found.ruling
    yield from (ruling for _, _, ruling in found.pods)


def deciding(found: Iterable[Ruling]) -> tuple[Origin, ...]:
    """The lines that decide: also the Allows that do not admit, where that is why."""
    return tuple(
        sorted(
            {origin for one in found for origin in (*one.deciding, *(tried.origin for tried in one.tried))}
        )
    )


def _without_pods(key: ServiceKey, stakes: Sequence[Stake]) -> Iterator[AccessChange]:
    """Policies that say otherwise of ports without pods: nobody answers there, so nobody can tell."""
    ports = tuple(number for number, pairs in stakes[1].pairs if not pairs)
    if stakes[1].selected and ports and (stakes[0].own, stakes[0].held) != (stakes[1].own, stakes[1].held):
        yield _untold(key, ports, "no pods are behind the port, and policies say otherwise of it")


def _untold(key: ServiceKey, ports: tuple[int, ...], why: str) -> AccessChange:
    return AccessChange(
        service=key,
        ports=ports,
        effect=RightChange.UNKNOWN,
        callers=(ANYBODY,),
        requests=(),
        before=Answer.UNKNOWN.value,
        after=Answer.UNKNOWN.value,
        why=why,
    )
