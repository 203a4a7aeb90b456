"""DestinationRules and subset names."""

from __future__ import annotations

import re
from typing import Any

import pytest
from gitmesh_istio.names import subset_name
from msgspec.structs import replace

from gitmesh.model.base import Disabled
from gitmesh.model.conditions import SourceCondition
from gitmesh.model.routes import Decided
from tests.unit.istio.units import (
    HOST,
    MESH,
    codes,
    decided,
    only,
    origin,
    route,
    subset,
    traffic_policy,
    translated,
    unit,
)


def test_object_has_service_name_and_full_host() -> None:
    fragment = only(translated(unit(subsets=(subset(version="v2"), subset(version="v1")))), "DestinationRule")
    assert (fragment.key.namespace, fragment.key.name, fragment.spec["host"]) == ("shop", "reviews", HOST)
    assert fragment.spec["subsets"] == [
        {"name": "version-v1", "labels": {"version": "v1"}},
        {"name": "version-v2", "labels": {"version": "v2"}},
    ]
    assert fragment.fields["spec.subsets[0]"].field == "spec.split"


@pytest.mark.parametrize(
    ("default", "expected"), [("*", None), (".,*", None), (".", ["*"]), ("office", ["*"])]
)
def test_clients_of_all_namespaces_see_what_is_written(default: str, expected: list[str] | None) -> None:
    """Where only one kind were hidden, its clients would be routed to subsets that they do not know."""
    both = unit(route(timeout="1s"), subsets=(subset(version="v1"),))
    for kind in ("VirtualService", "DestinationRule"):
        mesh = replace(MESH, settings={f"default{kind}ExportTo": default})
        translation = translated(both, mesh)
        found = {fragment.key.kind: fragment.spec.get("exportTo") for fragment in translation.fragments}
        assert found == {"VirtualService": None, "DestinationRule": None} | {kind: expected}


def test_nothing_to_say_is_no_object() -> None:
    disabled = {"tls": Decided(value=Disabled(disabled=True), origin=origin())}
    assert translated(unit(settings={0: disabled})).fragments == ()


def test_outlier_detection() -> None:
    given = {
        "consecutiveErrors": 5,
        "interval": "10s",
        "baseEjectionTime": "30s",
        "maxEjectionPercent": 50,
        "minHealthPercent": 0,
    }
    assert traffic_policy(outlierDetection=given)["outlierDetection"] == {
        "consecutive5xxErrors": 5,
        "interval": "10s",
        "baseEjectionTime": "30s",
        "maxEjectionPercent": 50,
        "minHealthPercent": 0,
    }


def test_what_is_omitted_of_outlier_detection_is_written_out() -> None:
    """Istio's own defaults are its own: what the policy API means is the same on every mesh."""
    whole = {
        "consecutive5xxErrors": 5,
        "interval": "10s",
        "baseEjectionTime": "30s",
        "maxEjectionPercent": 10,
        "minHealthPercent": 0,
    }
    assert traffic_policy(outlierDetection={})["outlierDetection"] == whole
    assert traffic_policy(outlierDetection={"interval": "1s"})["outlierDetection"] == {
        **whole,
        "interval": "1s",
    }


@pytest.mark.parametrize(
    "field",
    [{"outlierDetection": {"maxEjectionPercent": 0}}, {"connectionPool": {"http": {"maxRetries": 0}}}],
)
def test_zero_that_istio_reads_as_unset(field: Any) -> None:
    translation = translated(unit(settings={0: decided(**field)}))
    assert (codes(translation), bool(translation.held)) == (["GM301"], True)


