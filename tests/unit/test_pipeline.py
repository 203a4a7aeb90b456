"""`pipeline.run` through its own door: stages, sources that disagree or are away, guards, consent, and what
clusters refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.adapters.writing import StepError
from gitmesh.diagnostics import Diagnostic, Location, Severity, finding
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.errors import ClusterError
from gitmesh.model.admission import Effect, Subject
from gitmesh.model.config import PruneConfig
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.links import Ref
from gitmesh.model.manifests import Translation
from gitmesh.model.objects import Body, ObjectKey, decode
from gitmesh.model.plan import SETTLE, Action, Live, Outcome, Plan
from gitmesh.model.report import MeshStatus, Report, Stage, State, Verdict
from gitmesh.model.services import Service
from gitmesh.model.units import RoutingUnit, Unit
from gitmesh.model.workloads import Workload
from gitmesh.pipeline import run
from gitmesh.planning.fights import RETRY
from gitmesh.planning.options import Memo, Options
from gitmesh.planning.ownership import ADOPT
from gitmesh.plugins import load_translators
from gitmesh.status.states import policy_states
from gitmesh.status.tree import status_tree
from tests.factories import service, shop, workload
from tests.fake_mesh import GROUP, FakeMesh, rule
from tests.properties.history import History, document, forgotten, ledger_of, on

Hook = Callable[[str, ObjectKey | None], None]
SERVICES = tuple(f"s{number:02d}" for number in range(14))


def facts(name: str = "east", **more: Any) -> ClusterFacts:
    extra = [thing for one in SERVICES for thing in (service(one), workload(one, mesh="fake"))]
    return with_digest(shop(name, *extra, Mesh(translator="fake", name="fake"), uid=f"uid-{name}", **more))


def slow(name: str, *services: str, timeout: str = "5s", **more: Any) -> dict[str, Any]:
    return document(
        "TrafficPolicy", name, destinations=on(*(services or ("reviews",))), timeout=timeout, **more
    )


class Mapped(FakeMesh):
    """FakeMesh, with the lines behind its fields."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        translation = super().translate(unit, meshes, facts)
        if not isinstance(unit, RoutingUnit):
            return translation
        fields = {
            f"spec.{name}": decided.origin for route in unit.routes for name, decided in route.fields.items()
        }
        return replace(
            translation,
            fragments=tuple(replace(fragment, fields=fields) for fragment in translation.fragments),
        )


@dataclass
class PipelineWorld:
    """Sources, clusters in memory, the memory of one process, and a clock that stands still unless it is
    moved.
    """

    sources: list[History] = field(default_factory=lambda: [History("alpha")])
    hooks: dict[str, Hook] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo)
    mesh: Any = field(default_factory=Mapped)
    now: float = 0.0
    names: Sequence[str] = ("east",)
    enforce: bool = True
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clusters = {
            name: MemoryCluster(name, facts=facts(name), enforce=self.enforce, before=self._before(name))
            for name in self.names
        }

    @property
    def east(self) -> MemoryCluster:
        return self.clusters["east"]

    def _before(self, name: str) -> Hook:
        def before(operation: str, key: ObjectKey | None) -> None:
            self.calls.append((name, operation))
            if name in self.hooks:
                self.hooks[name](operation, key)

        return before

    def commit(self, *documents: Mapping[str, Any], source: int = 0) -> str:
        return self.sources[source].commit(
            yaml.safe_dump_all([dict(d) for d in documents], sort_keys=False), good=True
        )

    def run(self, until: Stage = Stage.APPLY, **options: Any) -> Report:
        self.calls.clear()
        given = Options(instance="shop", clusters={name: {} for name in self.names}, **options)
        fleet = LocalFleet(self.clusters.values())
        return run(
            self.sources,
            fleet,
            {self.mesh.name: self.mesh},
            until=until,
            options=given,
            memo=self.memo,
            clock=lambda: self.now,
        )

    def operations(self, cluster: str = "east") -> list[str]:
        return [operation for name, operation in self.calls if name == cluster]

    def live(self, cluster: str = "east") -> list[str]:
        return [key.name for key in sorted(self.clusters[cluster].objects)]


