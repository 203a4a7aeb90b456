"""Rules of HTTPRoutes: what each request field becomes, and what cannot be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gitmesh_gatewayapi import Dialect, HttpRoutes, http_routes

from gitmesh.diagnostics import Location
from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.model.kinds import KINDS
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided, Route, Target
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.units import RoutingUnit
from tests.contract.schemas import need_crds
from tests.factories import service
from tests.gatewayapi import schema

ORIGIN = Origin(
    policy="TrafficPolicy/shop/p",
    field="spec",
    at=Location(source="policies", path="p.yaml", line=1, column=1),
)
PATH = TextCondition(form="prefix", value="/api")
RATINGS = service("ratings", ports=(ServicePort(number=9090, name="http"),))


def decided(**spec: Any) -> dict[str, Decided]:
    """Fields as a policy gives them."""
    model = KINDS["TrafficPolicy"].model_validate({"destinations": [{"name": "reviews"}], **spec})
    assert isinstance(model, TrafficPolicySpec)
    names = [name for name in type(model).model_fields if name not in ("destinations", "priority")]
    return {n: Decided(value=v, origin=ORIGIN) for n in names if (v := getattr(model, n)) is not None}


def route(match: RequestMatch | None = None, to: Service = RATINGS, **spec: Any) -> Route:
    fields = decided(**spec)
    count = len(fields["split"].value) if "split" in fields else 0
    copies = len(fields["mirror"].value) if "mirror" in fields else 0
    return Route(
        match=match or RequestMatch(),
        fields=fields,
        targets=(Target(service=to),) * count,
        mirrors=(Target(service=to),) * copies,
        origins=(ORIGIN,),
    )


def made(*routes: Route, served: Callable[[str], bool] = lambda _: True, **dialect: Any) -> HttpRoutes:
    unit = RoutingUnit(home="east", written="east", service=service(), routes=routes)
    return http_routes(unit, (80,), Dialect(mesh="a mesh", served=served, **dialect))


def rules(*routes: Route, **dialect: Any) -> list[dict[str, Any]]:
    """The rules of the only route; it must be valid."""
    answer = made(*routes, **dialect)
    assert [remark.text for remark in answer.remarks if remark.code != "GM303"] == []
    (one,) = answer.routes
    need_crds()
    schema("HTTPRoute").validate(one.spec)
    found: list[dict[str, Any]] = list(one.spec["rules"])
    return found


def refused(*routes: Route, **dialect: Any) -> list[str]:
    return [remark.code for remark in made(*routes, **dialect).remarks]


def test_the_parent_names_the_port_and_the_unmatched_stay_with_the_service() -> None:
    answer = made(route(RequestMatch(path=PATH), timeout="90s"))
    (one,) = answer.routes
    own = {"group": "", "kind": "Service", "name": "reviews", "port": 80}
    assert one.name == "reviews.80"
    assert one.spec["parentRefs"] == [own]
    assert one.spec["rules"] == [
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/api"}}],
            "backendRefs": [{**own, "weight": 1}],
            "timeouts": {"request": "1m30s"},
        },
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": [{**own, "weight": 1}],
        },
    ]
    assert one.origins["rules[0].timeouts.request"] == ORIGIN


def test_a_lesser_row_that_is_more_specific_leaves_the_greater_row_its_requests() -> None:
    greater = RequestMatch(headers=(NamedCondition(name="x", condition=TextCondition(form="present")),))
    found = rules(route(greater, timeout="1s"), route(RequestMatch(path=PATH), timeout="2s"))
    assert [(rule["timeouts"]["request"], len(rule["matches"])) for rule in found[:-1]] == [
        ("1s", 2),
        ("2s", 1),
    ]


def test_an_inverted_header_is_carved_out_of_its_row() -> None:
    not_x = NamedCondition(name="x", condition=TextCondition(form="exact", value="1"), invert=True)
    found = rules(route(RequestMatch(path=PATH, headers=(not_x,)), timeout="1s"))
    carved = {"type": "Exact", "name": "x", "value": "1"}
    at_api = {"path": {"type": "PathPrefix", "value": "/api"}}
    assert [(rule["matches"], "timeouts" in rule) for rule in found] == [
        ([{**at_api, "headers": [carved]}], False),
        ([at_api], True),
        ([{"path": {"type": "PathPrefix", "value": "/"}}], False),
    ]


def test_shares_mirrors_and_headers() -> None:
    (found, _) = rules(
        route(
            RequestMatch(path=PATH),
            split=[
                {
                    "weight": 3,
                    "destination": {"name": "ratings"},
                    "headers": {"request": {"set": {"a": "1"}}},
                }
            ],
            mirror=[{"destination": {"name": "ratings"}, "percent": 12.5}],
            headers={"request": {"add": {"b": "50%"}}, "response": {"remove": ["c"]}},
        ),
        doubled_percent=True,
    )
    backend = {"group": "", "kind": "Service", "name": "ratings", "port": 9090}
    changes = {"set": [{"name": "a", "value": "1"}]}
    assert found["backendRefs"] == [
        {
            **backend,
            "weight": 3,
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": changes}],
        }
    ]
    share = {"numerator": 125_000, "denominator": 1_000_000}
    assert found["filters"] == [
        {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {"add": [{"name": "b", "value": "50%%"}]},
        },
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["c"]}},
        {"type": "RequestMirror", "requestMirror": {"backendRef": backend, "fraction": share}},
    ]


@pytest.mark.parametrize(
    ("new", "at", "longer"),
    [("/v2", "/v2", "/v2/books"), ("/", "/", "/books"), ("/v2/", "/v2/", "/v2/books")],
)
def test_a_replaced_prefix_keeps_what_a_narrower_match_matches_beyond_it(
    new: str, at: str, longer: str
) -> None:
    lesser = RequestMatch(path=TextCondition(form="prefix", value="/api/books"))
    exact = RequestMatch(path=TextCondition(form="exact", value="/api/books/1"))
    greater = RequestMatch(
        path=PATH, headers=(NamedCondition(name="x", condition=TextCondition(form="present")),)
    )
    found = rules(
        route(greater, rewrite={"path": {"replacePrefixMatch": new}}),
        route(exact, timeout="1s"),
        route(lesser, timeout="2s"),
    )
    paths = {
        rule["matches"][0]["path"]["value"]: rule["filters"][0]["urlRewrite"]["path"]
        for rule in found
        if "filters" in rule
    }
    assert paths == {
        "/api": {"type": "ReplacePrefixMatch", "replacePrefixMatch": at},
        "/api/books": {"type": "ReplacePrefixMatch", "replacePrefixMatch": longer},
        "/api/books/1": {"type": "ReplaceFullPath", "replaceFullPath": f"{longer}/1"},
    }


def test_a_redirect_forwards_nothing_and_keeps_the_port() -> None:
    answer = made(route(RequestMatch(path=PATH), redirect={"hostname": "b.example"}, timeout="1s"))
    assert [remark.code for remark in answer.remarks] == ["GM215"]
    rule = answer.routes[0].spec["rules"][0]
    assert "backendRefs" not in rule
    assert rule["filters"] == [
        {
            "type": "RequestRedirect",
            "requestRedirect": {"statusCode": 302, "hostname": "b.example", "port": 80},
        }
    ]


def test_cors_and_retries() -> None:
    given = route(
        RequestMatch(path=PATH),
        cors={"allowOrigins": [{"exact": "https://a.example"}], "allowCredentials": True},
        retries={"attempts": 2, "perTryTimeout": "500ms", "retryOn": ["503"], "backoff": "25ms"},
    )
    answer = made(given, always_retried=frozenset({"connect-failure"}))
    assert [(remark.code, remark.text) for remark in answer.remarks] == [
        ("GM303", "a mesh retries on connect-failure, too")
    ]
    rule = answer.routes[0].spec["rules"][0]
    assert rule["filters"][0]["cors"] == {
        "allowOrigins": ["https://a.example"],
        "maxAge": 5,
        "allowCredentials": True,
    }
    assert rule["retry"] == {"attempts": 2, "codes": [503], "backoff": "25ms"}
    assert rule["timeouts"] == {"backendRequest": "500ms"}


def path(form: Any, value: str, **more: Any) -> RequestMatch:
    return RequestMatch(path=TextCondition(form=form, value=value, **more))


@pytest.mark.parametrize(
    "given",
    [
        route(path("regex", "/a+"), timeout="1s"),
        route(path("suffix", ".png"), timeout="1s"),
        route(path("stringPrefix", "/a"), timeout="1s"),
        route(path("prefix", "/a", ignore_case=True), timeout="1s"),
        route(path("exact", "/a//b"), timeout="1s"),
        route(path("exact", "/a?b"), timeout="1s"),
        route(RequestMatch(source=SourceCondition(namespaces=("web",))), timeout="1s"),
        route(RequestMatch(method="BREW"), timeout="1s"),
        route(RequestMatch(port=81), timeout="1s"),
        route(
            RequestMatch(headers=(NamedCondition(name="uri", condition=TextCondition(form="present")),)),
            timeout="1s",
        ),
        route(fault={"abort": {"httpStatus": 503, "percent": 1}}),
        route(directResponse={"status": 200}),
        route(headers={"request": {"set": {"host": "b"}}}),
        route(headers={"request": {"set": {"a": ""}}}),
        route(rewrite={"hostname": "b.example:80"}),
        route(rewrite={"path": {"replacePrefixMatch": "/b"}}),
        route(cors={"allowOrigins": [{"prefix": "https://"}]}),
        route(cors={"allowOrigins": [{"regex": ".*"}]}),
        route(retries={"attempts": 1, "retryOn": ["reset"]}),
        route(retries={"attempts": 0}),
        route(timeout="1s", retries={"attempts": 1, "perTryTimeout": "2s"}),
        route(mirror=[{"destination": {"name": "ratings"}, "percent": 0.00001}]),
    ],
)
def test_what_cannot_be_said_is_an_error(given: Route) -> None:
    assert refused(given, dropped_headers=frozenset({"uri"})) == ["GM301"]


def test_a_subset_has_no_name_in_an_http_route() -> None:
    split = route(split=[{"destination": {"name": "ratings", "subset": {"version": "v1"}}}])
    target = Target(service=RATINGS, subset=(("version", "v1"),))
    assert refused(Route(match=split.match, fields=split.fields, targets=(target,))) == ["GM301"]


def test_a_service_without_the_requested_port_must_be_named_with_one() -> None:
    several = service("ratings", ports=(ServicePort(number=1), ServicePort(number=2)))
    assert refused(route(split=[{"destination": {"name": "ratings"}}], to=several)) == ["GM301"]


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("spec.rules.retry", route(retries={"attempts": 1})),
        ("spec.rules.timeouts.request", route(timeout="1s")),
        ("spec.rules.filters.cors", route(cors={"allowOrigins": [{"exact": "*"}]})),
    ],
)
def test_what_the_cluster_does_not_serve_is_told(field: str, given: Route) -> None:
    assert refused(given, served=lambda path: path != field) == ["GM302"]
    assert refused(given, served=lambda path: path == field) == []


def test_two_expressions_on_one_name_are_said_where_no_request_needs_both() -> None:
    def with_x(expression: str, at: str) -> RequestMatch:
        condition = NamedCondition(name="x", condition=TextCondition(form="regex", value=expression))
        return RequestMatch(path=TextCondition(form="prefix", value=at), headers=(condition,))

    assert refused(route(with_x("a+", "/a/b"), timeout="1s"), route(with_x("b+", "/a"), timeout="2s")) == []
    assert refused(route(with_x("a+", "/a"), timeout="1s"), route(with_x("b+", "/a/b"), timeout="2s")) == [
        "GM301"
    ]


def test_without_http_there_is_no_route() -> None:
    unit = RoutingUnit(home="east", written="east", service=service(), routes=(route(timeout="1s"),))
    answer = http_routes(unit, (), Dialect(mesh="a mesh", served=lambda _: True))
    assert [remark.code for remark in answer.remarks] == ["GM301"]
    assert answer.routes == ()
