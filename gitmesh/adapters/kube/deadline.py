"""The time that a request has, all its attempts included, and the closing of its client, which ends it at
once.
"""

from __future__ import annotations

import time
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

from gitmesh.adapters.kube.together import Ahead
from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Closing:
    """Whether a client was closed since a request began, for all who wait."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.is_closed = False

    def close(self) -> None:
        """End who waits."""
        self.is_closed = True
        self.wake()

    def wake(self) -> None:
        """Let who waits look again."""
        with self.changed:
            self.changed.notify_all()


class Deadline:
    """So many seconds from now. To be used from one thread."""

    def __init__(self, seconds: float, closing: Closing) -> None:
        self._end = time.monotonic() + seconds
        self._closing = closing

    def left(self) -> float:
        """Seconds that are left, more than none. Raises TimeoutError, and ClusterError where the client was
        closed.
        """
        if self._closing.is_closed:
            raise ClusterError("the connection was closed from this side")
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def pause(self, seconds: float) -> None:
        """Do nothing for a while. Raises as `left`."""
        self._wait(lambda: False, min(seconds, self.left()))

    def call(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises; for work that nothing can end, which goes on in a thread of its own.
        Raises as `left`.
        """
        ahead = Ahead(work, ended=self._closing.wake)
        self._wait(lambda: ahead.has_ended, self.left())
        if not ahead.has_ended:
            raise TimeoutError
        return ahead.result()

    def _wait(self, is_done: Callable[[], bool], seconds: float) -> None:
        with self._closing.changed:
            self._closing.changed.wait_for(lambda: self._closing.is_closed or is_done(), seconds)
        if self._closing.is_closed:
            self.left()
