"""Routing fields that can have no effect for the kind of Service on which they are laid: an error where a
policy names the Service, a note where it selects it among others; nothing of them is written or answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.policies import Policy
from gitmesh.model.report import State
from gitmesh.model.services import Service, ServicePort
from gitmesh.reasoning.routing import Found, Routing
from gitmesh.resolution.resolve import resolve
from gitmesh.status.bearing import idle_policies
from gitmesh.status.states import overall
from tests.factories import access, facts, service, traffic, workload
from tests.fake_mesh import FakeMesh
from tests.outcome import PolicyOutcome
from tests.outcome import outcome as outcome_in

BROAD: list[dict[str, Any]] = [{"namespaces": ["shop"]}]
V1, V2 = ({"name": "index", "subset": {"version": version}} for version in ("v1", "v2"))
CANARY = [{"weight": 90, "destination": V1}, {"weight": 10, "destination": V2}]
RESTING: Mapping[str, Any] = {"consecutiveErrors": 3}
INDEX = service("index", headless=True)
STOCK = service("stock", "depot")
ALIAS = service(
    "depot", type="ExternalName", selector={}, alias="stock.depot.svc.cluster.local", labels={"app": "depot"}
)
PLAIN = service("reviews")
PODS = (
    workload("index-v1", labels={"app": "index", "version": "v1"}),
    workload("index-v2", labels={"app": "index", "version": "v2"}),
    workload("reviews"),
)


def istio(version: str = "1.30.3", name: str = "istio", **settings: str) -> Mesh:
    return Mesh(
        translator="istio", name=name, version=version, root_namespace="istio-system",
        trust_domain="cluster.local", settings={"clusterDomain": "cluster.local", **settings},
    )  # fmt: skip


def world(*more: Service | Mesh) -> ClusterFacts:
    return facts("east", INDEX, STOCK, ALIAS, PLAIN, *PODS, *more)


def outcome(*policies: Policy, of: ClusterFacts | None = None) -> PolicyOutcome:
    return outcome_in(of or world(), *policies)


# --- headless Services: the client chooses the pod


def test_subsets_and_balancing_of_a_headless_service_are_errors_and_nothing_is_written() -> None:
    found = outcome(traffic("canary", "index", split=CANARY, loadBalancing={"algorithm": "LeastRequest"}))
    assert found.codes() == [("GM301", "spec.loadBalancing"), ("GM301", "spec.split")]
    assert all("headless" in one.message for one in found.findings)
    assert found.bodies == {}
    assert found.routed() == Routing(found=Found.HELD)


@pytest.mark.parametrize(
    "field",
    [
        {"loadBalancing": {"algorithm": "Random"}},
        {"loadBalancing": {"consistentHash": {"sourceIp": True}}},
        {"loadBalancing": {"slowStart": "30s"}},
        {"outlierDetection": RESTING},
        {"mirror": [{"destination": {"name": "index"}, "percent": 5}]},
    ],
    ids=repr,
)
def test_nothing_that_chooses_among_pods_has_an_effect_on_a_headless_service(field: Any) -> None:
    assert outcome(traffic("p", "index", **field)).codes() == [("GM301", f"spec.{next(iter(field))}")]


@pytest.mark.parametrize("destination", [{"name": "index"}, V1], ids=["whole", "subset"])
def test_a_share_of_another_service_does_not_reach_a_headless_one(destination: Any) -> None:
    """The weight is right, but the pod is the one behind the address that the client had asked for."""
    split = [{"weight": 9, "destination": {"name": "reviews"}}, {"weight": 1, "destination": destination}]
    found = outcome(traffic("canary", "reviews", split=split))
    assert found.codes() == [("GM301", "spec.split")]
    assert found.bodies == {}, "no subset that nobody can use, either"
    assert found.routed("reviews").found is Found.HELD


def test_a_target_is_named_whatever_selects_what_is_called() -> None:
    found = outcome(traffic("canary", [{"labels": {"app": "reviews"}}], split=[{"destination": V1}]))
    assert found.codes() == [("GM301", "spec.split")]


@pytest.mark.parametrize(
    "field",
    [
        {"timeout": "1s"},
        {"headers": {"request": {"set": {"x": "1"}}}},
        {"fault": {"abort": {"httpStatus": 503, "percent": 5}}},
        {"retries": {"attempts": 1}},
        {"connectionPool": {"tcp": {"maxConnections": 5}}},
        {"tls": {"mode": "Disable"}},
        {"loadBalancing": {"algorithm": "Passthrough"}},
        {"loadBalancing": {"disabled": True}, "timeout": "1s"},
        {"split": [{"destination": {"name": "reviews"}}]},
        {"split": [{"weight": 1, "destination": {"name": "index"}}, {"destination": {"name": "reviews"}}]},
    ],
    ids=repr,
)
def test_what_acts_on_the_route_or_the_connection_acts_on_a_headless_service(field: Any) -> None:
    found = outcome(traffic("p", "index", **field))
    assert found.codes() == []
    assert found.bodies


def test_istiod_may_balance_headless_services() -> None:
    policy = traffic("canary", "index", split=CANARY, loadBalancing={"algorithm": "LeastRequest"})
    balanced = istio(headlessIsBalanced="true")
    found = outcome(policy, of=world(balanced))
    assert found.codes() == []
    assert found.bodies.keys() == {("DestinationRule", "index"), ("VirtualService", "index")}
    assert found.routed().connection["load_balancing"].value.algorithm == "LeastRequest"
    assert outcome(policy, of=world(balanced, istio(name="istio-canary"))).codes(), "one revision does not"


def test_a_broad_selector_leaves_out_what_has_no_effect_and_says_so() -> None:
    broad = traffic("all", BROAD, timeout="1s", loadBalancing={"algorithm": "Random"}, outlierDetection={})
    found = outcome(broad)
    assert {one.code for one in found.findings} == {"GM305"}
    assert not any(one.is_error for one in found.findings)
    assert found.routed("index").request.keys() == {"timeout"}
    assert found.routed("index").connection == {}
    assert found.routed("reviews").connection.keys() == {"load_balancing", "outlier_detection"}
    assert found.bodies.keys() == {
        ("DestinationRule", "reviews"),
        *(("VirtualService", name) for name in ("depot", "index", "reviews")),
    }


def test_a_field_without_effect_is_no_conflict_and_holds_no_access() -> None:
    one, other = (
        traffic(name, BROAD, loadBalancing={"algorithm": name}) for name in ("Random", "RoundRobin")
    )
    headless = facts("east", INDEX, *PODS)
    assert {code for code, _ in outcome(one, other, of=headless).codes()} == {"GM305"}
    found = outcome(traffic("p", "index", loadBalancing={"algorithm": "Random"}), access("a", "index"))
    assert found.bodies.keys() == {("AuthorizationPolicy", "index-allow")}


def test_a_policy_that_has_no_effect_anywhere_is_not_synced() -> None:
    found = outcome(traffic("lb", BROAD, loadBalancing={"algorithm": "Random"}), of=facts("east", INDEX))
    assert (found.codes(), found.bodies) == ([("GM305", "spec.loadBalancing")], {})
    assert idle_policies(found.findings) == {"TrafficPolicy/shop/lb": {"GM305"}}
    assert overall((), (), idle=True) is State.PENDING


# --- ExternalName Services: an alias has no connections


@pytest.mark.parametrize(
    "field",
    [
        {"outlierDetection": RESTING},
        {"connectionPool": {"tcp": {"maxConnections": 5}}},
        {"loadBalancing": {"algorithm": "Random"}},
        {"tls": {"mode": "Simple"}},
    ],
    ids=repr,
)
def test_connections_of_an_alias_are_an_error_that_names_what_to_select(field: Any) -> None:
    found = outcome(traffic("p", "depot", **field))
    [one] = found.findings
    assert (one.code, one.is_error, one.field) == ("GM301", True, f"spec.{next(iter(field))}")
    assert "select Service depot/stock" in one.message
    assert found.bodies == {}
    assert found.routed("depot").connection == {}


@pytest.mark.parametrize("to", ["depot", "reviews"])
def test_an_alias_has_no_subsets(to: str) -> None:
    split = [{"destination": {"name": "depot", "subset": {"version": "v1"}}}]
    found = outcome(traffic("p", to, split=split))
    assert found.codes() == [("GM301", "spec.split")]
    assert "depot/stock" in found.findings[0].message
    assert found.bodies == {}


@pytest.mark.parametrize(
    ("alias", "named"),
    [
        ("", ""),
        ("stock.depot.svc.elsewhere.example", ""),
        ("gone.depot.svc.cluster.local", ""),
        ("depot.shop.svc.cluster.local", ""),
        ("second.shop.svc.cluster.local", "depot/stock"),
    ],
    ids=["outside", "another domain", "not there", "itself", "an alias of an alias"],
)
def test_where_an_alias_leads_elsewhere_no_service_is_named(alias: str, named: str) -> None:
    of = facts(
        "east",
        STOCK,
        service("depot", type="ExternalName", selector={}, alias=alias),
        service("second", type="ExternalName", selector={}, alias=ALIAS.alias),
    )
    [one] = outcome(traffic("p", "depot", outlierDetection=RESTING), of=of).findings
    assert (one.code, "select Service" in one.message) == ("GM301", bool(named))
    assert named in one.message


@pytest.mark.parametrize(
    ("meshes", "is_alias"),
    [
        ([istio("1.20.8")], False),
        ([istio("1.21.0")], True),
        ([istio("")], True),
        ([istio(externalNameHasCluster="true")], False),
        ([istio("1.31.0", externalNameHasCluster="true")], True),
        ([istio("1.20.8"), istio("1.30.3", "istio-new")], True),
    ],
    ids=["old", "first", "unknown", "told", "told in vain", "one of two"],
)
def test_an_alias_is_one_since_istio_1_21(meshes: list[Mesh], is_alias: bool) -> None:
    found = outcome(traffic("p", "depot", outlierDetection=RESTING), of=world(*meshes))
    assert bool(found.findings) is is_alias
    assert (("DestinationRule", "depot") in found.bodies) is not is_alias
    assert bool(found.routed("depot").connection) is not is_alias


def test_routes_of_an_alias_act() -> None:
    found = outcome(traffic("p", "depot", timeout="1s", split=[{"destination": {"name": "reviews"}}]))
    assert (found.codes(), list(found.bodies)) == ([], [("VirtualService", "depot")])


def alias(of: str = "stock.depot", *ports: int, name: str = "depot") -> Service:
    declared = tuple(ServicePort(number=one, name=f"http-{one}", protocol="http") for one in ports or (80,))
    full = f"{of}.svc.cluster.local" if of else ""
    return service(name, type="ExternalName", selector={}, alias=full, ports=declared)


def led_to(port: int = 0, field: str = "split") -> Policy:
    """Half of the requests for reviews, or a copy of them, to the alias."""
    to = {"name": "depot", **({"port": port} if port else {})}
    copied = {"mirror": [{"destination": to, "percent": 5}]}
    shared = {"split": [{"weight": 1, "destination": {"name": "reviews"}}, {"weight": 1, "destination": to}]}
    return traffic("p", "reviews", **(copied if field == "mirror" else shared))


@pytest.mark.parametrize("field", ["split", "mirror"])
@pytest.mark.parametrize(
    ("services", "port", "why"),
    [
        ([alias("stock.depot", 81)], 81, "has no port 80; select Service depot/stock"),
        (
            [alias("second.shop"), alias(name="second")],
            0,
            "one alone is resolved; select Service depot/stock",
        ),
        ([alias("depot.shop")], 0, "one alone is resolved; it names no Service"),
        ([alias("stock.depot", 80, 81)], 81, "depot/stock, which it names, has no port 81"),
        ([alias("index.shop")], 0, "it is an alias of shop/index: it is headless"),
    ],
    ids=[
        "asked on a port of its own",
        "an alias of an alias",
        "itself",
        "a port that is not there",
        "headless",
    ],
)
def test_a_share_that_istiod_does_not_lead_through_an_alias_is_an_error(
    services: list[Service], port: int, why: str, field: str
) -> None:
    """Their cluster would not exist, so they are answered 503, or it would send them back where they came
    from."""
    found = outcome(led_to(port, field), of=facts("east", STOCK, INDEX, PLAIN, *PODS, *services))
    assert found.codes() == [("GM301", f"spec.{field}")]
    assert why in found.findings[0].message
    assert found.bodies == {}
    assert found.routed("reviews").found is Found.HELD


@pytest.mark.parametrize(
    ("to", "port"),
    [
        (alias(), 0),
        (alias(), 80),
        (alias("stock.depot", 80, 81), 80),
        (alias(""), 0),
        (alias("gone.depot"), 0),
    ],
    ids=["one port", "named", "of two", "outside", "not in this cluster"],
)
def test_a_share_that_may_arrive_through_an_alias_is_written(to: Service, port: int) -> None:
    """A name that is no Service here may be a ServiceEntry's, or that of a Service in another cluster."""
    found = outcome(led_to(port), of=facts("east", STOCK, PLAIN, *PODS, to))
    assert (found.codes(), list(found.bodies)) == ([], [("VirtualService", "reviews")])