def codes(report: Report) -> list[str]:
    return [diagnostic.code for diagnostic in report.diagnostics]


def one(report: Report, code: str) -> Diagnostic:
    (found,) = [diagnostic for diagnostic in report.diagnostics if diagnostic.code == code]
    return found


def actions(report: Report, cluster: str = "east") -> dict[str, Action]:
    plan = report.clusters[cluster].plan
    assert plan is not None
    return {change.key.name: change.action for change in plan.changes}


# --- stages


@pytest.mark.parametrize(
    ("until", "asked"),
    [
        (Stage.PARSE, []),
        (Stage.BUILD, ["facts", "prefetch", "observe", "load"]),
        (Stage.PLAN, ["load", "facts", "prefetch", "observe"]),
        (Stage.APPLY, ["load", "facts", "prefetch", "observe", "save", "create", "save"]),
    ],
)
def test_each_stage_asks_the_clusters_for_no_more_than_it_needs(until: Stage, asked: list[str]) -> None:
    world = PipelineWorld()
    world.commit(slow("a"))
    report = world.run(until)
    assert world.operations() == asked
    assert [policy.name for policy in report.policies] == ["a"]
    assert (report.until, bool(world.live())) == (until, until is Stage.APPLY)


def test_publishers_see_the_report_in_turn() -> None:
    class Marks:
        def __init__(self, name: str) -> None:
            self.name = name

        def publish(self, report: Report) -> Report:
            seen.append(self.name)
            return report

    seen: list[str] = []
    world = PipelineWorld()
    world.commit(slow("a"))
    fleet = LocalFleet(world.clusters.values())
    publishers = [Marks("branch"), Marks("metrics")]
    given = Options(instance="shop", clusters={"east": {}})
    run(
        world.sources,
        fleet,
        {"fake": FakeMesh()},
        until=Stage.PLAN,
        options=given,
        memo=Memo(),
        clock=lambda: 0.0,
        publishers=publishers,
        progress=seen.append,
    )
    assert seen[-2:] == ["branch", "metrics"]
    assert seen[0] == "reading the sources"


def test_a_review_of_a_bad_tip_asks_no_cluster_for_a_plan() -> None:
    world = PipelineWorld()
    world.commit(slow("a"))
    world.run()
    world.sources[0].commit("kind: [", good=False)
    report = world.run(Stage.PLAN, review=True)
    assert (codes(report), report.clusters) == (["GM101"], {})
    assert "observe" not in world.operations()


# --- sources


def two_sources() -> PipelineWorld:
    return PipelineWorld(sources=[History("alpha"), History("beta")])


def test_a_bad_source_leaves_the_other_at_work() -> None:
    world = two_sources()
    world.commit(slow("a"))
    world.commit(slow("b", "ratings"), source=1)
    world.run()
    world.sources[0].commit("kind: [", good=False)
    world.commit(slow("b", "ratings", timeout="6s"), source=1)
    report = world.run()
    assert actions(report) == {"ratings": Action.UPDATE, "reviews": Action.KEEP}
    assert world.live() == ["ratings", "reviews"]
    assert report.sources["alpha"].refused


def test_what_a_source_without_a_revision_may_have_said_stays() -> None:
    world = two_sources()
    world.commit(slow("a"), slow("c", "s01"))
    world.commit(slow("b", "ratings"), source=1)
    world.run()
    world.memo = Memo()
    forgotten(world.east)
    world.sources[0].recorded = ""
    world.sources[0].down = True
    world.commit(slow("b", "s02"), source=1)
    world.run()
    world.run()
    assert world.live() == ["reviews", "s01", "s02"], "what the other source withdrew goes its way"
    world.sources[0].down = False
    world.run()
    world.run()
    assert world.live() == ["reviews", "s01", "s02"]


def test_without_anything_in_force_a_cluster_is_not_touched() -> None:
    world = PipelineWorld()
    world.sources[0].commit("kind: [", good=False)
    report = world.run()
    assert world.operations() == ["load"]
    assert report.clusters["east"].state is State.PENDING
    assert report.clusters["east"].plan is None


