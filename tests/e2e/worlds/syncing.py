"""Lets GitMesh work on a real cluster until nothing more is written and no step is left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.cluster import KubeCluster
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.model.report import Report
from gitmesh.planning.options import Memo
from tests.e2e.stage import WAITING
from tests.lab.apiserver import ApiServer
from tests.lab.installation import OWN_NAMESPACE
from tests.lab.process import wait_until
from tests.properties.history import History
from tests.worlds.drawing import CLUSTER, World
from tests.worlds.playing import TRANSLATORS, Moment, cycle, json_stream, mesh_objects

_SETTLE = 1.0
_REST_SECONDS = 60.0


@contextlib.contextmanager
def syncing(api: ApiServer, folder: Path) -> Iterator[Syncing]:
    """GitMesh at work on a cluster; `folder` is for its kubeconfig."""
    api.apply(OWN_NAMESPACE)
    access = read_kubeconfig(api.kubeconfig(folder / "gitmesh.kubeconfig"))
    client = KubeClient(access, timeout=30.0, user_agent="gitmesh-tests")
    cluster = KubeCluster(CLUSTER, client, list(TRANSLATORS.values()), settle=_SETTLE)
    try:
        yield Syncing(cluster)
    finally:
        cluster.close()


class Syncing:
    """A source with a history, and what GitMesh remembers from one cycle to the next."""

    def __init__(self, cluster: KubeCluster) -> None:
        self._cluster = cluster
        self._source = History("policies")
        self._memo = Memo()

    def rest(self, world: World) -> Moment:
        """The world once its policies were committed and GitMesh has come to rest. Raises LabError where it
        never does.
        """
        self._source.commit(json_stream(world.policies), good=True)
        reports: list[Report] = []

        def rests() -> bool:
            reports.append(cycle(self._source, self._cluster, self._memo, self._cluster.clock()))
            result = reports[-1].clusters[CLUSTER]
            return not (result.plan and result.plan.writes) and result.state not in WAITING

        wait_until(rests, "rest of GitMesh", _REST_SECONDS)
        return Moment(world, reports[-1], tuple(mesh_objects(self._cluster)))
