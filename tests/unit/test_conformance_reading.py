"""Routes of a Service said in policies, as for the Gateway API's conformance suite: what the policies come to
decides as the route does, and what is not sure to mean the same is refused.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.diagnostics import Severity
from gitmesh.discovery.facts_codec import load_facts
from gitmesh.resolution.matching import Request
from tests.conformance.reading import RefusedError, policies_of
from tests.gatewayapi import decided
from tests.rendered import rendered

FACTS = Path(__file__).parents[1] / "golden" / "ambient" / "facts.yaml"
TO_RATINGS = {"name": "ratings", "port": 80}
TO_NEXT = {"name": "reviews-v2", "port": 80}
REQUESTS = [
    Request(
        path=path,
        headers={"x": x} if x else {},
        query={"q": q} if q else {},
        method="GET",
        port=80,
        authority="reviews",
    )
    for path, x, q in itertools.product(
        ("/", "/a", "/ab", "/a/b", "/a/b/c", "/b", "/c"), ("", "1", "2"), ("", "1", "2")
    )
]


def prefix(path: str, **more: Any) -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": path}, **more}


def exact(path: str) -> dict[str, Any]:
    return {"path": {"type": "Exact", "value": path}}


def header(value: str) -> dict[str, Any]:
    return {"headers": [{"type": "Exact", "name": "x", "value": value}]}


def query(value: str) -> dict[str, Any]:
    return {"queryParams": [{"type": "Exact", "name": "q", "value": value}]}


def setting(name: str, side: str = "Request") -> dict[str, Any]:
    body = {"set": [{"name": name, "value": "1"}]}
    return {"type": f"{side}HeaderModifier", f"{side.lower()}HeaderModifier": body}


def rewriting(path: str) -> dict[str, Any]:
    new = {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}
    return {"type": "URLRewrite", "urlRewrite": {"path": new}}


def redirecting(**what: Any) -> dict[str, Any]:
    return {"type": "RequestRedirect", "requestRedirect": what}


def to(*backends: dict[str, Any], **rule: Any) -> dict[str, Any]:
    return {**rule, "backendRefs": list(backends or (TO_RATINGS,))}


def route(*rules: dict[str, Any], parent: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    place = {"group": "", "kind": "Service", "name": "reviews", "port": 80, **(parent or {})}
    return {
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "shop"},
        "spec": {"parentRefs": [place], "rules": list(rules)},
        **more,
    }


def ours(one: dict[str, Any]) -> list[dict[str, Any]]:
    """The specs of our routes, which are found without an error."""
    facts = load_facts(yaml.safe_load(FACTS.read_text().replace("1.30.3", "1.31.0")))
    made = rendered({"p.yaml": yaml.safe_dump_all(policies_of(one, "east"))}, facts)
    assert [str(d) for d in made.findings if d.severity is Severity.ERROR] == []
    return [body["spec"] for body in made.bodies]


def outcome(specs: list[Any], request: Request) -> list[tuple[Any, Any]]:
    """What a request gets: backends with weights, and filters, in the words of the suite's routes."""
    return [(_backends(rule), _filters(rule)) for rule in decided(specs, request)]


def _backends(rule: Any) -> list[tuple[str, int, int, list[str]]]:
    return [
        (one["name"], one["port"], one.get("weight", 1), _filters(one))
        for one in rule.get("backendRefs", ())
        if one.get("weight", 1)
    ]


def _filters(where: Any) -> list[str]:
    return sorted(json.dumps(one, sort_keys=True) for one in where.get("filters", ()))


ROUTES = {
    "all": route(to(matches=[prefix("/")])),
    "shares": route(to({**TO_RATINGS, "weight": 7}, {**TO_NEXT, "weight": 3}, matches=[prefix("/")])),
    "nobody's share": route(
        to(TO_RATINGS, {"name": "gone", "port": 80, "weight": 0}, matches=[prefix("/a")])
    ),
    "paths": route(to(matches=[prefix("/a")]), to(TO_NEXT, matches=[prefix("/a/b"), exact("/b")])),
    "headers before the rest": route(
        to(matches=[prefix("/")]), to(TO_NEXT, matches=[prefix("/a"), prefix("/", **header("1"))])
    ),
    "paths before parameters": route(
        to(matches=[prefix("/", **query("1"))]), to(TO_NEXT, matches=[prefix("/a/b")])
    ),
    "two conditions": route(
        to(matches=[prefix("/", **header("1"), **query("1"))]),
        to(TO_NEXT, matches=[prefix("/", **query("1"))]),
    ),
    "other fields of a lesser rule": route(
        to(matches=[prefix("/a/b")]),
        to(TO_NEXT, matches=[prefix("/a")], filters=[rewriting("/new"), setting("x-y")]),
    ),
    "changes of both sides": route(
        to(matches=[prefix("/a")], filters=[setting("x-y"), setting("x-z", "Response")]),
        to(matches=[prefix("/b")], filters=[setting("x-z")]),
    ),
    "changes of a share": route(to({**TO_RATINGS, "filters": [setting("x-y")]}, matches=[prefix("/a")])),
}


