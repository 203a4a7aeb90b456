"""Of an object that is somebody else's only some fields are ours: an annotation of a Service, say. They are
set, healed and taken off, and nothing else of the object is ever touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.diagnostics import Severity
from gitmesh.model.admission import Subject
from gitmesh.model.ledger import Entry
from gitmesh.model.manifests import Translation
from gitmesh.model.objects import decode
from gitmesh.model.ownership import annotation, only_fields
from gitmesh.model.plan import Action, Change
from gitmesh.model.report import Report, Stage, State
from gitmesh.planning.options import Memo
from gitmesh.planning.ownership import RECONCILE
from gitmesh.render.plans import plan_text
from tests.owning_mesh import SERVICE, TIMEOUT, OwningMesh, key_of
from tests.properties.history import History, ledger_of
from tests.unit.test_pipeline import PipelineWorld, codes, one, slow

REVIEWS = key_of(SERVICE)


def service(name: str = "reviews", **annotations: str) -> dict[str, Any]:
    """A Service as its owner made it."""
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "labels": {"team": "reviews"}}
    noted = {"annotations": annotations} if annotations else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata, **noted},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    }


def world_of(*bodies: dict[str, Any], mesh: OwningMesh | None = None, timeout: str = "5s") -> PipelineWorld:
    world = PipelineWorld(mesh=mesh or OwningMesh())
    for body in bodies:
        world.east.put(body)
    world.commit(slow("a", timeout=timeout))
    return world


def body_of(world: PipelineWorld, name: str = "reviews") -> dict[str, Any]:
    return decode(world.east.objects[key_of(SERVICE, name=name)].body)


def annotations_of(world: PipelineWorld, name: str = "reviews") -> dict[str, str]:
    found: dict[str, str] = body_of(world, name)["metadata"].get("annotations", {})
    return found


def entries(world: PipelineWorld) -> dict[Any, Entry]:
    return dict(ledger_of(world.east)[0].entries)


def changes(report: Report) -> list[Change]:
    plan = report.clusters["east"].plan
    assert plan is not None
    return list(plan.changes)


def wrote(report: Report) -> list[tuple[str, Action]]:
    return [(outcome.key.name, outcome.action) for outcome in report.clusters["east"].outcomes]


# --- set and kept


def test_the_field_is_set_and_nothing_else_of_the_object_is_touched() -> None:
    world = world_of(service())
    report = world.run()
    assert wrote(report) == [("reviews", Action.UPDATE)]
    assert body_of(world) == service(**{TIMEOUT: "5000"}), "no mark of ours stands on it either"
    entry = entries(world)[REVIEWS]
    assert entry.ownership == only_fields([annotation(TIMEOUT)])
    assert report.clusters["east"].state is State.SYNCED


def test_then_all_is_quiet_whatever_its_owner_does_to_the_rest() -> None:
    world = world_of(service())
    world.run()
    assert wrote(world.run()) == []
    others = service(**{TIMEOUT: "5000", "team.test/pager": "42"})
    world.east.put({**others, "spec": {"selector": {"app": "other"}}})
    report = world.run()
    assert (wrote(report), codes(report)) == ([], [])
    assert report.clusters["east"].state is State.SYNCED


@pytest.mark.parametrize("now", [{}, {TIMEOUT: "9"}], ids=["taken off", "changed"])
def test_drift_of_the_field_is_healed(now: dict[str, str]) -> None:
    world = world_of(service())
    world.run()
    world.east.put(service(**now))
    (change,) = changes(world.run(Stage.PLAN))
    assert (change.action, change.drift) == (Action.UPDATE, True)
    assert [field.path for field in change.fields] == [f"metadata.annotations.{TIMEOUT}"]
    world.run()
    assert body_of(world) == service(**{TIMEOUT: "5000"})


def test_a_change_of_the_policy_is_no_drift_and_leads_to_its_line() -> None:
    world = world_of(service())
    world.run()
    world.commit(slow("a", timeout="7s"))
    (change,) = changes(world.run())
    assert (change.drift, annotations_of(world)) == (False, {TIMEOUT: "7000"})
    (field,) = change.fields
    assert field.origin is not None
    assert field.origin.policy == "TrafficPolicy/shop/a"


# --- withdrawn


def test_withdrawal_takes_only_the_field_off_and_leaves_the_object() -> None:
    world = world_of(service(), service("ratings"))
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    world.commit(slow("b", "ratings"))
    report = world.run()
    assert wrote(report) == [("reviews", Action.RELEASE)]
    assert plan_text(report, done=True).splitlines()[:3] == [
        "east (fake): 0 created, 0 changed, 0 deleted, 1 released, 1 unchanged",
        "  release Service shop/reviews  no policy wants it any more",
        f'      metadata.annotations.{TIMEOUT}: "5000" -> (none)',
    ]
    assert body_of(world) == service()
    assert REVIEWS not in entries(world)
    assert wrote(world.run()) == []


def test_withdrawal_works_after_a_restart_and_leads_back_to_the_policy() -> None:
    world = world_of(service(), service("ratings"))
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    world.memo = Memo()
    world.commit(slow("b", "ratings"))
    (release,) = [change for change in changes(world.run()) if change.action is Action.RELEASE]
    assert release.policies == ("TrafficPolicy/shop/a",)
    assert annotations_of(world) == {}


def test_another_field_in_its_place_takes_the_first_off() -> None:
    world = world_of(service(**{"team.test/pager": "42"}))
    world.run()
    world.mesh = OwningMesh(key="mesh.test/deadline")
    world.memo = Memo()
    world.run()
    assert annotations_of(world) == {"team.test/pager": "42", "mesh.test/deadline": "5000"}
    assert entries(world)[REVIEWS].ownership == only_fields([annotation("mesh.test/deadline")])


def test_its_owner_may_forbid_it_as_on_any_object_that_only_routes() -> None:
    world = world_of(service(**{RECONCILE: "disabled"}))
    report = world.run()
    assert (wrote(report), codes(report)) == ([], ["GM407"])


def test_taking_off_counts_as_deleting_for_the_guard() -> None:
    names = [f"s{number:02d}" for number in range(12)]
    world = world_of(*map(service, names))
    world.commit(slow("a", *names))
    world.run()
    world.commit(slow("a"))
    report = world.run()
    assert "deleted or released" in one(report, "GM402").message
    assert all(annotations_of(world, name) for name in names)


# --- not ours to make


@pytest.mark.parametrize(("decides", "severity"), [("routing", Severity.WARNING), ("access", Severity.ERROR)])
def test_an_object_that_is_not_there_is_not_made_and_told(decides: Subject, severity: Severity) -> None:
    world = world_of(mesh=OwningMesh(decides=decides))
    report = world.run()
    told = one(report, "GM418")
    assert (told.severity, told.policy) == (severity, "TrafficPolicy/shop/a")
    assert (world.live(), wrote(report)) == ([], [])
    assert report.clusters["east"].state is State.HELD
    world.east.put(service())
    assert codes(world.run()) == []
    assert annotations_of(world) == {TIMEOUT: "5000"}


@pytest.mark.parametrize(("decides", "severity"), [("routing", Severity.WARNING), ("access", Severity.ERROR)])
def test_a_field_that_somebody_else_has_set_is_a_conflict(decides: Subject, severity: Severity) -> None:
    world = world_of(service(**{TIMEOUT: "9"}), mesh=OwningMesh(decides=decides))
    report = world.run()
    assert one(report, "GM416").severity is severity
    assert f"metadata.annotations.{TIMEOUT}" in one(report, "GM416").message
    assert (annotations_of(world), REVIEWS in entries(world)) == ({TIMEOUT: "9"}, False)
    assert report.clusters["east"].state is State.HELD
    world.east.put(service())
    world.run()
    assert annotations_of(world) == {TIMEOUT: "5000"}


def test_what_somebody_else_says_alike_is_in_force_and_stays_theirs() -> None:
    world = world_of(service(**{TIMEOUT: "5000"}), service("ratings"))
    world.commit(slow("a"), slow("b", "ratings"))
    report = world.run()
    assert (codes(report), wrote(report)) == ([], [("ratings", Action.UPDATE)])
    world.commit(slow("b", "ratings"))
    world.run()
    assert annotations_of(world) == {TIMEOUT: "5000"}


def test_what_was_said_alike_before_stays_beside_what_is_ours() -> None:
    """Two fields of one object: one is ours, one was there."""
    world = world_of(service(**{"other.test/timeout": "5000"}), service("ratings"))
    world.commit(slow("a"), slow("b", "ratings"))
    world.mesh = TwoFields()
    assert codes(world.run()) == []
    assert entries(world)[REVIEWS].ownership == only_fields([annotation(TIMEOUT)])
    assert wrote(world.run()) == []
    world.commit(slow("b", "ratings"))
    world.run()
    assert annotations_of(world) == {"other.test/timeout": "5000"}


class TwoFields(OwningMesh):
    """Says the timeout twice."""

    def translate(self, *given: Any) -> Translation:
        made = super().translate(*given)
        return replace(
            made, fragments=tuple(replace(one, **_twice(one.annotations)) for one in made.fragments)
        )


def _twice(annotations: Mapping[str, str]) -> dict[str, Any]:
    both = {**annotations, "other.test/timeout": annotations[TIMEOUT]}
    return {"annotations": both, "ownership": only_fields(map(annotation, both))}


def test_an_object_that_was_made_anew_gets_the_field_anew() -> None:
    world = world_of(service())
    world.run()
    del world.east.objects[REVIEWS]
    assert codes(world.run()) == ["GM418"]
    assert REVIEWS not in entries(world), "what was ours went with the object"
    world.east.put(service(**{TIMEOUT: "9"}))
    assert codes(world.run()) == ["GM416"], "the new object's field is its owner's"
    world.east.put(service())
    world.run()
    assert annotations_of(world) == {TIMEOUT: "5000"}


def test_an_object_on_its_way_out_is_left_to_its_owner() -> None:
    world = world_of()
    leaving = service()
    leaving["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.test/b"]}
    world.east.put(leaving)
    report = world.run()
    assert (codes(report), wrote(report)) == (["GM418"], [])


# --- held, unreadable, contradictory


def test_fields_of_a_held_unit_stay() -> None:
    world = world_of(service(), service("ratings"))
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    world.mesh = OwningMesh(held=frozenset({"reviews"}))
    world.memo = Memo()
    world.commit(slow("b", "ratings"), slow("a", timeout="9s"))
    assert wrote(world.run()) == []
    assert annotations_of(world) == {TIMEOUT: "5000"}


def test_what_a_source_said_that_cannot_be_read_stays() -> None:
    world = PipelineWorld(mesh=OwningMesh(), sources=[History("alpha"), History("beta")])
    for name in ("reviews", "ratings"):
        world.east.put(service(name))
    world.commit(slow("a"))
    world.commit(slow("b", "ratings"), source=1)
    world.run()
    world.memo = Memo()
    world.sources[0].recorded = ""
    world.sources[0].down = world.sources[0].store_lost = True
    world.commit(slow("b", "ratings", timeout="6s"), source=1)
    world.run()
    assert annotations_of(world) == {TIMEOUT: "5000"}


class Grasping(OwningMesh):
    """Writes more than it says is its own."""

    def translate(self, *given: Any) -> Translation:
        made = super().translate(*given)
        return replace(
            made, fragments=tuple(replace(one, spec={"type": "ExternalName"}) for one in made.fragments)
        )


def test_what_does_not_fit_to_its_own_ownership_is_a_defect_and_is_held() -> None:
    world = world_of(service(), mesh=Grasping())
    report = world.run()
    assert "GM313" in codes(report)
    assert body_of(world) == service()


def test_strangers_are_seen_without_our_fields() -> None:
    """What we wrote ourselves is no fact."""
    mesh = OwningMesh()
    world = world_of(service(), mesh=mesh)
    world.run()
    mesh.seen.clear()
    world.memo = Memo()
    world.run()
    assert [body["metadata"].get("annotations", {}) for body in mesh.seen] == [{}]
    assert all("spec" in body for body in mesh.seen)


# --- who may call


def test_a_field_that_decides_who_may_call_is_told_by_its_effect() -> None:
    world = world_of(service(), service("ratings"), mesh=OwningMesh(decides="access"))
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    world.commit(slow("b", "ratings", timeout="8s"), slow("c", "s01"))
    world.east.put(service("s01"))
    turns = [(change.key.name, change.action) for change in changes(world.run(Stage.PLAN)) if change.writes]
    assert turns == [
        ("ratings", Action.UPDATE),
        ("s01", Action.UPDATE),
        ("reviews", Action.RELEASE),
    ], "what refuses more comes first, what refuses less last"