def test_ports_on_which_nothing_is_routed_are_not_asked_of_an_alias() -> None:
    mixed = service("reviews", ports=(HTTP, TCP))
    found = outcome(led_to(80), of=facts("east", STOCK, mixed, *PODS, alias()))
    assert (found.codes(), list(found.bodies)) == ([], [("VirtualService", "reviews")])


@pytest.mark.parametrize("mesh", [istio("1.20.8"), istio(externalNameHasCluster="true")], ids=["old", "told"])
def test_where_an_alias_has_a_cluster_of_its_own_shares_go_there(mesh: Mesh) -> None:
    found = outcome(led_to(81), of=facts("east", STOCK, PLAIN, *PODS, mesh, alias("stock.depot", 81)))
    assert (found.codes(), list(found.bodies)) == ([], [("VirtualService", "reviews")])


# --- ports that are not HTTP, and Services of which proxies see nothing


def with_ports(*ports: ServicePort, **fields: Any) -> ClusterFacts:
    return facts(
        "east", service("mixed", ports=ports, **fields), PLAIN, workload("mixed"), workload("reviews")
    )


HTTP, TCP = ServicePort(number=80, protocol="http"), ServicePort(number=90, protocol="tcp")
UDP = ServicePort(number=53, protocol="udp")


@pytest.mark.parametrize(
    "port",
    [
        *(ServicePort(number=80, protocol=p) for p in ("tcp", "tls", "https", "mongo")),
        ServicePort(number=3306),
    ],
    ids=lambda port: port.protocol or str(port.number),
)
def test_routes_on_ports_that_are_not_http_have_no_effect(port: ServicePort) -> None:
    of = with_ports(port)
    named = outcome(traffic("p", "mixed", timeout="1s", retries={"attempts": 1}), of=of)
    assert named.codes() == [("GM301", "spec.retries"), ("GM301", "spec.timeout")]
    broad = outcome(traffic("p", BROAD, timeout="1s", connectionPool={"tcp": {"maxConnections": 5}}), of=of)
    assert broad.codes() == [("GM305", "spec.timeout")]
    assert broad.bodies.keys() == {
        ("DestinationRule", "mixed"),
        *((kind, "reviews") for kind in ("DestinationRule", "VirtualService")),
    }


