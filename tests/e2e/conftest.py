"""The stage for the whole run, and the figures at its end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cases import HERE, repository
from tests.e2e.stage import LiveStage
from tests.e2e.summary import FILE_VARIABLE, SuiteSummary
from tests.lab.build import Binaries
from tests.lab.fixtures import binaries, conformance_programs, mesh_binaries
from tests.lab.installation import OWN_NAMESPACE
from tests.lab.world import LabWorld, bookshop
from tests.shop import Shop

__all__ = ["binaries", "conformance_programs", "mesh_binaries"]

INTERVAL = "500ms"
SETTLE = "2s"
"""Less than the default, which leaves the steps that rely on others less room; these small meshes learn of a
write in half a second.
"""
LABS = (HERE / "test_lab.py", HERE / "test_ambient_lab.py")
WORLDS = HERE / "test_worlds.py"
_SUMMARY = pytest.StashKey[SuiteSummary]()


@pytest.fixture(scope="session")
def summary(request: pytest.FixtureRequest) -> SuiteSummary:
    """The figures of this run, printed at its end."""
    return request.config.stash.setdefault(_SUMMARY, SuiteSummary())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What brings up clusters of its own comes before all others are up; then the lab's own tests: they write
    policies as they like, while no agent looks after the world.
    """
    items.sort(key=lambda item: (item.path == WORLDS, item.path in LABS), reverse=True)


@pytest.fixture(scope="session")
def world(mesh_binaries: Binaries) -> Iterator[LabWorld]:
    """Two clusters with the bookshop."""
    with bookshop(mesh_binaries) as made:
        yield made


@pytest.fixture(scope="session")
def ambient_world(mesh_binaries: Binaries) -> Iterator[LabWorld]:
    """The same pods in ambient, with a waypoint in each namespace of the mesh."""
    with bookshop(mesh_binaries, dataplane="ambient") as made:
        yield made


@pytest.fixture(scope="session")
def stage(
    world: LabWorld, summary: SuiteSummary, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveStage]:
    """The world, a repository with the base policies, and the agent between them."""
    with _staged(world, summary, tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture(scope="session")
def ambient_stage(
    ambient_world: LabWorld, summary: SuiteSummary, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveStage]:
    """The same in ambient."""
    with _staged(ambient_world, summary, tmp_path_factory.mktemp("ambient")) as made:
        yield made


@contextlib.contextmanager
def _staged(world: LabWorld, summary: SuiteSummary, root: Path) -> Iterator[LiveStage]:
    shop = Shop(
        root,
        [connected(root, name) for name in world.clusters],
        {"interval": INTERVAL},
        {"prune": {"maxPercent": 100}},
    )
    for name, cluster in world.clusters.items():
        cluster.kubeconfig(root / f"{name}.kubeconfig")
        cluster.api.apply([OWN_NAMESPACE])
    with shop.agent() as agent:
        made = LiveStage(world, shop.repo, agent, summary.effects)
        made.commit(repository({}), watches=())
        yield made


def connected(root: Path, name: str) -> dict[str, object]:
    """A cluster of gitmesh.yaml."""
    return {"name": name, "kubeconfig": {"path": str(root / f"{name}.kubeconfig")}, "settle": SETTLE}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures where anything has run, and write them where a file is named."""
    summary = config.stash.get(_SUMMARY, None)
    if summary is None or not (summary.effects or summary.worlds):
        return
    terminalreporter.write_sep("=", "end to end")
    terminalreporter.write_line(summary.text())
    if FILE_VARIABLE in os.environ:
        Path(os.environ[FILE_VARIABLE]).write_text(summary.json(), encoding="utf-8")
