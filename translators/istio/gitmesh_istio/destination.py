"""Connection settings and subsets of a destination -> one DestinationRule for its host.

Of several DestinationRules for one host Istio takes the oldest top-level trafficPolicy only, so all policies
end in this one. Port-level settings replace the destination's, they do not merge; a unit's settings of a port
are complete for that reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitmesh.model.base import Disabled, format_duration
from gitmesh.model.conditions import SourceCondition
from gitmesh.model.connections import (
    ConnectionPool,
    ConsistentHash,
    HttpPool,
    LoadBalancing,
    Locality,
    OutlierDetection,
    TcpPool,
    Tls,
)
from gitmesh.model.manifests import Fragment
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided
from gitmesh.model.units import RoutingUnit
from gitmesh_istio.effects import note_passed_through
from gitmesh_istio.kinds import DESTINATION_RULE
from gitmesh_istio.names import host, sorted_unique, subset_name
from gitmesh_istio.scope import Notes, Part, Spelling, below, fragment, part_origins
from gitmesh_istio.settings import mutual, note_displaced

_ALGORITHMS = {
    "RoundRobin": "ROUND_ROBIN",
    "LeastRequest": "LEAST_REQUEST",
    "Random": "RANDOM",
    "Passthrough": "PASSTHROUGH",
}
# What says of a port that it keeps the mesh's own settings. A port's entry replaces the destination's as a
# whole, and Istio refuses an empty one.
_NOTHING = {"loadBalancer": {"simple": "UNSPECIFIED"}}
TLS_MODES = {"Disable": "DISABLE", "Simple": "SIMPLE", "Mutual": "MUTUAL", "MeshMutual": "ISTIO_MUTUAL"}

SPELT: Spelling = {
    "outlier_detection": {
        "consecutiveErrors": ("outlierDetection.consecutive5xxErrors",),
        "interval": ("outlierDetection.interval",),
        "baseEjectionTime": ("outlierDetection.baseEjectionTime",),
        "maxEjectionPercent": ("outlierDetection.maxEjectionPercent",),
        "minHealthPercent": ("outlierDetection.minHealthPercent",),
    },
    "connection_pool": {
        "tcp.maxConnections": ("connectionPool.tcp.maxConnections",),
        "tcp.connectTimeout": ("connectionPool.tcp.connectTimeout",),
        "tcp.keepalive.time": ("connectionPool.tcp.tcpKeepalive.time",),
        "tcp.keepalive.interval": ("connectionPool.tcp.tcpKeepalive.interval",),
        "tcp.keepalive.probes": ("connectionPool.tcp.tcpKeepalive.probes",),
        "http.maxPendingRequests": ("connectionPool.http.http1MaxPendingRequests",),
        "http.maxRequests": ("connectionPool.http.http2MaxRequests",),
        "http.maxRequestsPerConnection": ("connectionPool.http.maxRequestsPerConnection",),
        "http.maxRetries": ("connectionPool.http.maxRetries",),
        "http.idleTimeout": ("connectionPool.http.idleTimeout",),
    },
    "load_balancing": {
        "algorithm": ("loadBalancer.simple",),
        "consistentHash.header": ("loadBalancer.consistentHash.httpHeaderName",),
        "consistentHash.queryParam": ("loadBalancer.consistentHash.httpQueryParameterName",),
        "consistentHash.sourceIp": ("loadBalancer.consistentHash.useSourceIp",),
        "consistentHash.ringSize": ("loadBalancer.consistentHash.ringHash",),
        "consistentHash.cookie.name": ("loadBalancer.consistentHash.httpCookie.name",),
        "consistentHash.cookie.path": ("loadBalancer.consistentHash.httpCookie.path",),
        "consistentHash.cookie.ttl": ("loadBalancer.consistentHash.httpCookie.ttl",),
        "locality.failover": ("loadBalancer.localityLbSetting.failover",),
        "locality.failoverPriority": ("loadBalancer.localityLbSetting.failoverPriority",),
        "locality.distribute": ("loadBalancer.localityLbSetting.distribute",),
        "slowStart": ("loadBalancer.warmup",),
    },
    "tls": {
        "mode": ("tls.mode",),
        "sni": ("tls.sni",),
        "clientCertificate": ("tls.clientCertificate",),
        "privateKey": ("tls.privateKey",),
        "caCertificates": ("tls.caCertificates",),
        "subjectAltNames": ("tls.subjectAltNames",),
    },
}
"""Connection field -> part of it -> the fields of a traffic policy that say it."""


def destination_rule(unit: RoutingUnit, version: str, notes: Notes) -> Fragment | None:
    """The DestinationRule of a destination that has settings or subsets; None where nothing is left to
    say.
    """
    service = unit.service
    spec: dict[str, object] = {"host": host(service.namespace, service.name, notes.scope.domain)}
    origins: dict[str, Origin] = {}
    note_passed_through(unit, notes)
    traffic = mutual(_traffic_policy(unit, notes), unit, notes)
    if traffic.value:
        spec["trafficPolicy"] = traffic.value
        origins.update(below("trafficPolicy", traffic.origins))
    # Several routes may need one subset; two of one name istiod refuses.
    subsets = sorted({subset_name(subset.labels): subset for subset in unit.subsets}.items())
    if subsets:
        spec["subsets"] = [{"name": name, "labels": dict(sorted(subset.labels))} for name, subset in subsets]
        origins.update(
            {f"subsets[{n}]": min(subset.origins) for n, (_, subset) in enumerate(subsets) if subset.origins}
        )
    # Only the host: a DestinationRule that says nothing would still displace a stranger's.
    if len(spec) == 1:
        return None
    # After the check: where it is shown says nothing by itself.
    spec |= notes.scope.exported(DESTINATION_RULE.kind)
    if origins:
        origins[""] = min(origins.values())
        note_displaced(spec, unit, origins[""], notes)
    taking_part = {origin.policy for subset in unit.subsets for origin in subset.origins}
    place = (service.namespace, service.name)
    return fragment(DESTINATION_RULE, place, version, Part(spec, origins), taking_part)


def _traffic_policy(unit: RoutingUnit, notes: Notes) -> Part:
    whole = _settings(unit.settings.get(0, {}), notes)
    value, origins = dict(whole.value), dict(whole.origins)
    ports = [(port, _settings(settings, notes)) for port, settings in sorted(unit.settings.items()) if port]
    # A port's entry replaces the destination's: one that keeps the mesh's own must say so, or it inherits.
    if value:
        ports = [(port, part if part.value else Part(_NOTHING, {})) for port, part in ports]
    levels = [(port, part) for port, part in ports if part.value]
    if levels:
        value["portLevelSettings"] = [{"port": {"number": port}, **part.value} for port, part in levels]
    for number, (_, part) in enumerate(levels):
        origins.update(below(f"portLevelSettings[{number}]", part.origins))
    return Part(value, origins)


def _settings(settings: Mapping[str, Decided], notes: Notes) -> Part:
    for _, decided in sorted(settings.items()):
        # A DestinationRule's workloadSelector holds for the whole object, subsets included, so settings of
        # some clients have no place in it.
        if decided.source != SourceCondition():
            notes.add(
                "GM301",
                "Istio's connection settings hold for every client; `sources` cannot be expressed",
                decided.origin,
            )
    given = {name: decided for name, decided in settings.items() if not isinstance(decided.value, Disabled)}
    value: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    for field, decided in sorted(given.items()):
        name, piece = _setting(decided, given, notes)
        if piece:
            value[name] = piece
            origins |= {name: decided.origin, **part_origins(SPELT, field, decided)}
    return Part(value, origins)


def _setting(decided: Decided, given: Mapping[str, Decided], notes: Notes) -> tuple[str, dict[str, object]]:
    """Istio's name of one connection field, and its value."""
    origin = decided.origin
    match decided.value:
        case OutlierDetection() as outlier:
            return "outlierDetection", _outlier(outlier, origin, notes)
        case ConnectionPool() as pool:
            return "connectionPool", _pool(pool, origin, notes)
        case LoadBalancing() as balancing:
            return "loadBalancer", _balancer(balancing, "outlier_detection" in given, origin, notes)
        case Tls() as tls:
            return "tls", _tls(tls)
        case other:
            raise TypeError(f"{type(other).__name__} is no value of a connection field")


