"""A cluster in which nothing at all is seen any more says nothing of its mesh: no other cluster's rules move
for it (design laws 3 and 7)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitmesh.model.report import State
from tests.folders import Folders, allow, app, codes, deny, said, service, thing, virtual_mesh

FACTS = ("accounts", "istiod", "mesh", "namespaces", "pods", "services")
NOT_FROM_EAST = deny("not-from-east", "web", sources=[{"clusters": ["east"]}])


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """West names callers of east, in a Deny and in an Allow."""
    made = Folders(tmp_path)
    elsewhere = {**NOT_FROM_EAST["spec"], "destinations": [{"name": "web", "clusters": ["west"]}]}
    made.commit({**NOT_FROM_EAST, "spec": elsewhere}, allow("api", "api", "web"), virtual_mesh())
    made.settle()
    return made


def stays(world: Folders, before: dict[str, str]) -> None:
    """Nothing of west moves in any cycle, and east is held and told."""
    for _ in range(4):
        report = world.run()
        assert world.live("west") == before
        assert [one.cluster for one in said(report, "GM507")] == ["east"]
        assert (report.clusters["east"].state, report.clusters["west"].state) == (State.HELD, State.SYNCED)


@pytest.mark.parametrize("gone", [FACTS, ("istiod", "pods"), ("istiod", "pods", "mesh", "services")])
def test_facts_that_vanish_with_all_pods_tell_nothing_of_the_mesh(
    world: Folders, gone: tuple[str, ...]
) -> None:
    before, kept = world.live("west"), world.live("east")
    for file in gone:
        world.drop("east", file)
    stays(world, before)
    assert world.live("east") == kept
    world.restore("east", *gone)
    assert (codes(world.settle()), world.live("west")) == ([], before)


def test_a_folder_that_is_empty_because_it_is_not_mounted_is_no_cluster_without_a_mesh(
    world: Folders,
) -> None:
    before = world.live("west")
    shutil.move(world.root / "east", world.root / "unmounted")
    (world.root / "east").mkdir()
    stays(world, before)
    shutil.rmtree(world.root / "east")
    shutil.move(world.root / "unmounted", world.root / "east")
    assert (codes(world.settle()), world.live("west")) == ([], before)


def test_somebody_may_say_that_it_is_meant(world: Folders) -> None:
    before = world.live("west")
    for file in FACTS:
        world.drop("east", file)
    [held] = said(world.run(), "GM507")
    world.approve(held.hold)
    world.settle()
    assert world.live("west") != before


def test_a_mesh_that_no_pod_of_those_that_run_carries_ends_by_itself(world: Folders) -> None:
    before = world.live("west")
    world.drop("east", "istiod")
    bare = thing("Pod", "web-0", "shop", labels={"app": "web"}, spec={"containers": [{"name": "app"}]})
    world.put("east", "pods", bare)
    world.settle()
    assert world.live("west") != before, "pods are seen, and none of them is in the mesh"


def test_a_cluster_that_never_had_a_mesh_is_told_of_as_ever(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    for file in FACTS:
        world.drop("east", file)
    world.put("east", "services", service("web"))
    world.commit(virtual_mesh())
    assert "until now" not in str(world.settle().diagnostics)
    world.put("east", "pods", app("web"))
    assert "until now" not in str(world.settle().diagnostics)
