"""ReferenceGrants: what a route into another namespace needs, no more of it, and no longer."""

from __future__ import annotations

from typing import Any

import pytest
from gitmesh_gatewayapi import HttpRoutes, between, links
from msgspec.structs import replace

from gitmesh.model.links import UNLINKED
from gitmesh.model.routes import Route
from tests.contract.schemas import need_crds
from tests.factories import service
from tests.gatewayapi import schema
from tests.unit.gatewayapi.test_routes import ORIGIN, RATINGS, made, route

ELSEWHERE = replace(RATINGS, namespace="depot")
GROUP = "gateway.networking.k8s.io"
SPLIT: list[dict[str, Any]] = [{"destination": {"name": "ratings"}}]
FROM_SHOP = [{"group": GROUP, "kind": "HTTPRoute", "namespace": "shop"}]


def asked(*routes: Route, **dialect: Any) -> HttpRoutes:
    return made(*routes, asks_leave=True, **dialect)


def to(*names: str) -> list[dict[str, str]]:
    return [{"group": "", "kind": "Service", "name": name} for name in names]


def body(kind: str, namespace: str, spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": "x", "namespace": namespace},
        "spec": spec,
    }


@pytest.mark.parametrize(
    "leading",
    [{"split": SPLIT}, {"mirror": [{**SPLIT[0], "percent": 1}], "timeout": "1s"}],
    ids=lambda one: str(*list(one)[:1]),
)
def test_leave_is_given_to_one_namespace_for_the_named_service_and_told(leading: dict[str, Any]) -> None:
    answer = asked(route(to=ELSEWHERE, **leading))
    (grant,) = answer.grants
    assert (grant.namespace, grant.name) == ("depot", "shop.reviews")
    assert grant.spec == {"from": FROM_SHOP, "to": to("ratings")}
    assert set(grant.origins.values()) == {ORIGIN}
    need_crds()
    schema("ReferenceGrant").validate(grant.spec)
    (said,) = answer.remarks
    assert (said.code, said.origin) == ("GM324", ORIGIN)
    assert "namespace shop" in said.text
    assert "depot/ratings" in said.text


def test_one_grant_for_each_namespace_names_all_that_is_led_to_there() -> None:
    stock = replace(service("stock", ports=RATINGS.ports), namespace="depot")
    far = replace(RATINGS, namespace="far")
    answer = asked(route(to=ELSEWHERE, split=SPLIT), route(to=stock, split=SPLIT), route(to=far, split=SPLIT))
    # The first of these equal rows decides, so the others lead nowhere.
    assert [(one.namespace, one.spec["to"]) for one in answer.grants] == [("depot", to("ratings"))]
    both = replace(
        route(to=ELSEWHERE, split=[*SPLIT, *SPLIT, *SPLIT]),
        targets=tuple(route(to=one, split=SPLIT).targets[0] for one in (stock, ELSEWHERE, far)),
    )
    answer = asked(both)
    assert [(one.namespace, one.spec["to"]) for one in answer.grants] == [
        ("depot", to("ratings", "stock")),
        ("far", to("ratings")),
    ]


@pytest.mark.parametrize("mesh", [True, False])
def test_no_grant_where_none_is_asked_for(mesh: bool) -> None:
    """In its own namespace, and on a mesh whose routes of Services do without (GEP-1426)."""
    answer = made(route(to=RATINGS if mesh else ELSEWHERE, split=SPLIT), asks_leave=mesh)
    assert (answer.grants, answer.remarks) == ((), ())


def test_a_cluster_without_the_kind_holds_the_route() -> None:
    assert "GM319" in [one.code for one in asked(route(to=ELSEWHERE, split=SPLIT), grantable=False).remarks]


def test_more_than_a_grant_can_name_is_told() -> None:
    many = tuple(replace(service(f"s{n}", ports=RATINGS.ports), namespace="depot") for n in range(17))
    one = replace(
        route(to=ELSEWHERE, split=SPLIT * 17),
        targets=tuple(route(to=each, split=SPLIT).targets[0] for each in many),
    )
    assert "GM301" in [said.code for said in asked(one).remarks]


def test_a_route_uses_what_the_grant_provides() -> None:
    answer = asked(route(to=ELSEWHERE, split=SPLIT))
    used = links(body("HTTPRoute", "shop", answer.routes[0].spec)).uses
    assert used
    assert links(body("ReferenceGrant", "depot", answer.grants[0].spec)).provides == used
    assert links(body("ReferenceGrant", "elsewhere", answer.grants[0].spec)).provides.isdisjoint(used)


@pytest.mark.parametrize(
    "spec",
    [
        {"from": [{**FROM_SHOP[0], "namespace": "web"}], "to": to("ratings")},
        {"from": [{**FROM_SHOP[0], "kind": "Gateway"}], "to": to("ratings")},
        {"from": [{**FROM_SHOP[0], "group": "example.com"}], "to": to("ratings")},
        {"from": FROM_SHOP, "to": to("stock")},
        {"from": FROM_SHOP, "to": [{"group": "", "kind": "Secret", "name": "ratings"}]},
        {"from": FROM_SHOP, "to": [{"group": "", "kind": "Service"}]},
        {"from": "shop", "to": None},
        {},
    ],
)
def test_other_grants_are_no_leave_for_it(spec: Any) -> None:
    used = links(body("HTTPRoute", "shop", asked(route(to=ELSEWHERE, split=SPLIT)).routes[0].spec)).uses
    assert links(body("ReferenceGrant", "depot", spec)).provides.isdisjoint(used)


def test_a_route_within_its_namespace_uses_none() -> None:
    assert links(body("HTTPRoute", "shop", asked(route(to=RATINGS, split=SPLIT)).routes[0].spec)) == UNLINKED
    assert links(body("Gateway", "shop", {})) == UNLINKED


def test_what_a_live_route_uses_stays_until_it_is_changed() -> None:
    before = body("ReferenceGrant", "depot", {"from": FROM_SHOP, "to": to("ratings", "stock")})
    after = body("ReferenceGrant", "depot", {"from": FROM_SHOP, "to": to("parts")})
    kept = frozenset(one for one in links(before).provides if one.of == "depot/ratings")
    assert len(kept) == 1
    found = between(before, after, kept)
    assert found is not None
    assert found["to"] == to("parts", "ratings")
    assert kept <= links({**after, "spec": found}).provides
    assert between(before, None, kept) is None


def test_routes_of_another_kind_are_let_in_before_the_others_go() -> None:
    of_grpc = [{**FROM_SHOP[0], "kind": "GRPCRoute"}]
    before = body("ReferenceGrant", "depot", {"from": FROM_SHOP, "to": to("ratings")})
    after = body("ReferenceGrant", "depot", {"from": of_grpc, "to": to("ratings")})
    found = between(before, after, links(before).provides)
    assert found == {"from": [*of_grpc, *FROM_SHOP], "to": to("ratings")}
