"""A cluster in memory."""

from __future__ import annotations

import pytest

from gitmesh.adapters.memory import MemoryCluster
from gitmesh.errors import ClusterError
from gitmesh.model.ledger import Ledger
from gitmesh.model.objects import ObjectKey
from tests.unit.bookshop import VIRTUAL_SERVICE, bookshop, create, delete, key, plan, route, update
from tests.unit.test_discover import discovered

KINDS = (VIRTUAL_SERVICE,)


def test_facts_are_those_given() -> None:
    facts = discovered(bookshop())
    east = MemoryCluster("east", facts=facts)
    assert east.facts() is facts
    assert east.labels == {"region": "eu"}


def test_create_update_delete() -> None:
    east = MemoryCluster("east")
    assert [o.ok for o in east.apply(plan(create(route())))] == [True]
    found = east.observe(KINDS).live[key()]
    assert [o.uid for o in east.apply(plan(update(found, route(timeout="9s"))))] == [found.uid]
    assert [o.ok for o in east.apply(plan(delete(found)))] == [False]
    assert [o.ok for o in east.apply(plan(delete(east.observe(KINDS).live[key()])))] == [True]
    assert not east.observe(KINDS).live


def test_an_object_made_again_is_another_object() -> None:
    east = MemoryCluster("east", [route()])
    found = east.observe(KINDS).live[key()]
    del east.objects[key()]
    east.put(route())
    assert [o.ok for o in east.apply(plan(delete(found)))] == [False]


def test_failures_can_be_injected() -> None:
    def before(operation: str, target: ObjectKey | None) -> None:
        if operation == "facts":
            raise ClusterError("no answer")

    with pytest.raises(ClusterError):
        MemoryCluster("east", before=before).facts()


def test_ledger_is_compared_and_set() -> None:
    east = MemoryCluster("east")
    version = east.save(Ledger(instance="shop"), east.load("shop").version)
    with pytest.raises(ClusterError, match="another agent") as lost:
        east.save(Ledger(instance="shop"), "")
    assert lost.value.code == "GM505"
    assert east.load("shop").version == version


def test_an_observed_cluster_is_never_written() -> None:
    east = MemoryCluster("east", enforce=False)
    with pytest.raises(ClusterError):
        east.apply(plan(create(route())))
    assert not east.objects
