"""Several clusters at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gitmesh.adapters.fleet import MOST_PATIENCE, SHORT_PATIENCE, LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.errors import ClusterError
from gitmesh.ports import Cluster
from tests.lab.process import wait_until


def fleet(*names: str) -> LocalFleet:
    return LocalFleet([MemoryCluster(name) for name in names])


def test_results_come_in_the_order_of_the_configuration() -> None:
    assert list(
        fleet("west", "east", "north").each(lambda cluster: cluster.name, ["north", "west"]).items()
    ) == [
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


# --- clusters that are slow


class SlowFleet:
    """Clusters `slow` and `fast`, the first of which may be kept from answering; time passes when it is told
    to.
    """

    def __init__(self, patience: float = 30.0) -> None:
        self.now = 0.0
        self.go_on = threading.Event()
        self.ended = threading.Semaphore(0)
        self.at_work = 0
        self.cost = 100.0
        bounds = {"slow": patience, "fast": patience}
        self.fleet = LocalFleet(
            [MemoryCluster("slow"), MemoryCluster("fast")], patience=bounds, clock=lambda: self.now
        )

    def each(self, *, hangs: bool, fails: bool = False) -> dict[str, Any]:
        """One step of a cycle, in which the slow one hangs or answers; one that hangs costs its patience at
        once.
        """

        def work(cluster: Cluster) -> str:
            if cluster.name == "slow" and hangs:
                self.at_work += 1
                self.now += self.cost  # for those who wait
                assert self.go_on.wait(20)
                self.at_work -= 1
                self.ended.release()
                if fails:
                    raise ClusterError("the list has no end")
            return cluster.name

        return dict(self.fleet.each(work))

    def let_go(self, after: float) -> None:
        """What hangs ends so many seconds after it began."""
        self.now += after - self.cost
        self.go_on.set()
        assert self.ended.acquire(timeout=20)
        wait_until(
            lambda: not any(thread.name == "gitmesh-kube" for thread in threading.enumerate()), "its end", 20
        )
        self.go_on.clear()


def test_a_cluster_that_does_not_answer_is_left_to_itself_and_not_asked_twice_at_once() -> None:
    world = SlowFleet()
    first = world.each(hangs=True)
    assert first["fast"] == "fast"
    assert str(first["slow"]) == "no answer within 30 s; the other clusters go on without it"
    for _ in range(3):
        again = world.each(hangs=True)
        assert (again["fast"], str(again["slow"])) == ("fast", str(first["slow"])), "one fault, one text"
    assert world.at_work == 1
    world.let_go(200.0)
    assert world.each(hangs=False) == {"slow": "slow", "fast": "fast"}


def test_who_was_late_and_failed_is_waited_for_shortly_until_a_whole_cycle_is_in_time() -> None:
    world = SlowFleet()
    world.each(hangs=True, fails=True)
    world.let_go(40.0)
    world.cost = SHORT_PATIENCE + 1
    told = world.each(hangs=True, fails=True)
    assert str(told["slow"]) == "the list has no end", "what it said at last"
    world.let_go(40.0)
    for _ in range(2):
        assert world.each(hangs=False)["slow"] == "slow"
    assert str(world.each(hangs=True, fails=True)["slow"]) == "the list has no end", (
        "two steps are no whole cycle"
    )
    world.let_go(40.0)
    for _ in range(3):
        assert world.each(hangs=False)["slow"] == "slow"
    world.cost = 100.0
    assert str(world.each(hangs=True)["slow"]).startswith("no answer within 30 s")
    world.let_go(200.0)


def test_who_was_late_and_ended_well_gets_the_time_that_it_needs() -> None:
    world = SlowFleet()
    assert "30 s" in str(world.each(hangs=True)["slow"])
    world.let_go(40.0)
    assert "60 s" in str(world.each(hangs=True)["slow"])
    world.let_go(1000.0)
    assert f"{MOST_PATIENCE:g} s" in str(world.each(hangs=True)["slow"]), "but not for ever"
    world.let_go(1000.0)


def test_without_patience_given_everybody_is_waited_for() -> None:
    world = SlowFleet()
    world.fleet = LocalFleet(world.fleet.clusters.values(), clock=lambda: world.now)
    threading.Timer(0.05, world.go_on.set).start()
    assert world.each(hangs=True) == {"slow": "slow", "fast": "fast"}


def test_clusters_that_hang_take_no_place_from_the_others() -> None:
    names, go_on = [f"c{number}" for number in range(40)], threading.Event()
    fleet = LocalFleet([MemoryCluster(name) for name in names], patience=dict.fromkeys(names[:30], 0.01))
    found = fleet.each(lambda cluster: cluster.name in names[30:] or go_on.wait(20))
    go_on.set()
    assert [name for name, answer in found.items() if answer is True] == names[30:]
