"""Whose a rule is, is the ledger's to say: neither what stands on a live object nor a policy of the same name
elsewhere takes away what a source that cannot be read, or a Service that is missing, leaves open (design law
3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from gitmesh.model.report import State
from tests.folders import AUTHORIZATION, Body, Folders, allow, codes, deny, said, service, virtual_mesh
from tests.properties.history import History, document

NO_WEB = deny("no-web", "db", "web")
NO_WRITES = deny("no-writes", "db", sources=[{"all": True}], rules=[{"methods": ["POST", "DELETE"]}])
REPORTING = allow("reporting", "api", "db")


def two_sources(folder: Path, first: Body, second: Body) -> Folders:
    """A policy of each of two teams, in force."""
    made = Folders(folder, sources=[History("team-a"), History("team-b")])
    made.commit(first)
    made.commit(second, source=1)
    made.settle()
    return made


@pytest.fixture
def teams(tmp_path: Path) -> Folders:
    """Two sources, whose rules share a Deny and an Allow."""
    made = Folders(tmp_path, sources=[History("team-a"), History("team-b")])
    made.commit(NO_WEB, allow("api", "api", "web"))
    made.commit(NO_WRITES, REPORTING, source=1)
    made.settle()
    return made


def live(world: Folders) -> dict[str, dict[str, str]]:
    return {name: world.live(name) for name in world.names}


def lost(world: Folders) -> History:
    """The second source is away, and so is the local copy of it."""
    before = world.sources[1]
    world.sources[1] = History(before.name, down=True)
    return before


def marked(world: Folders, name: str, policies: str, place: str = f"shop/{AUTHORIZATION}") -> None:
    """Let somebody who may write there change what an object says of itself."""
    path = world.root / "east" / place / f"{name}.yaml"
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    body["metadata"]["annotations"]["gitmesh.io/policies"] = policies
    path.write_text(yaml.safe_dump(body), encoding="utf-8")


def put_right(text: Mapping[str, str]) -> dict[str, Body]:
    """Objects by what they say, however they are written."""
    return {path: yaml.safe_load(content) for path, content in text.items()}


@pytest.mark.parametrize("says", ["", "AccessPolicy/shop/no-web", "AccessPolicy/shop/other"])
def test_a_mark_on_an_object_takes_nothing_from_a_source_that_is_away(teams: Folders, says: str) -> None:
    before = put_right(teams.live("east"))
    lost(teams)
    marked(teams, "db-deny", says)
    marked(teams, "api-allow", says)
    for _ in range(2):
        assert set(codes(teams.run())) == {"GM601", "GM609"}
        assert put_right(teams.live("east")) == before


def test_a_mark_takes_no_mutual_tls_from_a_source_that_is_away(tmp_path: Path) -> None:
    world = two_sources(tmp_path, NO_WEB, virtual_mesh(mtls={"mode": "Strict"}, accessDefault="Deny"))
    before = put_right(world.live("east"))
    lost(world)
    marked(world, "default", "", "istio-system/peerauthentication.security.istio.io")
    marked(world, "gitmesh-default-deny", "", f"istio-system/{AUTHORIZATION}")
    world.run()
    assert world.live("east").keys() == before.keys()
    assert world.spec("east", "default", "istio-system", "peerauthentication.security.istio.io") == {
        "mtls": {"mode": "STRICT"}
    }


def test_a_mark_takes_nothing_from_pods_whose_service_is_missing(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.commit({**NO_WEB, "spec": {**NO_WEB["spec"], "destinations": [{"namespaces": ["shop"]}]}})
    world.settle()
    world.put("east", "services", service("web"), service("api"))
    marked(world, "db-deny", "")
    report = world.run()
    assert f"shop/{AUTHORIZATION}/db-deny.yaml" in world.live("east")
    assert [one.policy for one in said(report, "GM208")] == ["AccessPolicy/shop/no-web"]


def taken_over(world: Folders) -> None:
    """Team A commits policies under the names of team B's, which say less and more."""
    milder = deny("no-writes", "db", sources=[{"all": True}], rules=[{"methods": ["POST"]}])
    world.commit(NO_WEB, allow("api", "api", "web"), milder, allow("reporting", "api", "api"))


