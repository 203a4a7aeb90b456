"""The time that a request has, all its attempts included, and the closing of its client, which ends it at once."""

from __future__ import annotations

import time
from threading import Condition, Thread
from typing import TYPE_CHECKING, TypeVar

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
        """Wake who waits."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()


class Deadline:
    """So many seconds from now. To be used from one thread."""

    def __init__(self, seconds: float, closing: Closing) -> None:
        self._end = time.monotonic() + seconds
        self._closing = closing

    def left(self) -> float:
        """Seconds that are left, more than none. Raises TimeoutError, and ClusterError where the client was closed."""
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
        """What `work` returns or raises; for work that nothing can end, which goes on in a thread of its own. Raises as `left`."""
        returned: list[T] = []
        raised: list[BaseException] = []

        def run() -> None:
            try:
                returned.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                raised.append(error)
            with self._closing.changed:
                self._closing.changed.notify_all()

        Thread(target=run, name="gitmesh-kube", daemon=True).start()
        self._wait(lambda: bool(returned or raised), self.left())
        if raised:
            raise raised[0]
        if not returned:
            raise TimeoutError
        return returned[0]

    def _wait(self, is_done: Callable[[], bool], seconds: float) -> None:
        with self._closing.changed:
            self._closing.changed.wait_for(lambda: self._closing.is_closed or is_done(), seconds)
        if self._closing.is_closed:
            self.left()