def _outlier(outlier: OutlierDetection, origin: Origin, notes: Notes) -> dict[str, object]:
    # destination_rule.proto has int32 here, whose 0 is the same as absent.
    if outlier.max_ejection_percent == 0:
        notes.add("GM301", "Istio reads maxEjectionPercent: 0 as its default of 10", origin)
    return {
        "consecutive5xxErrors": outlier.consecutive_errors,
        "interval": format_duration(outlier.interval),
        "baseEjectionTime": format_duration(outlier.base_ejection_time),
        "maxEjectionPercent": outlier.max_ejection_percent,
        "minHealthPercent": outlier.min_health_percent,
    }


def _pool(pool: ConnectionPool, origin: Origin, notes: Notes) -> dict[str, object]:
    tcp = _tcp_pool(pool.tcp) if pool.tcp is not None else {}
    http = _http_pool(pool.http, origin, notes) if pool.http is not None else {}
    return {name: piece for name, piece in (("tcp", tcp), ("http", http)) if piece}


def _tcp_pool(tcp: TcpPool) -> dict[str, object]:
    spec = _present({"maxConnections": tcp.max_connections, "connectTimeout": _duration(tcp.connect_timeout)})
    if tcp.keepalive is not None:
        alive = tcp.keepalive
        spec["tcpKeepalive"] = _present(
            {"time": _duration(alive.time), "interval": _duration(alive.interval), "probes": alive.probes}
        )
    return spec


