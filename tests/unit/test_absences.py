"""What is missing is no order to delete: a list, a Service, a path, a source (design law 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitmesh.model.report import Stage, State
from gitmesh.planning.options import Memo
from gitmesh.render.summary import revisions_line
from tests.folders import Folders, allow, app, codes, deny, said, service, virtual_mesh
from tests.properties.history import History

NO_WEB = deny("no-web", "db", "web")


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    made.commit(NO_WEB, allow("api", "api", "web"), virtual_mesh(accessDefault="Deny"))
    made.settle()
    return made


def live(world: Folders) -> dict[str, dict[str, str]]:
    return {name: world.live(name) for name in world.names}


# --- lists that are suddenly empty


def test_no_service_at_all_is_not_believed_while_pods_are_still_there(world: Folders) -> None:
    before = live(world)
    world.drop("east", "services")
    for _ in range(3):
        report = world.run()
        assert live(world) == before
        [told] = report.diagnostics
        assert (told.code, told.severity, told.cluster) == ("GM409", "error", "east")
        assert "not one Service" in told.message
    assert (report.clusters["east"].state, report.clusters["west"].state) == (State.HELD, State.SYNCED)
    world.restore("east", "services")
    assert codes(world.run()) == []


def test_an_agent_comes_to_the_same_as_runs_of_sync(world: Folders) -> None:
    world.memo = Memo()
    world.run()
    before = live(world)
    world.drop("east", "services")
    assert [codes(world.run()), codes(world.run())] == [["GM409"], ["GM409"]]
    assert live(world) == before


def test_it_is_believed_at_a_second_reading_when_the_pods_are_gone_too(world: Folders) -> None:
    world.drop("east", "services")
    world.drop("east", "pods")
    assert {"GM409"} <= set(codes(world.run()))
    report = world.run()
    assert "GM409" not in codes(report)
    assert {one.code for one in report.diagnostics} == {"GM208"}, (
        "the Service is elsewhere: what guards it here is not deleted unseen"
    )


def test_it_is_believed_when_somebody_approves_it(world: Folders) -> None:
    world.drop("east", "services")
    [held] = said(world.run(), "GM409")
    world.approve(held.hold)
    assert "GM409" not in codes(world.run())
    world.run()
    assert held.hold not in world.ledger("east")["holds"]


@pytest.mark.parametrize(
    ("file", "kind"), [("accounts", "ServiceAccount"), ("pods", "Pod"), ("namespaces", "Namespace")]
)
def test_other_kinds_are_not_believed_at_once_either(world: Folders, file: str, kind: str) -> None:
    before = live(world)
    world.drop("east", file)
    report = world.run()
    assert live(world) == before
    assert any(f"not one {kind}" in one.message for one in said(report, "GM409"))


def test_a_cluster_without_anything_from_the_start_is_believed(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    world.drop("east", "services")
    world.commit(virtual_mesh(accessDefault="Deny"))
    assert codes(world.settle()) == []


# --- a Service that one cluster lacks


def test_a_service_gone_from_one_cluster_opens_nothing_there_and_is_told(world: Folders) -> None:
    before = live(world)
    world.put("east", "services", service("web"), service("api"))
    report = world.run()
    assert live(world) == before
    [told] = report.diagnostics
    assert (told.code, told.severity, told.cluster, told.policy) == (
        "GM208",
        "error",
        "east",
        "AccessPolicy/shop/no-web",
    )
    assert (told.at.line if told.at else 0) > 0
    world.approve(told.hold)
    world.settle()
    assert "shop/authorizationpolicy.security.istio.io/db-deny.yaml" not in world.live("east")
    assert "shop/authorizationpolicy.security.istio.io/db-deny.yaml" in world.live("west")
    assert codes(world.run()) == []


def test_one_that_never_was_in_a_cluster_is_nothing_to_say(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.put("east", "services", service("web"), service("api"))
    world.commit(NO_WEB)
    assert codes(world.settle()) == []


def test_a_policy_for_the_other_cluster_withdraws_it(world: Folders) -> None:
    world.put("east", "services", service("web"), service("api"))
    narrowed = {**NO_WEB, "spec": {**NO_WEB["spec"], "destinations": [{"name": "db", "clusters": ["west"]}]}}
    world.commit(narrowed, allow("api", "api", "web"), virtual_mesh(accessDefault="Deny"))
    assert codes(world.settle()) == []
    assert "shop/authorizationpolicy.security.istio.io/db-deny.yaml" not in world.live("east")


# --- paths of a source


class Paths(History):
    """A source with two folders; `asked` are the paths of the configuration."""

    asked: tuple[str, ...] = ("security", "traffic")

    def _snapshot(self, sha: str) -> Any:
        from tests.factories import snapshot_of

        parts = dict(part.split("\n", 1) for part in self.commits[sha].text.split("#### ") if part)
        files = {f"{path.strip()}/p.yaml": text for path, text in parts.items() if path.strip() in self.asked}
        return snapshot_of(files, self.name, sha, paths=self.asked)


def folders(**texts: str) -> str:
    return "".join(f"#### {path}\n{text}" for path, text in texts.items())


def two_paths(tmp_path: Path) -> tuple[Folders, Paths]:
    import yaml

    source = Paths("policies")
    world = Folders(tmp_path, sources=[source])
    source.commit(
        folders(security=yaml.safe_dump(NO_WEB), traffic=yaml.safe_dump(allow("api", "api", "web"))),
        good=True,
    )
    world.settle()
    return world, source


@pytest.mark.parametrize("left", ["", "# nothing\n"])
def test_a_path_that_is_missing_or_empty_refuses_the_revision(tmp_path: Path, left: str) -> None:
    import yaml

    world, source = two_paths(tmp_path)
    before = live(world)
    texts = {"security": left} if left else {}
    source.commit(folders(**texts, traffic=yaml.safe_dump(allow("api", "api", "web", "db"))), good=False)
    report = world.run()
    assert live(world) == before
    assert codes(report) == ["GM110", "GM605"]
    [told] = said(report, "GM110")
    assert "path security" in told.message
    assert source.tip[:12] in told.message
    assert codes(world.run(Stage.PLAN, review=True)) == ["GM110"]


def test_a_wrong_path_in_the_configuration_is_told_as_what_it_is(tmp_path: Path) -> None:
    world, source = two_paths(tmp_path)
    before = live(world)
    source.asked = ("secc", "traffic")
    report = world.run()
    assert (live(world), report.sources["policies"].accepted) == (before, source.tip)
    assert said(report, "GM605")[0].message.endswith("is refused; what it says elsewhere stays in force")
    assert revisions_line(report) == f"revision: policies@{source.tip[:12]} (refused)"
    source.asked = ("secc",)
    assert said(world.run(), "GM605")[0].message.endswith("nothing of this source is in force")
    assert live(world) == before
    review = world.run(Stage.PLAN, review=True)
    assert revisions_line(review) == f"revision: policies@{source.tip[:12]} (refused)"


def test_healing_goes_on_towards_the_last_good_revision(tmp_path: Path) -> None:
    import yaml

    world, source = two_paths(tmp_path)
    before = live(world)
    source.commit(folders(traffic=yaml.safe_dump(allow("api", "api", "web"))), good=False)
    (world.root / "east/shop/authorizationpolicy.security.istio.io/db-deny.yaml").unlink()
    world.run()
    assert live(world) == before


@pytest.mark.parametrize("how", ["commit", "hold"])
def test_a_path_is_given_up_by_approving_it_and_stays_given_up(tmp_path: Path, how: str) -> None:
    import yaml

    world, source = two_paths(tmp_path)
    tip = source.commit(folders(traffic=yaml.safe_dump(allow("api", "api", "web"))), good=True)
    [told] = said(world.run(), "GM110")
    if how == "hold":
        world.approve(told.hold)
    assert codes(world.run(approve=frozenset({tip} if how == "commit" else ()))) == []
    assert "shop/authorizationpolicy.security.istio.io/db-deny.yaml" not in world.live("east")
    source.commit(folders(traffic=yaml.safe_dump(allow("api", "api", "web", "db"))), good=True)
    assert codes(world.settle()) == [], "it need not be approved again"
    source.commit(
        folders(security=yaml.safe_dump(NO_WEB), traffic=yaml.safe_dump(allow("api", "api", "web"))),
        good=True,
    )
    world.settle()
    source.commit(folders(traffic=yaml.safe_dump(allow("api", "api", "web"))), good=True)
    assert "GM110" in codes(world.run()), "once it is back, the consent is used up"


def test_who_may_write_one_ledger_gives_up_no_path_of_others(tmp_path: Path) -> None:
    import yaml

    world, source = two_paths(tmp_path)
    before = live(world)
    source.commit(folders(traffic=yaml.safe_dump(allow("api", "api", "web"))), good=False)
    [told] = said(world.run(), "GM110")
    world.approve(told.hold, "east")
    assert "GM110" in codes(world.run())
    assert live(world) == before
    world.approve(told.hold, "west")
    assert "GM110" not in codes(world.run()), "each cluster's consent lasts until the other one's is there"


def test_consent_in_one_cluster_ends_with_its_hold(tmp_path: Path) -> None:
    import yaml

    world, source = two_paths(tmp_path)
    both = {"security": yaml.safe_dump(NO_WEB), "traffic": yaml.safe_dump(allow("api", "api", "web"))}
    source.commit(folders(traffic=both["traffic"]), good=False)
    [told] = said(world.run(), "GM110")
    world.approve(told.hold, "east")
    source.commit(folders(**both), good=True)
    assert codes(world.settle()) == []
    source.commit(folders(traffic=both["traffic"]), good=False)
    world.run()
    world.approve(told.hold, "west")
    assert "GM110" in codes(world.run())


def test_the_documented_uninstall_works(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.commit(
        NO_WEB, allow("api", "api", "web"), virtual_mesh(accessDefault="Deny", mtls={"mode": "Strict"})
    )
    world.settle()
    tip = world.sources[0].commit("", good=True)
    assert codes(world.run()) == ["GM110", "GM605"]
    report = world.settle(approve=frozenset({tip}))
    assert codes(report) == []
    assert live(world) == {"east": {}, "west": {}}
    assert codes(world.run()) == [], "an agent that comes by later agrees"
    assert live(world) == {"east": {}, "west": {}}


# --- sources that have nothing in force

NO_WRITES = deny("no-writes", "db", sources=[{"all": True}], rules=[{"methods": ["POST", "DELETE"]}])
MORE = allow("reporting", "api", "db")


def two_teams(tmp_path: Path, *others: dict[str, Any]) -> Folders:
    world = Folders(tmp_path, sources=[History("team-a"), History("team-b")])
    world.commit(NO_WEB, allow("api", "api", "web"))
    world.commit(*(others or (NO_WRITES, MORE)), source=1)
    world.settle()
    return world


def away(world: Folders, name: str = "team-beta") -> None:
    """The second source has another name in gitmesh.yaml, and its host is away."""
    world.sources[1] = History(name, down=True)


def test_a_source_without_a_revision_keeps_its_part_of_what_it_shares(tmp_path: Path) -> None:
    world = two_teams(tmp_path)
    before = live(world)
    away(world)
    for _ in range(2):
        report = world.run()
        assert live(world) == before
        assert {"GM601", "GM609"} == set(codes(report))
    assert all(one.at and one.at.source == "team-beta" for one in report.diagnostics)
    assert "db-deny" in said(report, "GM609")[0].message


def test_what_another_source_withdraws_or_denies_goes_its_way(tmp_path: Path) -> None:
    world = two_teams(tmp_path)
    away(world)
    world.commit(deny("no-web", "db", "api"))
    world.settle()
    assert "/sa/web" not in str(world.spec("east", "api-allow")), "team A revoked it"
    assert "/sa/db" in str(world.spec("east", "api-allow")), "team B's part stays"
    shown = str(world.spec("east", "db-deny"))
    assert ("/sa/web" in shown, "/sa/api" in shown, "DELETE" in shown) == (False, True, True)


def test_nothing_is_opened_meanwhile(tmp_path: Path) -> None:
    world = two_teams(tmp_path)
    away(world)
    world.commit(NO_WEB, allow("api", "api", "web", "api"))
    world.run()
    assert "/sa/api" not in str(world.spec("east", "api-allow")), (
        "a new grant waits, as what it stands beside is not known"
    )


def test_where_the_ledger_does_not_know_the_parts_an_allow_stays_and_a_deny_takes_more(
    tmp_path: Path,
) -> None:
    world = two_teams(tmp_path)
    for name in world.names:
        (world.root / name / ".gitmesh" / "ledger.yaml").unlink()
    before = live(world)
    away(world)
    world.commit(deny("no-web", "db", "web", "api"))
    world.run()
    assert (
        world.live("east")["shop/authorizationpolicy.security.istio.io/api-allow.yaml"]
        in before["east"].values()
    )
    shown = str(world.spec("east", "db-deny"))
    assert ("/sa/web" in shown, "/sa/api" in shown, "DELETE" in shown) == (True, True, True)


def test_objects_of_other_sources_alone_are_not_concerned(tmp_path: Path) -> None:
    world = two_teams(tmp_path, NO_WRITES)
    away(world)
    world.commit(NO_WEB)
    world.settle()
    assert "shop/authorizationpolicy.security.istio.io/api-allow.yaml" not in world.live("east")


def test_the_hold_ends_when_the_source_is_read_again_or_gone_on_purpose(tmp_path: Path) -> None:
    world = two_teams(tmp_path)
    before = live(world)
    second = world.sources[1]
    away(world)
    world.run()
    world.sources[1] = second
    assert (codes(world.settle()), live(world)) == ([], before)
    del world.sources[1]
    world.settle()
    assert "DELETE" not in str(world.spec("east", "db-deny"))


def test_a_virtual_mesh_that_is_away_makes_no_allow_wider(tmp_path: Path) -> None:
    world = two_teams(tmp_path, virtual_mesh(accessDefault="Deny"))
    before = live(world)
    away(world)
    world.run()
    assert live(world) == before, "without the default its Allows would leave other ports open"


# --- ledgers are evidence


def test_a_ledger_puts_no_unmerged_commit_in_force(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.commit(NO_WEB)
    world.settle()
    before = live(world)
    merged = world.sources[0].tip
    unmerged = world.commit(allow("everybody", "db", sources=[{"all": True}]))
    world.sources[0].tip = merged
    world.tamper("east", lambda ledger: ledger["sources"].update(policies=unmerged))
    bad = world.sources[0].commit("kind: [", good=False)
    report = world.run()
    assert live(world) == before
    assert report.sources["policies"].accepted == merged != bad
    assert any(unmerged[:12] in one.message and one.severity == "warning" for one in said(report, "GM606"))


def test_a_reachable_but_refused_commit_comes_into_force_by_no_ledger(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.commit(NO_WEB)
    world.settle()
    before = live(world)
    half = f"{yes(allow('other', 'api', 'web'))}---\nkind: ["
    refused = world.sources[0].commit(half, good=False)
    world.sources[0].commit("kind: [", good=False)
    world.sources[0].recorded = ""
    for name in world.names:
        world.tamper(name, lambda ledger: ledger["sources"].update(policies=refused))
    report = world.run()
    assert live(world) == before
    assert "GM606" in codes(report)
    assert report.sources["policies"].accepted == ""


def yes(document: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(document)


def test_after_a_force_push_and_a_restart_the_forced_tip_is_still_refused(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.commit(NO_WEB)
    world.settle()
    before = live(world)
    source = world.sources[0]
    source.tip = ""
    world.commit(allow("everybody", "db", sources=[{"all": True}]))
    report = world.run()
    assert (codes(report), live(world)) == (["GM602"], before)
    source.recorded = ""
    report = world.run()
    assert ("GM606" in codes(report), live(world)) == (True, before), (
        "without the record, the ledgers' word holds the tip"
    )
    report = world.run(allow_rewind=frozenset({"policies"}))
    assert (codes(report), live(world) != before) == ([], True), "what was allowed is no fault"


def test_pods_with_strange_labels_are_still_pods(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    world.put(
        "east", "pods", app("web", labels={"app.kubernetes.io/managed-by": "gitmesh"}), app("api"), app("db")
    )
    world.commit(allow("web", "web", "api"))
    assert codes(world.settle()) == []
    assert world.spec("east", "web-allow")["selector"]["matchLabels"] == {"app": "web"}
