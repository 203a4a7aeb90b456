"""What stays live of policies that are all gone, since what it is for is held, is told (GM414): which object,
of what, why, and what ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.folders import Folders, allow, codes, deny, forget_units, said, virtual_mesh
from tests.properties.history import document

TO_DB, TO_API = allow("to-db", "db", "web"), allow("to-api", "api", "web")
FAULTY = deny("faulty", "api", "nobody-of-that-name")
CLOSED = virtual_mesh(accessDefault="Deny")


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    return Folders(tmp_path, ("east",))


def test_the_last_allow_of_a_held_destination_is_told(world: Folders) -> None:
    world.commit(TO_DB, TO_API)
    world.settle()
    world.commit(TO_DB, FAULTY)
    report = world.settle()
    (told,) = said(report, "GM414")
    assert "AuthorizationPolicy shop/api-allow in east stays" in told.message
    assert "(AccessPolicy/shop/to-api): errors hold shop/api" in told.message
    assert (told.severity, told.cluster) == ("warning", "east")
    assert "goes by itself" in told.hint
    assert any("api-allow" in path for path in world.live("east"))


def test_it_ends_with_the_errors(world: Folders) -> None:
    world.commit(TO_DB, TO_API)
    world.settle()
    world.commit(TO_DB, FAULTY)
    world.settle()
    world.commit(TO_DB)
    assert codes(world.settle()) == []
    assert not any("api-allow" in path for path in world.live("east"))


def test_or_when_somebody_deletes_it(world: Folders) -> None:
    world.commit(TO_DB, TO_API)
    world.settle()
    world.commit(TO_DB, FAULTY)
    world.settle()
    for path in (world.root / "east").glob("shop/*/api-allow.yaml"):
        path.unlink()
    report = world.settle()
    assert said(report, "GM414") == []
    assert not any("api-allow" in path for path in world.live("east"))


@pytest.mark.parametrize("closed", [False, True])
def test_an_allow_of_an_older_version_is_told_by_what_it_may_be_for(world: Folders, *, closed: bool) -> None:
    """Nobody knows whose it is; where all else is denied, what it admits nobody else admits."""
    more = [CLOSED] if closed else []
    world.commit(TO_DB, TO_API, *more)
    world.settle()
    world.tamper("east", forget_units)
    world.commit(allow("to-db", "db", "nobody-of-that-name"), *more)
    (told,) = said(world.settle(), "GM414")
    assert "shop/api-allow" in told.message
    assert "it is not known what it is for, and errors hold shop/db" in told.message
    assert told.severity == ("error" if closed else "warning")
    assert ("whom no policy admits" in told.message) is closed


def test_a_route_is_told_as_well(world: Folders) -> None:
    world.commit(document("TrafficPolicy", "slow", destinations=[{"name": "db"}], timeout="5s"))
    world.settle()
    wrong = [{"weight": 1, "destination": {"name": "nowhere"}}]
    world.commit(document("TrafficPolicy", "wrong", destinations=[{"name": "db"}], split=wrong))
    (told,) = said(world.settle(), "GM414")
    assert "VirtualService shop/db in east stays" in told.message
    assert told.severity == "warning"


def test_what_a_policy_in_force_is_behind_is_told_by_that(world: Folders) -> None:
    world.commit(TO_DB, TO_API)
    world.settle()
    world.commit(TO_DB, allow("to-api", "api", "nobody-of-that-name"))
    report = world.settle()
    assert "GM208" in codes(report)
    assert said(report, "GM414") == []
