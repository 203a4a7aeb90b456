"""Which live objects are a held unit's: the ledger knows who wanted them; names tell nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.manifests import Translation
from gitmesh.model.objects import ObjectKey
from gitmesh.model.units import Unit, UnitKey, half_key, mesh_key
from gitmesh.planning.ledger_codec import SCHEMA, dump_ledger, load_ledger
from gitmesh.planning.options import Memo
from tests.fake_mesh import FakeMesh, rule
from tests.folders import Folders, allow, forget_units, said, virtual_mesh
from tests.properties.history import document, ledger_of, on
from tests.unit.test_pipeline import PipelineWorld, slow


class Renaming(FakeMesh):
    """Gives its objects names with the `suffix` that it has now."""

    suffix = ""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        made = super().translate(unit, meshes, facts)
        named = (
            replace(one, key=one.key._replace(name=one.key.name + self.suffix)) for one in made.fragments
        )
        return replace(made, fragments=tuple(named))


@pytest.fixture
def world() -> PipelineWorld:
    """Rules of reviews and ratings are live."""
    made = PipelineWorld(mesh=Renaming())
    made.commit(slow("a"), slow("b", "ratings"))
    made.run()
    assert made.live() == ["ratings", "reviews"]
    return made


def renamed(world: PipelineWorld, suffix: str, *held: str) -> None:
    """From now on objects have other names, and nothing can be said of the destinations that are `held`."""
    world.mesh.suffix, world.mesh.held, world.memo = suffix, frozenset(held), Memo()


def test_an_object_of_a_held_unit_stays_under_its_old_name(
    world: PipelineWorld,
) -> None:
    renamed(world, "-new", "reviews")
    world.run()
    assert world.live() == ["ratings-new", "reviews"]
    renamed(world, "-new")
    world.run()
    assert world.live() == ["ratings-new", "reviews-new"]


def test_an_object_of_another_unit_goes_though_a_held_one_would_have_its_name(world: PipelineWorld) -> None:
    """`reviews` was that of reviews; what it means to ratings now is nobody's wish."""
    renamed(world, "-new", "ratings")
    world.run()
    assert world.live() == ["ratings", "reviews-new"]


# --- what older versions wrote


def older(world: PipelineWorld, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """The ledger as the version before this one left it."""
    body = dump_ledger(ledger_of(world.east)[0])
    forget_units(body)
    change(body)
    world.east._ledger = json.dumps(body).encode()
    assert not any(entry.units for entry in ledger_of(world.east)[0].entries.values())


def test_what_is_wanted_is_known_again_at_once(world: PipelineWorld) -> None:
    older(world)
    world.run()
    entries = ledger_of(world.east)[0].entries
    assert entries[rule("reviews")].units == (half_key("routing", "east", ("shop", "reviews")),)
    renamed(world, "-new", "reviews")
    world.run()
    assert world.live() == ["ratings-new", "reviews"]


def test_an_object_that_may_be_a_held_units_stays_while_it_is_held(world: PipelineWorld) -> None:
    older(world)
    renamed(world, "", "reviews")
    world.commit(slow("a"))
    world.run()
    assert world.live() == ["ratings", "reviews"]
    renamed(world, "")
    world.run()
    assert world.live() == ["reviews"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        document("AccessPolicy", "p", destinations=on("gone"), sources=[{"all": True}]),
        document(
            "TrafficPolicy", "p", destinations=[{"name": "gone", "namespaces": ["other"]}], timeout="1s"
        ),
    ],
    ids=["the other half", "another namespace"],
)
def test_an_object_that_cannot_be_a_held_units_goes(world: PipelineWorld, elsewhere: dict[str, Any]) -> None:
    older(world)
    world.commit(slow("a"), elsewhere)
    report = world.run()
    built = report.clusters["east"].build
    assert built is not None
    assert [key.name for key in built.held_units] == ["gone"]
    assert world.live() == ["reviews"]


def test_what_is_kept_for_a_name_that_is_missing_keeps_no_other_destination(world: PipelineWorld) -> None:
    """Of whom it is, is not known; that it is not its neighbour's, is."""
    older(world)
    world.commit(slow("a", timeout="9s"), slow("b", "gone"))
    for _ in range(2):
        world.run()
    assert world.live() == ["ratings", "reviews"]
    assert b"9000" in world.east.objects[rule("reviews")].body
    assert b"5000" in world.east.objects[rule("ratings")].body


@pytest.fixture
def shop(tmp_path: Path) -> Folders:
    """Two policies grant access to api; then one is withdrawn, and the other names what is not there."""
    made = Folders(tmp_path, names=("east",))
    made.commit(virtual_mesh(accessDefault="Deny"), allow("some", "api", "web"), allow("more", "api", "db"))
    made.settle()
    made.commit(virtual_mesh(accessDefault="Deny"), allow("more", "missing", "db"))
    return made


def test_a_grant_that_was_withdrawn_goes_though_its_object_may_be_a_held_units(shop: Folders) -> None:
    shop.tamper("east", forget_units)
    shop.settle()
    found = str(shop.spec("east", "api-allow")["rules"])
    assert ("sa/web" in found, "sa/db" in found) == (False, True)


def test_where_nobody_knows_whose_rules_they_are_it_is_told(shop: Folders) -> None:
    (shop.root / "east" / ".gitmesh" / "ledger.yaml").unlink()
    report = shop.settle()
    assert "sa/web" in str(shop.spec("east", "api-allow")["rules"])
    [one] = said(report, "GM413")
    assert (one.severity, "with what AccessPolicy/shop/some granted" in one.message) == ("error", True)


# --- the ledger


UNITS: tuple[tuple[UnitKey, ...], ...] = (
    (),
    (half_key("routing", "east", ("shop", "reviews")),),
    (half_key("access", "east", ("shop", "reviews")), mesh_key("east", "istio-system/blue")),
    (UnitKey(half="routing", home="west", written="east", namespace="shop", name="reviews"),),
)


@pytest.mark.parametrize("units", UNITS)
def test_units_are_remembered(units: tuple[UnitKey, ...]) -> None:
    key = ObjectKey("g", "Rule", "shop", "x")
    entry = Entry(uid="u", digest="d", commit="c", warnings=("w",), units=units)
    ledger = Ledger(instance="shop", entries={key: entry})
    assert dump_ledger(ledger)["schema"] == SCHEMA
    assert load_ledger(json.loads(json.dumps(dump_ledger(ledger)))).entries == {key: entry}


@pytest.mark.parametrize("text", ["", "routing/east", "other/east//shop/reviews"])
def test_what_is_no_unit_is_no_ledger(text: str) -> None:
    key = ObjectKey("g", "Rule", "shop", "x")
    body = dump_ledger(Ledger(instance="shop", entries={key: Entry(uid="u", units=UNITS[1])}))
    body["units"] = [[text]]
    with pytest.raises(ValueError, match="units"):
        load_ledger(body)
