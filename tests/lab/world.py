"""The bookshop in two meshes, started together: what the end-to-end tests send their traffic through."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.bookshop import DATAPLANES, Dataplane
from tests.lab.build import Binaries
from tests.lab.mesh import MeshCluster
from tests.lab.place import mesh_place
from tests.lab.proxy import ProxyPrograms
from tests.lab.wire import Seen


@dataclass(frozen=True)
class LabWorld:
    """Clusters by name."""

    clusters: Mapping[str, MeshCluster]
    folder: Path
    """Files of this run: logs of everything, below the cluster's name; removed at the end."""

    def seen(self, call_id: str) -> list[Seen]:
        """What applications of all clusters saw of the calls with this `x-lab-id`, also of those that a proxy
        mirrored.
        """
        return [
            seen
            for cluster in self.clusters.values()
            for pod in cluster.pods.values()
            for seen in pod.seen(call_id)
        ]

    def calls(self, call_id: str) -> dict[str, int]:
        """How many calls with this `x-lab-id` each pod saw; pods without any are left out."""
        counts: dict[str, int] = {}
        for seen in self.seen(call_id):
            counts[seen.pod] = counts.get(seen.pod, 0) + 1
        return counts


@contextlib.contextmanager
def bookshop(
    binaries: Binaries,
    clusters: Sequence[str] = ("east", "west"),
    say: Callable[[str], None] = lambda _line: None,
    dataplane: Dataplane = "sidecar",
) -> Iterator[LabWorld]:
    """Start these clusters at once, and end them with the block; what killed runs have left is removed first.

    `say` gets a line with the seconds since the start for each phase. Raises LabError where programs or
    rights are missing.
    """
    started = time.monotonic()

    def phase(name: str, line: str) -> None:
        say(f"{time.monotonic() - started:5.1f} s  {name}: {line}")

    with contextlib.ExitStack() as stack:
        folder, tag, mesh, _ = stack.enter_context(mesh_place(binaries))
        proxies = ProxyPrograms.copied(mesh, folder)
        tables = DATAPLANES[dataplane]
        made = {
            name: MeshCluster(binaries, tables[name], _subfolder(folder, name), tag, proxies)
            for name in clusters
        }
        for cluster in made.values():
            stack.callback(cluster.close)
        # Processes end with the thread that started them: these threads stay as long as the world does. They
        # end first, so that nothing is started any more when the clusters are closed.
        pool = stack.enter_context(ThreadPoolExecutor(len(made)))
        for start in [pool.submit(cluster.start, partial(phase, name)) for name, cluster in made.items()]:
            start.result()
        yield LabWorld(made, folder)


def _subfolder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made
