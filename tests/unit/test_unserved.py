"""What decides who may call pods stays while they run, though a list comes back without their Service (design
law 3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitmesh.model.report import State
from tests.folders import AUTHORIZATION, Folders, allow, app, codes, deny, said, service

EVERYBODYS = {
    **deny("no-web", "db", "web"),
    "spec": {**deny("no-web", "db", "web")["spec"], "destinations": [{"namespaces": ["shop"]}]},
}


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """A Deny that selects its destinations by their namespace: of the Services no name is missed."""
    made = Folders(tmp_path)
    made.commit(EVERYBODYS)
    made.settle()
    return made


def guards(world: Folders, cluster: str = "east") -> list[str]:
    return sorted(Path(path).stem for path in world.live(cluster) if AUTHORIZATION in path)


def services(world: Folders, *names: str, **more: Any) -> None:
    world.put("east", "services", *(service(name, **more) for name in names))


def test_a_service_that_is_missing_from_a_list_opens_none_of_its_pods(world: Folders) -> None:
    before = world.live("east")
    services(world, "web")
    for _ in range(3):
        report = world.run()
        assert world.live("east") == before
        [told] = said(report, "GM208")
        assert (told.severity, told.cluster, told.policy) == ("error", "east", "AccessPolicy/shop/no-web")
        assert "shop/api-deny, AuthorizationPolicy shop/db-deny" in told.message
    assert (report.clusters["east"].state, report.clusters["west"].state) == (State.HELD, State.SYNCED)
    services(world, "web", "api", "db")
    assert codes(world.run()) == []


def test_a_service_that_loses_its_selector_opens_none_of_its_pods(world: Folders) -> None:
    before = world.live("east")
    named = service("db")
    del named["spec"]["selector"]
    world.put("east", "services", service("web"), service("api"), named)
    assert "GM208" in codes(world.run())
    assert world.live("east") == before


def test_it_ends_when_the_pods_are_gone_too(world: Folders) -> None:
    services(world, "web", "api")
    world.put("east", "pods", app("web"), app("api"))
    assert codes(world.run()) == []
    assert guards(world) == ["api-deny", "web-deny"]


def test_pods_that_another_service_is_for_are_decided_about_by_that(world: Folders) -> None:
    renamed = service("db")
    renamed["metadata"]["name"] = "database"
    world.put("east", "services", service("web"), service("api"), renamed)
    world.settle()
    assert guards(world) == ["api-deny", "database-deny", "web-deny"]


def test_a_policy_that_is_withdrawn_withdraws_it(world: Folders) -> None:
    services(world, "web", "api")
    world.run()
    other = deny("other", "api", "web")
    world.commit(other)
    world.settle()
    assert guards(world) == ["api-deny"]


def test_somebody_may_agree_and_the_next_one_is_asked_about_again(world: Folders) -> None:
    services(world, "web", "api")
    [told] = said(world.run(), "GM208")
    world.approve(told.hold, "east")
    assert codes(world.run()) == []
    assert guards(world) == ["api-deny", "web-deny"]
    services(world, "web")
    [again] = said(world.run(), "GM208")
    assert again.hold != told.hold
    assert guards(world) == ["api-deny", "web-deny"]


LOST: dict[str, dict[str, Any]] = {
    "no selector": {"selector": None},
    "an empty selector": {"selector": {}},
    "another host": {"type": "ExternalName", "externalName": "db.example", "selector": None},
}


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("named", [deny("named", "db", "web"), allow("named", "db", "api")])
def test_a_service_that_is_named_and_leads_to_no_pods_any_more_opens_none(
    tmp_path: Path, named: dict[str, Any], how: str
) -> None:
    world = Folders(tmp_path)
    world.commit(named)
    world.settle()
    before = guarding(world)
    world.put("east", "services", service("web"), service("api"), service("db", **LOST[how]))
    for _ in range(3):
        report = world.run()
        assert guarding(world) == before
        [told] = said(report, "GM208")
        assert (told.severity, told.cluster, told.policy) == ("error", "east", "AccessPolicy/shop/named")
    assert report.clusters["west"].state is State.SYNCED
    world.put("east", "pods", app("web"), app("api"))
    world.settle()
    assert guarding(world) == {}, "nobody can call pods that are gone"


def test_somebody_may_agree_that_a_named_service_leads_to_no_pods_any_more(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.commit(deny("named", "db", "web"))
    world.settle()
    world.put("east", "services", service("web"), service("api"), service("db", selector=None))
    [told] = said(world.run(), "GM208")
    world.approve(told.hold, "east")
    world.settle()
    assert guarding(world) == {}


def test_another_service_that_is_named_and_has_no_selector_keeps_nothing(world: Folders) -> None:
    world.commit(deny("named", "db", "web"))
    world.settle()
    world.put("east", "services", service("web"), service("db"), service("api", selector=None))
    world.settle()
    assert guards(world) == ["db-deny"]


def guarding(world: Folders) -> dict[str, str]:
    return {path: text for path, text in world.live("east").items() if AUTHORIZATION in path}
