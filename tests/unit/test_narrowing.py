"""Access that a faulty policy holds still narrows: only that policy's own part stays (design law 2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gitmesh_istio
import pytest
import yaml

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Translation
from gitmesh.model.report import Report
from gitmesh.model.units import Unit
from tests.folders import (
    AUTHORIZATION,
    Folders,
    allow,
    app,
    authorization,
    deny,
    istiod,
    said,
    service,
    thing,
    virtual_mesh,
)
from tests.properties.history import document, on

WEB, API = allow("web", "db", "web"), allow("api", "db", "api")
NO_PORT: list[dict[str, Any]] = [{"ports": [9999]}]
"""The Service has no such port."""
GHOST = [{"serviceAccounts": [{"name": "nobody"}]}]
"""No such ServiceAccount."""
ROUTES = "virtualservice.networking.istio.io"
FAULTS: list[dict[str, Any]] = [{"rules": NO_PORT}, {"sources": GHOST}]


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    made = Folders(tmp_path, ("east",))
    made.commit(WEB, API)
    made.settle()
    return made


def admitted(world: Folders) -> set[str]:
    """The ServiceAccounts that the live Allow of the destination names."""
    return _named(world.spec("east", "db-allow"))


def denied(world: Folders) -> set[str]:
    """Those that its live Deny names; none where there is no such object."""
    path = world.root / "east" / "shop" / AUTHORIZATION / "db-deny.yaml"
    return _named(world.spec("east", "db-deny")) if path.exists() else set()


def _named(spec: dict[str, Any]) -> set[str]:
    text = yaml.safe_dump(spec)
    return {name for name in ("web", "api", "db", "ops") if f"/sa/{name}" in text}


def rests(world: Folders) -> list[list[str]]:
    """The ports that the live Allow leaves out of what it admits to everybody."""
    found = (
        rule.get("to", [{}])[0].get("operation", {})
        for rule in world.spec("east", "db-allow").get("rules", ())
    )
    return [one["notPorts"] for one in found if "notPorts" in one]


def committed(world: Folders, *documents: dict[str, Any]) -> Report:
    """The state after these policies came and nothing more was to do."""
    world.commit(*documents)
    return world.settle()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_withdrawn_grant_goes_and_the_faulty_policys_own_stays(
    world: Folders, fault: dict[str, Any]
) -> None:
    report = committed(world, allow("api", "db", "api", **fault))
    assert admitted(world) == {"api"}
    assert rests(world) == [["8080"]], "what the object leaves open on other ports stays so"
    assert [one.code for one in report.diagnostics if one.is_error] == ["GM208"]
    again = world.run()
    assert not any(result.outcomes for result in again.clusters.values()), "it rests there"
    committed(world, API)
    assert admitted(world) == {"api"}


def test_one_caller_that_is_withdrawn_goes_while_the_other_one_stays(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    committed(world, allow("both", "db", "web", "api"), allow("own", "db", "db"))
    committed(world, allow("both", "db", "web"), allow("own", "db", "db", rules=NO_PORT))
    assert admitted(world) == {"web", "db"}


def test_one_operation_that_is_withdrawn_goes(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    both = [{"methods": ["GET", "POST"], "paths": ["/a*"]}]
    committed(world, allow("web", "db", "web", rules=both), API)
    faulty = allow("api", "db", "api", rules=NO_PORT)
    committed(world, allow("web", "db", "web", rules=[{"methods": ["GET"], "paths": ["/a*"]}]), faulty)
    assert "POST" not in str(world.spec("east", "db-allow"))
    assert "GET" in str(world.spec("east", "db-allow"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_new_deny_comes_beside_a_faulty_allow(world: Folders, fault: dict[str, Any]) -> None:
    committed(world, WEB, allow("api", "db", "api", **fault), deny("no-web", "db", "web"))
    assert (admitted(world), denied(world)) == ({"web", "api"}, {"web"})


def test_a_new_deny_comes_beside_a_faulty_one_whose_old_part_stays(world: Folders) -> None:
    committed(world, WEB, API, deny("no-api", "db", "api"))
    faulty, faulty_id = deny("no-api", "db", "db", rules=NO_PORT), "AccessPolicy/shop/no-api"
    committed(world, WEB, API, faulty, deny("no-web", "db", "web"))
    assert denied(world) == {"api", "web"}
    report = committed(world, WEB, API, faulty)
    assert denied(world) == {"api", "web"}, "a Deny that goes would open: it waits for the fault"
    assert [(one.severity, one.policy) for one in said(report, "GM413")] == [("warning", faulty_id)]
    committed(world, WEB, API, deny("no-api", "db", "api"))
    assert denied(world) == {"api"}


def test_a_new_grant_waits(world: Folders) -> None:
    report = committed(world, WEB, allow("api", "db", "api", rules=NO_PORT), allow("more", "db", "db"))
    assert admitted(world) == {"web", "api"}
    assert "AccessPolicy/shop/more" in {one.policy for one in said(report, "GM314")}


def test_a_wider_grant_waits_as_well_and_the_old_one_is_not_in_it(world: Folders) -> None:
    world.commit(allow("web", "db", "web", rules=[{"methods": ["GET"]}]), API)
    world.settle()
    faulty = allow("api", "db", "api", rules=NO_PORT)
    committed(world, allow("web", "db", "web", rules=[{"methods": ["GET", "PUT"]}]), faulty)
    assert "PUT" not in str(world.spec("east", "db-allow"))


def test_two_policies_that_grant_the_same_both_have_it(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    committed(world, allow("a", "db", "web"), allow("b", "db", "web"), API)
    committed(world, allow("b", "db", "web", rules=NO_PORT), API)
    assert admitted(world) == {"web", "api"}, "it is the faulty policy's, too"
    committed(world, API, allow("b", "db", "web", rules=NO_PORT))
    assert admitted(world) == {"web", "api"}


def test_a_faulty_allow_that_never_was_in_force_keeps_nothing_of_others(world: Folders) -> None:
    committed(world, API, allow("new", "db", "db", rules=NO_PORT))
    assert admitted(world) == {"api"}
    committed(world, allow("new", "db", "db", rules=NO_PORT))
    assert admitted(world) == set(), "closed, as an Allow selects it and none of its grants is known"
    assert rests(world) == [["8080"]]


def test_beside_a_faulty_deny_the_last_allow_stays_as_without_it_everybody_may_call(world: Folders) -> None:
    committed(world, deny("odd", "db", "db", rules=NO_PORT))
    assert admitted(world) == {"web", "api"}


def test_but_not_on_ports_that_another_service_of_the_pods_governs(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    more = service("more")
    more["spec"]["selector"] = {"app": "db"}
    world.put("east", "services", service("web"), service("api"), service("db"), more)
    committed(world, allow("web", "more", "web"), API, allow("api-too", "more", "api"))
    committed(world, deny("odd", "db", "db", rules=NO_PORT), allow("web", "more", "web"))
    assert (admitted(world), rests(world)) == (set(), [["8080"]])


def test_but_not_under_a_default_of_deny(world: Folders) -> None:
    closed = virtual_mesh(accessDefault="Deny")
    committed(world, WEB, API, closed)
    committed(world, deny("odd", "db", "db", rules=NO_PORT), closed)
    assert admitted(world) == set()
    assert rests(world) == []


def test_what_the_default_exempts_stays_for_a_held_destination(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    ports = {"http": 8080, "stats": 9090}
    world.put("east", "services", service("web"), service("api"), _two_ports())
    world.put("east", "pods", app("web"), app("api"), app("db", ports=ports))
    closed = virtual_mesh(accessDefault="Deny", accessExempt={"ports": [9090]})
    committed(world, closed)
    before = world.spec("east", "db-allow")
    for faulty in (deny("odd", "db", "db", rules=NO_PORT), allow("new", "db", "db", rules=NO_PORT)):
        committed(world, closed, faulty)
        assert world.spec("east", "db-allow") == before


def test_what_the_default_would_exempt_is_no_grant_while_an_allow_is_held(world: Folders) -> None:
    """Without an Allow the port is exempt; the faulty one's part is live, so it is not."""
    closed = virtual_mesh(accessDefault="Deny", accessExempt={"ports": [80]})
    everybody = allow("all", "db", sources=[{"all": True}])
    committed(world, API, everybody, closed)
    committed(world, allow("api", "db", "api", rules=NO_PORT), closed)
    assert len(world.spec("east", "db-allow")["rules"]) == 1
    assert admitted(world) == {"api"}


