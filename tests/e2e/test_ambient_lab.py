"""The lab's ambient: that requests go through real waypoints with their callers' identities, and that pods
take what istiod tells ztunnels they may.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.lab.mesh import MeshCluster
from tests.lab.wire import WireAnswer, WireRequest
from tests.lab.world import LabWorld

pytestmark = pytest.mark.e2e
SECURITY, GATEWAY = "security.istio.io/v1", "gateway.networking.k8s.io/v1"
REVIEWS = "http://reviews:9080/"
PRODUCTPAGE = {"from": [{"source": {"principals": ["east.local/ns/bookshop/sa/productpage"]}}]}


@pytest.fixture
def east(ambient_world: LabWorld) -> MeshCluster:
    return ambient_world.clusters["east"]


def test_requests_go_through_the_waypoint_of_the_service(east: MeshCluster) -> None:
    answer = _sent(east, "productpage", "http://ledger.office:9080/books/1%2f2?q=a%20b")
    assert answer.seen is not None
    assert (answer.seen.pod, answer.seen.path, answer.seen.port) == ("ledger-0", "/books/1%2f2", 8080)
    assert "ledger.office.svc.cluster.local:9080" in answer.headers["x-envoy-decorator-operation"]


def test_a_client_that_is_in_no_mesh_goes_past_it(east: MeshCluster) -> None:
    answer = _sent(east, "plain", "http://reviews.bookshop:9080/")
    assert answer.status == 200
    assert answer.headers.get("server") is None


def test_a_waypoint_decides_by_identity_and_path(east: MeshCluster) -> None:
    rule = {**PRODUCTPAGE, "to": [{"operation": {"paths": ["/open"]}}]}
    spec = {"targetRefs": [{"group": "", "kind": "Service", "name": "reviews"}], "rules": [rule]}
    with _applied(east, SECURITY, "AuthorizationPolicy", spec):
        outcomes = {
            (client, path): _sent(east, client, f"{REVIEWS}{path}").status
            for client in ("productpage", "probe")
            for path in ("open", "shut")
        }
        assert outcomes.pop(("productpage", "open")) == 200
        assert set(outcomes.values()) == {403}
    assert _sent(east, "probe", f"{REVIEWS}shut").status == 200


def test_a_pod_takes_connections_from_whom_istiod_says(east: MeshCluster) -> None:
    """The waypoint is not among them, so requests to the Service do not come through either."""
    pod = f"http://{east.pods['vault-0'].ip}:8080/"
    spec = {"selector": {"matchLabels": {"app": "vault"}}, "rules": [PRODUCTPAGE]}
    with _applied(east, SECURITY, "AuthorizationPolicy", spec):
        assert _sent(east, "productpage", pod).status == 200
        assert _sent(east, "probe", pod).error in ("reset", "eof")
        assert _sent(east, "plain", pod).error in ("reset", "eof")
        assert _sent(east, "productpage", "http://vault:9080/").status == 503
    assert _sent(east, "probe", pod).status == 200


def test_strict_refuses_plain_text(east: MeshCluster) -> None:
    with _applied(east, SECURITY, "PeerAuthentication", {"mtls": {"mode": "STRICT"}}):
        assert _sent(east, "plain", "http://reviews.bookshop:9080/").error in ("reset", "eof")
        assert _sent(east, "probe", REVIEWS).status == 200


def test_a_route_holds_as_soon_as_the_mesh_is_settled(east: MeshCluster) -> None:
    parent = {"group": "", "kind": "Service", "name": "reviews", "port": 9080}
    teapot = {"matches": [{"headers": [{"name": "x-who", "value": "next"}]}]}
    rules = [
        {**teapot, "backendRefs": [{"name": "reviews-next", "port": 9080}]},
        {"backendRefs": [{"name": "reviews", "port": 9080}]},
    ]
    many = [WireRequest(REVIEWS, headers={"x-who": who}) for who in ("next", "other")] * 10
    pods = east.pods["productpage"]
    with _applied(east, GATEWAY, "HTTPRoute", {"parentRefs": [parent], "rules": rules}):
        found = [answer.seen.service_account for answer in pods.send(many, parallel=4) if answer.seen]
        assert found == ["reviews-next", "reviews"] * 10
    found = [answer.seen.service_account for answer in pods.send(many, parallel=4) if answer.seen]
    assert found == ["reviews"] * 20


def _sent(cluster: MeshCluster, client: str, url: str) -> WireAnswer:
    return cluster.pods[client].send([WireRequest(url)])[0]


@contextlib.contextmanager
def _applied(cluster: MeshCluster, version: str, kind: str, spec: Mapping[str, Any]) -> Iterator[None]:
    """An object of the namespace bookshop while the block runs; in effect when it begins, gone when it has
    ended.
    """
    meta = {"name": "ambient-lab", "namespace": "bookshop"}
    cluster.api.apply([{"apiVersion": version, "kind": kind, "metadata": meta, "spec": dict(spec)}])
    try:
        cluster.settled()
        yield
    finally:
        path = cluster.api.client.resource_path(version, kind, "bookshop", "ambient-lab")
        cluster.api.client.call("DELETE", path)
        cluster.settled()
