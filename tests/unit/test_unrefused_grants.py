"""Somebody has an object of his own in place of a Deny: what is granted beside it admits nobody more
meanwhile, as whom it would let in is not refused (design law 2).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.folders import (
    AUTHORIZATION,
    Body,
    Folders,
    allow,
    app,
    authorization,
    deny,
    refuse,
    said,
    service,
    virtual_mesh,
)

CLOSED = virtual_mesh(accessDefault="Deny")
NOT_WEB = deny("no", "api", "web")
ALLOW = f"shop/{AUTHORIZATION}/api-allow.yaml"


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """Nobody may call, and the Deny of api is not ours to write."""
    made = Folders(tmp_path, names=("east",))
    made.put("east", "theirs", authorization("api-deny", "shop", {"action": "AUDIT", "rules": [{}]}))
    made.commit(CLOSED)
    made.settle()
    return made


def granted(world: Folders) -> Body:
    return world.spec("east", "api-allow") if ALLOW in world.live("east") else {}


def test_a_grant_waits_for_the_refusal_and_comes_with_it(world: Folders) -> None:
    world.commit(CLOSED, allow("some", "api", "web", "db"), NOT_WEB)
    report = world.settle()
    assert granted(world) == {}
    assert ["api-deny" in one.message for one in said(report, "GM406")] == [True]
    assert said(report, "GM401")
    world.drop("east", "theirs")
    world.settle()
    assert "sa/web" in str(granted(world))
    assert "sa/web" in str(world.spec("east", "api-deny"))


def test_one_that_is_there_grants_no_more_than_it_did(world: Folders) -> None:
    world.commit(CLOSED, allow("some", "api", "db"))
    world.settle()
    before = granted(world)
    world.commit(CLOSED, allow("some", "api", "db", "web"), NOT_WEB)
    world.settle()
    assert granted(world) == before


def test_one_that_gains_and_loses_loses_at_once_and_gains_with_the_refusal(world: Folders) -> None:
    """In one write: a withdrawal waits for nothing that a tenant could put in the way. Who is granted before
    and after is not kept out meanwhile."""
    world.commit(CLOSED, allow("some", "api", "db", "api"))
    world.settle()
    world.commit(CLOSED, allow("some", "api", "db", "web"), NOT_WEB)
    report = world.settle()
    assert [f"sa/{who}" in str(granted(world)) for who in ("api", "db", "web")] == [False, True, False]
    assert ["api-deny" in one.message for one in said(report, "GM406")] == [True]
    world.drop("east", "theirs")
    world.settle()
    assert [f"sa/{who}" in str(granted(world)) for who in ("api", "db", "web")] == [False, True, True]


def test_nor_does_it_gain_at_other_pods_to_which_it_goes(world: Folders) -> None:
    """It leaves the pods of before all the same."""
    world.put("east", "other", app("other"))
    world.commit(CLOSED, allow("some", "api", "web", "db"))
    world.settle()
    world.put("east", "services", service("web"), service("db"), service("api", selector={"app": "other"}))
    world.commit(CLOSED, allow("some", "api", "web", "db"), NOT_WEB)
    world.settle()
    assert granted(world)["selector"] == {"matchLabels": {"app": "other"}}
    assert "rules" not in granted(world)
    world.drop("east", "theirs")
    world.settle()
    assert "sa/web" in str(granted(world))


def test_the_first_grant_waits_where_grants_of_others_close_its_pods(world: Folders) -> None:
    """There it admits more by coming, though nothing closes the mesh."""
    world.put("east", "twin", service("twin", selector={"app": "api"}))
    world.commit(allow("beside", "twin", "db"))
    world.settle()
    world.commit(allow("beside", "twin", "db"), allow("some", "api", "web"), NOT_WEB)
    world.settle()
    assert granted(world) == {}
    world.drop("east", "theirs")
    world.settle()
    assert "sa/web" in str(granted(world))


def test_what_it_grants_less_comes_at_once(world: Folders) -> None:
    """And what was admitted is healed: both are no wider than before."""
    world.commit(CLOSED, allow("some", "api", "db", "web"))
    world.settle()
    world.commit(CLOSED, allow("some", "api", "db"), NOT_WEB)
    world.settle()
    assert "sa/web" not in str(granted(world))
    (world.root / "east" / ALLOW).unlink()
    world.settle()
    assert "sa/db" in str(granted(world))


def test_the_first_grant_closes_what_nothing_else_does_and_does_not_wait(world: Folders) -> None:
    world.commit(allow("some", "api", "web", "db"), NOT_WEB)
    world.settle()
    assert "sa/db" in str(granted(world))


def test_the_grant_of_another_service_is_no_concern_of_it(world: Folders) -> None:
    world.commit(CLOSED, NOT_WEB, allow("other", "db", "web"))
    world.settle()
    assert "sa/web" in str(world.spec("east", "db-allow"))


@pytest.mark.parametrize("kept", ["fails", "taken"])
def test_a_grant_waits_for_the_refusal_of_another_service_over_its_pods(
    world: Folders, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    """Pods do not see by which of their Services somebody comes."""
    world.put("east", "twin", service("twin", selector={"app": "api"}))
    if kept == "taken":
        world.put("east", "theirs", authorization("twin-deny", "shop", {"action": "AUDIT", "rules": [{}]}))
    else:
        world.drop("east", "theirs")
    world.commit(CLOSED, allow("some", "api", "db"))
    world.settle()
    with monkeypatch.context() as patched:
        refuse(patched, "twin-deny")
        world.commit(CLOSED, allow("some", "api", "db", "web"), deny("no", "twin", "web"))
        for _ in range(2):
            world.run()
            assert "sa/web" not in str(granted(world))
    if kept == "taken":
        world.drop("east", "theirs")
    world.settle()
    assert "sa/web" in str(granted(world))


def test_what_it_grants_less_waits_for_no_other_service(
    world: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("east", "twin", service("twin", selector={"app": "api"}))
    world.commit(CLOSED, allow("some", "api", "db", "web"))
    world.settle()
    refuse(monkeypatch, "twin-deny")
    world.commit(CLOSED, allow("some", "api", "db"), deny("no", "twin", "db"))
    world.run()
    assert "sa/web" not in str(granted(world))


@pytest.mark.parametrize("before", [["other"], []], ids=["gains and loses", "the first"])
def test_by_the_servers_word_any_grant_that_admits_more_waits_for_another_service(
    world: Folders, monkeypatch: pytest.MonkeyPatch, before: list[str]
) -> None:
    """What the Services before it grant has closed the pods, so that it opens them to web."""
    world.put("east", "twin", service("twin", selector={"app": "api"}))
    world.drop("east", "theirs")
    world.commit(allow("beside", "twin", "db"), *([allow("some", "api", *before)] if before else []))
    world.settle()
    then = granted(world)
    with monkeypatch.context() as patched:
        refuse(patched, "twin-deny")
        world.commit(allow("beside", "twin", "db"), allow("some", "api", "web"), deny("no", "twin", "web"))
        for _ in range(2):
            world.run()
            assert granted(world) == then
    world.settle()
    assert "sa/web" in str(granted(world))


def test_what_was_not_tried_is_missed_as_what_failed(world: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal of twin waits for its grant to leave the pods of before, and that is not taken."""
    world.drop("east", "theirs")
    world.put("east", "before", app("before"))
    world.put("east", "twin", service("twin", selector={"app": "before"}))
    world.commit(allow("some", "api", "db"), allow("beside", "twin", "db"), deny("no", "twin", "api"))
    world.settle()
    world.put("east", "twin", service("twin", selector={"app": "api"}))
    refuse(monkeypatch, "twin-allow")
    world.commit(allow("some", "api", "db", "web"), allow("beside", "twin", "db"), deny("no", "twin", "web"))
    for _ in range(2):
        world.run()
        assert "sa/web" not in str(granted(world))