def test_a_lost_last_good_revision_holds_the_clusters() -> None:
    world = PipelineWorld()
    world.commit(slow("a"))
    world.run()
    world.sources[0].down = world.sources[0].store_lost = True
    report = world.run()
    assert report.clusters["east"].state is State.HELD
    assert "observe" not in world.operations()


# --- clusters


def away(_operation: str, _key: ObjectKey | None) -> None:
    raise ClusterError("no route to host", detail="port 4711")


def test_an_unreachable_cluster_keeps_its_last_known_facts_and_the_others_go_on() -> None:
    world = PipelineWorld(names=("east", "west"))
    world.commit(slow("a"))
    world.run()
    world.hooks["west"] = away
    world.commit(slow("a", timeout="6s"))
    report = world.run()
    assert report.unreachable == ("west",)
    assert report.clusters["west"].facts is world.memo.facts["west"]
    assert (one(report, "GM501").cluster, one(report, "GM501").detail) == ("west", "port 4711")
    assert actions(report) == {"reviews": Action.UPDATE}


def test_after_a_restart_the_ledgers_tell_the_meshes_of_a_cluster_that_is_away() -> None:
    world = PipelineWorld(names=("east", "west"), mesh=load_translators()["istio"])
    for name, cluster in world.clusters.items():
        callers = workload("web", mesh="istio", service_account="web")
        things: list[Service | Workload] = [service("reviews"), workload("reviews", mesh="istio"), callers]
        mesh = Mesh(
            translator="istio", name="istio", trust_domain=f"{name}.example", root_namespace="istio-system"
        )
        cluster.current_facts = with_digest(shop(name, *things, mesh, uid=f"uid-{name}"))
    spec = {"sources": [{"namespaces": ["shop"]}], "destinations": on("reviews")}
    world.commit(document("AccessPolicy", "who", **spec))
    world.run()
    before = dict(world.east.objects)
    world.hooks["west"] = away
    world.memo = Memo()
    world.commit(document("AccessPolicy", "who", **spec), slow("a"))
    report = world.run()
    assert report.unreachable == ("west",)
    assert "GM216" not in codes(report)
    allow = next(key for key in before if key.name == "reviews-allow")
    assert world.east.objects[allow] == before[allow]
    assert "VirtualService" in {key.kind for key in world.east.objects}
    assert world.run().clusters["east"].outcomes == ()


def test_a_cluster_that_goes_away_in_the_middle_is_reported_once() -> None:
    world = PipelineWorld()
    world.commit(slow("a"))

    def later(operation: str, _key: ObjectKey | None) -> None:
        if operation == "observe":
            raise ClusterError("reset by peer", code="GM502")

    world.hooks["east"] = later
    report = world.run()
    assert codes(report) == ["GM502"]
    assert report.clusters["east"].state is State.UNREACHABLE


@pytest.mark.parametrize("operation", ["load", "facts"])
def test_a_cluster_that_says_itself_that_it_is_another_one_is_held_and_did_answer(operation: str) -> None:
    world = PipelineWorld(names=("east", "west"))
    world.commit(slow("a"))
    world.run()

    def another(asked: str, _key: ObjectKey | None) -> None:
        if asked == operation:
            raise ClusterError("belongs to instance mart", code="GM506", hint="put it back")

    world.hooks["east"] = another
    report = world.run()
    assert (one(report, "GM506").hint, report.clusters["east"].state) == ("put it back", State.HELD)
    assert report.clusters["west"].state is State.SYNCED
    assert report.unreachable == ()
    assert not {"create", "update", "delete", "save"} & set(world.operations())
    assert policy_states(report) == {"TrafficPolicy/shop/a": State.HELD}