@pytest.mark.parametrize("name", ROUTES)
def test_each_request_gets_the_same(name: str) -> None:
    theirs, made = [ROUTES[name]["spec"]], ours(ROUTES[name])
    assert made
    for request in REQUESTS:
        assert outcome(made, request) == outcome(theirs, request), request


def test_the_comparison_can_fail() -> None:
    made = ours(ROUTES["paths"])
    assert any(outcome(made, one) != outcome([ROUTES["all"]["spec"]], one) for one in REQUESTS)


def test_what_no_rule_matches_is_answered_404() -> None:
    rest = policies_of(ROUTES["paths"], "east")[-1]["spec"]
    assert (rest["matches"], rest["directResponse"]) == ([{"port": 80}], {"status": 404})
    assert not any("directResponse" in one["spec"] for one in policies_of(ROUTES["all"], "east"))


def test_a_redirect_of_a_status_alone_goes_to_the_same_path() -> None:
    one = route({"matches": [prefix("/a")], "filters": [redirecting(statusCode=307)]})
    (redirect,) = [rule["filters"][0]["requestRedirect"] for rule in ours(one)[0]["rules"]]
    same = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/a"}
    assert redirect == {"statusCode": 307, "path": same, "port": 80}


def test_a_route_beside_its_service_is_for_the_clients_of_its_namespace() -> None:
    one = route(to(matches=[prefix("/")]), parent={"namespace": "web"})
    (policy,) = policies_of(one, "east")
    assert policy["spec"]["sources"] == [{"namespaces": ["shop"]}]
    assert policy["spec"]["destinations"] == [
        {"name": "reviews", "namespaces": ["web"], "clusters": ["east"]}
    ]


def test_without_a_port_the_parent_is_every_port() -> None:
    one = route(to(matches=[prefix("/a")]))
    del one["spec"]["parentRefs"][0]["port"]
    matches = [policy["spec"].get("matches") for policy in policies_of(one, "east")]
    assert matches == [[{"path": {"prefix": "/a"}}], None]


def test_a_route_for_grpc_that_looks_into_no_request() -> None:
    (policy,) = policies_of(route(to(), kind="GRPCRoute"), "east")
    assert policy["spec"]["split"] == [{"destination": TO_RATINGS, "weight": 1}]


@pytest.mark.parametrize(
    "one",
    [
        route(to(matches=[{"path": {"type": "RegularExpression", "value": "/a.*"}}])),
        route(to(matches=[prefix("/", method="GET")])),
        route(to(matches=[prefix("/", headers=[{"type": "RegularExpression", "name": "x", "value": "1"}])])),
        route(to(filters=[{"type": "ExtensionRef", "extensionRef": {}}])),
        route(to(filters=[{"type": "RequestMirror", "requestMirror": {"backendRef": TO_NEXT}}])),
        route(to(timeouts={"request": "1s"})),
        route({"matches": [prefix("/a")]}),
        route(to(filters=[redirecting(scheme="https")])),
        route(to({**TO_RATINGS, "weight": 0})),
        route({"matches": [prefix("/a"), prefix("/b")], "filters": [redirecting(statusCode=307)]}),
        route({"matches": [exact("/a")], "filters": [redirecting(statusCode=307)]}),
        route(
            to(matches=[prefix("/a/b")], filters=[setting("x-y")]),
            to(matches=[prefix("/a")], filters=[setting("x-z")]),
        ),
        route(to(matches=[prefix("/a")]), parent={"kind": "Gateway"}),
        route(to(matches=[prefix("/a")]), parent={"sectionName": "http"}),
        route(to(matches=[{"method": {"service": "s"}}]), kind="GRPCRoute"),
    ],
)
def test_what_is_not_said_in_policies_is_refused(one: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        policies_of(one, "east")


def test_host_names_of_a_route_are_refused() -> None:
    one = route(to())
    one["spec"]["hostnames"] = ["a.example"]
    with pytest.raises(RefusedError, match="hostnames"):
        policies_of(one, "east")
