"""Ours beside what others wrote: never more than was admitted before, plus what the policies grant
(docs/concepts.md#who-may-call).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer
from gitmesh.reasoning.questions import Client, Question
from tests.folders import (
    Body,
    Folders,
    allow,
    app,
    authorization,
    calculator,
    codes,
    said,
    service,
    virtual_mesh,
)

REST = {"to": [{"operation": {"notPorts": ["8080"]}}]}
ALLOW = "shop/authorizationpolicy.security.istio.io/db-allow.yaml"


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    made = Folders(tmp_path, ("east",))
    made.commit(allow("db", "db", "api"))
    return made


def rules(world: Folders, name: str = "db-allow") -> list[Body]:
    found: list[Body] = world.spec("east", name).get("rules", [])
    return found


def test_without_anybody_elses_object_other_ports_stay_open(world: Folders) -> None:
    assert codes(world.settle()) == []
    assert REST in rules(world)


CLOSING: list[tuple[str, Mapping[str, Any]]] = [
    ("shop", {}),
    ("istio-system", {}),
    ("shop", {"selector": {"matchLabels": {"app": "db"}}}),
    ("istio-system", {"selector": {"matchLabels": {"app": "db"}}}),
    ("shop", {"action": "ALLOW", "rules": [{"from": [{"source": {"namespaces": ["shop"]}}]}]}),
]


@pytest.mark.parametrize(("namespace", "spec"), CLOSING)
def test_what_somebody_else_closed_is_not_opened(
    world: Folders, namespace: str, spec: Mapping[str, Any]
) -> None:
    world.put("east", "theirs", authorization("allow-nothing", namespace, spec))
    report = world.settle()
    [rule] = rules(world)
    assert "/sa/api" in str(rule)
    assert rule["to"] == [{"operation": {"ports": ["8080"]}}]
    [told] = said(report, "GM410")
    assert (told.severity, told.policy) == ("info", "AccessPolicy/shop/db")
    assert f"{namespace}/allow-nothing" in told.message


NOT_CLOSING: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
    ("other", {}, {}),
    ("shop", {"selector": {"matchLabels": {"app": "web"}}}, {}),
    ("shop", {"selector": {"matchLabels": {"app": "db", "tier": "gold"}}}, {}),
    ("shop", {"action": "DENY", "rules": [{}]}, {}),
    ("shop", {"action": "AUDIT", "rules": [{}]}, {}),
    (
        "shop",
        {"targetRefs": [{"kind": "Gateway", "name": "waypoint", "group": "gateway.networking.k8s.io"}]},
        {},
    ),
    *(("shop", {}, {"istio.io/dry-run": value}) for value in ("true", "1", "t", "T", "TRUE", "True")),
]


@pytest.mark.parametrize(("namespace", "spec", "annotations"), NOT_CLOSING)
def test_what_closes_no_pod_of_ours_changes_nothing(
    world: Folders, namespace: str, spec: Mapping[str, Any], annotations: Mapping[str, str]
) -> None:
    theirs = authorization("theirs", namespace, spec)
    theirs["metadata"]["annotations"] = dict(annotations)
    world.put("east", "theirs", theirs)
    report = world.settle()
    assert REST in rules(world)
    assert not said(report, "GM410")


def pods_of_db(world: Folders, labels: Mapping[str, Mapping[str, str]], **more: Any) -> None:
    """Pods of one StatefulSet with these labels beside app=db."""
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True}
    pods = [app("db", pod=name, labels=dict(own), **more) for name, own in labels.items()]
    for pod in pods:
        pod["metadata"]["ownerReferences"] = [owner]
    world.put("east", "pods", app("web"), app("api"), *pods)


TIERS = {"db-0": {"tier": "gold"}, "db-1": {"tier": "lead"}}
GOLD = authorization("gold", "shop", {"selector": {"matchLabels": {"tier": "gold"}}})


def test_pods_that_theirs_does_not_select_stay_as_they_were(world: Folders) -> None:
    pods_of_db(world, TIERS)
    world.put("east", "theirs", GOLD)
    world.settle()
    assert REST not in rules(world)
    assert REST in rules(world, "db.tier-lead-allow")
    assert rules(world)[0] in rules(world, "db.tier-lead-allow")
    world.drop("east", "theirs")
    world.settle()
    assert [path for path in world.live("east") if "/db" in path] == [ALLOW]
    assert REST in rules(world)


def test_pods_that_no_label_tells_from_those_it_selects_are_closed_and_told(world: Folders) -> None:
    pods_of_db(world, {"db-0": {"tier": "gold"}, "db-1": {}}, ports={"http": 8080, "more": 9000})
    world.put("east", "theirs", GOLD)
    report = world.settle()
    assert [path for path in world.live("east") if "/db" in path] == [ALLOW]
    assert REST not in rules(world)
    [told] = said(report, "GM304")
    assert "port 9000 of StatefulSet shop/db" in told.message


@pytest.mark.parametrize("tier", ["gold", "lead"])
def test_the_calculator_knows_what_is_open_beside_theirs(world: Folders, tier: str) -> None:
    pods_of_db(world, TIERS, ports={"http": 8080, "more": 9000})
    more = service("more", selector={"app": "db", "tier": tier})
    more["spec"]["ports"] = [{"name": "http", "port": 80, "targetPort": 9000}]
    world.put("east", "more", more)
    world.put("east", "theirs", GOLD)
    report = world.settle()
    client = Client(namespace="shop", service_account="web", trust_domain="east.example", mesh="istio")
    asked = Question(client=client, service=("shop", "more"), port=80)
    assert can(asked, calculator(report)).answer is (Answer.DENIED if tier == "gold" else Answer.ALLOWED)


def test_it_is_closed_when_theirs_comes_later_and_open_again_when_it_goes(world: Folders) -> None:
    world.settle()
    world.put("east", "theirs", authorization("allow-nothing", "shop", {}))
    world.settle()
    assert REST not in rules(world)
    world.drop("east", "theirs")
    assert codes(world.settle()) == []
    assert REST in rules(world)


def test_our_own_default_of_deny_is_nobody_elses(world: Folders) -> None:
    world.commit(allow("db", "db", "api"), virtual_mesh(accessDefault="Deny"))
    assert codes(world.settle()) == []
    world.commit(allow("db", "db", "api"))
    assert codes(world.settle()) == []
    assert REST in rules(world)


# --- ports of a rollout


def rollout(world: Folders, *numbers: int, more: Mapping[str, int] | None = None) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True}
    pods = [
        app("db", pod=f"db-{n}", ports={"http": number, **(more or {})}) for n, number in enumerate(numbers)
    ]
    for pod in pods:
        pod["metadata"]["ownerReferences"] = [owner]
    world.put("east", "pods", app("web"), app("api"), *pods)
    named = service("db")
    named["spec"]["ports"][0]["targetPort"] = "http"
    world.put("east", "services", service("web"), service("api"), named)


@pytest.mark.parametrize("numbers", [(8080, 8080, 8081), (8080, 8081, 8081), (8081, 8080)])
def test_every_number_of_a_named_port_counts(world: Folders, numbers: tuple[int, ...]) -> None:
    rollout(world, *numbers)
    assert codes(world.settle()) == []
    grant, rest = sorted(rules(world), key=lambda rule: "from" not in rule)
    assert grant["to"] == [{"operation": {"ports": ["8080", "8081"]}}]
    assert rest == {"to": [{"operation": {"notPorts": ["8080", "8081"]}}]}
    rollout(world, 8081, 8081)
    world.settle()
    assert rules(world)[0]["to"] == [{"operation": {"ports": ["8081"]}}] or rules(world)[1]["to"] == [
        {"operation": {"ports": ["8081"]}}
    ]


def test_a_number_that_is_another_port_on_other_pods_is_not_opened_under_a_default_of_deny(
    world: Folders,
) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True}
    rollout(world, 8080)
    pods = [
        app("db", pod="db-0", ports={"http": 8080, "admin": 8081}),
        app("db", pod="db-1", ports={"http": 8081, "admin": 9000}),
    ]
    for pod in pods:
        pod["metadata"]["ownerReferences"] = [owner]
    world.put("east", "pods", app("web"), app("api"), *pods)
    world.commit(allow("db", "db", "api"), virtual_mesh(accessDefault="Deny"))
    report = world.settle()
    assert [rule["to"] for rule in rules(world)] == [[{"operation": {"ports": ["8080"]}}]]
    assert "8081" in said(report, "GM304")[0].message


def test_what_a_default_exempts_is_not_opened_where_somebody_else_closed_it(world: Folders) -> None:
    world.commit(virtual_mesh(accessDefault="Deny", accessExempt={"ports": [80]}))
    world.settle()
    assert ALLOW in world.live("east")
    world.put("east", "theirs", authorization("db", "shop", {"selector": {"matchLabels": {"app": "db"}}}))
    report = world.settle()
    assert ALLOW not in world.live("east")
    [told] = said(report, "GM304")
    assert told.policy == "VirtualMesh/shop/all"
    assert "shop/db decides about pods of Service shop/db" in told.message
