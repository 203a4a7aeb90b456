"""Addresses: a unit names the cluster where its destination lives and the one that is written. A mesh of a
few lines, in which an import in one cluster needs its export in another, goes through the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

import gitmesh.pipeline
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.adapters.writing import StepError
from gitmesh.errors import ClusterError
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.ledger import Stored
from gitmesh.model.links import Links, Ref
from gitmesh.model.manifests import Fragment, Phase, Translation
from gitmesh.model.objects import ApiKind, Body, ObjectKey
from gitmesh.model.plan import SETTLE, Observed
from gitmesh.model.units import RoutingUnit, Unit, half_key
from gitmesh.resolution.resolve import Resolution, resolve
from tests.fake_mesh import FakeMesh, rule
from tests.properties.history import document, ledger_of
from tests.unit.test_pipeline import Hook, PipelineWorld, codes, one
from tests.unit.test_pipeline import facts as facts_of

T = TypeVar("T")
EXPORT, IMPORT = rule("reviews"), rule("reviews-of-east")


def slow(service: str = "reviews", timeout: str = "5s", cluster: str = "east") -> dict[str, Any]:
    """A policy for a destination of one cluster."""
    to = [{"name": service, "clusters": [cluster]}]
    return document("TrafficPolicy", service, destinations=to, timeout=timeout)


class Federated(FakeMesh):
    """Exports a destination in the cluster where it lives, and imports it where its callers are."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        if not isinstance(unit, RoutingUnit) or unit.service.name in self.held:
            return Translation(held=isinstance(unit, RoutingUnit))
        exported = unit.home == unit.written
        name = unit.service.name if exported else f"{unit.service.name}-of-{unit.home}"
        offered = f"{unit.home}:{unit.service.name}"
        spec = {"provides" if exported else "uses": [offered], "timeouts": _timeouts(unit)}
        made = Fragment(key=rule(name), version="v1", phase=Phase.ROUTE, spec=spec)
        return Translation(fragments=(made,))

    def links(self, body: Body, meshes: Sequence[Mesh]) -> Links:
        spec = body.get("spec", {})
        return Links(provides=_refs(spec.get("provides", ())), uses=_refs(spec.get("uses", ())))

    def between(self, before: Body, after: Body | None, kept: frozenset[Ref]) -> Mapping[str, Any] | None:
        return None


def _timeouts(unit: RoutingUnit) -> list[int]:
    return [route.fields["timeout"].value for route in unit.routes]


def _refs(names: Iterable[str]) -> frozenset[Ref]:
    pairs = (name.split(":") for name in names)
    return frozenset(Ref(kind="host", cluster=cluster, name=name) for cluster, name in pairs)


def federated(*given: Any) -> Resolution:
    """What policies decide, and the routing of every destination of east written in west, too: who is told of
    whose destinations is nothing that policies say yet."""
    found = resolve(*given)
    imports = [replace(one, written="west") for one in found.units["east"] if isinstance(one, RoutingUnit)]
    return replace(found, units={**found.units, "west": (*found.units["west"], *imports)})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> PipelineWorld:
    monkeypatch.setattr(gitmesh.pipeline, "resolve", federated)
    made = PipelineWorld(mesh=Federated(), names=("east", "west"))
    made.commit(slow())
    return made


def live(world: PipelineWorld) -> tuple[list[ObjectKey], list[ObjectKey]]:
    """The objects of east, and of west."""
    return list(world.clusters["east"].objects), list(world.clusters["west"].objects)


def settled(world: PipelineWorld) -> None:
    """Cycles, each when proxies know of the one before, until nothing is written any more."""
    for _ in range(6):
        report = world.run()
        world.now += SETTLE
        if not any(result.outcomes for result in report.clusters.values()):
            return
    raise AssertionError("it never settles")


