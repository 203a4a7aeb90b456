"""The last grant of a destination goes: what it closed is not open before something else closes it (design
law 2).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.folders import (
    AUTHORIZATION,
    Folders,
    allow,
    authorization,
    deny,
    refuse,
    said,
    service,
    thing,
    virtual_mesh,
)
from tests.properties.history import document

DEFAULT = "gitmesh-default-deny"


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """Grants alone close api."""
    made = Folders(tmp_path, names=("east",))
    made.commit(allow("some", "api", "web"))
    made.settle()
    return made


@pytest.mark.parametrize("missing", [DEFAULT, "api-deny"])
def test_it_stays_while_what_comes_in_its_place_is_not_taken(
    world: Folders, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    wanted = virtual_mesh(accessDefault="Deny") if missing == DEFAULT else deny("no", "api", "db")
    world.commit(wanted)
    with monkeypatch.context() as patched:
        refuse(patched, missing)
        for _ in range(2):
            world.run()
            assert "sa/web" in str(world.spec("east", "api-allow"))
    world.settle()
    assert f"shop/{AUTHORIZATION}/api-allow.yaml" not in world.live("east")


def test_it_stays_while_somebody_has_another_object_in_place_of_the_default(world: Folders) -> None:
    world.put("east", "theirs", authorization(DEFAULT, "istio-system", {"action": "AUDIT", "rules": [{}]}))
    world.commit(virtual_mesh(accessDefault="Deny"))
    report = world.settle()
    assert "sa/web" in str(world.spec("east", "api-allow"))
    assert [one.message for one in said(report, "GM406")] != []
    world.drop("east", "theirs")
    world.settle()
    assert f"shop/{AUTHORIZATION}/api-allow.yaml" not in world.live("east")


THEIRS = {"action": "AUDIT", "rules": [{}]}


def test_it_stays_while_somebody_has_another_object_in_place_of_a_refusal(world: Folders) -> None:
    """Without the grant db would come in, whom neither revision admits."""
    world.put("east", "theirs", authorization("api-deny", "shop", THEIRS))
    world.commit(deny("no", "api", "db"))
    report = world.settle()
    assert "sa/web" in str(world.spec("east", "api-allow"))
    assert ["api-deny" in one.message for one in said(report, "GM406")] == [True]
    world.drop("east", "theirs")
    world.settle()
    assert "sa/db" in str(world.spec("east", "api-deny"))
    assert f"shop/{AUTHORIZATION}/api-allow.yaml" not in world.live("east")


def test_it_goes_where_a_default_closes_what_it_closed(world: Folders) -> None:
    """The counter-proof: nobody comes in, so what was withdrawn is gone at once."""
    world.commit(virtual_mesh(accessDefault="Deny"), allow("some", "api", "web"))
    world.settle()
    world.put("east", "theirs", authorization("api-deny", "shop", THEIRS))
    world.commit(virtual_mesh(accessDefault="Deny"), deny("no", "api", "db"))
    world.settle()
    assert f"shop/{AUTHORIZATION}/api-allow.yaml" not in world.live("east")


def test_it_waits_for_no_refusal_of_another_namespace(world: Folders) -> None:
    """The counter-proof: what a tenant puts in the way holds nobody else's."""
    world.put("east", "tenant", thing("Namespace", "web"), service("api", "web"))
    world.put("east", "theirs", authorization("api-deny", "web", THEIRS))
    sources = [{"serviceAccounts": [{"name": "db"}]}]
    elsewhere = [{"name": "api", "namespaces": ["web"]}]
    world.commit(document("AccessPolicy", "no", action="Deny", sources=sources, destinations=elsewhere))
    assert said(world.settle(), "GM401")
    assert f"shop/{AUTHORIZATION}/api-allow.yaml" not in world.live("east")


def test_a_default_stays_while_a_refusal_anywhere_is_not_taken(
    world: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it db would come in to api, whom both revisions refuse; one object is for all of the mesh."""
    world.commit(virtual_mesh(accessDefault="Deny"), allow("some", "api", "web"))
    world.settle()
    world.commit(deny("no", "api", "db"))
    with monkeypatch.context() as patched:
        refuse(patched, "api-deny")
        world.run()
        assert f"istio-system/{AUTHORIZATION}/{DEFAULT}.yaml" in world.live("east")
    world.settle()
    assert f"istio-system/{AUTHORIZATION}/{DEFAULT}.yaml" not in world.live("east")


def test_a_default_goes_though_a_tenant_is_in_the_way_of_a_refusal(world: Folders) -> None:
    """The counter-proof: it is told, and open to whom it would refuse are the pods of that tenant alone."""
    world.commit(virtual_mesh(accessDefault="Deny"), allow("some", "api", "web"))
    world.settle()
    world.put("east", "theirs", authorization("api-deny", "shop", THEIRS))
    world.commit(deny("no", "api", "db"), allow("some", "api", "web"))
    report = world.settle()
    assert f"istio-system/{AUTHORIZATION}/{DEFAULT}.yaml" not in world.live("east")
    assert said(report, "GM401")


def test_it_goes_though_a_write_that_closes_nothing_fails(
    world: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counter-proof: the grant of a neighbour is not taken."""
    world.commit(virtual_mesh(accessDefault="Deny"), allow("some", "api", "web"))
    world.settle()
    world.commit(virtual_mesh(accessDefault="Deny"), allow("more", "db", "web"))
    refuse(monkeypatch, "db-allow")
    world.run()
    assert f"shop/{AUTHORIZATION}/api-allow.yaml" not in world.live("east")


def test_it_stays_while_the_grant_that_closes_the_pods_in_its_place_is_not_taken(
    world: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of another Service over the same pods: without either, all may call them."""
    world.put("east", "twin", service("twin", selector={"app": "api"}))
    world.commit(allow("some", "twin", "db"))
    with monkeypatch.context() as patched:
        refuse(patched, "twin-allow")
        for _ in range(2):
            world.run()
            assert "sa/web" in str(world.spec("east", "api-allow"))
    world.settle()
    assert f"shop/{AUTHORIZATION}/api-allow.yaml" not in world.live("east")
    assert "sa/db" in str(world.spec("east", "twin-allow"))