def test_connection_pool() -> None:
    tcp = {
        "maxConnections": 10,
        "connectTimeout": "250ms",
        "keepalive": {"time": "60s", "interval": "5s", "probes": 3},
    }
    http = {
        "maxPendingRequests": 1,
        "maxRequests": 2,
        "maxRequestsPerConnection": 3,
        "maxRetries": 4,
        "idleTimeout": "1m",
    }
    assert traffic_policy(connectionPool={"tcp": tcp, "http": http})["connectionPool"] == {
        "tcp": {
            "maxConnections": 10,
            "connectTimeout": "0.250s",
            "tcpKeepalive": {"time": "60s", "interval": "5s", "probes": 3},
        },
        "http": {
            "http1MaxPendingRequests": 1,
            "http2MaxRequests": 2,
            "maxRequestsPerConnection": 3,
            "maxRetries": 4,
            "idleTimeout": "60s",
        },
    }


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("RoundRobin", "ROUND_ROBIN"),
        ("LeastRequest", "LEAST_REQUEST"),
        ("Random", "RANDOM"),
        ("Passthrough", "PASSTHROUGH"),
    ],
)
def test_algorithms(algorithm: str, expected: str) -> None:
    assert traffic_policy(loadBalancing={"algorithm": algorithm}) == {"loadBalancer": {"simple": expected}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"header": "X-User"}, {"httpHeaderName": "x-user"}),
        ({"queryParam": "u"}, {"httpQueryParameterName": "u"}),
        ({"sourceIp": True}, {"useSourceIp": True}),
        (
            {"cookie": {"name": "s", "path": "/", "ttl": "1h"}},
            {"httpCookie": {"name": "s", "path": "/", "ttl": "3600s"}},
        ),
        ({"sourceIp": True, "ringSize": 2048}, {"useSourceIp": True, "ringHash": {"minimumRingSize": 2048}}),
    ],
)
def test_consistent_hash(given: Any, expected: Any) -> None:
    assert traffic_policy(loadBalancing={"consistentHash": given}) == {
        "loadBalancer": {"consistentHash": expected}
    }


def test_locality() -> None:
    outlier = {"outlierDetection": {"consecutiveErrors": 1}}
    failover = {"locality": {"failover": [{"from": "eu", "to": "us"}]}}
    assert traffic_policy(loadBalancing=failover, **outlier)["loadBalancer"]["localityLbSetting"] == {
        "failover": [{"from": "eu", "to": "us"}]
    }
    priority = {"locality": {"failoverPriority": ["topology.kubernetes.io/zone", "a"]}}
    assert traffic_policy(loadBalancing=priority, **outlier)["loadBalancer"]["localityLbSetting"] == {
        "failoverPriority": ["topology.kubernetes.io/zone", "a"]
    }
    share = {"locality": {"distribute": [{"from": "eu/*", "to": {"us/*": 20, "eu/*": 80}}]}}
    assert traffic_policy(loadBalancing=share)["loadBalancer"]["localityLbSetting"] == {
        "distribute": [{"from": "eu/*", "to": {"eu/*": 80, "us/*": 20}}]
    }


@pytest.mark.parametrize(
    "locality", [{"failover": [{"from": "eu", "to": "us"}]}, {"failoverPriority": ["a"]}]
)
def test_failover_without_outlier_detection_has_no_effect(locality: Any) -> None:
    translation = translated(unit(settings={0: decided(loadBalancing={"locality": locality})}))
    assert (codes(translation), bool(translation.held)) == (["GM303"], False)


@pytest.mark.parametrize(("start", "end"), [("eu", "eu"), ("eu/a", "us"), ("*", "us")])
def test_failover_goes_from_region_to_region(start: str, end: str) -> None:
    fields = decided(
        loadBalancing={"locality": {"failover": [{"from": start, "to": end}]}},
        outlierDetection={"consecutiveErrors": 1},
    )
    assert codes(translated(unit(settings={0: fields}))) == ["GM301"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"mode": "Disable"}, {"mode": "DISABLE"}),
        ({"mode": "MeshMutual"}, {"mode": "ISTIO_MUTUAL"}),
        (
            {"mode": "Simple", "sni": "a", "caCertificates": "/ca", "subjectAltNames": ["b", "a"]},
            {"mode": "SIMPLE", "sni": "a", "caCertificates": "/ca", "subjectAltNames": ["a", "b"]},
        ),
        (
            {"mode": "Mutual", "clientCertificate": "/c", "privateKey": "/k"},
            {"mode": "MUTUAL", "clientCertificate": "/c", "privateKey": "/k"},
        ),
    ],
)
def test_tls(given: Any, expected: Any) -> None:
    assert traffic_policy(tls=given) == {"tls": expected}