class Traced(Mapped):
    """Mapped, with the lines of what its objects say at the same paths."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        translation = super().translate(unit, meshes, facts)
        renamed = {"spec.timeout": "spec.timeouts", "spec.retries.attempts": "spec.attempts"}
        return replace(
            translation,
            fragments=tuple(
                replace(f, fields={renamed.get(k, k): v for k, v in f.fields.items()})
                for f in translation.fragments
            ),
        )


def test_a_refused_write_is_told_at_the_line_of_the_field_that_changed() -> None:
    world = PipelineWorld(mesh=Traced())
    world.commit(slow("a", retries={"attempts": 2}, timeout="3s"))
    world.run()

    def refuse(operation: str, _: ObjectKey | None) -> None:
        if operation == "update":
            raise StepError("no")

    world.hooks["east"] = refuse
    world.commit(slow("a", retries={"attempts": 2}, timeout="7s"))
    found = one(world.run(), "GM505")
    assert found.at is not None
    assert found.excerpt.strip() == "timeout: 7s"


def test_K11_a_repointed_cluster_is_not_touched() -> None:
    world = PipelineWorld()
    world.commit(slow("a"))
    world.run()
    world.east.current_facts = with_digest(shop("east", uid="another"))
    world.commit(slow("b", "ratings"))
    report = world.run()
    assert one(report, "GM506").severity is Severity.ERROR
    assert (report.clusters["east"].state, report.unreachable) == (State.HELD, ())
    assert "observe" not in world.operations()
    assert world.live() == ["reviews"]


def test_K11_when_everything_of_ours_is_gone_only_a_second_reading_is_believed() -> None:
    world = PipelineWorld()
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    kept = dict(world.east.objects)
    answers: Iterator[dict[ObjectKey, Live]] = iter([{}])

    def once_empty(operation: str, _key: ObjectKey | None) -> None:
        if operation == "observe":
            world.east.objects = next(answers, kept)

    world.hooks["east"] = once_empty
    report = world.run()
    assert (world.operations().count("observe"), actions(report)) == (
        2,
        {"ratings": Action.KEEP, "reviews": Action.KEEP},
    )
    assert "GM409" not in codes(report)
    world.hooks.clear()
    world.east.objects = {}
    report = world.run()
    assert one(report, "GM409").severity is Severity.WARNING
    assert world.live() == ["ratings", "reviews"]


def test_only_the_named_clusters_are_planned_but_the_facts_of_all_are_read() -> None:
    world = PipelineWorld(names=("east", "west"))
    world.commit(slow("a"))
    report = world.run(only=frozenset({"west"}))
    assert (world.live("east"), world.live("west")) == ([], ["reviews"])
    assert "facts" in world.operations("east")
    assert report.clusters["east"].plan is None


def test_an_observed_cluster_is_never_written_not_even_its_ledger() -> None:
    world = PipelineWorld(enforce=False)
    world.commit(slow("a"))
    report = world.run()
    assert world.operations() == ["load", "facts", "prefetch", "observe"]
    assert "1 writes were left out" in one(report, "GM509").message
    assert report.clusters["east"].state is State.PENDING
    assert report.clusters["east"].observe_only


# --- policies that come to nothing


class LosingMesh(FakeMesh):
    """Translates every unit to nothing, and says nothing of it."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        return Translation()


def test_a_policy_that_a_translator_loses_is_reported_at_its_line() -> None:
    world = PipelineWorld(mesh=LosingMesh())
    world.commit(slow("a"))
    lost = one(world.run(Stage.BUILD), "GM309")
    assert (lost.policy, lost.at and lost.at.line) == ("TrafficPolicy/shop/a", 1)


def test_a_policy_on_a_cluster_without_a_mesh_is_not_lost() -> None:
    world = PipelineWorld()
    world.clusters["east"] = MemoryCluster("east", facts=with_digest(replace(facts(), meshes=())))
    world.commit(slow("a"))
    assert codes(world.run(Stage.BUILD)) == ["GM507"]


def test_a_policy_that_is_lost_in_one_cluster_is_reported_though_another_one_has_no_mesh() -> None:
    world = PipelineWorld(mesh=LosingMesh(), names=("east", "west"))
    world.clusters["west"] = MemoryCluster("west", facts=with_digest(replace(facts("west"), meshes=())))
    world.commit(slow("a"))
    assert sorted(codes(world.run(Stage.BUILD))) == ["GM309", "GM507"]


