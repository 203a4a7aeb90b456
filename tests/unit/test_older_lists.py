"""Lists from before our own write: what they lack, or show as it was, is asked for by name before anything is
decided by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gitmesh.adapters.writing import StepError
from gitmesh.errors import ClusterError
from gitmesh.model.ledger import Ledger
from gitmesh.model.objects import ApiKind, ObjectKey, decode
from gitmesh.model.plan import Observed
from tests.belated import BelatedCluster
from tests.unit.test_pipeline import PipelineWorld, actions, codes, facts, slow


class Lagging(BelatedCluster):
    """A belated cluster whose lists may also be one reading for ever (`shown`)."""

    shown: Observed | None = None

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:
        return super().observe(kinds) if self.shown is None else self.shown


@pytest.fixture
def world() -> PipelineWorld:
    made = PipelineWorld()
    made.clusters["east"] = Lagging("east", facts=facts("east"), before=made._before("east"))
    return made


def lagging(world: PipelineWorld) -> Lagging:
    found = world.clusters["east"]
    assert isinstance(found, Lagging)
    return found


def ledger(world: PipelineWorld) -> Ledger:
    return world.east.load("shop").ledger


def entries(world: PipelineWorld) -> set[str]:
    return {key.name for key in ledger(world).entries}


def reviews(world: PipelineWorld) -> ObjectKey:
    (key,) = [key for key in world.east.objects if key.name == "reviews"]
    return key


def test_an_object_that_an_older_list_lacks_is_not_forgotten_but_pruned(world: PipelineWorld) -> None:
    """Created by the last cycle, wanted no more in this one, and in no list yet."""
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    lagging(world).listed = {}
    world.commit(slow("b", "ratings"))
    world.run()
    assert (world.live(), entries(world)) == (["ratings"], {"ratings"})


def test_an_object_that_an_older_list_lacks_is_not_created_again_nor_told_as_gone(
    world: PipelineWorld,
) -> None:
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    before = ledger(world)
    lagging(world).listed = {}
    report = world.run()
    assert set(actions(report).values()) == {"keep"}
    assert "GM409" not in codes(report)
    assert ledger(world) == before
    assert not {"create", "update", "save"} & set(world.operations())


def test_a_predecessor_in_an_older_list_is_no_stranger(world: PipelineWorld) -> None:
    """Somebody deleted ours, we made it again, and the list still shows the one of before, with its uid."""
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    before = dict(world.east.objects)
    (key,) = [key for key in before if key.name == "reviews"]
    del world.east.objects[key]
    world.run()
    assert world.east.objects[key].uid != before[key].uid
    lagging(world).listed = before
    report = world.run()
    assert actions(report) == {"reviews": "keep", "ratings": "keep"}
    world.commit(slow("b", "ratings"))
    world.run()
    assert (world.live(), entries(world)) == (["ratings"], {"ratings"})


def test_an_intent_whose_object_came_after_the_list_is_found(world: PipelineWorld) -> None:
    """Killed between the creation and the ledger: the entry has no uid, and the list is from before."""

    def dies(operation: str, _key: ObjectKey | None) -> None:
        if operation == "save" and world.live():
            raise ClusterError("killed")

    world.commit(slow("a"), slow("b", "ratings"))
    world.hooks["east"] = dies
    world.run()
    assert all(not entry.uid for entry in ledger(world).entries.values())
    world.hooks.clear()
    lagging(world).listed = {}
    world.commit(slow("b", "ratings"))
    world.run()
    assert (world.live(), entries(world)) == (["ratings"], {"ratings"})


def test_an_intent_takes_no_uid_from_a_predecessor_in_an_older_list(world: PipelineWorld) -> None:
    """As above, and the list still shows the object of before, whose marks are ours, too."""

    def dies(operation: str, _key: ObjectKey | None) -> None:
        if operation == "save" and "create" in world.operations():
            raise ClusterError("killed")

    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    before, key = dict(world.east.objects), reviews(world)
    del world.east.objects[key]
    world.hooks["east"] = dies
    world.run()
    world.hooks.clear()
    lagging(world).listed = before
    assert actions(world.run()) == {"reviews": "keep", "ratings": "keep"}
    lagging(world).listed = None
    assert ledger(world).entries[key].uid == world.east.objects[key].uid != before[key].uid
    assert actions(world.run()) == {"reviews": "keep", "ratings": "keep"}


def test_a_deletion_by_an_older_list_does_not_let_go_of_the_successor(world: PipelineWorld) -> None:
    """As above, and it is not wanted any more: what is deleted is what is there."""

    def dies(operation: str, _key: ObjectKey | None) -> None:
        if operation == "save" and "create" in world.operations():
            raise ClusterError("killed")

    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    before = dict(world.east.objects)
    del world.east.objects[reviews(world)]
    world.hooks["east"] = dies
    world.run()
    world.hooks.clear()
    lagging(world).listed = before
    world.commit(slow("b", "ratings"))
    world.run()
    assert (world.live(), entries(world)) == (["ratings"], {"ratings"})


def test_what_was_asked_before_a_write_is_asked_again_after_it(world: PipelineWorld) -> None:
    """The answer to a creation is lost, then nobody wants it any more, and the list stays as it was."""

    def lost(operation: str, _key: ObjectKey | None) -> None:
        if operation == "create":
            raise StepError("no answer")

    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    key = reviews(world)
    made = world.east.objects.pop(key)
    world.hooks["east"] = lost
    lagging(world).shown = world.east.observe(world.mesh.resources)
    world.run()
    world.run()
    world.hooks.clear()
    world.east.put(decode(made.body))  # it was carried out all the same
    world.commit(slow("b", "ratings"))
    world.run()
    assert (world.live(), entries(world)) == (["ratings"], {"ratings"})


def test_what_an_older_list_shows_as_wanted_is_asked_for_where_we_wrote_other_things(
    world: PipelineWorld,
) -> None:
    """5 s, then 7 s, then 5 s again: a list from the beginning says that nothing is to be done."""
    world.commit(slow("a"))
    world.run()
    before = dict(world.east.objects)
    world.commit(slow("a", timeout="7s"))
    world.run()
    lagging(world).listed = before
    world.commit(slow("a"))
    assert actions(world.run()) == {"reviews": "update"}
    assert b"5000" in world.east.objects[reviews(world)].body


def test_what_we_deleted_and_an_older_list_still_shows_is_no_strangers(world: PipelineWorld) -> None:
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    before = dict(world.east.objects)
    world.commit(slow("b", "ratings"))
    world.run()
    lagging(world).listed = before
    world.commit(slow("a"), slow("b", "ratings"))
    report = world.run()
    assert actions(report) == {"reviews": "create", "ratings": "keep"}
    assert "GM401" not in codes(report)


def test_what_bears_our_marks_and_is_unknown_is_asked_for_once(world: PipelineWorld) -> None:
    """The counter-proof: it is there, so marks alone are no authority."""
    world.commit(slow("b", "ratings"), slow("a"))
    world.run()
    theirs = decode(world.east.objects[reviews(world)].body)
    world.commit(slow("b", "ratings"))
    world.run()
    made = world.east.put(theirs)
    lagging(world).shown = world.east.observe(world.mesh.resources)
    world.commit(slow("b", "ratings"), slow("a"))
    assert actions(world.run())["reviews"] == "conflict"
    assert "find" in world.operations()
    assert actions(world.run())["reviews"] == "conflict"
    assert "find" not in world.operations()
    assert world.east.objects[made.key] is made


def test_what_is_gone_is_forgotten_and_asked_for_no_more(world: PipelineWorld) -> None:
    """The counter-proof: a list that is right about an absence."""
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    (key,) = [key for key in world.east.objects if key.name == "reviews"]
    del world.east.objects[key]
    world.commit(slow("b", "ratings"))
    world.run()
    assert "find" in world.operations()
    assert entries(world) == {"ratings"}
    world.run()
    assert "find" not in world.operations()


def test_what_somebody_replaced_is_asked_for_once_while_nothing_moves(world: PipelineWorld) -> None:
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    (key,) = [key for key in world.east.objects if key.name == "reviews"]
    theirs = decode(world.east.objects[key].body)
    del world.east.objects[key]
    world.east.put(theirs)
    report = world.run()
    assert actions(report)["reviews"] == "conflict"
    assert "find" in world.operations()


def test_a_cluster_that_does_not_answer_by_name_decides_nothing(world: PipelineWorld) -> None:
    def refuses(operation: str, _key: ObjectKey | None) -> None:
        if operation == "find":
            raise ClusterError("no answer")

    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    before = ledger(world)
    lagging(world).listed = {}
    world.hooks["east"] = refuses
    world.commit(slow("b", "ratings"))
    report = world.run()
    assert "GM501" in codes(report)
    assert (ledger(world), world.live()) == (before, ["ratings", "reviews"])