@pytest.mark.parametrize("match", [{"port": 90}, {"port": 80}, {"path": {"prefix": "/a"}}], ids=repr)
def test_a_service_with_ports_of_both_kinds_takes_routes_for_the_http_ones(match: Any) -> None:
    found = outcome(traffic("p", "mixed", matches=[match], timeout="1s"), of=with_ports(HTTP, TCP))
    idle = match == {"port": 90}
    assert found.codes() == ([("GM301", "spec.timeout")] if idle else [])
    assert bool(found.bodies) is not idle


def test_one_match_on_a_port_that_is_not_http_leaves_the_others() -> None:
    policy = traffic("p", BROAD, matches=[{"port": 90}, {"port": 80}], timeout="1s")
    found = outcome(policy, of=facts("east", service("mixed", ports=(HTTP, TCP))))
    assert found.codes() == [("GM305", "spec.timeout")]
    assert [row["match"] for row in found.bodies["VirtualService", "mixed"]["http"][:1]] == [[{"port": 80}]]


@pytest.mark.parametrize("ports", [(), (UDP,)], ids=["none", "udp"])
@pytest.mark.parametrize(
    "field", [{"timeout": "1s"}, {"outlierDetection": {}}, {"tls": {"mode": "Disable"}}], ids=repr
)
def test_proxies_see_nothing_of_a_service_without_tcp(ports: tuple[ServicePort, ...], field: Any) -> None:
    named = outcome(traffic("p", "mixed", **field), of=with_ports(*ports))
    assert named.codes() == [("GM301", f"spec.{next(iter(field))}")]
    broad = outcome(traffic("p", BROAD, **field), of=with_ports(*ports))
    assert broad.codes() == [("GM305", f"spec.{next(iter(field))}")]
    assert {name for _, name in broad.bodies} == {"reviews"}


