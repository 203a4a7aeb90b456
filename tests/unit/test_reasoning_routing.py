"""How a request is treated, and which lines decide: the calculator on resolved units."""

from __future__ import annotations

from typing import Any

from gitmesh.model.policies import Policy
from gitmesh.model.services import ServicePort
from gitmesh.reasoning.questions import Client
from gitmesh.reasoning.routing import Found, Routing, route
from gitmesh.render.answers import spelt
from tests.asking import PLAIN, asked, client, known
from tests.factories import facts, service, shop, traffic, workload


def answer(*policies: Policy, who: Client | None = None, **request: Any) -> Routing:
    return route(asked(who, **request), known(policies, shop())["east"])


def test_what_no_policy_says_is_the_meshs_own() -> None:
    found = answer()
    assert (found.found, dict(found.request), dict(found.connection)) == (Found.DECIDED, {}, {})


def test_fields_come_from_the_greatest_rule_that_sets_each() -> None:
    broad = traffic("broad", to=[{"namespaces": ["shop"]}], timeout="5s", retries={"attempts": 3})
    narrow = traffic("narrow", matches=[{"path": {"prefix": "/api"}}], timeout="1s")
    found = answer(broad, narrow, path="/api/x")
    assert {
        name: (one.value if name == "timeout" else one.value.attempts) for name, one in found.request.items()
    } == {
        "timeout": 1000,
        "retries": 3,
    }
    assert found.request["timeout"].origin == narrow.origin("timeout")
    assert found.request["retries"].origin == broad.origin("retries")
    assert [origin.policy for origin in found.rules] == [
        "TrafficPolicy/shop/narrow",
        "TrafficPolicy/shop/broad",
    ]
    assert answer(broad, narrow, path="/apix").request["timeout"].value == 5000


def test_disabled_ends_inheritance() -> None:
    broad = traffic("broad", to=[{"all": True}], timeout="5s")
    assert "timeout" not in answer(broad, traffic("none", timeout={"disabled": True})).request


def test_headers_merge_by_name_and_each_has_its_own_line() -> None:
    broad = traffic("broad", to=[{"all": True}], headers={"request": {"set": {"x-a": "1", "x-b": "1"}}})
    narrow = traffic("narrow", headers={"request": {"set": {"X-A": "2"}}, "response": {"remove": ["server"]}})
    found = answer(broad, narrow)
    assert found.request["headers"].value.request.set == {"x-a": "2", "x-b": "1"}
    assert {key: origin.policy.rpartition("/")[2] for key, origin in found.headers.items()} == {
        ("request", "x-a"): "narrow",
        ("request", "x-b"): "broad",
        ("response", "server"): "narrow",
    }


def test_a_split_and_a_mirror_name_their_targets() -> None:
    split = [
        {"weight": 1, "destination": {"name": "ratings"}},
        {"destination": {"name": "reviews", "subset": {"app": "reviews"}}},
    ]
    found = answer(traffic("split", split=split, mirror=[{"destination": {"name": "ratings"}, "percent": 5}]))
    shares = [(item.destination.name, target.service.name, target.port) for item, target in _shares(found)]
    assert sorted(shares) == [("ratings", "ratings", 80), ("reviews", "reviews", 0)]
    assert [target.service.name for target in found.mirrors] == ["ratings"]


def _shares(found: Routing) -> list[tuple[Any, Any]]:
    return list(zip(found.request["split"].value, found.targets, strict=True))


def test_connection_fields_are_those_of_the_port() -> None:
    ports = (
        ServicePort(number=80, name="http", target=8080),
        ServicePort(number=81, name="admin", target=9090),
    )
    whole = traffic("whole", connectionPool={"tcp": {"maxConnections": 1}}, tls={"mode": "Disable"})
    admin = traffic("admin", matches=[{"port": "admin"}], connectionPool={"tcp": {"maxConnections": 9}})
    seen = known([whole, admin], facts("east", service(ports=ports), workload()))["east"]
    for port, most in ((80, 1), (81, 9)):
        found = route(asked(port=port), seen)
        assert found.connection["connection_pool"].value.tcp.max_connections == most
        assert found.connection["tls"].origin == whole.origin("tls")


def test_what_is_omitted_of_outlier_detection_is_answered_with_what_it_means() -> None:
    found = answer(traffic("failing", outlierDetection={"consecutiveErrors": 3}))
    assert spelt(found.connection["outlier_detection"].value) == {
        "consecutiveErrors": 3,
        "interval": "10s",
        "baseEjectionTime": "30s",
        "maxEjectionPercent": 10,
        "minHealthPercent": 0,
    }


def test_what_omitted_parts_mean_is_no_other_value() -> None:
    """Equal rules that say the same, one of them by leaving it out, are no conflict."""
    one, other = traffic("a", outlierDetection={}), traffic("b", outlierDetection={"interval": "10s"})
    assert answer(one, other).found is Found.DECIDED


def test_only_the_clients_that_a_policy_means_are_routed_by_it() -> None:
    for_bank = traffic("bank", sources=[{"namespaces": ["bank"]}], timeout="1s", tls={"mode": "Disable"})
    assert answer(for_bank).request.keys() | answer(for_bank).connection.keys() == set()
    found = answer(for_bank, who=client(namespace="bank"))
    assert (found.request["timeout"].value, found.connection["tls"].value.mode) == (1000, "Disable")


def test_nothing_is_routed_for_a_client_without_proxy() -> None:
    assert answer(traffic("slow", timeout="5s"), who=PLAIN) == Routing(found=Found.NO_PROXY)


def test_on_a_port_that_is_not_http_only_connections_are_decided() -> None:
    found = answer(traffic("slow", timeout="5s", tls={"mode": "Disable"}), http=False)
    assert (found.found, dict(found.request), list(found.connection)) == (Found.NOT_HTTP, {}, ["tls"])


def test_a_held_destination_keeps_what_nobody_knows() -> None:
    assert answer(traffic("one", timeout="1s"), traffic("two", timeout="2s")) == Routing(found=Found.HELD)