def _http_pool(http: HttpPool, origin: Origin, notes: Notes) -> dict[str, object]:
    if http.max_retries == 0:
        notes.add(
            "GM301",
            "Istio reads maxRetries: 0 as no limit; use retries.attempts: 0 to switch retries off",
            origin,
        )
    given = {
        "http1MaxPendingRequests": http.max_pending_requests,
        "http2MaxRequests": http.max_requests,
        "maxRequestsPerConnection": http.max_requests_per_connection,
        "maxRetries": http.max_retries,
        "idleTimeout": _duration(http.idle_timeout),
    }
    return _present(given)


def _balancer(balancing: LoadBalancing, has_outlier: bool, origin: Origin, notes: Notes) -> dict[str, object]:
    spec: dict[str, object] = {}
    if balancing.algorithm is not None:
        spec["simple"] = _ALGORITHMS[balancing.algorithm]
    if balancing.consistent_hash is not None:
        spec["consistentHash"] = _hash(balancing.consistent_hash)
    if balancing.locality is not None:
        spec["localityLbSetting"] = _locality(balancing.locality, has_outlier, origin, notes)
    if balancing.slow_start is not None:
        spec["warmup"] = {"duration": format_duration(balancing.slow_start)}
    return spec


def _hash(by: ConsistentHash) -> dict[str, object]:
    spec = _present(
        {"httpHeaderName": by.header, "httpQueryParameterName": by.query_param, "useSourceIp": by.source_ip}
    )
    if by.cookie is not None:
        spec["httpCookie"] = _present(
            {"name": by.cookie.name, "path": by.cookie.path, "ttl": _duration(by.cookie.ttl)}
        )
    if by.ring_size is not None:
        spec["ringHash"] = {"minimumRingSize": by.ring_size}
    return spec


def _locality(locality: Locality, has_outlier: bool, origin: Origin, notes: Notes) -> dict[str, object]:
    if locality.distribute is not None:
        shares = sorted(locality.distribute, key=lambda share: share.from_)
        return {
            "distribute": [{"from": share.from_, "to": dict(sorted(share.to.items()))} for share in shares]
        }
    if not has_outlier:
        notes.add(
            "GM303",
            "failover has no effect until outlierDetection tells Istio which pods are unhealthy",
            origin,
        )
    if locality.failover_priority is not None:
        # Not sorted: the order of the labels is the priority.
        return {"failoverPriority": list(locality.failover_priority)}
    regions = sorted(locality.failover or (), key=lambda region: (region.from_, region.to))
    for region in regions:
        if region.from_ == region.to or set("/*") & set(region.from_ + region.to):
            notes.add(
                "GM301",
                "Istio fails over from one region to another: no zones, no *, and not to itself",
                origin,
            )
    return {"failover": [{"from": region.from_, "to": region.to} for region in regions]}


def _tls(tls: Tls) -> dict[str, object]:
    given = {
        "mode": TLS_MODES[tls.mode],
        "sni": tls.sni,
        "clientCertificate": tls.client_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "subjectAltNames": sorted_unique(tls.subject_alt_names) if tls.subject_alt_names else None,
    }
    return _present(given)


def _present(given: Mapping[str, Any]) -> dict[str, object]:
    return {name: value for name, value in given.items() if value is not None}


def _duration(millis: int | None) -> str | None:
    return None if millis is None else format_duration(millis)
