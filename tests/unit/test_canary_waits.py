"""A canary by subsets beside somebody else's DestinationRule: at no step does a live route lead nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitmesh.model.plan import Action
from gitmesh.model.report import Report, State
from gitmesh.status.states import policy_states
from tests.folders import Body, Folders, app, said, thing
from tests.properties.history import document

RULE, ROUTE = "destinationrule.networking.istio.io", "virtualservice.networking.istio.io"
POLICY = "TrafficPolicy/shop/canary"


def canary(old: str = "v1", new: str = "v2", service: str = "api", to: str = "api") -> Body:
    split = [
        {"weight": weight, "destination": {"name": to, "subset": {"version": version}}}
        for weight, version in ((90, old), (10, new))
    ]
    return document("TrafficPolicy", "canary", destinations=[{"name": service}], split=split)


def theirs(**more: Any) -> Body:
    spec: Body = {"host": "api", "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 2}}}
    api = "networking.istio.io/v1"
    return thing("DestinationRule", "api-breaker", more.pop("namespace", "shop"), api, spec=spec, **more)


@pytest.fixture
def shop(tmp_path: Path) -> Folders:
    found = Folders(tmp_path, names=("east",))
    versions = [app("api", pod=f"api-{v}", labels={"version": v}) for v in ("v1", "v2", "v3")]
    found.put("east", "pods", app("web"), app("db"), *versions)
    return found


def served(shop: Folders) -> set[str]:
    """The subsets that routes of ours lead to, each of which a rule must have."""
    live = shop.live("east")
    used: set[str] = set()
    for path in live:
        if f"/{ROUTE}/" in path:
            spec = shop.spec("east", Path(path).stem, kind=ROUTE)
            used |= {
                share["destination"]["subset"]
                for row in spec["http"]
                for share in row["route"]
                if "subset" in share["destination"]
            }
    return used


def offered(shop: Folders) -> set[str]:
    try:
        spec = shop.spec("east", "api", kind=RULE)
    except FileNotFoundError:
        return set()
    return {one["name"] for one in spec.get("subsets", ())}


def step(shop: Folders) -> Report:
    report = shop.run()
    assert served(shop) <= offered(shop), "a live route leads to a subset that no live rule has"
    return report


def test_the_route_waits_while_its_subsets_are_withheld_and_follows_them(shop: Folders) -> None:
    shop.commit(canary())
    stranger = shop.put("east", "theirs", theirs())
    was = stranger.read_text()
    for _ in range(3):
        report = step(shop)
    assert not any(ROUTE in path or RULE in path for path in shop.live("east"))
    assert stranger.read_text() == was
    [waits], [conflict] = said(report, "GM411"), said(report, "GM401")
    assert "DestinationRule shop/api would, but is in conflict" in waits.message
    assert "api-breaker" in conflict.message
    assert waits.policy == conflict.policy == POLICY
    assert policy_states(report)[POLICY] is State.HELD
    assert report.clusters["east"].state is State.HELD
    shop.drop("east", "theirs")
    for _ in range(3):
        report = step(shop)
    assert offered(shop) == served(shop) == {"version-v1", "version-v2"}
    assert policy_states(report)[POLICY] is State.SYNCED


def test_what_is_live_goes_on_when_the_next_subset_is_withheld(shop: Folders) -> None:
    shop.commit(canary())
    shop.settle()
    file = next((shop.root / "east" / "shop" / RULE).glob("api.yaml"))
    paused = "annotations:\n    gitmesh.io/reconcile: disabled\n"
    file.write_text(file.read_text().replace("annotations:\n", paused, 1))
    shop.commit(canary("v2", "v3"))
    for _ in range(3):
        report = step(shop)
    assert served(shop) == {"version-v1", "version-v2"}
    plan = report.clusters["east"].plan
    assert plan is not None
    held = [one.key.kind for one in plan.changes if one.action is Action.HELD]
    assert held == ["DestinationRule", "VirtualService"]
    file.write_text(file.read_text().replace(paused, "annotations:\n", 1))
    for _ in range(4):
        step(shop)
    assert served(shop) == offered(shop) == {"version-v2", "version-v3"}


def test_a_route_of_another_service_waits_for_the_subset_as_well(shop: Folders) -> None:
    shop.commit(canary(service="web"))
    shop.put("east", "theirs", theirs())
    report = step(shop)
    assert [one.message.split(" in ")[0] for one in said(report, "GM411")] == ["VirtualService shop/web"]
    assert served(shop) == set()


def test_a_strangers_rule_that_has_the_subsets_will_do(shop: Folders) -> None:
    rule = theirs()
    rule["spec"]["subsets"] = [{"name": f"version-{v}", "labels": {"version": v}} for v in ("v1", "v2")]
    shop.put("east", "theirs", rule)
    shop.commit(canary())
    report = shop.run()
    assert served(shop) == {"version-v1", "version-v2"}
    assert not said(report, "GM411")


def test_without_subsets_a_strangers_rule_holds_no_route(shop: Folders) -> None:
    shop.put("east", "theirs", theirs())
    shop.commit(document("TrafficPolicy", "canary", destinations=[{"name": "api"}], timeout="2s"))
    report = step(shop)
    assert any(ROUTE in path for path in shop.live("east"))
    assert not said(report, "GM411")
