"""HTTPRoutes and GRPCRoutes against the first-match list that they are made of, and their limits."""

from __future__ import annotations

import itertools
from typing import Any

from gitmesh_gatewayapi import Dialect, HttpRoutes, http_routes
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gitmesh.diagnostics import Location
from gitmesh.model.conditions import NamedCondition, RequestMatch, TextCondition
from gitmesh.model.policies import Origin
from gitmesh.model.requests import DirectResponse, Headers
from gitmesh.model.routes import Decided, Route
from gitmesh.model.services import ServicePort
from gitmesh.model.units import RoutingUnit
from gitmesh.resolution.matching import Request, matches
from tests.contract.schemas import CRDS
from tests.factories import service
from tests.gatewayapi import decided, decided_calls, schema

DIALECT = Dialect(mesh="a mesh", served=lambda _: True)
PORTS = (ServicePort(number=80, name="http"), ServicePort(number=81, name="http-b"))
PATHS = ("/", "/a", "/ab", "/a/b", "/a/b/c", "/a/bc", "/b")
VALUES = (None, "u", "v", "uv")
REQUESTS = [
    Request(
        path=path,
        headers={name: value for name, value in (("x", x), ("y", y)) if value},
        query={} if q is None else {"q": q},
        method=method,
        port=port,
        authority=host,
    )
    for path, x, y, q, method, port, host in itertools.product(
        PATHS, VALUES, (None, "u"), (None, "u"), ("GET", "PUT"), (80, 81), ("a.example",)
    )
]

paths = st.builds(
    TextCondition, form=st.sampled_from(["exact", "prefix"]), value=st.sampled_from([*PATHS, "/a/"])
)
texts = st.one_of(
    st.builds(
        TextCondition, form=st.sampled_from(["exact", "prefix", "suffix"]), value=st.sampled_from("uv")
    ),
    st.just(TextCondition(form="present")),
    st.just(TextCondition(form="regex", value="u+")),
)


def named(names: str, *, invert: bool) -> st.SearchStrategy[tuple[NamedCondition, ...]]:
    return st.lists(
        st.builds(
            NamedCondition,
            name=st.sampled_from(names),
            condition=texts,
            invert=st.booleans() if invert else st.just(False),
        ),
        max_size=2,
        unique_by=lambda condition: condition.name,
    ).map(tuple)


request_matches = st.builds(
    RequestMatch,
    path=st.none() | paths,
    headers=named("xy", invert=True),
    query=named("q", invert=False),
    method=st.sampled_from(["", "GET", "PUT"]),
    port=st.sampled_from([0, 0, 80, 81]),
    authority=st.none() | st.just(TextCondition(form="exact", value="a.example")),
)


def unit(*found: RequestMatch) -> RoutingUnit:
    """A destination whose n-th row has a timeout of n seconds."""
    rows = tuple(
        Route(match=match, fields={"timeout": Decided(value=1000 * number, origin=origin(number))})
        for number, match in enumerate(found, start=1)
    )
    return RoutingUnit(home="east", written="east", service=service(ports=PORTS), routes=rows)


def origin(number: int) -> Origin:
    at = Location(source="policies", path="p.yaml", line=number, column=1)
    return Origin(policy="TrafficPolicy/shop/p", field=f"spec.matches[{number}]", at=at)


def made(*found: RequestMatch) -> HttpRoutes:
    return http_routes(unit(*found), (80, 81), DIALECT)


def first(found: tuple[RequestMatch, ...], request: Request) -> str | None:
    """The timeout of the first row that the request meets; None where the mesh's own behaviour stays."""
    return next((f"{n}s" for n, match in enumerate(found, start=1) if matches(match, request)), None)


def timeouts(rules: list[Any]) -> set[str | None]:
    return {rule.get("timeouts", {}).get("request") for rule in rules}


@given(st.lists(request_matches, min_size=1, max_size=5).map(tuple))
@settings(max_examples=400)
def test_the_most_specific_rule_is_the_first_row(found: tuple[RequestMatch, ...]) -> None:
    answer = made(*found)
    if answer.remarks:
        assert {remark.code for remark in answer.remarks} == {"GM301"}
        return
    specs = [route.spec for route in answer.routes]
    for request in REQUESTS:
        rules = decided(specs, request)
        if not any(spec["parentRefs"][0]["port"] == request.port for spec in specs):
            assert first(found, request) is None
            continue
        assert rules, request
        assert timeouts(rules) == {first(found, request)}, request


def answering(unanswered: frozenset[int], *found: RequestMatch) -> RoutingUnit:
    """The same destination, but that these of its rows answer 404, and so does one behind all of them."""
    rows = [
        replace(row, fields={"direct_response": Decided(value=DirectResponse(status=404), origin=origin(n))})
        if n in unanswered
        else row
        for n, row in enumerate(unit(*found, RequestMatch()).routes, start=1)
    ]
    return replace(unit(), routes=tuple(rows))


