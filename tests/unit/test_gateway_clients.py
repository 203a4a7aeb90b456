"""Clients on whose requests no route acts: gateways, which have routes of their own, and those without a
proxy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gitmesh.cli.asking import known_clusters
from gitmesh.cli.ends import named_client
from gitmesh.diagnostics import Severity
from gitmesh.model.report import Report, State
from gitmesh.reasoning.questions import Question
from gitmesh.reasoning.routing import Found, Routing, route
from gitmesh.status.states import policy_states
from tests.folders import Body, Folders, app, mesh_config, said, thing
from tests.properties.history import document

ROUTE = "virtualservice.networking.istio.io"
EDGE = {"labels": {"app": "edge"}}
MARK = {"headers": {"request": {"set": {"x-edge": "in"}}}}


def pod(name: str, *containers: Body, namespace: str = "shop", labels: Body | None = None) -> Body:
    spec = {"serviceAccountName": name, "containers": [{"name": "app", "image": "app:1"}, *containers]}
    return thing(
        "Pod",
        f"{name}-0",
        namespace,
        labels=labels or {"app": name},
        spec=spec,
        status={"phase": "Running"},
    )


ROUTER = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.3", "args": ["proxy", "router"]}


@pytest.fixture
def shop(tmp_path: Path) -> Folders:
    found = Folders(tmp_path, names=("east",))
    found.put(
        "east",
        "edge",
        thing("ServiceAccount", "edge", "istio-system"),
        thing("ServiceAccount", "plain", "shop"),
        pod("edge", ROUTER, namespace="istio-system"),
    )
    return found


def limit() -> Body:
    return document("TrafficPolicy", "limit", destinations=[{"name": "api"}], timeout="2s")


def mark(*sources: Body, **more: object) -> Body:
    fields = more or MARK
    return document("TrafficPolicy", "mark", destinations=[{"name": "api"}], sources=list(sources), **fields)


def routed(report: Report, source: str) -> Routing:
    known = known_clusters(report)["east"]
    client = named_client(source, "", known.index.facts)
    assert client is not None
    return route(Question(client=client, service=("shop", "api"), port=80), known)


def matches(shop: Folders) -> list[Body]:
    """What the rows of the live route ask for."""
    rows = shop.spec("east", "api", kind=ROUTE)["http"]
    return [match for row in rows for match in row.get("match", ())]


def test_a_policy_for_a_gateway_alone_is_told_and_keeps_nothing_else_back(shop: Folders) -> None:
    shop.commit(limit(), mark({**EDGE, "namespaces": ["istio-system"]}))
    report = shop.settle()
    [told] = said(report, "GM301")
    assert (told.policy, told.field, told.severity, told.cluster) == (
        "TrafficPolicy/shop/mark",
        "spec.sources[0]",
        Severity.ERROR,
        "east",
    )
    assert "Pod istio-system/edge-0" in told.message
    assert [one.code for one in report.diagnostics] == ["GM301"]
    assert matches(shop) == []
    states = policy_states(report)
    assert states["TrafficPolicy/shop/limit"] is State.SYNCED
    assert states["TrafficPolicy/shop/mark"] is not State.SYNCED


def test_the_calculator_says_whom_no_route_reaches(shop: Folders) -> None:
    shop.put("east", "plain", pod("plain"))
    pool = {"connectionPool": {"tcp": {"maxConnections": 7}}}
    shop.commit({**limit(), "spec": {**limit()["spec"], **pool}}, mark(EDGE))
    report = shop.settle()
    edge, web = routed(report, "istio-system/edge"), routed(report, "shop/web")
    assert (edge.found, dict(edge.request), sorted(edge.connection)) == (
        Found.GATEWAY,
        {},
        ["connection_pool"],
    )
    assert (web.found, sorted(web.request)) == (Found.DECIDED, ["timeout"])
    assert routed(report, "shop/plain").found is Found.NO_PROXY


def test_a_source_that_means_a_sidecar_too_is_written(shop: Folders) -> None:
    shop.put("east", "aside", app("aside", "istio-system", labels={"app": "edge"}))
    shop.commit(mark(EDGE))
    assert not shop.settle().diagnostics
    assert [match["sourceLabels"] for match in matches(shop)] == [{"app": "edge"}]


@pytest.mark.parametrize(
    "source", [EDGE, {"serviceAccounts": ["edge"]}, {"labels": {"app": "edge"}, "serviceAccounts": ["edge"]}]
)
def test_one_source_of_several_is_left_out(shop: Folders, source: Body) -> None:
    shop.commit(mark(source, {"labels": {"app": "web"}}, timeout="1s"))
    assert [one.field for one in said(shop.settle(), "GM301")] == ["spec.sources[0]"]
    assert [match["sourceLabels"] for match in matches(shop)] == [{"app": "web"}]


@pytest.mark.parametrize(
    "source",
    [
        {"labels": {"app": "plain"}},
        {"labels": {"app": "plain"}, "namespaces": ["shop"]},
        {"namespaces": ["outside"]},
    ],
)
def test_clients_without_a_proxy_are_told_and_the_route_is_there_when_they_get_one(
    shop: Folders, source: Body
) -> None:
    namespace = "shop" if "labels" in source else "outside"
    shop.put("east", "plain", thing("Namespace", "outside"), pod("plain", namespace=namespace))
    shop.commit(mark(source))
    report = shop.settle()
    [told] = said(report, "GM303")
    assert (told.field, told.severity) == ("spec.sources[0]", Severity.WARNING)
    assert [one.code for one in report.diagnostics] == ["GM303"]
    assert len(matches(shop)) == 1
    shop.put("east", "plain", thing("Namespace", "outside"), app("plain", namespace))
    assert not shop.settle().diagnostics


def test_clients_are_told_by_their_service_account_too(shop: Folders) -> None:
    """Beside it stands that a client's proxy cannot be told by it on this mesh."""
    shop.put("east", "plain-pod", pod("plain"))
    shop.commit(mark({"serviceAccounts": ["plain"]}))
    assert [one.field for one in said(shop.settle(), "GM303")] == ["spec.sources[0]"]