def parts(world: Folders) -> tuple[bool, bool]:
    """Whether team B's rules stand, of its Deny and of its Allow."""
    return "DELETE" in str(world.spec("east", "db-deny")), "/sa/db" in str(world.spec("east", "api-allow"))


def test_a_policy_of_the_same_name_takes_nothing_from_a_source_that_is_away(teams: Folders) -> None:
    lost(teams)
    taken_over(teams)
    for _ in range(3):
        assert "GM609" in codes(teams.run())
        assert parts(teams) == (True, True)


def test_when_it_is_back_both_are_told_and_its_rules_still_stand(teams: Folders) -> None:
    second = lost(teams)
    taken_over(teams)
    teams.run()
    teams.sources[1] = second
    for _ in range(2):
        assert "GM206" in codes(teams.run())
        assert parts(teams) == (True, True)


def test_the_rules_go_when_the_source_is_gone_on_purpose(teams: Folders) -> None:
    lost(teams)
    taken_over(teams)
    teams.run()
    del teams.sources[1]
    assert codes(teams.settle()) == []
    assert parts(teams) == (False, False)


def test_a_policy_that_moves_from_a_source_that_is_read_leaves_nothing_behind(teams: Folders) -> None:
    teams.commit(document("TrafficPolicy", "web", destinations=[{"name": "web"}], timeout="2s"), source=1)
    taken_over(teams)
    assert codes(teams.settle()) == []
    assert parts(teams) == (False, False)


def edited(world: Folders, name: str, old: str, new: str) -> None:
    path = world.root / "east" / f"shop/{AUTHORIZATION}/{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_deny_of_a_source_that_is_away_is_not_lost_by_putting_right_what_somebody_changed_in_it(
    teams: Folders,
) -> None:
    west = put_right(teams.live("west"))
    second = lost(teams)
    edited(teams, "db-deny", "- DELETE", "- TRACE")
    for _ in range(2):
        report = teams.run()
        assert "POST" in str(teams.spec("east", "db-deny")), "of the rule only what was changed is gone"
        told = [one for one in said(report, "GM609") if one.is_error]
        assert [one.cluster for one in told] == ["east"]
        assert "AuthorizationPolicy shop/db-deny" in told[0].message
        assert (report.clusters["east"].state, report.clusters["west"].state) == (State.HELD, State.SYNCED)
    teams.commit(deny("no-web", "db", "api"), allow("api", "api", "web"))
    teams.run()
    shown = str(teams.spec("east", "db-deny"))
    assert ("/sa/web" in shown, "/sa/api" in shown, "POST" in shown) == (False, True, True), "A's is A's"
    teams.commit(NO_WEB, allow("api", "api", "web"))
    teams.sources[1] = second
    assert codes(teams.settle()) == []
    assert "TRACE" not in str(teams.spec("east", "db-deny"))
    assert put_right(teams.live("west")) == west


def test_a_deny_that_is_the_absent_sources_alone_keeps_its_rules(tmp_path: Path) -> None:
    world = two_sources(tmp_path, allow("api", "api", "web"), NO_WRITES)
    lost(world)
    edited(world, "db-deny", "- DELETE", "- TRACE")
    world.run()
    assert "POST" in str(world.spec("east", "db-deny"))


def test_a_grant_that_somebody_put_into_an_allow_goes_and_what_it_took_the_place_of_is_told(
    teams: Folders,
) -> None:
    lost(teams)
    edited(teams, "api-allow", "/sa/db", "/sa/evil")
    for _ in range(2):
        report = teams.run()
        assert "/sa/evil" not in str(teams.spec("east", "api-allow"))
        assert "/sa/web" in str(teams.spec("east", "api-allow"))
        assert any(one.is_error and "api-allow" in one.message for one in said(report, "GM609"))


def test_a_default_of_a_source_that_is_away_is_not_taken_over_either(tmp_path: Path) -> None:
    world = two_sources(tmp_path, NO_WEB, virtual_mesh(mtls={"mode": "Strict"}, accessDefault="Deny"))
    before = put_right(world.live("east"))
    lost(world)
    world.commit(NO_WEB, virtual_mesh(mtls={"mode": "Permissive"}, accessDefault="Allow"))
    for _ in range(3):
        world.run()
        assert put_right(world.live("east")) == before
