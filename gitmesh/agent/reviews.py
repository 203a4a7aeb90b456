"""The agent reviews open pull requests, in a thread of its own beside the loop.

No cycle waits for it, and it changes nothing that a cycle reads: facts come from the last report, heads are
in a store of their own. Each review has one deadline; one that fails or is late is told, and the next one is
begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.adapters.kube.together import Ahead
from gitmesh.agent.bell import Bell
from gitmesh.agent.patience import Patience
from gitmesh.agent.pullreview import LateError, PullReviewer, ReviewWork, Standpoint
from gitmesh.errors import ForgeError, SourceError, WorldError
from gitmesh.planning.options import Memo

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from gitmesh.adapters.git.heads import Heads
    from gitmesh.model.forge import PullRequest
    from gitmesh.model.report import Report
    from gitmesh.ports import Forge

MOST_PULLS = 50
"""Reviews in one round; the others are of the next one, which follows at once."""
DEADLINE = 60.0
"""Seconds that one review may take, from fetching its head to the comment."""
FACTS_SECONDS = 600.0
"""For a change of facts alone nothing is reviewed again before so many seconds: clusters are never still."""
MOST_LATE = 2
"""Reviews beyond their deadline that may still be at work; until one has ended none is begun."""
_SOON, _LONGEST = 5.0, 300.0
"""Seconds after which a review that failed is tried again: at first, and at most."""


class _LastReview(Struct, frozen=True, kw_only=True):
    """The last review of a pull request, or attempt at it. `failures` are those in a row, `again` is when it
    is tried anew.
    """

    head: str
    standpoint: Standpoint
    base: str
    at: float
    failures: int = 0
    again: float = 0.0


class Reviewer:
    """Reviews each new head of an open pull request once, and again when what it is judged by has moved.
    Satisfies ports.Publisher: what it is told of are the facts of each cycle. `interval` is in seconds,
    `clock` monotonic.
    """

    def __init__(
        self,
        forge: Forge,
        heads: Heads,
        one: PullReviewer,
        *,
        source: str,
        branch: str,
        interval: float,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        deadline: float = DEADLINE,
    ) -> None:
        self._forge, self._heads, self._pulls = forge, heads, one
        self._source, self._branch, self._interval, self._deadline = source, branch, interval, deadline
        self._clock, self._log = clock, log
        self._patience = Patience(log, "open pull requests cannot be listed", clock)
        self._count: Callable[[str, float], None] = _uncounted
        self._standpoint: Standpoint | None = None
        self._known: dict[int, _LastReview] = {}
        self._announced: dict[int, str] = {}
        self._late: tuple[Ahead[str], ...] = ()
        self._memo = Memo()
        self._bell = Bell("reviews", self._guarded, clock)

    # -- what others call ---------------------------------------------------------------------------------

    def publish(self, report: Report) -> Report:
        """Take over what is known now; a tip that moved is looked at at once. Of a cluster only a whole
        reading counts.
        """
        source = report.sources.get(self._source)
        facts = {
            name: one.facts
            for name, one in sorted(report.clusters.items())
            if one.facts is not None and one.build is not None
        }
        if source is None or not source.seen or not facts:
            return report
        others = {
            name: one.accepted
            for name, one in report.sources.items()
            if name != self._source and one.accepted
        }
        before, self._standpoint = self._standpoint, Standpoint(tip=source.seen, facts=facts, others=others)
        if before is None or before.tip != source.seen:
            self._bell.ring()
        return report

    def wake(self) -> None:
        """Look as soon as may be."""
        self._bell.ring()

    def start(self, count: Callable[[str, float], None]) -> None:
        """Begin to look; `count` hears of each review its result and its seconds."""
        self._count = count
        self._bell.start()

    def close(self) -> None:
        """End what is under way."""
        self._bell.close()
        self._heads.abandon()

    # -- one round ----------------------------------------------------------------------------------------

    def _guarded(self) -> float:
        try:
            return self.round()
        except Exception:  # noqa: BLE001  a defect of ours must not end the reviews (design law 10)
            self._log.error("reviewing failed, this is a defect of GitMesh", exc_info=True)
            return self._interval

    def round(self) -> float:
        """Review what is new; seconds until the next round."""
        standpoint = self._standpoint
        if standpoint is None or self._patience.left:
            return self._patience.left or self._interval
        try:
            pulls = self._forge.pulls(self._branch)
        except ForgeError as error:
            self._patience.failed(error)
            return min(self._interval, self._patience.left)
        self._patience.worked()
        self._forget(pulls, standpoint)
        due = sorted((one for one in pulls if self._is_due(one, standpoint)), key=self._order)
        if len(due) > MOST_PULLS:
            self._log.warning(
                "more pull requests than one round takes", reviewed=MOST_PULLS, later=len(due) - MOST_PULLS
            )
        for pull in due[:MOST_PULLS]:
            if self._bell.closed:
                return self._interval
            if not self._may_begin():
                self._log.warning(
                    "reviews wait, as others are at work beyond their deadline", late=len(self._late)
                )
                return _SOON
            self._one(pull, standpoint)
        return 0.0 if len(due) > MOST_PULLS else self._until_next(standpoint)

    def _order(self, pull: PullRequest) -> tuple[bool, bool, int]:
        """Those that were never looked at first, and of these first what was written by who may push here."""
        # Forks last: who may only open pull requests must not hold up those who may push.
        return pull.number in self._known, pull.fork, pull.number

    def _until_next(self, standpoint: Standpoint) -> float:
        """The interval, or less where something is tried again before, or has moved meanwhile."""
        # The branch moved while this round went on, so its reviews may have another base already.
        if self._standpoint is not None and self._standpoint.tip != standpoint.tip:
            return 0.0
        return min(
            [
                self._interval,
                *(max(0.0, one.again - self._clock()) for one in self._known.values() if one.failures),
            ]
        )

    def _may_begin(self) -> bool:
        self._late = tuple(one for one in self._late if not one.has_ended)
        return len(self._late) < MOST_LATE

    def _forget(self, pulls: Iterable[PullRequest], standpoint: Standpoint) -> None:
        """Of what is closed or merged nothing is kept."""
        numbers = {pull.number for pull in pulls}
        self._known = {number: one for number, one in self._known.items() if number in numbers}
        self._announced = {number: head for number, head in self._announced.items() if number in numbers}
        try:
            self._heads.keep(numbers, standpoint.tip)
        except SourceError as error:
            self._log.warning("the store of heads was not tidied", error=str(error), detail=error.detail)

    def _is_due(self, pull: PullRequest, standpoint: Standpoint) -> bool:
        known = self._known.get(pull.number)
        if known is None or known.head != pull.head:
            return True
        if known.failures:
            return self._clock() >= known.again
        if known.standpoint.meaning != standpoint.meaning and self._clock() - known.at >= FACTS_SECONDS:
            return True
        return known.standpoint.tip != standpoint.tip and self._has_other_base(pull, known, standpoint)

    def _has_other_base(self, pull: PullRequest, known: _LastReview, standpoint: Standpoint) -> bool:
        """Whether it comes apart from the branch elsewhere now. Where that cannot be told the review is
        tried.
        """
        try:
            base = self._pulls.base_of(pull, standpoint.tip)
        except SourceError:
            return True
        if base == known.base:
            self._known[pull.number] = replace(
                known, standpoint=replace(known.standpoint, tip=standpoint.tip)
            )
        return base != known.base

    # -- one review ---------------------------------------------------------------------------------------

    def _one(self, pull: PullRequest, standpoint: Standpoint) -> None:
        """Review one within its deadline. Whatever becomes of it, others go on."""
        began = self._clock()
        self._log.info("review", pull=pull.number, head=pull.head, tip=standpoint.tip)
        former = self._announced.get(pull.number, pull.head)
        work = ReviewWork(
            self._pulls,
            pull,
            former,
            standpoint,
            memo=self._memo,
            clock=self._clock,
            end=began + self._deadline,
        )
        self._announced[pull.number] = pull.head
        ahead = Ahead(work.run)
        if not ahead.wait(self._deadline):
            self._heads.abandon()  # a fetch under way fails; the comparison is ended by its clock
            self._late = (*self._late, ahead)
            self._memo = Memo()  # nobody else may use what a late one still works with
        result = self._ended(ahead, work)
        seconds = self._clock() - began
        self._count(result, seconds)
        self._log.info("reviewed", pull=pull.number, head=pull.head, result=result, seconds=round(seconds, 3))

    def _ended(self, ahead: Ahead[str], work: ReviewWork) -> str:
        """What became of it, in a word. What was late or fell over is not tried again until something
        moves.
        """
        try:
            result = ahead.result() if ahead.has_ended else "late"
        except LateError:
            result = "late"
        except WorldError as error:
            self._failed(work, error)
            return "failed"
        except Exception:  # noqa: BLE001  a defect of ours must not end the reviews (design law 10)
            self._log.error(
                "a review failed, this is a defect of GitMesh", pull=work.pull.number, exc_info=True
            )
            result = "bug"
        self._remember(work)
        if result in _EXCUSES:
            self._pulls.excuse(work.pull, _EXCUSES[result])
        return result

    def _failed(self, work: ReviewWork, error: WorldError) -> None:
        """It is tried again, later each time. What may pass in a moment is not told on the commit."""
        pull, before = work.pull, self._known.get(work.pull.number)
        failures = before.failures + 1 if before is not None and before.head == pull.head else 1
        self._remember(work, failures)
        self._log.warning(
            "a pull request was not reviewed",
            pull=pull.number,
            error=error.in_full,
            hint=error.hint,
            failures=failures,
        )
        if failures > 1 and not (isinstance(error, ForgeError) and error.retryable):
            self._pulls.excuse(pull, str(error))

    def _remember(self, work: ReviewWork, failures: int = 0) -> None:
        now = self._clock()
        again = now + min(_LONGEST, _SOON * 2.0 ** min(failures - 1, 16)) if failures else 0.0
        self._known[work.pull.number] = _LastReview(
            head=work.pull.head,
            standpoint=work.standpoint,
            base=work.base,
            at=now,
            failures=failures,
            again=again,
        )


_EXCUSES = {
    "late": "it took longer than a review may take",
    "bug": "a defect of GitMesh, which the agent's log tells",
}


def _uncounted(_result: str, _seconds: float) -> None:
    """Nobody counts yet."""
