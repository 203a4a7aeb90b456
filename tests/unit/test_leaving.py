"""Objects and namespaces that are being deleted and not gone yet: told in each cycle, pending, never
written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from gitmesh.diagnostics import Severity
from gitmesh.model.admission import GUARDING, Subject
from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import decode
from gitmesh.model.plan import Action, Change, Live, Observed, Outcome, Plan
from gitmesh.model.report import ClusterResult, Report, Stage, State
from gitmesh.model.units import half_key
from gitmesh.planning.guard import vanished
from gitmesh.planning.ledgers import record
from gitmesh.render.changes import object_changes, tally
from gitmesh.render.summary import summarise
from gitmesh.status.states import policy_states
from tests.closing_mesh import CLOSED, OPEN, ClosingMesh
from tests.fake_mesh import FakeMesh, rule
from tests.folders import AUTHORIZATION, Folders, allow, deny
from tests.unit.plans import CLUSTER, INSTANCE, actions, is_live, plan, said, want
from tests.unit.test_pipeline import PipelineWorld, codes, one, slow

UNIT = half_key("routing", "east", ("shop", "a"))


def leaving(name: str, *finalizers: str, **more: Any) -> Live:
    """An object of ours whose deletion was asked for."""
    return replace(is_live(name, **more), deleting=True, finalizers=finalizers or ("example.com/backup",))


def rows(result: Plan) -> list[tuple[str, Action, bool]]:
    return [(change.key.name, change.action, change.staged) for change in result.changes]


def kept(result: Plan, wanted: Iterable[Manifest], live: Iterable[Live], *names: str) -> list[str]:
    """Names in the ledger after a cycle that wrote nothing."""
    ledger = Ledger(instance=INSTANCE, entries={rule(name): Entry(uid="u1") for name in names})
    built = Build(cluster=CLUSTER, manifests={m.key: m for m in wanted})
    observed = Observed(cluster=CLUSTER, live={one.key: one for one in live})
    return [key.name for key in record(ledger, result, (), observed, built, {}, {}, "").entries]


@pytest.mark.parametrize("decides", ["routing", "access", "trust"])
def test_an_unwanted_object_is_told_until_it_is_gone_and_stays_in_the_ledger(decides: Subject) -> None:
    live = [is_live("a"), leaving("b", "z.com/1", "a.com/2")]
    result = plan([want("a")], live, ["a", "b"], mesh=FakeMesh(decides=decides))
    assert rows(result) == [("a", Action.KEEP, False), ("b", Action.KEEP, True)]
    assert said(result) == [("GM505", Severity.ERROR if decides in GUARDING else Severity.WARNING)]
    assert "waits for a.com/2, z.com/1" in result.diagnostics[0].message
    assert kept(result, [want("a")], live, "a", "b") == ["a", "b"]
    assert said(plan([want("a")], live[:1], ["a", "b"])) == []


@pytest.mark.parametrize("spec", [{"x": 1}, {"x": 2}])
def test_a_wanted_object_is_left_until_it_is_gone_and_made_again_then(spec: dict[str, int]) -> None:
    wanted, live = [want("a", x=1)], [leaving("a", **spec)]
    result = plan(wanted, live, ["a"])
    assert (rows(result), said(result)) == ([("a", Action.KEEP, True)], [("GM514", Severity.WARNING)])
    assert kept(result, wanted, live, "a") == ["a"]
    assert actions(plan(wanted, [], ["a"])) == {"a": Action.CREATE}


def test_a_foreign_object_that_leaves_is_in_the_way_as_ever_and_none_is_adopted_on_its_way_out() -> None:
    assert actions(plan([want("a")], [leaving("a", marked=False)])) == {"a": Action.CONFLICT}
    assert rows(plan([want("a")], [leaving("a", marked=False, extra={"gitmesh.io/adopt": INSTANCE})])) == [
        ("a", Action.KEEP, True)
    ]


def test_a_held_object_that_leaves_is_told_too() -> None:
    result = plan([want("a")], [leaving("a"), leaving("b")], ["a", "b"], held=["a", "b"])
    assert actions(result) == {"a": Action.HELD, "b": Action.HELD}
    assert said(result) == [("GM514", Severity.WARNING)] * 2


def test_a_lost_ledger_and_incomplete_facts_hide_nothing_that_leaves() -> None:
    for result in (
        plan([], [leaving("b")], ["b"], corrupt=True),
        plan([], [leaving("b")], ["b"], complete=False),
    ):
        assert ("GM505", Severity.WARNING) in said(result)


@pytest.mark.parametrize(
    ("decides", "spec", "severity"),
    [("access", 0, "error"), ("access", 1, "warning"), ("routing", 0, "warning")],
)
def test_what_decides_otherwise_until_it_is_gone_is_an_error(
    decides: Subject, spec: int, severity: str
) -> None:
    wanted = replace(want("deny", x=1), decides=decides)
    result = plan([wanted], [leaving("deny", x=spec)], ["deny"])
    assert [(said.code, said.severity) for said in result.diagnostics] == [("GM514", severity)]
    assert not result.writes


def test_what_comes_after_it_in_its_unit_waits_and_the_rest_does_not() -> None:
    deny, allow, server = (
        replace(want(name, **spec), decides="access", units=(UNIT,))
        for name, spec in (
            ("deny", {"refuses": ["x"]}),
            ("allow", {"grants": ["y"]}),
            ("server", {"server": CLOSED}),
        )
    )
    lives = [leaving("deny", refuses=["z"])]
    result = plan([deny, allow, want("other")], lives, ["deny"], mesh=ClosingMesh())
    assert sorted(rows(result)) == [
        ("allow", Action.KEEP, True),
        ("deny", Action.KEEP, True),
        ("other", Action.CREATE, False),
    ]
    lives = [leaving("server", server=OPEN)]
    earlier = plan([server, allow], lives, ["server"], mesh=ClosingMesh())
    assert [change.key.name for change in earlier.writes] == ["allow"], "what comes before it needs it not"


def test_what_leaves_does_not_count_for_the_guard_on_deletions() -> None:
    assert plan([], [is_live("a"), is_live("b"), leaving("c")], ["a", "b", "c"]).writes == ()


def test_a_namespace_that_leaves_is_one_finding_and_nothing_is_written_there() -> None:
    wanted = [want("a", x=1), want("b", x=1), want("c", x=1)]
    result = plan(wanted, [is_live("a", x=1), is_live("b", x=2)], ["a", "b", "c"], leaving=["shop"])
    assert (result.writes, [change.drift for change in result.changes]) == ((), [False] * 3)
    assert all(change.staged for change in result.changes)
    assert said(result) == [("GM514", Severity.WARNING)]
    assert said(plan(wanted, [], leaving=["elsewhere"])) == []


def test_objects_that_go_with_their_namespace_are_no_suspicious_emptiness() -> None:
    ledger = Ledger(instance=INSTANCE, entries={rule("a"): Entry(uid="1"), rule("b"): Entry(uid="2")})
    assert not vanished(Observed(cluster=CLUSTER, live={}, leaving=frozenset({"shop"})), ledger)
    assert vanished(Observed(cluster=CLUSTER, live={}, leaving=frozenset({"other"})), ledger)


def test_a_deletion_that_the_cluster_took_and_has_not_finished_is_neither_done_nor_failed() -> None:
    key = rule("b")
    doomed = Change(action=Action.DELETE, key=key, decides="routing", policies=("TrafficPolicy/shop/p",))
    taken = Outcome(
        key=key,
        action=Action.DELETE,
        ok=False,
        pending=True,
        message="is being deleted and waits for a.com/b",
        code="GM505",
    )
    result = ClusterResult(
        name="east", state=State.PENDING, plan=Plan(cluster="east", changes=(doomed,)), outcomes=(taken,)
    )
    (row,) = object_changes(result)
    assert (row.done, row.failure, row.notes) == (False, "", (taken.message,))
    assert tally(result, done=True)[Action.DELETE] == 0
    report = Report(instance="shop", until=Stage.APPLY, clusters={"east": result})
    assert summarise(report).failed == 0
    failed = replace(result, outcomes=(replace(taken, pending=False),))
    assert summarise(replace(report, clusters={"east": failed})).failed == 1


def ask_to_delete(world: PipelineWorld, name: str) -> None:
    """Somebody deletes an object that has a finalizer."""
    body = decode(world.east.objects[rule(name)].body)
    metadata = {
        **body["metadata"],
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["example.com/backup"],
    }
    world.east.put({**body, "metadata": metadata})


def test_policy_and_cluster_are_pending_while_a_wanted_object_leaves() -> None:
    world = PipelineWorld()
    world.commit(slow("a"))
    world.run()
    ask_to_delete(world, "reviews")
    for _ in range(3):
        report = world.run()
        assert (codes(report), report.clusters["east"].state) == (["GM514"], State.PENDING)
        assert policy_states(report) == {"TrafficPolicy/shop/a": State.PENDING}
        assert not {"create", "update", "delete", "save"} & set(world.operations())
    del world.east.objects[rule("reviews")]
    assert world.run().clusters["east"].state is State.SYNCED
    assert world.live() == ["reviews"]


def test_an_unwanted_object_that_leaves_keeps_its_cluster_pending() -> None:
    world = PipelineWorld()
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    world.commit(slow("a"))
    ask_to_delete(world, "ratings")
    world.run()
    for _ in range(3):
        report = world.run()
        assert (one(report, "GM505").severity, report.clusters["east"].state) == (
            Severity.WARNING,
            State.PENDING,
        )
        assert not {"delete", "save"} & set(world.operations())
    del world.east.objects[rule("ratings")]
    report = world.run()
    assert (codes(report), report.clusters["east"].state) == ([], State.SYNCED)


def terminating(world: Folders, path: str, **spec: Any) -> Path:
    """Somebody asks for the deletion of an object that another controller's finalizer keeps."""
    file = world.root / "east" / path
    body = yaml.safe_load(file.read_text(encoding="utf-8"))
    body["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/backup"]}
    body["spec"] |= spec
    file.write_text(yaml.safe_dump(body), encoding="utf-8")
    return file