def _two_ports() -> dict[str, Any]:
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "http-stats", "port": 9090, "targetPort": 9090},
    ]
    return service("db", ports=ports)


def test_a_policy_that_names_what_is_not_there_keeps_its_own_part_alone(world: Folders) -> None:
    """A letter too many in a name: its old destination may be the one that is meant."""
    moved = allow("api", "dbb", "api")
    committed(world, moved)
    assert admitted(world) == {"api"}
    committed(world, moved, deny("no-web", "db", "web"))
    assert (admitted(world), denied(world)) == ({"api"}, {"web"})


def test_a_deny_that_names_what_is_not_there_stays_beside_new_ones(world: Folders) -> None:
    committed(world, WEB, API, deny("no-api", "db", "api"))
    committed(world, WEB, deny("no-api", "dbb", "api"), deny("no-web", "db", "web"))
    assert (admitted(world), denied(world)) == ({"web"}, {"web", "api"})


def test_pods_whose_service_is_missing_keep_no_grant_that_was_withdrawn(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    wide = allow("wide", "db", "web")
    wide["spec"]["destinations"] = [{"namespaces": ["shop"]}]
    committed(world, wide, API)
    world.put("east", "services", service("web"), service("api"))
    committed(world, wide)
    assert admitted(world) == {"web"}


def test_what_is_not_known_of_who_calls_holds_that_policy_alone(world: Folders) -> None:
    """Of the other cluster's mesh no trust domain could be read, so nobody knows whose identities are its."""
    unread = thing("ConfigMap", "istio", "istio-system", data={"mesh": "{"})
    account = thing("ServiceAccount", "api", "shop")
    world.put("west", "all", thing("Namespace", "istio-system"), istiod(), unread, account)
    world.names = ("east", "west")
    bound = allow("api", "db", sources=[{"serviceAccounts": [{"name": "api", "cluster": "west"}]}])
    world.commit(bound)
    assert [one.policy for one in said(world.run(), "GM216")] == ["AccessPolicy/shop/api"]
    assert admitted(world) == {"api"}


def test_two_virtual_meshes_for_one_mesh_hold_no_grant_of_others(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    closed = virtual_mesh(accessDefault="Deny", accessExempt={"ports": [80], "sources": [{"all": True}]})
    committed(world, WEB, API, closed)
    twice = document("VirtualMesh", "again", meshes=[{"cluster": "east"}], accessDefault="Allow")
    report = committed(world, API, closed, twice, deny("no-db", "db", "db"))
    assert {one.code for one in report.diagnostics if one.is_error} == {"GM214"}
    assert (admitted(world), denied(world), rests(world)) == ({"api"}, {"db"}, [])
    before = world.live("east")
    committed(world, API, closed, twice, deny("no-db", "db", "db"), allow("more", "db", "db"))
    assert world.live("east") == before


# --- routing never holds access


def test_a_route_that_cannot_be_decided_holds_no_access(world: Folders) -> None:
    broken = document("TrafficPolicy", "t", destinations=on("db"), split=[{"destination": {"name": "gone"}}])
    committed(world, API, broken, deny("no-web", "db", "web"))
    assert (admitted(world), denied(world)) == ({"api"}, {"web"})


@pytest.mark.parametrize("half", ["routing", "access"])
def test_a_translator_that_falls_over_one_half_writes_the_other(
    world: Folders, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    translate = gitmesh_istio.translate

    def falling(unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        assert unit.key.half != half, "a defect"
        return translate(unit, meshes, facts)

    monkeypatch.setattr(gitmesh_istio, "translate", falling)
    slow = document("TrafficPolicy", "slow", destinations=on("db"), timeout="5s")
    report = committed(world, API, slow, deny("no-web", "db", "web"))
    assert [one.severity for one in said(report, "GM313")] == ["error"]
    routed = (world.root / "east" / "shop" / ROUTES / "db.yaml").exists()
    assert (denied(world), routed) == (({"web"}, False) if half == "routing" else (set(), True))


# --- what changes nothing


def test_facts_that_are_not_known_change_nothing(world: Folders) -> None:
    before = world.live("east")
    world.drop("east", "services")
    world.commit(API, deny("no-web", "db", "web"))
    for _ in range(2):
        world.run()
    assert world.live("east") == before


def test_without_a_fault_nothing_is_different(world: Folders) -> None:
    committed(world, API, allow("more", "db", "db"))
    assert admitted(world) == {"api", "db"}


def test_a_fault_without_a_change_writes_nothing(world: Folders) -> None:
    before = world.live("east")
    world.commit(WEB, allow("api", "db", "api", rules=NO_PORT))
    report = world.run()
    assert world.live("east") == before
    assert not any(result.outcomes for result in report.clusters.values())


def test_where_no_object_is_live_a_faulty_policy_closes_nothing(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    committed(world, WEB, allow("api", "db", "api", rules=NO_PORT))
    assert world.live("east") == {}


def test_a_strangers_object_of_the_name_is_left_alone(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    theirs = authorization("db-deny", "shop", {"selector": {"matchLabels": {"app": "db"}}, "action": "DENY"})
    path = world.put("east", "theirs", theirs)
    before = path.read_text()
    committed(world, deny("no-web", "db", "web"), allow("api", "db", "api", rules=NO_PORT))
    assert (path.read_text(), world.live("east")) == (before, {})


def test_where_parts_are_not_known_the_allow_stays_whole_and_it_is_told(world: Folders) -> None:
    world.tamper("east", lambda ledger: ledger.update(parts={}))
    report = committed(world, allow("api", "db", "api", rules=NO_PORT), deny("no-db", "db", "db"))
    assert (admitted(world), denied(world)) == ({"web", "api"}, {"db"})
    [told] = said(report, "GM413")
    assert (told.severity, told.policy) == ("error", "AccessPolicy/shop/api")
    assert "AccessPolicy/shop/web" in told.message
    assert said(world.run(), "GM413") == [told]


def test_one_policys_object_needs_no_parts(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    committed(world, WEB)
    committed(world, allow("new", "db", "db", rules=NO_PORT))
    assert admitted(world) == set()
