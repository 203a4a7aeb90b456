"""An ExternalName Service stands for another: whoever answers for that one answers for it, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitmesh.cli.asking import known_clusters
from gitmesh.model.report import Report
from gitmesh.reasoning.access import can
from gitmesh.reasoning.crowd import Crowd
from gitmesh.reasoning.population import population
from gitmesh.reasoning.questions import Client, Known, Question
from gitmesh.reasoning.routing import route
from gitmesh.reasoning.table import callers_of
from tests.folders import Body, Folders, allow, app, codes, said, shop, thing
from tests.properties.history import document

PORTS = [{"name": "http", "port": 80}]


def alias(name: str, of: str) -> Body:
    return thing("Service", name, "shop", spec={"type": "ExternalName", "externalName": of, "ports": PORTS})


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """`nick` stands for `api`, and `nack` for `nick`."""
    made = Folders(tmp_path, ("east",))
    aliases = alias("nick", "API.shop.svc.cluster.local."), alias("nack", "nick.shop.svc.cluster.local")
    made.put("east", "services", *shop("east")["services"], *aliases)
    return made


def known(report: Report) -> Known:
    return known_clusters(report)["east"]


def question(to: str, account: str = "db") -> Question:
    client = Client(namespace="shop", service_account=account, trust_domain="east.example", mesh="istio")
    return Question(client=client, service=("shop", to), port=80)


@pytest.mark.parametrize("to", ["api", "nick", "nack"])
def test_who_may_call_it_is_said_of_whom_it_stands_for(world: Folders, to: str) -> None:
    world.commit(allow("readers", "api", "web"))
    found = known(world.settle())
    assert [can(question(to, who), found).answer.value for who in ("web", "db")] == ["Allowed", "Denied"]
    facts = found.index.facts
    rows = callers_of(("shop", to), found, Crowd(population("east", {"east": facts})))
    assert [row.callers for row in rows if row.answer.value == "Allowed"] == [("shop/web",)]


@pytest.mark.parametrize(
    ("of", "answer"),
    [
        pytest.param("www.example.com", "Allowed", id="a host elsewhere, which nothing guards"),
        pytest.param("gone.shop.svc.cluster.local", "Unknown", id="a Service that is not there"),
        pytest.param("api.shop.svc.west.example", "Unknown", id="a domain that may be another cluster's"),
        pytest.param("nick.shop.svc.cluster.local", "Unknown", id="itself"),
    ],
)
def test_what_stands_for_nothing_that_is_known_is_not_taken_for_open(
    world: Folders, of: str, answer: str
) -> None:
    world.put("east", "services", *shop("east")["services"], alias("nick", of))
    world.commit(allow("readers", "api", "web"))
    assert can(question("nick"), known(world.settle())).answer.value == answer


def test_its_requests_go_as_those_of_whom_it_stands_for(world: Folders) -> None:
    world.commit(document("TrafficPolicy", "slow", destinations=[{"name": "api"}], timeout="5s"))
    assert "timeout" in route(question("nack"), known(world.settle())).request


def test_a_policy_of_its_own_goes_before_theirs(world: Folders) -> None:
    world.commit(
        document("TrafficPolicy", "slow", destinations=[{"name": "api"}], timeout="5s"),
        document("TrafficPolicy", "own", destinations=[{"name": "nick"}], retries={"attempts": 1}),
    )
    assert set(route(question("nick"), known(world.settle())).request) == {"retries"}


@pytest.mark.parametrize(("of", "found"), [("api", []), ("db", ["GM221"])])
def test_a_split_to_it_leads_round_where_one_to_whom_it_stands_for_would(
    world: Folders, of: str, found: list[str]
) -> None:
    name = f"{of}.shop.svc.cluster.local"
    world.put("east", "services", *shop("east")["services"], alias("nick", name))
    split = [{"weight": 1, "destination": {"name": to}} for to in ("api", "nick")]
    world.commit(
        allow("readers", "api", "web"),
        document("TrafficPolicy", "halves", destinations=[{"name": "api"}], split=split),
    )
    assert codes(world.settle()) == found


def test_pods_without_a_proxy_behind_it_are_open_through_it_too(world: Folders) -> None:
    bare = {**app("api"), "spec": {"containers": [{"name": "app"}]}}
    world.put("east", "pods", app("web"), bare, app("db"))
    world.commit(allow("readers", "api", "web"))
    report = world.settle()
    assert said(report, "GM308")
    assert can(question("nick"), known(report)).answer.value == "Allowed"
