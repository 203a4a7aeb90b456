"""Ports of gRPC: GRPCRoutes where these say all of a port's rows; else HTTPRoutes, and a word about it."""

from __future__ import annotations

from typing import Any

import pytest
from gitmesh_gatewayapi import Dialect, HttpRoutes, http_routes, links

from gitmesh.model.conditions import NamedCondition, RequestMatch, TextCondition
from gitmesh.model.routes import Route
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import RoutingUnit
from tests.contract.schemas import need_crds
from tests.factories import service
from tests.gatewayapi import schema
from tests.unit.gatewayapi.test_grants import GROUP, SPLIT, body
from tests.unit.gatewayapi.test_routes import RATINGS, route

OWN = {"group": "", "kind": "Service", "name": "reviews", "port": 80}
CANARY = NamedCondition(name="x-canary", condition=TextCondition(form="exact", value="1"))


def declared(protocol: str) -> Service:
    return service(ports=(ServicePort(number=80, name="p", protocol=protocol),))


def made(*routes: Route, protocol: str = "grpc", **dialect: Any) -> HttpRoutes:
    unit = RoutingUnit(home="east", written="east", service=declared(protocol), routes=routes)
    given = Dialect(mesh="a mesh", served=lambda _: True, **{"grpc_routes": True, **dialect})
    return http_routes(unit, (80,), given)


def kinds(found: HttpRoutes) -> list[str]:
    return [one.kind.kind for one in found.routes]


def at(path: str, form: Any = "exact", **more: Any) -> RequestMatch:
    return RequestMatch(path=TextCondition(form=form, value=path), **more)


def test_methods_services_and_headers_and_the_rest_stays_with_the_service() -> None:
    answer = made(
        route(at("/shop.Reviews/Get", headers=(CANARY,)), split=SPLIT),
        route(at("/shop.Admin", "prefix"), split=SPLIT),
    )
    assert answer.remarks == ()
    assert kinds(answer) == ["GRPCRoute"]
    (one,) = answer.routes
    need_crds()
    schema("GRPCRoute").validate(one.spec)
    other = {"group": "", "kind": "Service", "name": "ratings", "port": 9090, "weight": 1}
    header = {"type": "Exact", "name": "x-canary", "value": "1"}
    assert one.spec == {
        "parentRefs": [OWN],
        "rules": [
            {
                "matches": [
                    {
                        "method": {"type": "Exact", "service": "shop.Reviews", "method": "Get"},
                        "headers": [header],
                    },
                    {"method": {"type": "Exact", "service": "shop.Admin"}},
                ],
                "backendRefs": [other],
            },
            {"backendRefs": [{**OWN, "weight": 1}]},
        ],
    }


@pytest.mark.parametrize(
    "match",
    [
        RequestMatch(),
        RequestMatch(headers=(CANARY,)),
        RequestMatch(method="POST"),
        at("/", "prefix"),
        at("/shop.Reviews/", "prefix"),
        at("/shop.Reviews/Get", "prefix"),
    ],
)
def test_what_every_call_may_meet_is_said(match: RequestMatch) -> None:
    assert kinds(made(route(match, split=SPLIT))) == ["GRPCRoute"]


@pytest.mark.parametrize(
    "one",
    [
        route(split=SPLIT, timeout="1s"),
        route(retries={"attempts": 1}),
        route(rewrite={"hostname": "a.example"}),
        route(redirect={"hostname": "a.example"}),
        route(RequestMatch(method="GET"), split=SPLIT),
        route(RequestMatch(query=(CANARY,)), split=SPLIT),
        route(at("/healthz"), split=SPLIT),
        route(at("/a/b/c", "prefix"), split=SPLIT),
        route(at("/sh-op/Get"), split=SPLIT),
        route(at("/"), split=SPLIT),
    ],
)
def test_what_a_grpc_route_lacks_makes_all_of_the_port_http_routes(one: Route) -> None:
    """A port has one kind: of two a mesh drops the HTTPRoute (GEP-1426)."""
    answer = made(route(at("/shop.Reviews/Get"), split=SPLIT), one)
    assert kinds(answer) == ["HTTPRoute"]
    assert {said.code for said in answer.remarks} == {"GM325"}


@pytest.mark.parametrize("protocol", ["http", "http2", "grpc-web", ""])
def test_other_ports_have_http_routes(protocol: str) -> None:
    answer = made(route(split=SPLIT), protocol=protocol)
    assert (kinds(answer), answer.remarks) == (["HTTPRoute"], ())


def test_a_mesh_that_does_not_ask_for_them_has_http_routes() -> None:
    answer = made(route(split=SPLIT), grpc_routes=False)
    assert (kinds(answer), answer.remarks) == (["HTTPRoute"], ())


def test_each_port_has_a_kind_of_its_own() -> None:
    ports = (ServicePort(number=80, protocol="http"), ServicePort(number=81, protocol="grpc"))
    unit = RoutingUnit(
        home="east", written="east", service=service(ports=ports), routes=(route(split=SPLIT),)
    )
    answer = http_routes(unit, (80, 81), Dialect(mesh="a mesh", served=lambda _: True, grpc_routes=True))
    assert [(one.kind.kind, one.name) for one in answer.routes] == [
        ("HTTPRoute", "reviews.80"),
        ("GRPCRoute", "reviews.81"),
    ]


def test_copies_and_headers_are_said() -> None:
    answer = made(
        route(mirror=[{**SPLIT[0], "percent": 5}], headers={"request": {"set": {"a": "b"}}}), asks_leave=True
    )
    assert kinds(answer) == ["GRPCRoute"]
    need_crds()
    schema("GRPCRoute").validate(answer.routes[0].spec)
    filters = answer.routes[0].spec["rules"][0]["filters"]
    assert [one["type"] for one in filters] == ["RequestHeaderModifier", "RequestMirror"]


def test_leave_is_given_to_the_kind_that_is_written() -> None:
    elsewhere = service("ratings", "depot", ports=RATINGS.ports)
    answer = made(route(split=SPLIT, to=elsewhere), asks_leave=True)
    (grant,) = answer.grants
    assert grant.spec["from"] == [{"group": GROUP, "kind": "GRPCRoute", "namespace": "shop"}]
    used = links(body("GRPCRoute", "shop", answer.routes[0].spec)).uses
    assert used == links(body("ReferenceGrant", "depot", grant.spec)).provides
    assert used.isdisjoint(links(body("HTTPRoute", "shop", answer.routes[0].spec)).uses)
