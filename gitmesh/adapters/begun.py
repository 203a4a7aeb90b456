"""Sources that are read once, all at the same time and under one deadline: for a command that ends."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from gitmesh.adapters.kube.together import Ahead
from gitmesh.adapters.polling import FromCopy, Remote
from gitmesh.errors import SourceError
from gitmesh.model.snapshot import Snapshot
from gitmesh.ports import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")


class Begun(FromCopy):
    """A source whose tip is being read already, in a thread, and that has until `end` on the clock for all
    that its remote is asked.

    Satisfies `ports.Source`.
    """

    def __init__(self, source: Remote, end: float, clock: Callable[[], float]) -> None:
        self.name = source.name
        self._source, self._end, self._clock = source, end, clock
        self._tip = Ahead(source.fetch)

    def fetch(self) -> Snapshot:
        """The tip. Raises SourceError."""
        return self._in_time(self._tip)

    def read(self, commit: str) -> Snapshot:
        """A commit, from the local copy where that has it. Raises SourceError."""
        return self._source.recall(commit) or self._in_time(Ahead(partial(self._source.read, commit)))

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` is `ancestor` or comes after it; no where that was not found out in time."""
        # The copy on this disk first: only what it cannot tell is worth time of the common deadline.
        known = self._source.follows(tip, ancestor)
        if known is not None:
            return known
        try:
            return self._in_time(Ahead(partial(self._source.descends, tip, ancestor)))
        except SourceError:
            return False

    def _in_time(self, work: Ahead[T]) -> T:
        if not work.wait(max(0.0, self._end - self._clock())):
            raise SourceError("no answer in time; all sources together have a deadline")
        return work.result()


@contextmanager
def side_by_side(
    sources: Sequence[Source], *, seconds: float = 120.0, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[Source, ...]]:
    """The sources with their tips being read at the same time, under one deadline; afterwards what still asks
    a remote is ended.
    """
    end = clock() + seconds
    try:
        yield tuple(Begun(source, end, clock) if isinstance(source, Remote) else source for source in sources)
    finally:
        for source in sources:
            if isinstance(source, Remote):
                # Also after a success: a git that still waits for its remote would outlive the command.
                source.abandon()