@pytest.mark.parametrize("spec", [{}, {"rules": [{}]}])
def test_a_wanted_object_that_goes_leaves_policy_and_cluster_pending(
    tmp_path: Path, spec: dict[str, Any]
) -> None:
    world = Folders(tmp_path)
    world.commit(allow("api", "api", "web"))
    world.settle()
    file = terminating(world, f"shop/{AUTHORIZATION}/api-allow.yaml", **spec)
    report = world.run()
    [told] = report.diagnostics
    assert (told.code, told.is_error) == ("GM514", bool(spec))
    assert {name: one.state for name, one in report.clusters.items()} == {
        "east": State.PENDING,
        "west": State.SYNCED,
    }
    assert policy_states(report)["AccessPolicy/shop/api"] is State.PENDING
    file.unlink()
    assert world.run().clusters["east"].state is State.SYNCED


def test_a_deny_that_nobody_wants_and_that_stays_is_an_error_and_pending(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.commit(deny("no-web", "api", "web"), allow("db", "db", "api"))
    world.settle()
    file = terminating(world, f"shop/{AUTHORIZATION}/api-deny.yaml")
    world.commit(allow("db", "db", "api"))
    for _ in range(2):
        report = world.run()
        assert [(one.code, one.severity) for one in report.diagnostics] == [("GM505", "error")]
        assert report.clusters["east"].state is State.PENDING
    file.unlink()
    assert world.run().clusters["east"].state is State.SYNCED
