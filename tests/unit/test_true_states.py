"""Every state that a person reads is so (design law 1)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gitmesh.model.report import Report, Stage, State
from gitmesh.status.message import heals, message
from gitmesh.status.states import policy_states
from gitmesh.status.tree import status_tree
from tests.folders import Folders, allow, authorization, deny, said, virtual_mesh
from tests.properties.history import document

NO_WEB = deny("no-web", "db", "web")
DENY = "shop/authorizationpolicy.security.istio.io/db-deny.yaml"


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def state(report: Report, policy: str) -> State:
    return policy_states(report)[policy]


def test_an_allow_that_waits_for_another_policys_fault_is_held_and_says_so(world: Folders) -> None:
    world.commit(allow("stranger", "db", "nobody-of-that-name"), allow("api", "db", "api"))
    report = world.settle()
    assert world.live("east") == {}
    assert state(report, "AccessPolicy/shop/api") is State.HELD
    assert {one.policy for one in said(report, "GM314")} == {"AccessPolicy/shop/api"}
    assert all(one.at and one.at.line > 1 for one in said(report, "GM314"))
    shown = yaml.safe_load(status_tree(report)["policies/AccessPolicy/shop/api.yaml"])
    assert shown["state"] == "Held"
    assert {cluster["state"] for cluster in shown["clusters"].values()} == {"Held"}


def test_a_deny_beside_another_policys_fault_is_written_and_synced(world: Folders) -> None:
    world.commit(allow("stranger", "db", "nobody-of-that-name"), NO_WEB)
    report = world.settle()
    assert DENY in world.live("east")
    assert state(report, "AccessPolicy/shop/no-web") is State.SYNCED
    assert said(report, "GM314") == []
    assert state(report, "AccessPolicy/shop/stranger") is not State.SYNCED


def test_a_deny_beside_an_error_in_routing_is_written_and_synced(world: Folders) -> None:
    wrong = document(
        "TrafficPolicy",
        "wrong",
        destinations=[{"name": "db"}],
        split=[{"weight": 1, "destination": {"name": "nowhere"}}],
    )
    world.commit(wrong, NO_WEB)
    report = world.settle()
    assert DENY in world.live("east")
    assert state(report, "AccessPolicy/shop/no-web") is State.SYNCED
    assert state(report, "TrafficPolicy/shop/wrong") is not State.SYNCED


@pytest.mark.parametrize(
    "field",
    [{"sources": [{"serviceAccounts": ["web"]}]}, {"destinations": [{"name": "db"}, {"name": "nowhere"}]}],
)
def test_no_error_in_a_routing_policy_keeps_a_deny_from_being_written(
    world: Folders, field: dict[str, object]
) -> None:
    given = {"destinations": [{"name": "db"}], "timeout": "5s", **field}
    world.commit(document("TrafficPolicy", "wrong", **given), NO_WEB, allow("db", "db", "api"))
    world.settle()
    assert {DENY, DENY.replace("deny", "allow")} <= world.live("east").keys()


def test_held_access_keeps_no_route_from_being_written(world: Folders) -> None:
    world.commit(
        document("TrafficPolicy", "slow", destinations=[{"name": "db"}], timeout="5s"),
        allow("stranger", "db", "nobody"),
    )
    world.settle()
    assert "shop/virtualservice.networking.istio.io/db.yaml" in world.live("east")


def test_who_waits_for_an_object_that_another_policy_keeps_says_so(world: Folders) -> None:
    """`slow` names what is not there, so the route that it was for stays, and `quick`, which wants to change
    that route, waits with it."""
    slow = {"timeout": "5s", "priority": 1}
    world.commit(NO_WEB, document("TrafficPolicy", "slow", destinations=[{"name": "db"}], **slow))
    world.settle()
    quick = document("TrafficPolicy", "quick", destinations=[{"name": "db"}], timeout="1s")
    world.commit(NO_WEB, document("TrafficPolicy", "slow", destinations=[{"name": "bd"}], **slow), quick)
    report = world.settle()
    assert "5s" in world.live("east")["shop/virtualservice.networking.istio.io/db.yaml"]
    assert state(report, "TrafficPolicy/shop/quick") is State.HELD
    assert {one.policy for one in said(report, "GM314")} == {"TrafficPolicy/shop/quick"}
    assert all(one.at and one.at.line > 1 for one in said(report, "GM314"))


def test_what_selects_nothing_anywhere_is_not_synced(world: Folders) -> None:
    nothing = document("TrafficPolicy", "nothing", destinations=[{"labels": {"app": "ghost"}}], timeout="5s")
    world.commit(nothing, NO_WEB)
    report = world.settle()
    assert state(report, "TrafficPolicy/shop/nothing") is State.PENDING
    assert state(report, "AccessPolicy/shop/no-web") is State.SYNCED


def test_a_refused_commit_is_what_the_message_is_about(world: Folders) -> None:
    world.commit(NO_WEB)
    report = world.settle()
    good = world.sources[0].tip
    assert message(report).startswith(f"gitmesh shop: {good[:12]} 2/2 clusters synced, 0 findings")
    bad = world.sources[0].commit("kind: [", good=False)
    assert message(world.run()).startswith(
        f"gitmesh shop: refused {bad[:12]}; 2/2 at {good[:12]}, 2 findings"
    )


def test_a_finding_shows_the_line_of_the_revision_that_it_is_about(world: Folders) -> None:
    """The tip is refused; on the same line of the same file the revision in force says something else."""
    slow = {"destinations": [{"name": "db"}, {"labels": {"app": "ghost"}}]}
    world.commit(document("TrafficPolicy", "slow", **slow, timeout="5s"))
    world.settle()
    world.sources[0].commit("kind: [", good=False)
    report = world.run()
    (told,) = said(report, "GM209")
    assert told.excerpt.strip() == "- labels:"
    (wrong,) = said(report, "GM101")
    assert wrong.excerpt == "kind: ["


def test_without_anything_in_force_the_message_says_so(world: Folders) -> None:
    bad = world.sources[0].commit("kind: [", good=False)
    assert message(world.run()).startswith(f"gitmesh shop: refused {bad[:12]}; nothing in force, ")


def test_a_cluster_that_is_only_observed_and_was_never_written_is_pending(tmp_path: Path) -> None:
    world = Folders(tmp_path, observed=frozenset({"east"}))
    world.commit(NO_WEB)
    report = world.settle()
    assert (report.clusters["east"].state, report.clusters["west"].state) == (State.PENDING, State.SYNCED)
    assert state(report, "AccessPolicy/shop/no-web") is not State.SYNCED
    assert world.live("east") == {}


def test_one_that_was_written_before_it_was_only_observed_drifts(world: Folders) -> None:
    world.commit(NO_WEB)
    world.settle()
    world.observed = frozenset({"east"})
    (world.root / "east" / DENY).unlink()
    assert world.run().clusters["east"].state is State.DRIFTED


def test_what_git_changed_and_nobody_wrote_yet_is_pending_and_no_drift(world: Folders) -> None:
    world.commit(NO_WEB)
    before = world.run(until=Stage.PLAN)
    assert before.clusters["east"].state is State.PENDING
    assert state(before, "AccessPolicy/shop/no-web") is State.PENDING
    world.settle()
    world.commit(NO_WEB, allow("db", "db", "api"))
    assert world.run(until=Stage.PLAN).clusters["east"].state is State.PENDING


def test_a_mark_on_a_guard_silences_nothing(world: Folders) -> None:
    world.commit(NO_WEB)
    world.settle()
    file = world.root / "east" / DENY
    body = yaml.safe_load(file.read_text(encoding="utf-8"))
    body["metadata"]["annotations"]["gitmesh.io/reconcile"] = "disabled"
    body["spec"]["rules"] = [{"to": [{"operation": {"paths": ["/never"]}}]}]
    file.write_text(yaml.safe_dump(body), encoding="utf-8")
    report = world.run()
    assert "/never" not in world.live("east")[DENY]
    assert [str(one.severity) for one in said(report, "GM407")] == ["warning"]


def test_a_strangers_object_in_the_place_of_a_guard_is_never_synced(world: Folders) -> None:
    world.put("east", "theirs", authorization("db-deny", "shop", {"action": "DENY", "rules": []}))
    world.commit(NO_WEB)
    report = world.settle()
    assert report.clusters["east"].state is not State.SYNCED
    assert state(report, "AccessPolicy/shop/no-web") is State.HELD


def test_a_fight_over_a_guard_is_one_status_commit_at_its_beginning_and_one_at_its_end(
    tmp_path: Path,
) -> None:
    world = Folders(tmp_path, ("east",))
    world.commit(NO_WEB)
    world.settle()

    def spoilt() -> Report:
        file = world.root / "east" / DENY
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
        body["spec"]["rules"] = []
        file.write_text(yaml.safe_dump(body), encoding="utf-8")
        return world.run()

    reports = [spoilt() for _ in range(12)]
    trees = [status_tree(report) for report in reports]
    assert [bool(heals(report)) for report in reports] == [True] * 5 + [False] * 7
    assert all(tree == trees[6] for tree in trees[6:])
    assert status_tree(world.run()) != trees[-1]


def test_a_plan_says_the_same_of_what_waits(world: Folders) -> None:
    world.commit(
        allow("stranger", "db", "nobody-of-that-name"),
        allow("api", "db", "api"),
        NO_WEB,
        virtual_mesh(accessDefault="Deny"),
    )
    report = world.run(Stage.PLAN)
    assert state(report, "AccessPolicy/shop/api") is State.HELD
    assert state(report, "AccessPolicy/shop/no-web") is not State.SYNCED
