"""All clusters of the configuration, worked on at the same time, each failing alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gitmesh.ports import Cluster, ClusterError

MAX_WORKERS = 16


class LocalFleet:
    """Clusters that this process reaches itself. Satisfies `ports.Fleet`."""

    def __init__(self, clusters: Iterable[Cluster]) -> None:
        self.clusters: Mapping[str, Cluster] = {cluster.name: cluster for cluster in clusters}

    def each(self, work: Callable[[Cluster], Any], names: Iterable[str] | None = None) -> Mapping[str, Any]:
        """Results by cluster, in the order of the configuration; a ClusterError is the result of its cluster.

        Every cluster is finished before an exception of another kind propagates. Raises KeyError for an unknown name.
        """
        wanted = set(self.clusters if names is None else names)
        if unknown := wanted - self.clusters.keys():
            raise KeyError(f"no such cluster: {min(unknown)}")
        chosen = [cluster for name, cluster in self.clusters.items() if name in wanted]
        if not chosen:
            return {}
        with ThreadPoolExecutor(max_workers=min(len(chosen), MAX_WORKERS), thread_name_prefix="cluster") as pool:
            pending = {cluster.name: pool.submit(_caught, work, cluster) for cluster in chosen}
        return {name: future.result() for name, future in pending.items()}


def _caught(work: Callable[[Cluster], Any], cluster: Cluster) -> Any:
    try:
        return work(cluster)
    except ClusterError as error:
        return error