@given(st.lists(request_matches, min_size=1, max_size=4).map(tuple), st.sets(st.integers(1, 4)))
@settings(max_examples=400)
def test_what_is_answered_404_meets_no_rule(found: tuple[RequestMatch, ...], some: set[int]) -> None:
    unanswered = frozenset({*some, len(found) + 1})
    answer = http_routes(answering(unanswered, *found), (80, 81), DIALECT)
    if answer.remarks:
        assert {remark.code for remark in answer.remarks} == {"GM301"}
        return
    specs = [route.spec for route in answer.routes]
    silent = {None, *(f"{number}s" for number in unanswered)}
    for request in REQUESTS:
        # With no route at all the mesh would send requests to the Service.
        assert any(spec["parentRefs"][0]["port"] == request.port for spec in specs)
        wanted = first(found, request)
        rules = decided(specs, request)
        assert timeouts(rules) == (set() if wanted in silent else {wanted}), request


@given(
    st.lists(
        st.builds(
            RequestMatch,
            path=st.sampled_from([f"/p{n}" for n in range(40)]).map(
                lambda value: TextCondition(form="prefix", value=value)
            ),
            method=st.sampled_from(["", "GET"]),
        ),
        min_size=17,
        max_size=59,
        unique=True,
    ).map(tuple)
)
@settings(max_examples=30)
def test_what_does_not_fit_into_one_route_goes_to_further_ones(found: tuple[RequestMatch, ...]) -> None:
    answer = made(*found)
    assert not answer.remarks
    assert len({route.name for route in answer.routes}) == len(answer.routes) > 1
    for route in answer.routes:
        assert len(route.spec["rules"]) <= 16
        assert sum(len(rule["matches"]) for rule in route.spec["rules"]) <= 128
    specs = [route.spec for route in answer.routes]
    for number, method in itertools.product(range(41), ("GET", "PUT")):
        request = Request(path=f"/p{number}/x", method=method)
        assert timeouts(decided(specs, request)) == {first(found, request)}


_CALLS = ("/a.A/Get", "/a.A/Put", "/a.AB/Get", "/b.B/Get")
CALLS = [
    Request(path=path, headers={n: v for n, v in (("x", x), ("y", y)) if v}, method="POST", authority=host)
    for path, x, y, host in itertools.product(_CALLS, VALUES, (None, "u"), ("a.example", "b.example"))
]
call_matches = st.builds(
    RequestMatch,
    path=st.none()
    | st.builds(
        TextCondition,
        form=st.sampled_from(["exact", "prefix"]),
        value=st.sampled_from([*_CALLS, "/", "/a.A", "/b.B", "/a.A/"]),
    ),
    headers=named("xy", invert=True),
    method=st.sampled_from(["", "POST"]),
    authority=st.none() | st.just(TextCondition(form="exact", value="a.example")),
)


@given(st.lists(call_matches, min_size=1, max_size=5).map(tuple))
@settings(max_examples=300)
def test_of_calls_the_most_specific_rule_is_the_first_row(found: tuple[RequestMatch, ...]) -> None:
    """The n-th row tells itself by a header that it sets."""
    rows = tuple(
        Route(match=match, fields={"headers": Decided(value=numbered(number), origin=origin(number))})
        for number, match in enumerate(found, start=1)
    )
    port = ServicePort(number=80, name="grpc", protocol="grpc")
    one = RoutingUnit(home="east", written="east", service=service(ports=(port,)), routes=rows)
    answer = http_routes(one, (80,), GRPC)
    codes = {remark.code for remark in answer.remarks}
    if "GM301" in codes:
        return
    (kind,) = {route.kind.kind for route in answer.routes}
    assert (kind == "GRPCRoute") is not bool(codes)
    specs = [route.spec for route in answer.routes]
    for spec in specs if CRDS.is_dir() else ():
        schema(kind).validate(spec)
    for request in CALLS:
        rules = decided_calls(specs, request) if kind == "GRPCRoute" else decided(specs, request)
        wanted = next((n for n, match in enumerate(found, start=1) if matches(match, request)), None)
        assert {number_of(rule) for rule in rules} == {wanted}, request


GRPC = Dialect(mesh="a mesh", served=lambda _: True, grpc_routes=True)


def numbered(number: int) -> Headers:
    return Headers.model_validate({"request": {"set": {"n": str(number)}}})


def number_of(rule: Any) -> int | None:
    changed = [one["requestHeaderModifier"] for one in rule.get("filters", ())]
    return int(changed[0]["set"][0]["value"]) if changed else None