def test_a_policy_that_waits_for_the_conflict_of_two_others_is_not_lost() -> None:
    world = PipelineWorld()
    world.commit(
        slow("a"),
        slow("b", timeout="9s"),
        slow("c", matches=[{"path": {"exact": "/c"}}], timeout="3s", priority=1),
    )
    report = world.run(Stage.BUILD)
    codes = {diagnostic.code for diagnostic in report.diagnostics}
    assert "GM210" in codes
    assert "GM309" not in codes


def test_a_policy_waits_where_a_translator_says_why_it_holds_the_unit_and_is_lost_where_it_does_not() -> None:
    class Refusing(FakeMesh):
        def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
            said = finding("GM504", "no Rule here", policy=unit.policies[0])
            return Translation(held=True, diagnostics=(said,) if unit.key.name == "reviews" else ())

    world = PipelineWorld(mesh=Refusing())
    world.commit(slow("a"), slow("b", matches=[{"path": {"exact": "/b"}}]), slow("c", "ratings"))
    report = world.run(Stage.BUILD)
    assert sorted(codes(report)) == ["GM309", "GM314", "GM504"]
    assert one(report, "GM309").policy == "TrafficPolicy/shop/c"
    assert one(report, "GM314").policy == "TrafficPolicy/shop/b", (
        "what waits for another policy's fault is told"
    )


def test_an_object_that_two_units_want_differently_stays_as_it_is() -> None:
    class Clashing(FakeMesh):
        def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
            made = super().translate(unit, meshes, facts)
            return replace(
                made,
                fragments=tuple(replace(one, key=one.key._replace(name="shared")) for one in made.fragments),
            )

    world = PipelineWorld(mesh=Clashing())
    world.commit(slow("a", "reviews"))
    world.run()
    before = dict(world.east.objects)
    world.commit(slow("a", "reviews"), slow("b", "ratings", timeout="9s"))
    assert one(world.run(), "GM311")
    assert dict(world.east.objects) == before


# --- deletions


def all_but(*kept: str) -> list[dict[str, Any]]:
    return [slow(name, name) for name in SERVICES if name in kept]


def test_G24_many_deletions_wait_until_the_revision_is_approved_by_at_least_seven_digits() -> None:
    world = PipelineWorld()
    world.commit(*all_but(*SERVICES))
    world.run()
    sha = world.commit(*all_but("s00"))
    held = world.run()
    assert one(held, "GM402").cluster == "east"
    assert held.clusters["east"].state is State.HELD
    assert len(world.live()) == len(SERVICES)
    other = "f" * 40
    for consent in (
        {"approve": frozenset({sha[:6]})},
        {"approve": frozenset({other})},
        {"prune": PruneConfig(approved=(other,))},
    ):
        assert "GM402" in codes(world.run(**consent))
    assert "GM402" not in codes(world.run(approve=frozenset({sha[:7]})))
    assert world.live() == ["s00"]


def test_approval_in_the_configuration_counts_as_well() -> None:
    world = PipelineWorld()
    world.commit(*all_but(*SERVICES))
    world.run()
    sha = world.commit(*all_but("s00"))
    world.run(prune=PruneConfig(approved=(sha,)))
    assert world.live() == ["s00"]


def test_ten_deletions_need_no_consent() -> None:
    world = PipelineWorld()
    world.commit(*all_but(*SERVICES))
    world.run()
    world.commit(*all_but(*SERVICES[:4]))
    assert "GM402" not in codes(world.run())
    assert world.live() == list(SERVICES[:4])


def test_X11_a_lost_ledger_is_made_again_from_the_marks_and_deletions_wait_a_cycle() -> None:
    world = PipelineWorld()
    world.commit(slow("a"), slow("b", "ratings"), slow("c", "s00"))
    world.run()
    forgotten(world.east)
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    assert world.live() == ["ratings", "reviews", "s00"]
    assert rule("s00") in ledger_of(world.east)[0].entries
    world.run()
    assert world.live() == ["ratings", "reviews"]
    assert sorted(key.name for key in ledger_of(world.east)[0].entries) == ["ratings", "reviews"]


