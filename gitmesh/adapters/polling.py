"""Sources that nobody waits for: each asked in a thread of its own, while a cycle works with the last
answer.
"""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from traceback import extract_tb
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from gitmesh.errors import SourceError
from gitmesh.model.snapshot import Snapshot
from gitmesh.ports import Source

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds without an answer after which a source counts as silent; so long a first cycle waits, for all
sources together.
"""
JITTER = 0.1
"""Share of the interval by which a poll may come later, so that many agents do not call at once."""
LEAST_PAUSE = 1.0
"""Seconds from a poll to the next one, however often it is woken."""
_MOST_INTERVALS, _LONGEST = 8, 300.0
"""A source that fails is asked again after at most so many intervals, and so many seconds, but never before
its interval.
"""


@runtime_checkable
class Remote(Source, Protocol):
    """A source with a local copy, which answers without asking the remote. A folder is its own copy."""

    def recall(self, commit: str) -> Snapshot | None:
        """`read` from the copy alone; None where it lacks the commit. Waits for nobody who asks the
        remote.
        """

    def follows(self, tip: str, ancestor: str) -> bool | None:
        """`descends` by the copy alone; None where it cannot tell."""

    def abandon(self) -> None:
        """End what asks the remote now, in whatever thread."""


class FromCopy:
    """What a source answers out of its local copy and its own record, whoever asks the remote."""

    _source: Remote

    def leads_to(self, commit: str) -> bool:
        """Whether the branch, as the local copy has it, is that commit or comes after it."""
        return self._source.leads_to(commit)

    def accept(self, commit: str) -> None:
        """Record that this commit came into force. Raises SourceError."""
        self._source.accept(commit)

    def accepted(self) -> str:
        """The commit that was recorded last, "" if none is."""
        return self._source.accepted()


def pause(interval: float, failures: int, jitter: float) -> float:
    """Seconds until the next poll: the interval, longer after each failure in a row; `jitter` is from 0 to
    1.
    """
    longest = max(interval, min(interval * _MOST_INTERVALS, _LONGEST))
    # The exponent is bounded, as after weeks without an answer a float would overflow.
    return min(longest, interval * 2.0 ** min(max(failures - 1, 0), 16)) * (1 + JITTER * jitter)


class Polled(FromCopy):
    """A source that is asked at its own interval (seconds), and answers at once with what was read last.
    Satisfies `ports.Source`.

    `news` is called, in the polling thread, whenever the answer is another one than before.
    """

    def __init__(
        self,
        source: Remote,
        *,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = source.name
        self.interval = interval
        self._source, self._clock, self._jitter = source, clock, jitter
        self._news: Callable[[], None] = _nobody
        self._changed = Condition()
        self._began = clock()
        self._asked_at: float | None = None
        self._answer: Snapshot | SourceError | None = None
        self._failures = 0
        self._woken = False
        self._wanted: dict[tuple[str, ...], Callable[[], object]] = {}
        self._brought: dict[tuple[str, ...], SourceError | None] = {}
        self._closed = False

    # -- what a cycle asks --------------------------------------------------------------------------------

    def fetch(self) -> Snapshot:
        """The tip as read last; at the start, the first answer is waited for a moment. Raises SourceError."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._answer is not None or self._closed, self._rest_of_the_start()
            )
            answer = self._answer
            if isinstance(answer, SourceError):
                raise answer
            # A remote that says nothing for so long must not pass for one that has no news.
            if answer is None or self._is_silent():
                raise SourceError(f"no answer within {PATIENCE:g} s")
            return answer

    def read(self, commit: str) -> Snapshot:
        """A commit from the local copy; one that it lacks is asked for meanwhile. Raises SourceError."""
        key = ("read", commit)
        found = self._found(partial(self._source.recall, commit), key, partial(self._source.read, commit))
        if found is None:
            raise self._brought.get(key) or SourceError(
                "it is not in the local copy, and the remote has not sent it yet"
            )
        return found

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` is `ancestor` or comes after it, by the local copy; no where that cannot tell now."""
        look, ask = (
            partial(self._source.follows, tip, ancestor),
            partial(self._source.descends, tip, ancestor),
        )
        return bool(self._found(look, ("descends", tip, ancestor), ask))

    def _found(
        self, look: Callable[[], T | None], key: tuple[str, ...], ask: Callable[[], object]
    ) -> T | None:
        """What the copy has; else the polling thread is told to get it, and is waited for only at the
        start.
        """
        found = look()
        if found is not None:
            return found
        with self._changed:
            # Once between two polls: a commit that the remote does not have is not asked for by every
            # cycle.
            if key not in self._brought:
                self._wanted[key] = ask
                self._changed.notify_all()
            self._changed.wait_for(lambda: key in self._brought or self._closed, self._rest_of_the_start())
        return look()

    def _rest_of_the_start(self) -> float:
        return max(0.0, self._began + PATIENCE - self._clock())

    def _is_silent(self) -> bool:
        return self._asked_at is not None and self._clock() - self._asked_at >= PATIENCE

    # -- the polling thread -------------------------------------------------------------------------------

    def start(self, news: Callable[[], None]) -> None:
        """Begin to poll, at once."""
        self._news = news
        self._began = self._clock()
        Thread(target=self._keep_polling, name=f"poll-{self.name}", daemon=True).start()

    def close(self) -> None:
        """Poll no more, and end the poll under way: its failure is no news."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._source.abandon()

    def wake(self) -> None:
        """Ask as soon as may be: somebody says that there is news."""
        with self._changed:
            # A mark and no count: however often it is said before the poll, it is one poll.
            self._woken = True
            self._changed.notify_all()

    def poll(self) -> float:
        """Ask the remote once; seconds until it is to be asked again."""
        with self._changed:
            self._asked_at, self._brought = self._clock(), {}
        answer = _outcome(self._source.fetch)
        if self._closed:
            return 0.0
        with self._changed:
            lasted = self._clock() - self._asked_at
            before = self._answer
            answer = before if answer == before else answer  # a folder is read anew each time
            self._answer, self._asked_at = answer, None
            self._failures = self._failures + 1 if isinstance(answer, SourceError) else 0
            self._changed.notify_all()
        self._bring()
        if _is_news(before, answer):
            self._news()
        return max(
            0.0, pause(self.interval, self._failures, self._jitter()) - (0.0 if self._failures else lasted)
        )

    def _keep_polling(self) -> None:
        while not self._closed:
            end = self.poll() + self._clock()
            soonest = self._clock() + LEAST_PAUSE
            while not self._closed and (left := end - self._clock()) > 0:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or self._wanted or self._woken, left)
                    # However often somebody says that there is news: a stranger's webhook must not set the
                    # pace.
                    end = min(end, soonest) if self._woken else end
                    self._woken = False
                if self._bring():
                    self._news()

    def _bring(self) -> bool:
        """Get what cycles did not find in the copy, each once between two polls; whether there was
        anything.
        """
        with self._changed:
            wanted, self._wanted = self._wanted, {}
        for key, ask in wanted.items():
            answer = _outcome(ask)
            with self._changed:
                self._brought[key] = answer if isinstance(answer, SourceError) else None
                self._changed.notify_all()
        return bool(wanted)


def _is_news(before: Snapshot | SourceError | None, answer: Snapshot | SourceError) -> bool:
    """Whether the answer is another one than before; the same fault is none, whatever others say of it."""
    if isinstance(before, SourceError) and isinstance(answer, SourceError):
        return str(before) != str(answer)
    return before is not answer


def _outcome(ask: Callable[[], T]) -> T | SourceError:
    """The answer, or why there is none. A defect of ours must not end the polling (design law 10)."""
    try:
        return ask()
    except SourceError as error:
        return error
    except Exception as defect:  # noqa: BLE001  only its kind is told: its text may hold what the remote sent
        place = extract_tb(defect.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return SourceError(f"a defect of GitMesh ended the reading: {type(defect).__name__} at {where}")


def _nobody() -> None:
    """Nobody waits for news yet."""
