"""The two halves of a destination: each is a unit, given to the meshes that have a part in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from msgspec import Struct, field
from msgspec.structs import replace

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.model.admission import Subject
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Fragment, Translation
from gitmesh.model.objects import ApiKind, Body, ObjectKey, decode
from gitmesh.model.report import Report, Stage
from gitmesh.model.units import MeshUnit, Unit
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from tests.factories import facts as facts_of
from tests.factories import service, workload
from tests.fake_mesh import GROUP, FakeMesh
from tests.properties.history import History, document, ledger_of, on

TIMEOUT = document("TrafficPolicy", "slow", destinations=on("reviews"), timeout="5s")
SOME = [{"serviceAccounts": [{"name": "default", "namespace": "shop"}]}]
ALLOW = document("AccessPolicy", "some", destinations=on("reviews"), sources=SOME)
DENY = document("AccessPolicy", "none", destinations=on("reviews"), sources=SOME, action="Deny")


class TwoKinds(FakeMesh):
    """Writes a Way for the routing of a destination and a Guard for its access, and knows what it was asked
    for. It falls over the halves that are in `broken`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.resources: Sequence[ApiKind] = tuple(
            ApiKind(group=GROUP, kind=f"{name}-{kind}", plural=f"{name}{kind}s", versions=("v1",))
            for kind in ("routing", "access")
        )
        self.asked: list[str] = []
        self.broken: frozenset[str] = frozenset()

    def decides(self, body: Body) -> Subject:
        return "access" if body["kind"].endswith("-access") else "routing"

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        if isinstance(unit, MeshUnit):
            return Translation()
        half = unit.key.half
        self.asked.append(half)
        assert half not in self.broken, "a defect"
        key = ObjectKey(GROUP, f"{self.name}-{half}", unit.service.namespace, unit.service.name)
        said = Fragment(
            key=key,
            version="v1",
            spec={"policies": list(unit.policies)},
            policies=unit.policies,
        )
        return Translation(fragments=(said,))


class TwoMeshes(Struct):
    """A cluster in memory with the meshes `one` and `two`, each of a translator of its own."""

    cluster: MemoryCluster
    meshes: Mapping[str, TwoKinds]
    source: History = field(default_factory=lambda: History("policies"))
    memo: Memo = field(default_factory=Memo)

    def commit(self, *documents: Mapping[str, Any]) -> Report:
        """Push policies, and carry them out; what the meshes were asked for is of this cycle alone."""
        self.source.commit(yaml.safe_dump_all(map(dict, documents), sort_keys=False), good=True)
        for mesh in self.meshes.values():
            mesh.asked.clear()
        return run(
            [self.source],
            LocalFleet([self.cluster]),
            self.meshes,
            until=Stage.APPLY,
            options=Options(instance="shop", clusters={"east": {}}),
            memo=self.memo,
            clock=lambda: 0.0,
        )

    @property
    def asked(self) -> dict[str, list[str]]:
        """Mesh -> the halves that it was asked for."""
        return {name: sorted(mesh.asked) for name, mesh in self.meshes.items()}

    @property
    def live(self) -> dict[str, list[str]]:
        """Kind -> the policies behind the object of that kind."""
        return {key.kind: decode(one.body)["spec"]["policies"] for key, one in self.cluster.objects.items()}


def shop(*pods: str | None) -> TwoMeshes:
    """With a pod of reviews in each of these meshes, "" = in none; None is a controller without pods."""
    shapes = [
        workload(f"reviews-{n}", labels={"app": "reviews"}, mesh=name or "", pods=int(name is not None))
        for n, name in enumerate(pods)
    ]
    meshes = [Mesh(translator=name, name=name, root_namespace=f"{name}-system") for name in ("one", "two")]
    known = with_digest(facts_of("east", service(), *shapes, *meshes))
    return TwoMeshes(MemoryCluster("east", facts=known), {name: TwoKinds(name) for name in ("one", "two")})


@pytest.mark.parametrize(
    ("pods", "guarding"),
    [
        (("one",), {"one"}),
        (("one", "two"), {"one", "two"}),
        (("two", ""), {"two"}),
        (("",), {"one", "two"}),
        ((), {"one", "two"}),
        (("one", None), {"one", "two"}),
    ],
)
def test_access_goes_to_the_meshes_of_the_pods_and_routing_to_those_of_callers(
    pods: tuple[str | None, ...], guarding: set[str]
) -> None:
    world = shop(*pods)
    world.commit(TIMEOUT, ALLOW)
    assert world.asked == {
        name: ["access", "routing"] if name in guarding else ["routing"] for name in ("one", "two")
    }
    assert world.live == {
        **{f"{name}-routing": ["TrafficPolicy/shop/slow"] for name in ("one", "two")},
        **{f"{name}-access": ["AccessPolicy/shop/some"] for name in guarding},
    }


def test_a_half_of_which_nothing_is_said_is_no_unit() -> None:
    world = shop("one")
    world.commit(ALLOW)
    assert world.asked == {"one": ["access"], "two": []}
    world.commit(TIMEOUT)
    assert world.asked == {"one": ["routing"], "two": ["routing"]}
    assert world.live.keys() == {"one-routing", "two-routing"}


