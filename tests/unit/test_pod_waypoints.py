"""Waypoints that take what is for the addresses of pods (istio.io, 'Configure waypoint proxies', traffic
types): at them no policy for a Service is asked, and the pods see their identity alone (istio/istio#56505).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitmesh.diagnostics import Severity
from gitmesh.model.report import Report
from gitmesh.reasoning.access import can
from gitmesh.reasoning.questions import Client, Question
from tests.ambient_folders import MODE, USE, in_ambient, pod, waypoint
from tests.folders import (
    Body,
    Folders,
    allow,
    calculator,
    codes,
    deny,
    said,
    service,
    thing,
)

FOR = "istio.io/waypoint-for"
WAYPOINT, WEB = "east.example/ns/shop/sa/waypoint", "east.example/ns/shop/sa/web"
ALL = {FOR: "all"}


TO_WEB = allow("callers", "api", "web")


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """All pods of `shop` in ambient, and bound to the waypoint with their namespace."""
    made = in_ambient(tmp_path, **{USE: "waypoint"})
    made.put("east", "waypoint", waypoint(ALL))
    return made


def sources(world: Folders, name: str) -> list[list[str]]:
    """Whom each rule of an object names, but for what it says of ports alone."""
    return [
        source["source"].get("principals", [])
        for rule in world.spec("east", name)["rules"]
        for source in rule.get("from", [])
    ]


def severities(report: Report) -> set[Severity]:
    return {one.severity for one in said(report, "GM318")}


def answer(report: Report, account: str) -> str:
    """What `can` says of a caller in ambient."""
    client = Client(namespace="shop", service_account=account, trust_domain="east.example", mesh="istio")
    return can(Question(client=client, service=("shop", "api"), port=80), calculator(report)).answer.value


def test_pods_do_not_let_in_who_also_brings_what_is_for_their_addresses(world: Folders) -> None:
    world.commit(TO_WEB)
    report = world.settle()
    assert codes(report) == ["GM318"]
    assert severities(report) == {Severity.ERROR}
    assert "also takes what is for the addresses of pods" in said(report, "GM318")[0].message
    assert sources(world, "api-allow") == [[WEB]]
    assert sources(world, "api-deny") == [[WAYPOINT]]
    assert sources(world, "api.waypoint-allow") == [[WEB]]
    assert answer(report, "web") == "Denied"


def test_who_is_denied_does_not_come_by_the_address_of_a_pod(world: Folders) -> None:
    world.commit(deny("callers", "api", "db"))
    report = world.settle()
    assert severities(report) == {Severity.ERROR}
    assert [WAYPOINT] in sources(world, "api-deny")
    assert answer(report, "web") == "Denied"


@pytest.mark.parametrize(
    ("namespace", "labels", "of_service", "expected"),
    [
        pytest.param({}, {USE: "waypoint"}, {}, Severity.WARNING, id="the pods alone are bound"),
        pytest.param({}, {USE: "waypoint"}, {USE: "waypoint"}, Severity.ERROR, id="both by their labels"),
        pytest.param({USE: "waypoint"}, {}, {USE: "none"}, Severity.WARNING, id="the Service is not"),
        pytest.param({USE: "waypoint"}, {USE: "none"}, {}, None, id="the pods are not"),
        pytest.param({}, {}, {USE: "waypoint"}, None, id="the Service alone is"),
        pytest.param({USE: "waypoint"}, {USE: "other"}, {}, None, id="to another one"),
    ],
)
def test_pods_are_bound_by_their_labels_else_by_their_namespace(
    world: Folders,
    namespace: dict[str, str],
    labels: dict[str, str],
    of_service: dict[str, str],
    expected: Severity | None,
) -> None:
    shop = thing("Namespace", "shop", labels={MODE: "ambient", **namespace})
    world.put("east", "namespaces", thing("Namespace", "istio-system"), shop)
    world.put("east", "pods", pod("web"), pod("db"), pod("api", labels=labels))
    world.put(
        "east",
        "services",
        {**service("api"), "metadata": {"name": "api", "namespace": "shop", "labels": of_service}},
    )
    world.commit(TO_WEB)
    report = world.settle()
    assert severities(report) == ({expected} if expected else set())
    assert answer(report, "web") == ("Denied" if expected is Severity.ERROR else "Allowed")
    assert answer(report, "db") == "Denied"


@pytest.mark.parametrize(
    ("gateway", "told"),
    [
        pytest.param(waypoint({}), [], id="for Services as it says nothing"),
        pytest.param(waypoint({FOR: "service"}), [], id="for Services"),
        pytest.param(waypoint({FOR: "none"}), [], id="for nothing"),
        pytest.param(waypoint(ALL, ready=False), [], id="without an address"),
        pytest.param(waypoint({FOR: "workload"}), ["GM318"], id="for pods alone"),
    ],
)
def test_a_waypoint_that_takes_nothing_for_pods_is_let_in(
    world: Folders, gateway: Body, told: list[str]
) -> None:
    world.put("east", "waypoint", gateway)
    world.commit(TO_WEB)
    report = world.settle()
    assert codes(report) == told
    assert severities(report) <= {Severity.WARNING}
    assert answer(report, "web") == "Allowed"


def test_clients_of_a_headless_service_come_by_the_waypoint_of_its_pods(world: Folders) -> None:
    world.put("east", "services", service("api", clusterIP="None"))
    world.commit(TO_WEB)
    report = world.settle()
    assert severities(report) == {Severity.ERROR}
    assert answer(report, "web") == "Denied"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param({}, [], id="connections of everybody"),
        pytest.param({"rules": [{"ports": [80]}]}, [], id="of a port"),
        pytest.param({"rules": [{"methods": ["GET"]}]}, ["GM318", "GM318"], id="some of their requests"),
    ],
)
def test_where_everybody_may_call_the_waypoint_may(
    world: Folders, more: dict[str, Any], told: list[str]
) -> None:
    world.commit(allow("callers", "api", sources=[{"all": True}], **more))
    report = world.settle()
    assert codes(report) == told
    assert answer(report, "db") == ("Denied" if told else "Allowed")
