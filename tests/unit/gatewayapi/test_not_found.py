"""404 without a body: what an HTTPRoute answers where no rule of it matches, so that it needs no rule."""

from __future__ import annotations

from typing import Any

import pytest

from gitmesh.model.conditions import NamedCondition, RequestMatch, TextCondition
from gitmesh.model.routes import Route
from tests.unit.gatewayapi.test_routes import PATH, made, refused, route, rules

NOT_FOUND: dict[str, Any] = {"status": 404}
SHORT: dict[str, Any] = {"timeout": "1s"}
BETA = NamedCondition(name="x-beta", condition=TextCondition(form="exact", value="1"))


def paths(found: list[dict[str, Any]]) -> list[str]:
    return [one["path"]["value"] for rule in found for one in rule["matches"]]


def test_the_rest_is_answered_by_no_rule() -> None:
    found = rules(route(RequestMatch(path=PATH), **SHORT), route(directResponse=NOT_FOUND))
    assert paths(found) == ["/api"]


def test_without_it_the_rest_stays_with_the_service() -> None:
    assert paths(rules(route(RequestMatch(path=PATH), **SHORT))) == ["/api", "/"]


def test_a_part_of_the_rest_that_nothing_else_means() -> None:
    below = RequestMatch(path=TextCondition(form="prefix", value="/api/old"))
    found = rules(
        route(below, directResponse=NOT_FOUND),
        route(RequestMatch(path=TextCondition(form="prefix", value="/web")), **SHORT),
        route(directResponse=NOT_FOUND),
    )
    assert paths(found) == ["/web"]


def test_what_it_waits_for_has_no_meaning() -> None:
    found = rules(
        route(RequestMatch(path=PATH), **SHORT),
        route(directResponse=NOT_FOUND, timeout="5s", retries={"attempts": 2}),
    )
    assert paths(found) == ["/api"]


@pytest.mark.parametrize(
    "rows",
    [
        # Another rule would take the requests.
        (route(RequestMatch(path=PATH), directResponse=NOT_FOUND),),
        (route(RequestMatch(path=PATH), directResponse=NOT_FOUND), route(**SHORT)),
        (
            route(RequestMatch(path=PATH, headers=(BETA,)), directResponse=NOT_FOUND),
            route(RequestMatch(path=PATH), **SHORT),
            route(directResponse=NOT_FOUND),
        ),
        # A greater row that another one stands behind, although the least one says the same.
        (
            route(RequestMatch(headers=(BETA,)), directResponse=NOT_FOUND),
            route(RequestMatch(path=PATH), **SHORT),
            route(directResponse=NOT_FOUND),
        ),
        # A route has a rule at least.
        (route(directResponse=NOT_FOUND),),
        # What an HTTPRoute answers by itself has no body and no headers of ours, and is never another status.
        (route(RequestMatch(path=PATH), **SHORT), route(directResponse={**NOT_FOUND, "body": "gone"})),
        (route(RequestMatch(path=PATH), **SHORT), route(directResponse={"status": 410})),
        (
            route(RequestMatch(path=PATH), **SHORT),
            route(directResponse=NOT_FOUND, headers={"response": {"set": {"x-a": "1"}}}),
        ),
        (
            route(RequestMatch(path=PATH), **SHORT),
            route(directResponse=NOT_FOUND, cors={"allowOrigins": [{"exact": "https://a.example"}]}),
        ),
    ],
)
def test_what_cannot_be_left_to_no_rule(rows: tuple[Route, ...]) -> None:
    assert refused(*rows) == ["GM301"]


def test_with_an_error_there_is_no_route_that_would_answer_too_much() -> None:
    assert made(route(directResponse=NOT_FOUND)).routes == ()