def test_affinity_by_what_requests_have_needs_requests() -> None:
    def codes(**by: Any) -> list[tuple[str, str]]:
        policy = traffic("p", "mixed", loadBalancing={"consistentHash": by})
        return outcome(policy, of=with_ports(TCP)).codes()

    assert codes(header="x-user") == [("GM301", "spec.loadBalancing")]
    assert codes(sourceIp=True) == []


def test_a_translator_that_falls_over_holds_what_it_was_asked_about() -> None:
    class Falling(FakeMesh):
        def inert(self, *_: Any) -> str:
            raise RuntimeError("no")

    of = facts("east", PLAIN, workload("reviews"), Mesh(translator="fake", name="fake"))
    resolution = resolve(
        [traffic("p", "reviews", timeout="1s")], {"east": of}, {"east": {}}, translators={"fake": Falling()}
    )
    [one] = resolution.diagnostics
    assert (one.code, one.detail) == ("GM313", "RuntimeError: no")
    assert [key.half for key in resolution.held["east"]] == ["routing"]


# --- the balancer that passes through: the client chooses here, too


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        pytest.param({"split": "canary"}, "subsets", id="subsets"),
        pytest.param({"outlierDetection": RESTING}, "outlierDetection", id="ejected pods"),
        pytest.param({"timeout": "2s"}, "", id="fields of the route itself"),
        pytest.param({}, "", id="nothing else"),
    ],
)
def test_what_passing_through_leaves_without_effect_is_told(fields: dict[str, Any], lost: str) -> None:
    parts = [{"weight": 1, "destination": {"name": "reviews", "subset": {"app": "reviews"}}}]
    more = {"split": parts} if "split" in fields else fields
    found = outcome(traffic("through", "reviews", loadBalancing={"algorithm": "Passthrough"}, **more))
    assert found.codes() == ([("GM303", "spec.loadBalancing")] if lost else [])
    assert all(lost in one.message for one in found.findings)


@pytest.mark.parametrize("algorithm", ["Random", "LeastRequest"])
def test_other_balancers_choose_among_the_pods_that_are_left(algorithm: str) -> None:
    balancing = {"algorithm": algorithm}
    found = outcome(traffic("chosen", "reviews", loadBalancing=balancing, outlierDetection=RESTING))
    assert found.codes() == []
