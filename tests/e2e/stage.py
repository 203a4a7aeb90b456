"""The stage that every case plays on: a world, a repository, and the real agent that brings one to the other.

`LiveStage.commit` is one change: it is committed, watched by steady streams, and awaited until every proxy
has it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from gitmesh.model.report import State
from tests.e2e.cases import POLICIES
from tests.gitrepo import Repo
from tests.lab.wire import Tally, WireRequest
from tests.lab.world import LabWorld
from tests.shop import Agent

STATUS = "gitmesh-status"
SOURCE = "policies"
ARRIVAL = 60.0
"""Seconds after which a change that has not arrived counts as a failure."""
_HEALS = "gitmesh_drift_healed_total"
WAITING = frozenset({State.PENDING, State.DRIFTED, State.UNREACHABLE})
"""States of a cluster in which a next tick will go on."""
_STEPS_LEFT = "GM406"
"""Says the same where a worse state hides those: an error on another policy, say."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A client that asks 200 times a second while something changes. `admitted`: it must always, or else
    never, get through.
    """

    cluster: str
    client: str
    request: WireRequest
    admitted: bool
    per_second: float = 200.0

    @property
    def name(self) -> str:
        """What is watched, for people."""
        return f"{self.cluster}: {self.client} -> {self.request.method} {self.request.url}"


PATIENCE = 30.0
"""Seconds after which a streamed request without an answer is lost: a busy machine is slow, which is nobody's
loss.
"""
BASE_WATCHES = (
    Watch(
        cluster="east",
        client="probe",
        request=WireRequest(url="http://vault:9080/", timeout=PATIENCE),
        admitted=False,
    ),
    Watch(
        cluster="east",
        client="productpage",
        request=WireRequest(url="http://lighthouse:9080/", timeout=PATIENCE),
        admitted=True,
    ),
)
"""Held by the base policies, and watched during every change of the suite."""


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """How long a change took, by phase: until the cycle that took the commit began, until the clusters had it
    (all steps), until all proxies had acknowledged it."""

    fetch: float
    apply: float
    proxies: float

    @property
    def total(self) -> float:
        """From commit to effect."""
        return self.fetch + self.apply + self.proxies


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """A watch and what became of its requests."""

    watch: Watch
    tally: Tally

    @property
    def through(self) -> int:
        """How many reached the application."""
        return self.tally.by_status.get(200, 0)

    @property
    def forbidden(self) -> int:
        """How many got through and never should have."""
        return 0 if self.watch.admitted else self.through

    @property
    def lost(self) -> int:
        """How many should have got through and did not."""
        return self.tally.sent - self.through if self.watch.admitted else 0

    def __str__(self) -> str:
        what = (
            f"{self.forbidden} forbidden requests got through"
            if self.forbidden
            else f"{self.lost} requests were lost"
        )
        return f"{self.watch.name}: {what}: {dict(self.tally.by_status)} {dict(self.tally.errors)}"


@dataclass(frozen=True, kw_only=True)
class ArrivedChange:
    """A change that has arrived, and what the streams saw of it."""

    commit: str
    seconds: Seconds
    streamed: Sequence[Streamed]

    @property
    def broken(self) -> list[str]:
        """What the streams hold against the change, a line each."""
        return [str(one) for one in self.streamed if one.forbidden or one.lost]


@dataclass
class LiveStage:
    """World, repository and agent. `effects` are all changes so far."""

    world: LabWorld
    repo: Repo
    agent: Agent
    effects: list[ArrivedChange] = field(default_factory=list)
    _heals: float = 0

    def commit(self, files: Mapping[str, str], watches: Sequence[Watch] = BASE_WATCHES) -> ArrivedChange:
        """Commit these files as the repository's whole content, and wait until all proxies have what they
        say.
        """
        return self.change(lambda: self.repo.commit(files), watches)

    def change(self, act: Callable[[], str], watches: Sequence[Watch] = BASE_WATCHES) -> ArrivedChange:
        """Do what moves the branch to the commit that it answers, and wait until all proxies have it."""
        with self.watching(watches) as streamed:
            began = time.time()
            commit = act()
            self.agent.until(lambda: self.converged(commit), f"clusters at {commit[:12]}", ARRIVAL)
            converged = time.time()
            self.settle()
            ended = time.time()
        taken = self._taken(commit, began, converged)
        seconds = Seconds(fetch=taken - began, apply=converged - taken, proxies=ended - converged)
        effect = ArrivedChange(commit=commit, seconds=seconds, streamed=streamed)
        self.effects.append(effect)
        return effect

    def settle(self) -> None:
        """Wait until every proxy has acknowledged the newest of what its cluster holds."""
        clusters = self.world.clusters.values()
        with ThreadPoolExecutor(len(clusters)) as pool:
            list(pool.map(lambda cluster: cluster.settled(ARRIVAL), clusters))

    @contextlib.contextmanager
    def watching(self, watches: Sequence[Watch]) -> Iterator[list[Streamed]]:
        """Stream while the block runs; what came of it is there when it has ended."""
        found: list[Streamed] = []
        with contextlib.ExitStack() as streams:
            pods = [self.world.clusters[watch.cluster].pods[watch.client] for watch in watches]
            running = [
                (w, streams.enter_context(pod.stream(w.request, w.per_second)))
                for w, pod in zip(watches, pods, strict=True)
            ]
            yield found
            found += [Streamed(watch=watch, tally=stream.stop()) for watch, stream in running]

    def converged(self, commit: str) -> bool:
        """Whether the agent has said of this commit that it is refused, or that the clusters have it and no
        step is left.
        """
        status = self.status()
        source = status.get("sources", {}).get(SOURCE, {})
        if source.get("seen", {}).get("commit") != commit:
            return False
        told = {row["code"] for row in self._said("findings.yaml").get("findings", ())}
        states = {cluster["state"] for cluster in status["clusters"].values()}
        waiting = _STEPS_LEFT in told or not states.isdisjoint(WAITING)
        return source["seen"]["state"] != "Synced" or (source["lastGood"] == commit and not waiting)

    def status(self) -> dict[str, Any]:
        """status.yaml of the status branch; empty before its first commit."""
        return self._said("status.yaml")

    def verdict(self, policy: str, cluster: str) -> str:
        """What the status branch says of the mesh's own verdict on a policy in a cluster; "" where it says
        none.
        """
        return str(
            self._said(f"policies/{policy}.yaml").get("clusters", {}).get(cluster, {}).get("verdict", "")
        )

    def findings(self, files: Iterable[str]) -> dict[tuple[str, str], str]:
        """(code, file:line) of the errors and warnings that the status branch has at these policy files, with
        their text.
        """
        rows = [
            row for row in self._said("findings.yaml")["findings"] if row["severity"] in ("error", "warning")
        ]
        places = {f"{POLICIES}/{name}": name for name in files}
        return {
            (row["code"], f"{places[row['file']]}:{row['line']}"): row["text"]
            for row in rows
            if row.get("file") in places
        }

    def new_heals(self) -> float:
        """How many objects the agent has put right since this was asked last."""
        known, self._heals = (
            self._heals,
            sum(v for name, v in self.agent.metrics().items() if name.startswith(_HEALS)),
        )
        return self._heals - known

    def _said(self, path: str) -> dict[str, Any]:
        """A file of the status branch; empty where it is not there."""
        shown = self.repo.call("cat-file", "blob", f"refs/heads/{STATUS}:{path}")
        read: dict[str, Any] = yaml.safe_load(shown.stdout) if shown.returncode == 0 else {}
        return read

    def _taken(self, commit: str, began: float, converged: float) -> float:
        """When the cycle began that took the commit, by the agent's own log."""
        wanted = f"{SOURCE}@{commit[:12]}"
        first = next((event for event in self.agent.events("cycle") if event["commits"] == wanted), None)
        if first is None:
            return converged
        ended = datetime.fromisoformat(first["timestamp"]).timestamp()
        return min(max(ended - float(first["seconds"]), began), converged)
