"""One agent on a cluster of 20,000 pods: discovery, a tick without a change, and one after every pod was made
anew by a rollout of equal templates.

The cluster answers as an API server does, with pages of JSON that are decoded and reduced at every tick. A
fifth of its pods are of StatefulSets whose every pod has a Service of its own; half of the policies say who
may call a Service.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import msgspec

from benchmarks.generate import control_plane, named, place
from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.agent.loop import undisturbed
from gitmesh.discovery.discover import assemble
from gitmesh.discovery.reducer import Reducer
from gitmesh.discovery.rows import Reduced
from gitmesh.model.facts import NOTHING_REMEMBERED, ClusterFacts, Remembered
from gitmesh.model.objects import Body
from gitmesh.model.report import Stage
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from gitmesh.plugins import load_translators
from gitmesh.ports import Source
from gitmesh.yaml_text import dump_all
from tests.properties.history import History, document

PODS, PAGE = 20_000, 500
EACH = 20
"""Pods of a controller."""
STATEFUL = PODS // EACH // 5
"""The first controllers are StatefulSets."""
POLICIES, OF_A_FILE = 600, 100
SETTLING, TICKS = 3, 5
POD_NAME = "statefulset.kubernetes.io/pod-name"
GOALS = {"no change": 2.0}
"""Seconds."""


class PagedCluster(MemoryCluster):
    """A cluster whose objects are read anew at every tick."""

    def __init__(self, bodies: Iterator[Body]) -> None:
        super().__init__("bench")
        self._translators = tuple(load_translators().values())
        self._reducer = Reducer(self._translators)
        self._last: tuple[list[Reduced], Remembered, ClusterFacts] | None = None
        self.serve(bodies)

    def serve(self, bodies: Iterator[Body]) -> None:
        """Be a cluster with these objects from now on."""
        every = list(bodies)
        self._pages = [msgspec.json.encode(every[at : at + PAGE]) for at in range(0, len(every), PAGE)]

    def facts(self, remembered: Remembered = NOTHING_REMEMBERED) -> ClusterFacts:
        """What the pages say; the same object while none of it changed."""
        bodies = (body for page in self._pages for body in msgspec.json.decode(page))
        rows = [row for body in bodies if (row := self._reducer.reduce(body)) is not None]
        if self._last is None or self._last[:2] != (rows, remembered):
            facts = assemble("bench", {}, rows, self._translators, remembered=remembered)
            if self._last is not None and self._last[2].digest == facts.digest:
                facts = self._last[2]
            self._last = (rows, remembered, facts)
        return self._last[2]


def objects(generation: str) -> Iterator[Body]:
    """Everything in the cluster; `generation` is in the name of every pod of a Deployment."""
    yield from control_plane("bench.example", PODS // EACH)
    for number in range(PODS // EACH):
        namespace, name = place(number)
        yield named("v1", "ServiceAccount", namespace, name)
        yield _service(name, namespace, {"app": name})
        yield from (_stateful if number < STATEFUL else _deployment)(name, namespace, generation)


def _deployment(name: str, namespace: str, generation: str) -> Iterator[Body]:
    labels = {"app": name, "pod-template-hash": generation}
    for at in range(EACH):
        yield _pod(
            f"{name}-{generation}-{at}", namespace, name, ("ReplicaSet", f"{name}-{generation}"), labels
        )


def _stateful(name: str, namespace: str, generation: str) -> Iterator[Body]:
    for at in range(EACH):
        own = {"app": name, POD_NAME: f"{name}-{at}"}
        yield _service(f"{name}-{at}", namespace, own)
        labels = {**own, "controller-revision-hash": generation}
        yield _pod(f"{name}-{at}", namespace, name, ("StatefulSet", name), labels)


def _pod(name: str, namespace: str, app: str, owner: tuple[str, str], labels: Mapping[str, str]) -> Body:
    kind, controller = owner
    owners = [{"apiVersion": "apps/v1", "kind": kind, "name": controller, "controller": True}]
    metadata = {"labels": dict(labels), "ownerReferences": owners}
    containers = [
        {"name": "app", "image": f"{app}:1", "ports": [{"name": "http", "containerPort": 8080}]},
        {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.3"},
    ]
    return {
        **named("v1", "Pod", namespace, name, metadata),
        "spec": {"serviceAccountName": app, "containers": containers},
    }


def _service(name: str, namespace: str, selector: Mapping[str, str]) -> Body:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {**named("v1", "Service", namespace, name), "spec": {"selector": dict(selector), "ports": ports}}


def sources() -> Iterator[Source]:
    """A policy for each of the first applications: who may call it, or how long it may take; of StatefulSets
    for the Service of one pod. A file takes so many documents, so there are several repositories.
    """
    for first in range(0, POLICIES, OF_A_FILE):
        source = History(f"policies-{first}")
        source.commit(dump_all([_policy(first + number) for number in range(OF_A_FILE)]), good=True)
        yield source


def _policy(number: int) -> dict[str, Any]:
    namespace, name = place(number)
    destinations = [{"name": f"{name}-0" if number < STATEFUL else name, "namespaces": [namespace]}]
    if number % 2:
        return document("TrafficPolicy", f"p{number}", destinations=destinations, timeout="5s")
    sources = [{"namespaces": [namespace]}]
    return document("AccessPolicy", f"p{number}", destinations=destinations, sources=sources)


def report() -> dict[str, object]:
    """Seconds of each, and what misses its goal."""
    cluster = PagedCluster(objects("one"))
    tick = partial(_tick, tuple(sources()), LocalFleet([cluster]), Memo())
    figures = {"cold": _seconds(partial(tick, writes=True))}
    for _ in range(SETTLING):
        tick()
    digest = cluster.facts().digest
    figures["no change"] = median(_seconds(partial(tick, writes=False)) for _ in range(TICKS))
    cluster.serve(objects("two"))
    figures["after a rollout"] = _seconds(partial(tick, writes=False))
    if cluster.facts().digest != digest:
        raise SystemExit("a rollout of equal pods changed the facts")
    misses = [f"{name}: {figures[name]:.2f} > {goal}" for name, goal in GOALS.items() if figures[name] > goal]
    return {"pods": PODS, "seconds": figures, "misses": misses}


def _tick(
    repositories: Sequence[Source], fleet: LocalFleet, memo: Memo, *, writes: bool | None = None
) -> None:
    """A cycle; a figure counts only where the work was done, whole and without an error."""
    with undisturbed():
        made = run(
            repositories,
            fleet,
            load_translators(),
            until=Stage.APPLY,
            options=Options(instance="bench", clusters={"bench": {}}),
            memo=memo,
            clock=time.monotonic,
        )
    errors = [f"{one.code} {one.message}" for one in made.diagnostics if one.is_error]
    wrote = any(result.outcomes for result in made.clusters.values())
    if errors or wrote is (not writes if writes is not None else None):
        raise SystemExit(f"the tick is not as it should be: {errors[:3]}, writes: {wrote}")


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
