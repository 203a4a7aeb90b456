"""Lets GitMesh work in a world until nothing more is written: a real directory cluster, a real cycle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.adapters.treewriter import Writer
from gitmesh.adapters.writing import StepError
from gitmesh.model.objects import decode
from gitmesh.model.plan import Change, Live
from gitmesh.model.report import ClusterResult, Report, Stage
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from gitmesh.planning.ownership import MANAGED_BY
from gitmesh.plugins import load_translators
from gitmesh.ports import Cluster
from tests.properties.history import History, InOrder
from tests.worlds.drawing import CLUSTER, World
from tests.worlds.objects import Object

CYCLES = 8
"""After so many cycles nothing may be left to write."""
TRANSLATORS = load_translators()
_STEP = 60.0
"""Seconds from one cycle to the next: enough for every proxy to learn of a write."""
_LIVE = "live.yaml"
_REFUSING = 2
"""Cycles in which an object is not taken that a world says."""


@dataclass(frozen=True)
class WrittenState:
    """All mesh objects after a write, `step` in words."""

    step: str
    live: tuple[Object, ...]


class RestlessError(AssertionError):
    """The cluster never came to rest."""


@dataclass(frozen=True)
class Moment:
    """A world in which GitMesh has come to rest. `live` are all mesh objects, ours and strangers'; `between`
    is what they were after each write on the way from the moment `before`.
    """

    world: World
    report: Report
    live: tuple[Object, ...]
    before: Moment | None = None
    between: tuple[WrittenState, ...] = ()

    @property
    def result(self) -> ClusterResult:
        """Of the one cluster."""
        return self.report.clusters[CLUSTER]

    @property
    def refused(self) -> bool:
        """Whether the revision was refused as a whole, so that other policies are in force."""
        return any(one.refused for one in self.report.sources.values())

    @property
    def theirs(self) -> tuple[Object, ...]:
        """The mesh objects of strangers."""
        return tuple(one for one in self.live if not is_ours(one))

    @property
    def ours(self) -> tuple[Object, ...]:
        """The objects that GitMesh keeps."""
        return tuple(one for one in self.live if is_ours(one))


def is_ours(body: Mapping[str, Any]) -> bool:
    """Whether an object carries GitMesh's mark; strangers of these worlds forge none."""
    return bool(body["metadata"].get("labels", {}).get(MANAGED_BY) == "gitmesh")


def played(worlds: Iterable[World], folder: Path) -> Iterator[Moment]:
    """Each world, once GitMesh has come to rest in it. Raises RestlessError where it never does."""
    cluster = DirectoryCluster(CLUSTER, folder, list(TRANSLATORS.values()), settle=1.0)
    source, memo, now = History("policies"), Memo(), 0.0
    moment: Moment | None = None
    for number, world in enumerate(worlds):
        _write(folder, number, world)
        source.commit(json_stream(world.policies), good=True)
        states: list[WrittenState] = []
        for count in range(CYCLES):
            now += _STEP
            live = tuple(mesh_objects(cluster))
            with _refusing(world.refused if count < _REFUSING else ""):
                report = cycle(source, cluster, memo, now)
            states += _states(live, report.clusters[CLUSTER])
            plan = report.clusters[CLUSTER].plan
            if plan is None or not plan.writes:
                break
        else:
            raise RestlessError(f"{world.story}: still writing after {CYCLES} cycles")
        moment = Moment(world, report, tuple(mesh_objects(cluster)), moment, tuple(states))
        yield moment


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Meanwhile the cluster does not take an object of that name."""
    step = Writer._step

    def refusing(writer: Writer, change: Change, expected: str) -> Live | None:
        if change.key.name == name:
            raise StepError("refused")
        return step(writer, change, expected)

    with patch.object(Writer, "_step", refusing):
        yield


def _states(live: Iterable[Object], result: ClusterResult) -> Iterator[WrittenState]:
    """What was there after each write of a cycle that was taken."""
    found = {place(one): one for one in live}
    steps = result.plan.writes if result.plan else ()
    for step, outcome in zip(steps, result.outcomes, strict=True):
        if not outcome.ok:
            continue
        key = (step.key.kind, step.key.namespace, step.key.name)
        found.pop(key, None)
        found |= {key: decode(step.body)} if step.body else {}
        yield WrittenState(f"{step.action} {step.key}", tuple(found.values()))


def place(body: Object) -> tuple[str, str, str]:
    """Which object it is."""
    metadata = body["metadata"]
    return body["kind"], metadata.get("namespace", ""), metadata["name"]


def json_stream(documents: Iterable[Mapping[str, Any]]) -> str:
    """Documents as one file; JSON is YAML, and much faster to write."""
    return "".join(f"---\n{json.dumps(document)}\n" for document in documents)


def cycle(source: History, cluster: Cluster, memo: Memo, now: float) -> Report:
    """One cycle of the product at a time."""
    return run(
        [source],
        InOrder([cluster]),
        TRANSLATORS,
        until=Stage.APPLY,
        options=Options(instance="worlds", clusters={CLUSTER: {}}),
        memo=memo,
        clock=lambda: now,
    )


def _write(folder: Path, number: int, world: World) -> None:
    """Everything of others as it is now; what GitMesh wrote lies in files of its own."""
    named = {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in world.objects
    }
    for old in folder.glob(f"*{_LIVE}"):
        old.unlink()
    (folder / f"{number}-{_LIVE}").write_text(json_stream(named.values()), encoding="utf-8")


def mesh_objects(cluster: Cluster) -> Iterator[Object]:
    """Everything of the kinds of meshes, ours and others'."""
    kinds = [kind for translator in TRANSLATORS.values() for kind in translator.resources]
    for live in cluster.observe(kinds).live.values():
        yield decode(live.body)