def test_an_intent_that_came_to_nothing_is_forgotten_with_its_policy() -> None:
    world = PipelineWorld()
    world.commit(slow("a"), slow("b", "ratings"))

    def race(operation: str, key: ObjectKey | None) -> None:
        if operation == "create" and key == rule("ratings"):
            world.east.put(foreign("ratings"))

    world.hooks["east"] = race
    world.run()
    world.hooks.clear()
    world.commit(slow("a"))
    world.run()
    assert world.live() == ["ratings", "reviews"]
    assert list(ledger_of(world.east)[0].entries) == [rule("reviews")]


# --- objects of others


def foreign(name: str = "reviews", **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "annotations": annotations}
    return {"apiVersion": f"{GROUP}/v1", "kind": "Rule", "metadata": metadata, "spec": {"by": "hand"}}


def test_an_adoption_policy_takes_over_the_object_that_it_names() -> None:
    world = PipelineWorld()
    world.east.put(foreign())
    world.commit(slow("a"))
    conflict = one(world.run(), "GM401")
    assert (conflict.policy, conflict.at and conflict.at.path) == ("TrafficPolicy/shop/a", "p.yaml")
    world.commit(slow("a"), document("Adoption", "take", objects=[rule("reviews").id("east")]))
    assert actions(world.run()) == {"reviews": Action.ADOPT}
    assert actions(world.run()) == {"reviews": Action.KEEP}


def test_its_owner_may_consent_by_an_annotation() -> None:
    world = PipelineWorld()
    world.east.put(foreign(**{ADOPT: "another"}))
    world.commit(slow("a"))
    assert actions(world.run()) == {"reviews": Action.CONFLICT}
    world.east.put(foreign(**{ADOPT: "shop"}))
    assert actions(world.run()) == {"reviews": Action.ADOPT}


def test_K21_an_object_that_is_changed_back_again_and_again_is_left_alone_for_a_while() -> None:
    world = PipelineWorld()
    world.commit(slow("a"))
    world.run()
    ours = decode(world.east.objects[rule("reviews")].body)

    def spoilt() -> Report:
        world.now += 1
        world.east.put({**ours, "spec": {"spoilt": world.now}})
        return world.run()

    reports = [spoilt() for _ in range(7)]
    assert [codes(report) for report in reports] == [[]] * 5 + [["GM404"]] * 2
    fight = reports[-1]
    assert actions(fight) == {"reviews": Action.HELD}
    assert fight.clusters["east"].state is State.HELD
    assert one(fight, "GM404").at == Location(source="alpha", path="p.yaml", line=9, column=12)
    later = [spoilt() for _ in range(RETRY)]
    assert [actions(report)["reviews"] for report in later].count(Action.UPDATE) == 1, (
        "one attempt now and then"
    )
    world.east.put(ours)
    assert (codes(world.run()), codes(spoilt())) == ([], []), (
        "a cycle in which it needs nothing ends the count"
    )


@pytest.mark.parametrize(("decides", "severity"), [("routing", Severity.WARNING), ("access", Severity.ERROR)])
def test_K21_a_fight_over_who_may_call_is_an_error(decides: Subject, severity: Severity) -> None:
    world = PipelineWorld(mesh=Mapped(decides=decides))
    world.commit(slow("a"))
    world.run()
    ours = decode(world.east.objects[rule("reviews")].body)
    for turn in range(6):
        world.east.put({**ours, "spec": {"spoilt": turn}})
        world.run()
    world.east.put({**ours, "spec": {"spoilt": "again"}})
    assert one(world.run(), "GM404").severity is severity


# --- what clusters answer


def test_K14_a_refused_write_is_a_finding_at_the_policys_line() -> None:
    world = PipelineWorld()
    world.commit(slow("a"), slow("b", "ratings"))

    def deny(operation: str, key: ObjectKey | None) -> None:
        if key == rule("reviews"):
            raise StepError("denied by a webhook")

    world.hooks["east"] = deny
    report = world.run()
    failed = one(report, "GM505")
    assert (failed.policy, failed.cluster) == ("TrafficPolicy/shop/a", "east")
    assert failed.at is not None
    assert failed.at.path == "p.yaml"
    assert "denied by a webhook" in failed.message
    assert report.clusters["east"].state is State.FAILED
    assert world.live() == ["ratings"]
    world.hooks.clear()
    assert world.run().clusters["east"].state is State.SYNCED


