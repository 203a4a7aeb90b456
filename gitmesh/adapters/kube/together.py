"""Work in threads: waiting for a server takes no time of this process."""

from __future__ import annotations

from collections import deque
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

A = TypeVar("A")
T = TypeVar("T")


class Ahead(Generic[T]):
    """Work that is begun now, in a thread, and whose result is wanted later. `ended` is called there when it
    has ended.
    """

    def __init__(self, work: Callable[[], T], ended: Callable[[], None] = lambda: None) -> None:
        self._work, self._ended = work, ended
        self._returned: list[T] = []
        self._raised: list[BaseException] = []
        self._thread = Thread(target=self._run, name="gitmesh-kube", daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether `result` answers at once."""
        return bool(self._returned or self._raised)

    def wait(self, seconds: float | None = None) -> bool:
        """Until the work has ended, or so many seconds have passed; whether it has ended."""
        self._thread.join(seconds)
        return self.has_ended

    def result(self) -> T:
        """What the work returned or raised, once it has ended."""
        self.wait()
        if self._raised:
            raise self._raised[0]
        return self._returned[0]

    def _run(self) -> None:
        try:
            self._returned.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._raised.append(error)
        self._ended()


def together(work: Callable[[A], T], items: Iterable[A], *, most: int) -> list[T]:
    """What `work` makes of each item, in their order, at most `most` at once.

    After a failure no other item is begun; that of the first item that failed is raised once all that runs
    has ended. Items are begun in order, so which one that is does not hang on who was quicker.
    """
    waiting = deque(enumerate(items))
    # A thread for a single request would only cost.
    if len(waiting) <= 1:
        return [work(item) for _, item in waiting]
    done: dict[int, T] = {}
    failures: dict[int, BaseException] = {}

    def serve() -> None:
        while waiting and not failures:
            try:
                place, item = waiting.popleft()
            except IndexError:  # another thread took the last one meanwhile
                return
            try:
                done[place] = work(item)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                failures[place] = error

    threads = [Thread(target=serve, name="gitmesh-kube", daemon=True) for _ in range(min(most, len(waiting)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        waiting.clear()  # of use where the caller was interrupted
    if failures:
        raise failures[min(failures)]
    return [done[place] for place in sorted(done)]
