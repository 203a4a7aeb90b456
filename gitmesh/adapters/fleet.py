"""All clusters of the configuration, worked on at the same time, each failing alone and holding up nobody for
long.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Condition
from traceback import extract_tb
from typing import Any

from msgspec import Struct, field

from gitmesh.adapters.kube.together import Ahead
from gitmesh.errors import ClusterError
from gitmesh.ports import Cluster

MAX_WORKERS = 16
SHORT_PATIENCE = 5.0
"""Seconds that a cluster is waited for once it was late, until it has kept time again."""
MOST_PATIENCE = 90.0
"""Seconds that one is waited for however slow it is known to be: a cycle waits three times, and must end."""
# What is allowed to a slow cluster, as a share of what it took last.
_MARGIN = 1.5
_STEPS = 3
"""How often a cycle asks each cluster: its ledger, its facts, its objects."""


class _Standing(Struct):
    """How a cluster keeps time. `patience` is its due in seconds (None: no bound); `late` holds until enough
    steps in a row were in time, and as long `error` is what is told of it, so that one fault has one text."""

    patience: float | None
    late: bool = False
    kept: int = 0
    error: ClusterError | None = None

    @property
    def allowed(self) -> float | None:
        """Seconds that it is waited for now."""
        return (
            min(self.patience, SHORT_PATIENCE) if self.late and self.patience is not None else self.patience
        )

    def in_time(self) -> None:
        """It answered while it was waited for."""
        self.kept += 1
        if self.kept >= _STEPS:
            self.late, self.error = False, None

    def failed(self, error: ClusterError, seconds: float) -> None:
        """It failed after so many seconds."""
        self.kept = 0
        # A cluster that fails at once holds up none of the others: only one that took long is late.
        self.late = self.late or seconds >= SHORT_PATIENCE
        self.error = error if self.late else None

    def left(self) -> ClusterError:
        """It is no longer waited for."""
        # The same error for as long as it is late, since each new text would be a new finding and a new
        # commit.
        error = self.error or ClusterError(
            f"no answer within {self.allowed:g} s; the other clusters go on without it"
        )
        self.late, self.kept, self.error = True, 0, error
        return error

    def done_late(self, seconds: float) -> None:
        """What was not waited for has ended well after so many seconds."""
        # It is slow and not dead, so that it gets the time that it took.
        self.late, self.kept, self.error = False, 0, None
        self.patience = min(MOST_PATIENCE, max(self.patience or 0.0, _MARGIN * seconds))


class _Task(Struct):
    """Work on the clusters of one lane, under way since `began`."""

    lane: Sequence[Cluster]
    began: float
    ended: float | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)


class LocalFleet:
    """Clusters that this process reaches itself. Satisfies `ports.Fleet`; to be used from one thread."""

    def __init__(
        self,
        clusters: Iterable[Cluster],
        *,
        in_turn: Collection[str] = (),
        patience: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`in_turn`: clusters that cost computing and no waiting (directories); at the same time they only
        slow each other down.

        `patience`: seconds after which a cluster is no longer waited for; its work goes on, and until it ends
        the cluster answers with an error at once. Others are waited for until they end.
        """
        self.clusters: Mapping[str, Cluster] = {cluster.name: cluster for cluster in clusters}
        self._in_turn = frozenset(in_turn)
        self._clock = clock
        bounds = (
            {}
            if patience is None
            else {name: min(seconds, MOST_PATIENCE) for name, seconds in patience.items()}
        )
        self._standing = {
            name: _Standing(None if name in self._in_turn else bounds.get(name)) for name in self.clusters
        }
        self._changed = Condition()
        self._left: dict[str, _Task] = {}

    def each(self, work: Callable[[Cluster], Any], names: Iterable[str] | None = None) -> Mapping[str, Any]:
        """Results by cluster, in the order of the configuration; a ClusterError is the result of its cluster.

        So is a defect of ours that one of them brings about: the others are finished.
        Raises KeyError for an unknown name.
        """
        wanted = set(self.clusters if names is None else names)
        if unknown := wanted - self.clusters.keys():
            raise KeyError(f"no such cluster: {min(unknown)}")
        self._take_leave()
        found: dict[str, object] = {name: self._standing[name].error for name in wanted & self._left.keys()}
        chosen = [cluster for name, cluster in self.clusters.items() if name in wanted - self._left.keys()]
        lanes = [
            [c for c in chosen if c.name in self._in_turn],
            *([c] for c in chosen if c.name not in self._in_turn),
        ]
        found.update(self._worked(work, [lane for lane in lanes if lane]))
        return {name: found[name] for name in self.clusters if name in wanted}

    def _worked(
        self, work: Callable[[Cluster], Any], lanes: Iterable[Sequence[Cluster]]
    ) -> Mapping[str, object]:
        """Work on the lanes at once, up to a limit; one that is no longer waited for makes room."""
        waiting, tasks = deque(lanes), list[_Task]()
        found: dict[str, object] = {}
        while waiting or tasks:
            while waiting and len(tasks) < MAX_WORKERS:
                tasks.append(self._begun(work, waiting.popleft()))
            self._wait(tasks)
            for task in tasks:
                found.update(self._judged(task))
            tasks = [task for task in tasks if task.lane[0].name not in found]
        return found

    def _begun(self, work: Callable[[Cluster], Any], lane: Sequence[Cluster]) -> _Task:
        task = _Task(lane, self._clock())

        def at_work() -> None:
            answers = {cluster.name: _caught(work, cluster) for cluster in lane}
            with self._changed:
                task.answers, task.ended = answers, self._clock()
                self._changed.notify_all()

        Ahead(at_work)
        return task

    def _wait(self, tasks: Sequence[_Task]) -> None:
        """Until a task ends or need not be waited for any longer."""
        ends = [
            task.began + allowed
            for task in tasks
            if (allowed := self._standing[task.lane[0].name].allowed) is not None
        ]
        left = max(0.0, min(ends) - self._clock()) if ends else None
        with self._changed:
            self._changed.wait_for(lambda: any(task.ended is not None for task in tasks), left)

    def _judged(self, task: _Task) -> Mapping[str, object]:
        """The answers of a task that ended, an error for one that is left to itself now, nothing for
        another.
        """
        name = task.lane[0].name
        standing, lasted = self._standing[name], (task.ended or self._clock()) - task.began
        if task.ended is not None:
            standing.failed(error, lasted) if (error := _error_of(task)) else standing.in_time()
            return task.answers
        if standing.allowed is None or lasted < standing.allowed:
            return {}
        self._left[name] = task
        return {name: standing.left()}

    def _take_leave(self) -> None:
        """Judge what was left to itself and has ended since."""
        for name, task in list(self._left.items()):
            if task.ended is None:
                continue
            # Its answer itself is too old to be of use.
            del self._left[name]
            standing, lasted = self._standing[name], task.ended - task.began
            standing.failed(error, lasted) if (error := _error_of(task)) else standing.done_late(lasted)


def _error_of(task: _Task) -> ClusterError | None:
    return next((answer for answer in task.answers.values() if isinstance(answer, ClusterError)), None)


def _caught(work: Callable[[Cluster], Any], cluster: Cluster) -> object:
    try:
        return work(cluster)
    except ClusterError as error:
        return error.with_traceback(None)  # it may be kept, and its frames hold the cycle's values
    # One cluster's nonsense must not end the work on the others (design law 7).
    except Exception as defect:  # noqa: BLE001
        place = extract_tb(defect.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        # Only the kind of the defect is told: its text may hold what the cluster sent.
        return ClusterError(
            f"a defect of GitMesh ended the work on it: {type(defect).__name__} at {where}", code="GM513"
        )