def test_an_import_waits_for_its_export_in_the_other_cluster(world: PipelineWorld) -> None:
    report = world.run()
    assert live(world) == ([EXPORT], [])
    told = one(report, "GM411")
    assert (told.cluster, told.policy) == ("west", "TrafficPolicy/shop/reviews")
    assert "host reviews in cluster east" in told.message
    report = world.run()
    assert live(world) == ([EXPORT], []), "proxies may not know of it yet"
    assert "GM411" in codes(report)
    world.now += SETTLE
    assert "GM411" not in codes(world.run())
    assert live(world) == ([EXPORT], [IMPORT])


class Steady(MemoryCluster):
    """Gives the same values again while nothing moved, as a server that says 304 does."""

    def __init__(self, name: str, facts: ClusterFacts) -> None:
        super().__init__(name, facts=facts)
        self.given: dict[str, Any] = {}

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:
        return self._same("observe", super().observe(kinds))

    def load(self, instance: str) -> Stored:
        return self._same("load", super().load(instance))

    def _same(self, what: str, now: T) -> T:
        return self.given.setdefault(what, now) if self.given.get(what) == now else self._new(what, now)

    def _new(self, what: str, now: T) -> T:
        self.given[what] = now
        return now


def test_a_plan_that_was_made_before_is_not_taken_for_this_one(world: PipelineWorld) -> None:
    """Nothing moves in west when the export comes to stand in east."""
    world.clusters["west"] = Steady("west", facts_of("west"))
    for _ in range(3):
        world.run()
        assert live(world) == ([EXPORT], [])
    world.now += SETTLE
    world.run()
    assert live(world) == ([EXPORT], [IMPORT])


def test_the_ledger_of_the_written_cluster_knows_where_the_destination_lives(world: PipelineWorld) -> None:
    settled(world)
    at_home = half_key("routing", "east", ("shop", "reviews"))
    for name, key in (("east", EXPORT), ("west", IMPORT)):
        entry = ledger_of(world.clusters[name])[0].entries[key]
        assert entry.units == (replace(at_home, written=name),)


class Unexported(Federated):
    """Can say nothing of exports."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        exported = isinstance(unit, RoutingUnit) and unit.home == unit.written
        return Translation(held=True) if exported else super().translate(unit, meshes, facts)


def silent(_operation: str, _key: ObjectKey | None) -> None:
    raise ClusterError("it does not answer")


def refusing(operation: str, _key: ObjectKey | None) -> None:
    if operation == "create":
        raise StepError("no")


def content(_operation: str, _key: ObjectKey | None) -> None:
    """Nothing fails."""


@pytest.mark.parametrize(
    ("mesh", "hook"),
    [(Unexported(), content), (Federated(), refusing), (Federated(), silent)],
    ids=["held", "refused", "no answer"],
)
def test_it_waits_whatever_keeps_the_export_away(world: PipelineWorld, mesh: FakeMesh, hook: Hook) -> None:
    world.mesh, world.hooks["east"] = mesh, hook
    for _ in range(3):
        world.run()
        world.now += SETTLE
    assert live(world) == ([], [])


def test_an_export_stays_while_an_import_elsewhere_is_live(world: PipelineWorld) -> None:
    settled(world)
    world.commit(slow("ratings", cluster="west"))
    report = world.run()
    assert (EXPORT in live(world)[0], IMPORT in live(world)[1]) == (True, False)
    assert one(report, "GM406").cluster == "east"
    world.run()
    assert EXPORT in live(world)[0], "a proxy may still go there"
    world.now += SETTLE
    world.run()
    assert EXPORT not in live(world)[0]


def test_an_export_stays_while_a_cluster_does_not_answer(world: PipelineWorld) -> None:
    settled(world)
    world.hooks["west"] = silent
    world.commit(slow("ratings"))
    for _ in range(3):
        world.run()
        world.now += SETTLE
    assert EXPORT in live(world)[0]
    world.hooks.clear()
    for _ in range(3):
        world.run()
        world.now += SETTLE
    assert EXPORT not in live(world)[0]


def test_an_import_that_is_live_changes_though_its_export_is_on_its_way(world: PipelineWorld) -> None:
    """It needs nothing that it did not need before."""
    settled(world)
    world.commit(slow(timeout="9s"))
    world.run()
    assert all(b"9000" in one.body for name in world.names for one in world.clusters[name].objects.values())