def test_port_level_settings_are_complete_since_they_replace() -> None:
    whole = decided(tls={"mode": "Disable"})
    port = {**whole, **decided(loadBalancing={"algorithm": "Random"})}
    spec = only(translated(unit(settings={80: port, 0: whole})), "DestinationRule").spec
    assert spec["trafficPolicy"] == {
        "tls": {"mode": "DISABLE"},
        "portLevelSettings": [
            {"port": {"number": 80}, "tls": {"mode": "DISABLE"}, "loadBalancer": {"simple": "RANDOM"}}
        ],
    }


def test_settings_of_a_port_alone() -> None:
    spec = only(translated(unit(settings={80: decided(tls={"mode": "Disable"})})), "DestinationRule").spec
    assert list(spec["trafficPolicy"]) == ["portLevelSettings"]


def test_settings_that_end_at_a_port_end_there() -> None:
    """Without an entry of its own the port would take what is said of the whole destination."""
    spec = only(
        translated(unit(settings={0: decided(tls={"mode": "Disable"}), 80: {}})), "DestinationRule"
    ).spec
    assert spec["trafficPolicy"] == {
        "tls": {"mode": "DISABLE"},
        "portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"simple": "UNSPECIFIED"}}],
    }


def test_settings_disabled_for_some_clients_cannot_be_said() -> None:
    tls = decided(tls={"mode": "Disable"})["tls"]
    none = Decided(
        value=Disabled(disabled=True),
        origin=origin(),
        source=SourceCondition(namespaces=("web",)),
        fallback=tls,
    )
    translation = translated(unit(settings={0: {"tls": none}}))
    assert (codes(translation), bool(translation.held), translation.fragments) == (["GM301"], True, ())


def test_settings_for_some_clients_cannot_be_said() -> None:
    tls = decided(tls={"mode": "Disable"})["tls"]
    some = {"tls": replace(tls, source=SourceCondition(namespaces=("web",)))}
    translation = translated(unit(settings={0: some}))
    assert (codes(translation), bool(translation.held), translation.fragments) == (["GM301"], True, ())


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"version": "v1"}, "version-v1"),
        ({"b": "2", "a": "1"}, "a-1-b-2"),
        ({"version": "v1-beta"}, "version-v1-beta"),
    ],
)
def test_subset_names_are_readable(labels: dict[str, str], expected: str) -> None:
    assert subset_name(tuple(sorted(labels.items()))) == expected


@pytest.mark.parametrize(
    "labels",
    [
        {"app.kubernetes.io/version": "V1"},
        {"a": ""},
        {"a": "b" * 63},
        {"a_b": "c"},
        {"a": "b-"},
        {"x/y": "-"},
        {"key": "x" * 59},
    ],
)
def test_subset_names_are_dns_labels(labels: dict[str, str]) -> None:
    name = subset_name(tuple(labels.items()))
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "b-c-d"}, {"a": "b", "c": "d"}),
        ({"a": "b-c"}, {"a-b": "c"}),
        ({"a": "B"}, {"a": "b"}),
        ({"a": "b.c"}, {"a": "b-c"}),
        ({"k": "x" * 62 + "a"}, {"k": "x" * 62 + "b"}),
    ],
)
def test_different_labels_never_share_a_name(one: dict[str, str], other: dict[str, str]) -> None:
    assert subset_name(tuple(sorted(one.items()))) != subset_name(tuple(sorted(other.items())))


def test_slow_start() -> None:
    assert traffic_policy(loadBalancing={"slowStart": "30s"}) == {
        "loadBalancer": {"warmup": {"duration": "30s"}}
    }