def test_a_sidecar_in_a_namespace_that_the_mesh_ignores_is_outside(shop: Folders) -> None:
    shop.put("east", "outside", thing("Namespace", "outside"), app("away", "outside"))
    known = thing("Namespace", "istio-system", labels={"mesh": "yes"})
    inside = thing("Namespace", "shop", labels={"mesh": "yes", "istio-injection": "enabled"})
    shop.put("east", "namespaces", known, inside)
    shop.put("east", "mesh", mesh_config(discoverySelectors=[{"matchLabels": {"mesh": "yes"}}]))
    shop.commit(mark({"namespaces": ["outside"]}))
    report = shop.settle()
    assert [one.field for one in said(report, "GM303")] == ["spec.sources[0]"]
    assert routed(report, "outside/away").found is Found.NO_PROXY


@pytest.mark.parametrize("source", [{"labels": {"app": "later"}}, {"all": True}, {"clusters": ["east"]}])
def test_clients_that_are_not_there_yet_and_all_clients_are_not_told(shop: Folders, source: Body) -> None:
    shop.commit(mark(source))
    assert not shop.settle().diagnostics
    assert shop.spec("east", "api", kind=ROUTE)


def test_a_policy_that_acts_on_no_service_here_says_nothing_of_its_clients(shop: Folders) -> None:
    nowhere = {**mark(EDGE)["spec"], "destinations": [{"labels": {"app": "nothing"}}]}
    shop.commit(document("TrafficPolicy", "mark", **nowhere))
    assert [one.code for one in shop.run().diagnostics] == ["GM209"]


def test_whether_pods_that_are_still_to_come_get_a_proxy_is_not_known(shop: Folders) -> None:
    template = {"metadata": {"labels": {"app": "job"}}, "spec": pod("job")["spec"]}
    shop.put("east", "job", thing("Deployment", "job", "shop", "apps/v1", spec={"template": template}))
    shop.commit(mark({"labels": {"app": "job"}}))
    assert not shop.settle().diagnostics


def test_gateways_beside_a_control_plane_are_no_clients_by_their_namespace(shop: Folders) -> None:
    """The control plane there gets no proxy, though nothing is seen of its pods."""
    shop.commit(mark({"namespaces": ["istio-system"]}))
    (told,) = said(shop.run(), "GM303")
    assert "gateways have routes of their own" in told.message
    assert told.field == "spec.sources[0]"


def test_a_client_with_a_sidecar_beside_a_gateway_is_one(shop: Folders) -> None:
    shop.put("east", "near", app("near", "istio-system"), thing("ServiceAccount", "near", "istio-system"))
    shop.commit(mark({"namespaces": ["istio-system"]}))
    assert not said(shop.run(), "GM303")
