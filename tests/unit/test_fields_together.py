"""Fields that several units, halves and translators have in one object of somebody else's: put together, and
yet none holds the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.model.admission import Effect, Subject
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.links import Ref
from gitmesh.model.manifests import Fragment, Translation
from gitmesh.model.objects import Body, decode, mapping
from gitmesh.model.ownership import annotation, only_fields
from gitmesh.model.plan import Action
from gitmesh.model.report import Report, Stage, State
from gitmesh.model.units import AccessUnit, RoutingUnit, Unit
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from tests.fake_mesh import effect_of_refusals
from tests.owning_mesh import SERVICE, TIMEOUT, OwningMesh, key_of
from tests.properties.history import document, on
from tests.unit.test_fields_of_others import annotations_of, changes, entries, service, world_of, wrote
from tests.unit.test_pipeline import PipelineWorld, codes, slow

DENIED, GRANTED = "mesh.test/denied", "mesh.test/granted"


def denying(name: str, *paths: str) -> dict[str, Any]:
    return document(
        "AccessPolicy",
        name,
        destinations=on("reviews"),
        sources=[{"all": True}],
        action="Deny",
        rules=[{"paths": list(paths)}],
    )


class NotedMesh(OwningMesh):
    """Has routing and access of a destination in annotations of one Service."""

    routing_held = False

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        if isinstance(unit, RoutingUnit) and self.routing_held:
            return Translation(held=True)
        if not isinstance(unit, AccessUnit):
            return super().translate(unit, meshes, facts)
        said = {DENIED: unit.access.denies, GRANTED: unit.access.allows}
        notes = {
            name: ",".join(sorted(path for one in grants for o in one.operations for path in o.paths))
            for name, grants in said.items()
            if grants
        }
        if not notes:
            return Translation()
        made = Fragment(
            key=key_of(SERVICE, unit.service.namespace, unit.service.name),
            version="v1",
            annotations=notes,
            ownership=only_fields(annotation(name) for name in notes),
        )
        return Translation(fragments=(made,))

    def decides(self, body: Body) -> Subject:
        return "access" if _noted(body).keys() & {DENIED, GRANTED} else "routing"

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        old, new = (_paths(body, DENIED) for body in (before, after))
        return effect_of_refusals(old, new)

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        if self.effect(before, after) is not Effect.BOTH:
            return None
        both = _paths(before, DENIED) | _paths(after, DENIED)
        return {**_noted(after), DENIED: ",".join(sorted(both))}


def _noted(body: Body | None) -> Mapping[str, str]:
    found: Mapping[str, str] = mapping(mapping((body or {}).get("metadata")).get("annotations"))
    return found


def _paths(body: Body | None, name: str) -> set[str]:
    return set(filter(None, _noted(body).get(name, "").split(",")))


@pytest.fixture
def world() -> PipelineWorld:
    return world_of(service(), service("ratings"), mesh=NotedMesh())


def test_both_halves_of_a_destination_stand_in_one_object(world: PipelineWorld) -> None:
    world.commit(slow("a"), denying("d", "/x"), slow("b", "ratings"))
    assert "GM311" not in codes(world.run())
    assert annotations_of(world) == {TIMEOUT: "5000", DENIED: "/x"}
    assert wrote(world.run()) == []
    world.commit(slow("a"), slow("b", "ratings"))
    assert wrote(world.run()) == [("reviews", Action.UPDATE)]
    assert annotations_of(world) == {TIMEOUT: "5000"}, "what one half withdraws leaves the other"


def test_a_field_that_somebody_has_taken_keeps_no_other_away(world: PipelineWorld) -> None:
    """A tenant that sets what routes must not switch off what decides who may call."""
    world.east.put(service(**{TIMEOUT: "9"}))
    world.commit(slow("a"), denying("d", "/x"), slow("b", "ratings"))
    report = world.run()
    assert "GM416" in codes(report)
    assert report.clusters["east"].state is State.HELD
    assert annotations_of(world) == {TIMEOUT: "9", DENIED: "/x"}
    assert entries(world)[key_of(SERVICE)].ownership == only_fields([annotation(DENIED)])
    report = world.run()
    assert ("GM416" in codes(report), wrote(report)) == (True, [])
    assert report.clusters["east"].state is State.HELD
    world.east.put(service(**{TIMEOUT: "9"}))
    world.run()
    assert annotations_of(world) == {TIMEOUT: "9", DENIED: "/x"}, "and it is healed beside it"
    world.east.put(service(**{DENIED: "/x"}))
    world.run()
    assert annotations_of(world) == {TIMEOUT: "5000", DENIED: "/x"}
    assert world.run().clusters["east"].state is State.SYNCED


def test_routing_that_is_held_holds_no_access_in_the_same_object(world: PipelineWorld) -> None:
    world.commit(slow("a"), denying("d", "/x"), slow("b", "ratings"))
    world.run()
    mesh = NotedMesh()
    mesh.routing_held = True
    world.mesh, world.memo = mesh, Memo()
    world.commit(slow("a", timeout="9s"), denying("d", "/x", "/y"), slow("b", "ratings"))
    for _ in range(2):
        world.run()
        assert annotations_of(world) == {TIMEOUT: "5000", DENIED: "/x,/y"}
    world.mesh, world.memo = NotedMesh(), Memo()
    world.run()
    assert annotations_of(world) == {TIMEOUT: "9000", DENIED: "/x,/y"}


def test_what_refuses_otherwise_beside_what_refuses_goes_through_a_state_between(
    world: PipelineWorld,
) -> None:
    """Design law 2 holds for annotations as for any object: old and new are refused until all is changed."""
    other = {**denying("e", "/z"), "spec": {**denying("e", "/z")["spec"], "destinations": on("ratings")}}
    world.commit(denying("d", "/x"), other)
    world.run()
    moved = {**other, "spec": {**other["spec"], "rules": [{"paths": ["/w"]}]}}
    world.commit(denying("d", "/y"), moved)
    steps = [
        (change.key.name, sorted(_paths_of(change.body)))
        for change in changes(world.run(Stage.PLAN))
        if change.key.name == "reviews"
    ]
    assert steps == [("reviews", ["/x", "/y"]), ("reviews", ["/y"])]
    world.run()
    assert annotations_of(world) == {DENIED: "/y"}


def _paths_of(content: bytes | None) -> set[str]:
    return _paths(decode(content), DENIED) if content else set()


# --- several translators


OTHER = "other.test/timeout"


def cycle(world: PipelineWorld, *meshes: OwningMesh) -> Report:
    """A cycle with these translators, each with a mesh in the cluster."""
    found = tuple(Mesh(translator=mesh.name, name=mesh.name) for mesh in meshes)
    world.east.current_facts = with_digest(replace(world.east.current_facts, meshes=found))
    return run(
        world.sources,
        LocalFleet([world.east]),
        {mesh.name: mesh for mesh in meshes},
        until=Stage.APPLY,
        options=Options(instance="shop", clusters={"east": {}}),
        memo=Memo(),
        clock=lambda: 0.0,
    )


def test_translators_have_their_fields_beside_each_other() -> None:
    world = world_of(service())
    both = (OwningMesh(), OwningMesh(key=OTHER, name="other"))
    assert codes(cycle(world, *both)) == []
    assert annotations_of(world) == {TIMEOUT: "5000", OTHER: "5000"}
    assert wrote(cycle(world, *both)) == []


def test_translators_that_want_one_field_otherwise_are_told() -> None:
    class Doubling(OwningMesh):
        def translate(self, *given: Any) -> Translation:
            made = super().translate(*given)
            twice = (replace(one, annotations={TIMEOUT: "10000"}) for one in made.fragments)
            return replace(made, fragments=tuple(twice))

    world = world_of(service())
    report = cycle(world, OwningMesh(), Doubling(name="other"))
    assert codes(report) == ["GM417"]
    assert annotations_of(world) == {TIMEOUT: "5000"}