def test_a_warning_of_the_cluster_is_shown() -> None:
    class Warns(MemoryCluster):
        def apply(self, plan: Plan) -> tuple[Outcome, ...]:
            return tuple(
                Outcome(key=o.key, action=o.action, ok=o.ok, uid=o.uid, warnings=("deprecated field",))
                for o in super().apply(plan)
            )

    world = PipelineWorld()
    world.clusters["east"] = Warns("east", facts=facts())
    world.commit(slow("a"))
    warning = one(world.run(), "GM510")
    assert (warning.policy, warning.severity) == ("TrafficPolicy/shop/a", Severity.WARNING)
    assert warning.detail == "deprecated field"


def test_what_the_mesh_says_with_other_words_each_time_is_one_state_of_the_status_branch() -> None:
    class Talks(Mapped):
        """Finds fault with everything, and counts how often."""

        def verdict(self, live: Live, meshes: Sequence[Mesh]) -> MeshStatus:
            told.append(f"analysis {len(told)} from port {40_000 + len(told)}")
            return MeshStatus(verdict=Verdict.WARNED, reason="IST0101", text=told[-1])

    told: list[str] = []
    world = PipelineWorld(mesh=Talks())
    world.commit(slow("a"))
    world.run()

    def tick() -> tuple[str, Mapping[str, bytes]]:
        world.memo = Memo()
        report = world.run()
        return one(report, "GM512").detail, status_tree(report)

    (first, tree), (second, again) = tick(), tick()
    assert first != second
    assert tree == again
    assert b"IST0101" in tree["findings.yaml"]
    assert not any(word in content for content in tree.values() for word in (b"analysis", b"4000"))


class Patient(Mapped):
    """A mesh of which a timeout grows by no more than a second for whoever may work by another."""

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        return Effect.WIDENS if before != after else Effect.NEITHER

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        old, new = (_seconds(body) for body in (before, after))
        step = {"timeouts": [(new - 1) * 1000]}
        return {**after["spec"], **step} if before and after and new - old > 1 else None


def _seconds(body: Body | None) -> int:
    return int(body["spec"]["timeouts"][0]) // 1000 if body else 0


def test_what_an_object_said_a_moment_ago_counts_as_live_until_proxies_have_had_the_time() -> None:
    """Also where nothing moves meanwhile, neither policies nor the cluster: then the plan is made again all
    the same.
    """
    world = PipelineWorld(mesh=Patient(decides="trust"))

    def said(now: float, timeout: str = "") -> tuple[Any, State]:
        world.now = now
        if timeout:
            world.commit(slow("a", timeout=timeout))
        state = world.run().clusters["east"].state
        return decode(next(iter(world.east.objects.values())).body)["spec"]["timeouts"], state

    (first, _), (second, state) = said(0.0, "1s"), said(1.0, "2s")
    assert (first != second, state) == (True, State.SYNCED)
    assert said(2.0, "3s") == (second, State.PENDING)
    assert said(3.0) == (second, State.PENDING)
    third, state = said(1.0 + SETTLE)
    assert (third not in (first, second), state) == (True, State.SYNCED)
    world.east.settle = 3 * SETTLE
    assert said(1.0 + 3 * SETTLE, "4s") == (third, State.PENDING)
    assert said(1.0 + 4 * SETTLE)[1] is State.SYNCED


def test_an_object_that_was_made_or_deleted_a_moment_ago_is_also_known_as_not_there() -> None:
    seen: list[list[bool]] = []

    class Watching(FakeMesh):
        def between(
            self, before: Body | None, after: Body | None, kept: frozenset[Ref]
        ) -> Mapping[str, Any] | None:
            seen[-1].append(before is not None)
            return None

    world = PipelineWorld(mesh=Watching(decides="trust"))
    for names in (("a", "b"), ("b",), ("a", "b")):
        seen.append([])
        world.commit(*(slow(name, {"a": "reviews", "b": "ratings"}[name]) for name in names))
        world.run()
    assert seen == [[False, False], [True], [False, True, False]]
