"""Where the net is played: an API server, a repository on a Git host, a proxy before each, and agents as real
processes.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.cluster import KubeCluster
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.model.facts import ClusterFacts
from tests.faults.calls import Server
from tests.faults.judge import KINDS, USER, Judge, LawBrokenError
from tests.faults.proxy import FaultProxy
from tests.faults.revisions import FoundCluster, Key, Revision, draw
from tests.lab.apiserver import ApiServer
from tests.lab.build import Binaries
from tests.lab.githttp import GitHttpServer
from tests.lab.installation import OWN_NAMESPACE
from tests.lab.process import wait_until
from tests.rendered import translators
from tests.shop import Agent, Shop, bookshop

TIMEOUT = 2.0
"""Seconds that a request to the cluster may take: what a half-open connection costs."""
INTERVAL = 0.2
"""Seconds between two cycles."""
PATIENCE, WHOLE, LONGEST = 90.0, 30, 900.0
"""A cluster that does not converge without faults is lost after so many seconds in which so many cycles were
whole, or after the longest time: on a busy machine seconds alone say nothing of the agent.
"""
_POLL = 0.1
_ANSWERED = ("clean", "findings")
_DEFECT = "defect of GitMesh"
_BY_HAND = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "productpage", "namespace": "bookshop"},
    "spec": {
        "hosts": ["productpage"],
        "http": [{"timeout": "42s", "route": [{"destination": {"host": "productpage"}}]}],
    },
}
"""A stranger's object in the place of one of ours: it stays as it is."""


class AgentPatience:
    """How long an agent is waited for, from now on: so many seconds in which so many cycles were whole."""

    def __init__(self, agent: Agent, seconds: float = PATIENCE, cycles: int = WHOLE) -> None:
        self._agent, self._seconds, self._cycles = agent, seconds, cycles
        self._began, self._whole = time.monotonic(), _whole_cycles(agent)

    def is_over(self) -> bool:
        """Whether it had all the time and all the cycles that it may take."""
        waited = time.monotonic() - self._began
        enough = waited > self._seconds and _whole_cycles(self._agent) - self._whole >= self._cycles
        return enough or waited > LONGEST


def _whole_cycles(agent: Agent) -> int:
    """Cycles in which the cluster and the source answered."""
    counts = agent.metrics()
    return int(sum(counts.get(f'gitmesh_reconcile_total{{result="{how}"}}', 0) for how in _ANSWERED))


@dataclass
class Scene:
    """All of it; one agent at a time. `chance` draws revisions."""

    server: ApiServer
    shop: Shop
    kube: FaultProxy
    git: FaultProxy
    judge: Judge
    chance: random.Random = field(default_factory=random.Random)
    _agent: Agent | None = None

    # --- policies

    def commit(self) -> Revision:
        """The next revision."""
        revision = draw(self.chance, self.judge.world)
        self.judge.commits(revision)
        self.shop.repo.commit(revision.files)
        return revision

    # --- agents

    @property
    def agent(self) -> Agent:
        """The agent at work."""
        assert self._agent is not None
        return self._agent

    @contextlib.contextmanager
    def working(self) -> Iterator[Agent]:
        """An agent within the block; killed at its end. Of what it says one thing counts: a defect."""
        with self.shop.agent() as agent:
            self._agent = agent
            yield agent
        self._agent = None
        if _DEFECT in agent.log:
            line = next(line for line in agent.log.splitlines() if _DEFECT in line)
            raise LawBrokenError(f"a defect: {line[:2000]}")

    def kill(self) -> None:
        """SIGKILL to the agent at work, from any thread."""
        if self._agent is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._agent.process.pid, signal.SIGKILL)

    def converge(self) -> None:
        """Wait, without faults, until everything is as the last revision wants it, and judge. The agent may
        be in the middle of a cycle that met faults: it is given time.
        """
        self._wait()
        self.judge.converged()

    def _wait(self) -> None:
        patience = AgentPatience(self.agent)
        while why := self.judge.differs():
            if patience.is_over():
                raise LawBrokenError(f"not converged: {why}\n{self.agent.log[-4000:]}")
            assert self.agent.process.poll() is None, self.agent.log[-4000:]
            time.sleep(_POLL)

    def forgive(self) -> None:
        """After a law was broken on purpose: a good agent mends it, and a new judge begins."""
        with self.working():
            self._wait()
        old = self.judge
        strangers = {key: self.server.get(*_place(key)) for key in old.strangers}
        self.judge = Judge(
            self.server,
            old.repo,
            old.world,
            {key: body for key, body in strangers.items() if body is not None},
            [old.window[-1]],
            set(old.known),
        )


