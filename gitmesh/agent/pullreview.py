"""One review of one pull request by the agent: announced, fetched, compared, posted, all before one
moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gitmesh.adapters.git.heads import Heads
from gitmesh.errors import ForgeError, WorldError
from gitmesh.model.comparison import Comparison
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.forge import CommitState, CommitStatus, PullRequest
from gitmesh.planning.options import Memo
from gitmesh.ports import Forge
from gitmesh.reviewing.posting import set_status, settle_superseded
from gitmesh.reviewing.publishing import Publication, begin, context_of, publish, status_of


class LateError(WorldError):
    """A review did not end in time."""


class Standpoint(Struct, frozen=True, kw_only=True):
    """What reviews are judged by: the tip of the branch, the facts that are known, and the commits of the
    other sources in force.
    """

    tip: str
    facts: Mapping[str, ClusterFacts]
    others: Mapping[str, str]

    @property
    def meaning(self) -> tuple[object, ...]:
        """Equal where a review of the same commits would say the same."""
        # Facts without a digest are equal to nothing but themselves: better a review too many than one of
        # old facts.
        return tuple((name, one.digest or id(one)) for name, one in self.facts.items()), tuple(
            self.others.items()
        )


class Compare(Protocol):
    """Compares two commits of the heads' store. `clock` gives monotonic seconds, and raises LateError when
    the time is up.
    """

    def __call__(
        self, base: str, head: str, standpoint: Standpoint, *, memo: Memo, clock: Callable[[], float]
    ) -> Comparison:
        """Raises SourceError, and what `clock` raises."""


class PullReviewer:
    """Knows where pull requests are, and what their reviews are made with. `wall` gives seconds since the
    epoch, for the marker of a comment alone."""

    def __init__(
        self,
        forge: Forge,
        heads: Heads,
        compare: Compare,
        *,
        instance: str,
        wall: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self._forge, self._heads, self._compare = forge, heads, compare
        self._instance, self._wall, self._log = instance, wall, log
        self._context = context_of(instance, "review")

    def announce(self, pull: PullRequest, former: str) -> None:
        """Say that the head is being reviewed, and that the one announced before will not be any more. Raises
        ForgeError.
        """
        settle_superseded(self._forge, former, pull.head, self._context)
        begin(self._forge, pull, self._instance, pull.head)

    def base_of(self, pull: PullRequest, tip: str) -> str:
        """Where the head and the branch came apart. Raises SourceError."""
        self._heads.bring(pull.number, pull.head_ref, pull.head, tip)
        return self._heads.base_of(tip, pull.head)

    def review(
        self, pull: PullRequest, base: str, standpoint: Standpoint, *, memo: Memo, clock: Callable[[], float]
    ) -> str:
        """Compare and post; what became of the comment, in a word. Raises SourceError, ForgeError and
        LateError.
        """
        # Before the comparison: what was read later may be newer than the marker says, never older.
        at = int(self._wall())
        found = self._compare(base, pull.head, standpoint, memo=memo, clock=clock)
        clock()  # what is late is not posted
        whole = f"`gitmesh diff --base {base[:12]} --head {pull.head[:12]}`"
        publication = Publication(
            comparison=found, instance=self._instance, head=pull.head, at=at, whole=whole
        )
        done, status = publish(self._forge, pull, publication), status_of(publication)
        self._log.info(
            "review posted", pull=pull.number, comment=done.value, status=status.state.value, text=status.text
        )
        return done.name.lower()

    def excuse(self, pull: PullRequest, reason: str) -> None:
        """The head's status says why there is no review, as far as the forge lets it."""
        status = CommitStatus(context=self._context, state=CommitState.ERROR, text=f"not reviewed: {reason}")
        try:
            set_status(self._forge, pull.head, status)
        except ForgeError as error:
            self._log.debug("a status was not set", pull=pull.number, error=str(error))


class ReviewWork:
    """One review under way, which ends itself at `end`."""

    def __init__(
        self,
        one: PullReviewer,
        pull: PullRequest,
        former: str,
        standpoint: Standpoint,
        *,
        memo: Memo,
        clock: Callable[[], float],
        end: float,
    ) -> None:
        self.pull, self.standpoint, self.base = pull, standpoint, ""
        self._one, self._former, self._memo, self._clock, self._end = one, former, memo, clock, end

    def run(self) -> str:
        """Announce, fetch, compare, post. Raises WorldError."""
        # First, before anything is fetched: whoever pushed sees at once that somebody is at it, and the
        # status of the head before does not stay pending.
        self._one.announce(self.pull, self._former)
        self.base = self._one.base_of(self.pull, self.standpoint.tip)
        return self._one.review(self.pull, self.base, self.standpoint, memo=self._memo, clock=self._in_time)

    def _in_time(self) -> float:
        """The time, while there is some left. Raises LateError."""
        now = self._clock()
        if now >= self._end:
            raise LateError("the time for this review is over")
        return now
