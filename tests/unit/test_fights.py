"""Two who keep changing one object: counted by what the ledger remembers, at any interval, over any processes
(design law 5).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gitmesh.model.ledger import FIGHT
from gitmesh.model.plan import Action
from gitmesh.model.report import Report, State
from gitmesh.planning.options import Memo
from tests.folders import Folders, allow, said
from tests.properties.history import document

ROUTE = document("TrafficPolicy", "slow", destinations=[{"name": "web"}], timeout="5s")
VIRTUAL_SERVICE = "shop/virtualservice.networking.istio.io/web.yaml"
ALLOW = "shop/authorizationpolicy.security.istio.io/api-allow.yaml"


@pytest.fixture(params=["agent", "sync"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Folders:
    made = Folders(tmp_path, ("east",), memo=Memo() if request.param == "agent" else None)
    made.commit(ROUTE, allow("api", "api", "web"))
    made.settle()
    return made


def spoil(world: Folders, path: str) -> Report:
    """Somebody changes an object, and a cycle runs."""
    file = world.root / "east" / path
    body = yaml.safe_load(file.read_text(encoding="utf-8"))
    if "http" in body["spec"]:
        body["spec"]["http"][0]["timeout"] = "9s"
    else:
        body["spec"]["rules"] = [{}]
    file.write_text(yaml.safe_dump(body), encoding="utf-8")
    return world.run()


def test_the_sixth_correction_in_a_row_is_a_fight_and_the_route_is_left_alone(world: Folders) -> None:
    reports = [spoil(world, VIRTUAL_SERVICE) for _ in range(FIGHT + 2)]
    assert [len(said(report, "GM404")) for report in reports] == [0] * FIGHT + [1, 1]
    [told] = said(reports[-1], "GM404")
    assert (told.severity, told.policy) == ("warning", "TrafficPolicy/shop/slow")
    assert "VirtualService shop/web" in told.message
    assert "timeout" in told.message
    assert reports[-1].clusters["east"].state is State.HELD
    assert "timeout: 9s" in world.live("east")[VIRTUAL_SERVICE]
    assert said(reports[-1], "GM404")[0].message == said(reports[-2], "GM404")[0].message, (
        "one status commit, not one a tick"
    )


def test_what_decides_who_may_call_is_healed_every_time_and_an_error(world: Folders) -> None:
    for _ in range(FIGHT + 5):
        report = spoil(world, ALLOW)
        assert "sa/web" in world.live("east")[ALLOW]
    [told] = said(report, "GM404")
    assert told.severity == "error"
    assert [one.action for one in report.clusters["east"].outcomes] == [Action.UPDATE], "one write a cycle"
    assert report.clusters["east"].state is not State.SYNCED


def test_a_cycle_that_needs_no_correction_ends_the_count(world: Folders) -> None:
    for _ in range(3):
        for _ in range(FIGHT - 1):
            assert not said(spoil(world, VIRTUAL_SERVICE), "GM404")
        world.run()
    assert world.ledger("east")["heals"] == {}


def test_another_wish_of_git_is_no_fight(world: Folders) -> None:
    for turn in range(FIGHT * 2):
        world.commit(
            {**ROUTE, "spec": {**ROUTE["spec"], "timeout": f"{turn + 1}s"}}, allow("api", "api", "web")
        )
        assert not said(spoil(world, VIRTUAL_SERVICE), "GM404")


@pytest.mark.parametrize("how", ["deleted", "changed"])
def test_another_wish_of_git_ends_a_fight_at_once(world: Folders, how: str) -> None:
    def fought() -> Report:
        if how == "changed":
            return spoil(world, VIRTUAL_SERVICE)
        (world.root / "east" / VIRTUAL_SERVICE).unlink(missing_ok=True)
        return world.run()

    for _ in range(FIGHT + 2):
        report = fought()
    assert said(report, "GM404")
    world.commit({**ROUTE, "spec": {**ROUTE["spec"], "timeout": "7s"}}, allow("api", "api", "web"))
    report = fought()
    assert not said(report, "GM404")
    assert "timeout: 7s" in world.live("east")[VIRTUAL_SERVICE]


def test_deleting_an_object_again_and_again_is_a_fight_as_well(world: Folders) -> None:
    for _ in range(FIGHT + 1):
        (world.root / "east" / VIRTUAL_SERVICE).unlink(missing_ok=True)
        report = world.run()
    [told] = said(report, "GM404")
    assert "VirtualService shop/web" in told.message
    assert VIRTUAL_SERVICE not in world.live("east")
