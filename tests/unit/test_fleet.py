"""Several clusters at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.errors import ClusterError
from gitmesh.ports import Cluster


def fleet(*names: str) -> LocalFleet:
    return LocalFleet([MemoryCluster(name) for name in names])


def test_results_come_in_the_order_of_the_configuration() -> None:
    assert list(fleet("west", "east", "north").each(lambda cluster: cluster.name, ["north", "west"]).items()) == [
        ("west", "west"),
        ("north", "north"),
    ]
    assert fleet().each(lambda cluster: cluster.name) == {}


def test_clusters_are_worked_on_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=10)
    assert len(fleet("a", "b", "c").each(lambda cluster: meeting.wait())) == 3


def test_one_cluster_down_does_not_stop_the_rest() -> None:
    def work(cluster: Cluster) -> Any:
        if cluster.name == "west":
            raise ClusterError("no answer")
        return cluster.facts().cluster

    results = fleet("west", "east").each(work)
    assert isinstance(results["west"], ClusterError)
    assert results["east"] == "east"


def test_a_defect_is_told_of_its_cluster_alone_and_never_in_its_own_words() -> None:
    def work(cluster: Cluster) -> str:
        if cluster.name == "east":
            raise ZeroDivisionError("a secret of the cluster")
        return cluster.name

    found = fleet("east", "west").each(work)
    assert isinstance(found["east"], ClusterError)
    assert (found["east"].code, found["west"]) == ("GM513", "west")
    assert "ZeroDivisionError at test_fleet.py:" in str(found["east"])
    assert "secret" not in str(found["east"])


def test_an_unknown_cluster_is_a_bug() -> None:
    with pytest.raises(KeyError):
        fleet("east").each(lambda cluster: None, ["west"])


def test_clusters_in_turn_are_worked_on_one_after_the_other_and_each_fails_alone() -> None:
    at_work: list[str] = []

    def work(cluster: Cluster) -> str:
        at_work.append(cluster.name)
        assert len(at_work) == 1
        at_work.remove(cluster.name)
        if cluster.name == "b":
            raise ClusterError("down")
        return cluster.name

    fleet = LocalFleet([MemoryCluster(name) for name in "abc"], in_turn="abc")
    answers = fleet.each(work)
    assert list(answers) == ["a", "b", "c"]
    assert (answers["a"], str(answers["b"]), answers["c"]) == ("a", "down", "c")
