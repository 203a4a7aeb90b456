"""Lets GitMesh work in a world until nothing more is written: a real directory cluster, a real cycle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.model.objects import decode
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


class RestlessError(AssertionError):
    """The cluster never came to rest."""


@dataclass(frozen=True)
class Moment:
    """A world in which GitMesh has come to rest. `live` are all mesh objects, ours and strangers'."""

    world: World
    report: Report
    live: tuple[Object, ...]

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
    for number, world in enumerate(worlds):
        _write(folder, number, world)
        source.commit(json_stream(world.policies), good=True)
        for _ in range(CYCLES):
            now += _STEP
            report = cycle(source, cluster, memo, now)
            plan = report.clusters[CLUSTER].plan
            if plan is None or not plan.writes:
                break
        else:
            raise RestlessError(f"{world.story}: still writing after {CYCLES} cycles")
        yield Moment(world, report, tuple(mesh_objects(cluster)))


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