def test_what_changes_in_one_half_is_no_change_of_the_other() -> None:
    world = shop("one")
    world.commit(TIMEOUT, ALLOW)
    world.commit(TIMEOUT, ALLOW, DENY)
    assert world.asked == {"one": ["access"], "two": []}
    world.commit({**TIMEOUT, "spec": {**TIMEOUT["spec"], "timeout": "7s"}}, ALLOW, DENY)
    assert world.asked == {"one": ["routing"], "two": ["routing"]}


@pytest.mark.parametrize(("broken", "moves"), [("routing", "access"), ("access", "routing")])
def test_a_half_that_one_mesh_cannot_say_holds_neither_the_other_half_nor_the_other_mesh(
    broken: str, moves: str
) -> None:
    world = shop("one", "two")
    world.commit(TIMEOUT, ALLOW)
    before = world.live
    world.meshes["two"].broken = frozenset({broken})
    more = document("TrafficPolicy", "tries", destinations=on("reviews"), retries={"attempts": 2})
    report = world.commit(TIMEOUT, ALLOW, DENY, more)
    assert [one.code for one in report.diagnostics if one.is_error] == ["GM313"]
    after = world.live
    assert after[f"two-{broken}"] == before[f"two-{broken}"]
    moved = {kind for kind, policies in after.items() if policies != before[kind]}
    assert moved == {f"one-{broken}", f"one-{moves}", f"two-{moves}"}


def test_each_half_is_of_its_own_policies() -> None:
    world = shop("one")
    report = world.commit(TIMEOUT, ALLOW)
    built = report.clusters["east"].build
    assert built is not None
    assert [(unit.key.half, unit.policies) for unit in built.units] == [
        ("access", ("AccessPolicy/shop/some",)),
        ("routing", ("TrafficPolicy/shop/slow",)),
    ]
    assert {(unit.key.home, unit.key.written) for unit in built.units} == {("east", "east")}


# --- an object that both halves shape


class Shaping(TwoKinds):
    """Writes one object for both halves of a destination, each half its fields; `same` is what both say."""

    whole = False
    same: Mapping[str, str] = {"routing": "reviews", "access": "reviews"}

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        made = super().translate(unit, meshes, facts)
        half = unit.key.half
        return replace(
            made,
            fragments=tuple(
                replace(
                    one,
                    key=one.key._replace(kind=f"{self.name}-routing"),
                    spec={"host": self.same[half], half: {"policies": list(unit.policies)}},
                    part=not self.whole,
                )
                for one in made.fragments
            ),
        )


@pytest.fixture
def shaped() -> TwoMeshes:
    made = shop("one")
    return TwoMeshes(made.cluster, {"one": Shaping("one")})


BOTH = {
    "host": "reviews",
    "routing": {"policies": ["TrafficPolicy/shop/slow"]},
    "access": {"policies": ["AccessPolicy/shop/some"]},
}


def spec(world: TwoMeshes) -> Any:
    """Of the one object, None where there is none."""
    found = [decode(one.body) for one in world.cluster.objects.values()]
    assert len(found) <= 1
    return found[0]["spec"] if found else None


def test_two_units_want_one_object_and_get_it(shaped: TwoMeshes) -> None:
    report = shaped.commit(TIMEOUT, ALLOW)
    assert (spec(shaped), report.diagnostics) == (BOTH, ())
    [entry] = ledger_of(shaped.cluster)[0].entries.values()
    assert [unit.half for unit in entry.units] == ["access", "routing"]
    shaped.commit(TIMEOUT)
    assert spec(shaped) == {name: value for name, value in BOTH.items() if name != "access"}
    shaped.commit(ALLOW)
    assert spec(shaped) == {name: value for name, value in BOTH.items() if name != "routing"}


@pytest.mark.parametrize("broken", ["routing", "access"])
def test_it_stays_whole_while_one_half_is_held_and_is_not_made_without_it(
    shaped: TwoMeshes, broken: str
) -> None:
    shaped.commit(TIMEOUT, ALLOW)
    shaped.meshes["one"].broken = frozenset({broken})
    shaped.commit({**TIMEOUT, "metadata": {"name": "new", "namespace": "shop"}}, ALLOW, DENY)
    assert spec(shaped) == BOTH
    shaped.cluster.objects.clear()
    shaped.commit(TIMEOUT, DENY)
    assert spec(shaped) is None


@pytest.mark.parametrize(("whole", "other"), [(False, "another"), (True, "reviews")])
def test_what_two_units_want_otherwise_stays_as_it_is(shaped: TwoMeshes, whole: bool, other: str) -> None:
    shaped.commit(TIMEOUT)
    mesh = shaped.meshes["one"]
    assert isinstance(mesh, Shaping)
    mesh.whole, mesh.same = whole, {"routing": "reviews", "access": other}
    shaped.memo = Memo()
    report = shaped.commit(TIMEOUT, ALLOW)
    assert "GM311" in {one.code for one in report.diagnostics}
    assert spec(shaped) == {"host": "reviews", "routing": BOTH["routing"]}
