"""Splits and mirrors that lead round who may call a destination, and who really serves a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitmesh.cli.asking import known_clusters
from gitmesh.cli.ends import named_client
from gitmesh.diagnostics import Severity
from gitmesh.model.report import Report
from gitmesh.reasoning.answers import Admission, Answer
from gitmesh.reasoning.crowd import Crowd
from gitmesh.reasoning.population import population
from gitmesh.reasoning.questions import Client, Question
from gitmesh.reasoning.serving import served
from gitmesh.reasoning.table import callers_of, rows_of_client
from tests.folders import Body, Folders, allow, app, deny, said, service, thing, virtual_mesh
from tests.properties.history import document


@pytest.fixture
def shop(tmp_path: Path) -> Folders:
    """Beside web, api and db: api-next, which is another Service with pods of its own."""
    found = Folders(tmp_path, names=("east",))
    found.put(
        "east", "next", service("api-next"), app("api-next"), thing("ServiceAccount", "api-next", "shop")
    )
    return found


def traffic(**fields: Any) -> Body:
    return document("TrafficPolicy", "canary", destinations=[{"name": "api"}], **fields)


def canary(to: str = "api-next", **fields: Any) -> Body:
    split = [{"weight": weight, "destination": {"name": name}} for weight, name in ((90, "api"), (10, to))]
    return traffic(split=split, **fields)


def mirror(to: str = "api-next", percent: int = 100) -> Body:
    return traffic(mirror=[{"destination": {"name": to}, "percent": percent}])


def asked(report: Report, source: str, **request: Any) -> Admission:
    known = known_clusters(report)["east"]
    client = named_client(source, "", known.index.facts)
    assert client is not None
    return served(Question(client=client, service=("shop", "api"), port=80, **request), known)


def answers(found: Admission) -> dict[str, str]:
    return {"/".join(one.service): one.admission.answer.value for one in found.led}


def test_who_is_led_round_is_told_and_so_is_what_leads_there(shop: Folders) -> None:
    shop.commit(canary(), allow("front-only", "api", "web"))
    report = shop.run()
    [told] = said(report, "GM221")
    assert (told.policy, told.severity, told.field) == (
        "TrafficPolicy/shop/canary",
        Severity.WARNING,
        "spec.split[1].destination.name",
    )
    assert "shop/api-next" in told.message
    assert "AccessPolicy/shop/front-only" in told.message
    clerk, web = asked(report, "shop/db"), asked(report, "shop/web")
    assert (clerk.answer, answers(clerk)) == (
        Answer.DEPENDS,
        {"shop/api": "Denied", "shop/api-next": "Allowed"},
    )
    assert web.answer is Answer.ALLOWED


def test_where_both_are_decided_alike_nothing_is_led_round(shop: Folders) -> None:
    shop.commit(canary(), allow("front-only", "api", "web"), allow("next-too", "api-next", "web"))
    report = shop.run()
    assert not said(report, "GM221")
    assert asked(report, "shop/db").answer is Answer.DENIED
    assert asked(report, "shop/web").answer is Answer.ALLOWED


@pytest.mark.parametrize(
    "policies",
    [
        [allow("next-only", "api-next", "web")],
        [allow("a", "api", "web"), allow("b", "api-next", "db")],
        [deny("no", "api", "db")],
        [deny("no", "api-next", "db")],
        [allow("get", "api", "web", rules=[{"methods": ["GET"]}]), allow("all", "api-next", "web")],
        [virtual_mesh(accessDefault="Deny"), allow("a", "api", "web")],
    ],
)
@pytest.mark.parametrize("leading", [canary(), mirror()])
def test_it_is_told_wherever_the_decisions_differ(shop: Folders, leading: Body, policies: list[Body]) -> None:
    shop.commit(leading, *policies)
    assert [one.policy for one in said(shop.run(), "GM221")] == ["TrafficPolicy/shop/canary"]


@pytest.mark.parametrize(
    "policies",
    [
        [],
        [virtual_mesh(accessDefault="Deny", mtls={"mode": "Strict"})],
        [allow("everybody", "api", sources=[{"all": True}])],
        [allow("other", "db", "web")],
        [document("AccessPolicy", "both", destinations=[{"namespaces": ["shop"]}], sources=[{"all": True}])],
        [
            allow("a", "api", "web", rules=[{"ports": [80]}]),
            allow("b", "api-next", "web", rules=[{"ports": ["http"]}]),
        ],
    ],
)
@pytest.mark.parametrize("leading", [canary(), mirror()])
def test_it_is_not_told_where_nothing_can_differ(shop: Folders, leading: Body, policies: list[Body]) -> None:
    shop.commit(leading, *policies)
    assert not said(shop.run(), "GM221")


@pytest.mark.parametrize(
    "leading",
    [
        traffic(split=[{"destination": {"name": "api"}}, {"weight": 0, "destination": {"name": "api-next"}}]),
        traffic(split=[{"destination": {"name": "api", "subset": {"app": "api"}}}]),
        mirror(percent=0),
        mirror("api"),
        traffic(timeout="1s"),
    ],
)
def test_what_leads_nowhere_else_leads_round_nothing(shop: Folders, leading: Body) -> None:
    shop.commit(leading, allow("front-only", "api", "web"))
    assert not said(shop.run(), "GM221")


def test_a_split_for_clients_that_are_answered_alike_leads_round_nothing(shop: Folders) -> None:
    front = [{"labels": {"app": "web"}}]
    shop.commit(canary(sources=front), allow("front-only", "api", "web"))
    assert not said(shop.run(), "GM221")
    shop.commit(canary(sources=[{"labels": {"app": "db"}}]), allow("front-only", "api", "web"))
    assert said(shop.run(), "GM221")


def test_a_service_with_the_same_pods_is_no_way_round(shop: Folders) -> None:
    shop.put("east", "role", thing("Service", "api-role", "shop", spec=service("api")["spec"]))
    shop.commit(canary("api-role"), allow("front-only", "api", "web"))
    report = shop.run()
    assert not said(report, "GM221")
    assert asked(report, "shop/db").answer is Answer.DENIED


def test_pods_outside_the_mesh_guard_nothing(shop: Folders) -> None:
    outside = app("api-next")
    outside["spec"]["containers"].pop()
    shop.put("east", "next", service("api-next"), outside)
    shop.commit(canary(), allow("front-only", "api", "web"))
    report = shop.run()
    assert said(report, "GM221")
    assert asked(report, "shop/db").answer is Answer.DEPENDS


def test_what_is_held_cannot_be_told(shop: Folders) -> None:
    nobody = allow("nobody", "api-next", "missing")
    shop.commit(canary(), allow("front-only", "api", "web"), nobody)
    report = shop.run()
    assert ["cannot be told" in one.message for one in said(report, "GM221")] == [True]
    assert asked(report, "shop/db").answer is Answer.UNKNOWN


@pytest.mark.parametrize(("source", "answer"), [("anonymous", "Denied"), ("shop/db", "Depends")])
def test_who_has_no_proxy_is_led_nowhere(shop: Folders, source: str, answer: str) -> None:
    shop.commit(canary(), allow("front-only", "api", "web"))
    assert asked(shop.run(), source).answer.value == answer


def test_of_a_subset_its_own_pods_answer(shop: Folders) -> None:
    """Pods of one version carry no proxy."""
    plain = app("api", pod="api-2", labels={"version": "v2"})
    plain["spec"]["containers"].pop()
    shop.put("east", "versions", app("api", pod="api-1", labels={"version": "v1"}), plain)
    shop.put("east", "pods", app("web"), app("db"))
    shop.commit(allow("front-only", "api", "web"), traffic(split=[subset("v1")]))
    assert asked(shop.run(), "shop/db").answer is Answer.DENIED
    shop.commit(allow("front-only", "api", "web"), traffic(split=[subset("v2")]))
    assert asked(shop.run(), "shop/db").answer is Answer.ALLOWED


def subset(version: str) -> Body:
    return {"destination": {"name": "api", "subset": {"version": version}}}


def test_a_redirect_is_followed_to_the_service_that_it_names(shop: Folders) -> None:
    shop.commit(traffic(redirect={"hostname": "api-next.shop"}), deny("no", "api-next", "db"))
    report = shop.run()
    found = asked(report, "shop/db")
    assert (found.answer, answers(found)) == (Answer.DENIED, {"shop/api-next": "Denied"})
    assert asked(report, "shop/web").answer is Answer.ALLOWED
    shop.commit(traffic(redirect={"hostname": "elsewhere.example"}), deny("no", "api-next", "db"))
    assert asked(shop.run(), "shop/db").answer is Answer.ALLOWED


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"rewrite": {"path": {"replaceFullPath": "/in"}}}, {"paths": ["/in"]}),
        (
            {"matches": [{"path": {"prefix": "/x"}}], "rewrite": {"path": {"replacePrefixMatch": "/in"}}},
            {"paths": ["/in/y"]},
        ),
        ({"rewrite": {"hostname": "inner.example"}}, {"hosts": ["inner.example"]}),
        ({"headers": {"request": {"set": {"x-in": "yes"}}}}, {"headers": [{"name": "x-in", "exact": "yes"}]}),
    ],
)
def test_the_guard_sees_the_request_as_it_arrives(shop: Folders, change: Body, rule: Body) -> None:
    shop.commit(allow("inner", "api", "web", rules=[rule]))
    assert asked(shop.run(), "shop/web", path="/x/y", authority="api").answer is Answer.DENIED
    shop.commit(traffic(**change), allow("inner", "api", "web", rules=[rule]))
    assert asked(shop.run(), "shop/web", path="/x/y", authority="api").answer is Answer.ALLOWED


def test_tables_have_a_row_for_what_is_led_round(shop: Folders) -> None:
    shop.commit(canary(), allow("front-only", "api", "web"))
    known = known_clusters(shop.run())["east"]
    crowd = Crowd(population("east", {"east": known.index.facts}))
    [row] = [row for row in callers_of(("shop", "api"), known, crowd) if row.answer is Answer.DEPENDS]
    assert row.callers == ("whoever may call shop/api-next",)
    assert [origin.field for origin in row.deciding] == ["spec.split[1].destination.name"]
    db = named_client("shop/db", "", known.index.facts)
    assert db is not None
    answers = {row.answer.value for row in rows_of_client(db, "shop/db", ("shop", "api"), known)}
    assert answers == {"Denied", "Depends"}
    plain = rows_of_client(Client(), "anonymous", ("shop", "api"), known)
    assert {row.answer.value for row in plain} == {"Denied"}
