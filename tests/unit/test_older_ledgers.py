"""A ledger from before: what is decided by it is not written, as the cluster knows a newer one."""

from __future__ import annotations

import pytest

from gitmesh.errors import ClusterError
from gitmesh.model.ledger import Ledger, Stored
from gitmesh.model.objects import ObjectKey, decode
from tests.belated import BelatedCluster
from tests.unit.test_pipeline import PipelineWorld, actions, codes, facts, slow

WRITES = {"create", "update", "adopt", "delete"}


@pytest.fixture
def world() -> PipelineWorld:
    made = PipelineWorld()
    made.clusters["east"] = BelatedCluster("east", facts=facts("east"), before=made._before("east"))
    return made


def behind(world: PipelineWorld) -> BelatedCluster:
    found = world.clusters["east"]
    assert isinstance(found, BelatedCluster)
    return found


def stored(world: PipelineWorld) -> Stored:
    return behind(world).load("shop")


def ledger(world: PipelineWorld) -> Ledger:
    return stored(world).ledger


def reviews(world: PipelineWorld) -> ObjectKey:
    (key,) = [key for key in world.east.objects if key.name == "reviews"]
    return key


def intent(world: PipelineWorld) -> Stored:
    """The ledger between the intent to make two objects and the truth about them, which was lost."""

    def dies(operation: str, _key: ObjectKey | None) -> None:
        if operation == "save" and world.live():
            raise ClusterError("killed")

    world.commit(slow("a"), slow("b", "ratings"))
    world.hooks["east"] = dies
    world.run()
    world.hooks.clear()
    found = stored(world)
    assert all(not entry.uid for entry in found.ledger.entries.values())
    return found


def test_nothing_is_made_anew_while_the_ledger_has_the_uid_of_its_predecessor(world: PipelineWorld) -> None:
    """An intent of before equals the one that is to be saved now. The ledger as it is has the uid of the
    object that somebody deleted: what was made beside it would be nobody's for ever."""
    early = intent(world)
    world.run()
    del world.east.objects[reviews(world)]
    behind(world).remembered = early
    report = world.run()
    assert "GM505" in codes(report)
    assert not WRITES & set(world.operations())
    behind(world).remembered = None
    world.run()
    key = reviews(world)
    assert ledger(world).entries[key].uid == world.east.objects[key].uid
    assert set(actions(world.run()).values()) == {"keep"}


def test_nothing_is_updated_or_deleted_by_an_older_ledger(world: PipelineWorld) -> None:
    early = intent(world)
    world.run()
    before = dict(world.east.objects)
    behind(world).remembered = early
    world.commit(slow("a", timeout="7s"))
    report = world.run()
    assert "GM505" in codes(report)
    assert not WRITES & set(world.operations())
    assert dict(world.east.objects) == before
    behind(world).remembered = None
    assert set(actions(world.run()).values()) == {"update", "delete"}
    assert world.live() == ["reviews"]


def test_a_ledger_that_moved_while_the_plan_was_made_stops_it(world: PipelineWorld) -> None:
    """Another agent of the instance wrote it: both would write by what they read."""
    world.commit(slow("a"))
    world.run()

    def moves(operation: str, _key: ObjectKey | None) -> None:
        if operation == "observe":
            world.hooks.clear()
            now = stored(world)
            behind(world).save(now.ledger, now.version)

    world.hooks["east"] = moves
    world.commit(slow("a", timeout="7s"))
    report = world.run()
    assert "GM505" in codes(report)
    assert not WRITES & set(world.operations())
    world.run()
    assert b"7000" in world.east.objects[reviews(world)].body


def test_what_a_stranger_made_with_our_marks_stays_a_strangers(world: PipelineWorld) -> None:
    """The counter-proof: marks are no authority, whatever the readings were before."""
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    key = reviews(world)
    theirs = decode(world.east.objects.pop(key).body)
    made = world.east.put(theirs)
    report = world.run()
    assert actions(report)["reviews"] == "conflict"
    world.commit(slow("b", "ratings"))
    world.run()
    assert world.east.objects[key] == made


def test_a_quiet_cycle_saves_nothing(world: PipelineWorld) -> None:
    world.commit(slow("a"))
    world.run()
    world.run()
    assert "save" not in world.operations()


def test_what_needed_nothing_but_a_correction_is_saved_before_and_after(world: PipelineWorld) -> None:
    """Two saves a writing cycle: the one that proves the ledger, and what became of it."""
    world.commit(slow("a"))
    world.run()
    world.east.put({**decode(world.east.objects[reviews(world)].body), "spec": {}})
    world.run()
    done = [name for name in world.operations() if name in WRITES | {"save"}]
    assert done == ["save", "update", "save"]