@contextlib.contextmanager
def scene(binaries: Binaries, root: Path) -> Iterator[Scene]:
    """Start everything; a first revision is in force when it is entered."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ApiServer(binaries, name="east", users={USER: ("system:masters",)}))
        assert binaries.istio_crds is not None
        server.install_crds(binaries.istio_crds)
        server.apply([*bookshop("east"), OWN_NAMESPACE])
        server.apply(_BY_HAND, field_manager="by-hand")
        wait_until(partial(_serves, server), "lists of what was installed just now", PATIENCE)
        host = stack.enter_context(GitHttpServer(root))
        kube = stack.enter_context(
            FaultProxy(Server(server.port, server.ca_file, server.ca_file.with_suffix(".key")))
        )
        git = stack.enter_context(FaultProxy(Server(host.port)))
        shop = _shop(root, server, kube, git)
        made = server.get("networking.istio.io/v1", "VirtualService", "bookshop", "productpage")
        assert made is not None
        judge = Judge(
            server,
            shop.repo,
            FoundCluster(_facts(server, root)),
            {("VirtualService", "bookshop", "productpage"): made},
        )
        found = Scene(server, shop, kube, git, judge)
        first_revision(found)
        yield found


def _serves(server: ApiServer) -> bool:
    """Whether it answers lists of every kind: while it reads them for the first time it says 429."""
    paths = [f"/apis/{version}/{plural}" for plural, (version, _) in KINDS.items()]
    return all(server.request("GET", path).ok for path in paths)


def first_revision(scene: Scene) -> None:
    """From an empty cluster, which admits everything: nothing is judged before a revision is in force."""
    scene.chance.seed("first")
    scene.commit()
    scene.forgive()


def _place(key: Key) -> tuple[str, str, str, str]:
    """What `ApiServer.get` is asked for."""
    kind, namespace, name = key
    return next(version for version, found in KINDS.values() if found == kind), kind, namespace, name


def _shop(root: Path, server: ApiServer, kube: FaultProxy, git: FaultProxy) -> Shop:
    """A configuration that leads through both proxies."""
    config = yaml.safe_load(server.kubeconfig(root / "direct.kubeconfig", USER).read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = kube.url
    (root / "east.kubeconfig").write_text(yaml.safe_dump(config), encoding="utf-8")
    cluster = {
        "name": "east",
        "kubeconfig": {"path": "east.kubeconfig"},
        "timeout": f"{TIMEOUT:g}s",
        "settle": "1s",
    }
    source = {"url": f"{git.url}/policies.git", "interval": f"{INTERVAL * 1000:.0f}ms"}
    shop = Shop(root, clusters=[cluster], source=source, more={"prune": {"maxPercent": 100}})
    shop.repo.git("config", "core.logAllRefUpdates", "always")
    shop.repo.git("config", "http.receivepack", "true")
    return shop


def _facts(server: ApiServer, root: Path) -> ClusterFacts:
    endpoint = read_kubeconfig(server.kubeconfig(root / "admin.kubeconfig"))
    client = KubeClient(endpoint, timeout=30.0, user_agent="gitmesh-tests")
    cluster = KubeCluster("east", client, list(translators().values()))
    try:
        return cluster.facts()
    finally:
        cluster.close()
