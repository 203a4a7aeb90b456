"""Which subsets Istio's objects provide and use."""

from __future__ import annotations

from typing import Any

import gitmesh_istio
import pytest

from gitmesh.model.facts import Mesh
from gitmesh.model.links import UNLINKED, Links, Ref
from gitmesh.model.objects import Body
from tests.unit.istio.units import HOST

ELSEWHERE = Mesh(translator="istio", name="istio", settings={"clusterDomain": "corp.example"})


def made(kind: str, namespace: str = "shop", **spec: Any) -> Body:
    return {"kind": kind, "metadata": {"namespace": namespace, "name": "x"}, "spec": spec}


def rule(*subsets: str, host: str = HOST, namespace: str = "shop", **more: Any) -> Body:
    named = [{"name": name, "labels": {"version": name}} for name in subsets]
    return made("DestinationRule", namespace, host=host, subsets=named, **more)


def subset(name: str, of: str = HOST) -> Ref:
    return Ref(kind="subset", name=name, of=of)


def links(body: Body, *meshes: Mesh) -> Links:
    return gitmesh_istio.links(body, meshes)


@pytest.mark.parametrize("host", [HOST, "reviews", "reviews.shop", "reviews.shop.svc", HOST.upper()])
def test_hosts_are_full_names_however_they_are_written(host: str) -> None:
    assert links(rule("v1", "v2", host=host)).provides == {subset("v1"), subset("v2")}
    to = {"destination": {"host": host, "subset": "v1"}}
    assert links(made("VirtualService", http=[{"route": [to]}])).uses == {subset("v1")}


def test_short_names_are_of_the_clusters_own_domain() -> None:
    of = "reviews.shop.svc.corp.example"
    assert links(rule("v1", host="reviews"), ELSEWHERE).provides == {subset("v1", of)}
    assert links(rule("v1", host=of), ELSEWHERE).provides == {subset("v1", of)}


@pytest.mark.parametrize(
    "where",
    [
        {"http": [{"route": [{"destination": {"host": HOST}}], "mirrors": [{"destination": None}]}]},
        {"http": [{"mirror": {"host": HOST}}]},
        {"tcp": [{"route": [{"destination": {"host": HOST}}]}]},
        {"tls": [{"route": [{"destination": {"host": HOST, "subset": 7}}]}]},
        {"http": "nonsense"},
    ],
)
def test_a_route_to_the_whole_service_uses_nothing(where: Any) -> None:
    assert links(made("VirtualService", **where)) == UNLINKED


TO_V1 = {"host": HOST, "subset": "v1"}


@pytest.mark.parametrize(
    "where",
    [
        {"http": [{"route": [{"destination": {"host": HOST}}], "mirrors": [{"destination": TO_V1}]}]},
        {"http": [{"mirror": TO_V1}]},
        {"http": [{"route": [{"destination": {"host": "a"}, "weight": 1}, {"destination": TO_V1}]}]},
        {"tcp": [{"route": [{"destination": TO_V1}]}]},
        {"tls": [{"route": [{"destination": TO_V1}]}]},
    ],
)
def test_any_kind_of_route_counts(where: Any) -> None:
    assert links(made("VirtualService", **where)).uses == {subset("v1")}


@pytest.mark.parametrize("more", [{"exportTo": ["."]}, {"exportTo": ["shop", "web"]}, {"namespace": "web"}])
def test_a_rule_that_some_clients_never_see_provides_nothing(more: Any) -> None:
    assert links(rule("v1", **more)) == UNLINKED


@pytest.mark.parametrize("more", [{"exportTo": ["*"]}, {"exportTo": []}, {}])
def test_a_rule_that_everybody_sees_provides_its_subsets(more: Any) -> None:
    assert links(rule("v1", **more)).provides == {subset("v1")}


def test_subsets_of_hosts_outside_lie_anywhere() -> None:
    assert links(rule("v1", host="api.example.com", namespace="web")).provides == {
        subset("v1", "api.example.com")
    }


@pytest.mark.parametrize("kind", ["AuthorizationPolicy", "PeerAuthentication", "Sidecar", ""])
def test_other_kinds_are_nothing_to_each_other(kind: str) -> None:
    assert links(made(kind, subsets=[{"name": "v1"}], http=[{"route": [{"destination": TO_V1}]}])) == UNLINKED


def test_between_has_the_wanted_settings_and_the_kept_subsets_beside_the_wanted_ones() -> None:
    before = rule("v1", "v2", "v3", trafficPolicy={"a": 1})
    after = rule("v3", "v4", trafficPolicy={"b": 2})
    found = gitmesh_istio.between(before, after, frozenset({subset("v1")}))
    assert found is not None
    assert [one["name"] for one in found["subsets"]] == ["v1", "v3", "v4"]
    assert found["trafficPolicy"] == {"b": 2}


@pytest.mark.parametrize("after", [None, rule("v1", host="other")])
def test_there_is_no_between_of_a_rule_that_goes_or_is_for_another_host(after: Body | None) -> None:
    assert gitmesh_istio.between(rule("v1"), after, frozenset({subset("v1")})) is None
