"""All clusters of the configuration, worked on at the same time, each failing alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from traceback import extract_tb
from typing import Any

from gitmesh.errors import ClusterError
from gitmesh.ports import Cluster

MAX_WORKERS = 16


class LocalFleet:
    """Clusters that this process reaches itself. Satisfies `ports.Fleet`."""

    def __init__(self, clusters: Iterable[Cluster], *, in_turn: Collection[str] = ()) -> None:
        """`in_turn`: clusters that cost computing and no waiting (directories); at the same time they only slow each other down."""
        self.clusters: Mapping[str, Cluster] = {cluster.name: cluster for cluster in clusters}
        self._in_turn = frozenset(in_turn)

    def each(self, work: Callable[[Cluster], Any], names: Iterable[str] | None = None) -> Mapping[str, Any]:
        """Results by cluster, in the order of the configuration; a ClusterError is the result of its cluster.

        So is a defect of ours that one of them brings about: the others are finished.
        Raises KeyError for an unknown name.
        """
        wanted = set(self.clusters if names is None else names)
        if unknown := wanted - self.clusters.keys():
            raise KeyError(f"no such cluster: {min(unknown)}")
        chosen = [cluster for name, cluster in self.clusters.items() if name in wanted]
        if not chosen:
            return {}
        lanes = [[c for c in chosen if c.name in self._in_turn], *([c] for c in chosen if c.name not in self._in_turn)]
        with ThreadPoolExecutor(max_workers=min(len(lanes), MAX_WORKERS), thread_name_prefix="cluster") as pool:
            pending = [pool.submit(_lane, work, lane) for lane in lanes if lane]
        found = {name: answer for future in pending for name, answer in future.result().items()}
        return {cluster.name: found[cluster.name] for cluster in chosen}


def _lane(work: Callable[[Cluster], Any], clusters: Sequence[Cluster]) -> Mapping[str, Any]:
    """One cluster after the other."""
    return {cluster.name: _caught(work, cluster) for cluster in clusters}


def _caught(work: Callable[[Cluster], Any], cluster: Cluster) -> Any:
    try:
        return work(cluster)
    except ClusterError as error:
        return error
    except Exception as defect:  # noqa: BLE001  one cluster's nonsense must not end the work on the others (design law 9)
        place = extract_tb(defect.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        # Only the kind of the defect is told: its text may hold what the cluster sent.
        return ClusterError(f"a defect of GitMesh ended the work on it: {type(defect).__name__} at {where}", code="GM513")
