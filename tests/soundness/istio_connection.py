"""How Istio connects to a destination by its DestinationRule, in the words of the policies
(destination_rule.proto).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.soundness.unified_fields import effect
from tests.soundness.unified_routing import Decision, RoutedRequest

Body = Mapping[str, Any]
_NAMES = {
    "consecutive5xxErrors": "consecutiveErrors",
    "tcpKeepalive": "keepalive",
    "http1MaxPendingRequests": "maxPendingRequests",
    "http2MaxRequests": "maxRequests",
    "simple": "algorithm",
    "httpHeaderName": "header",
}
_VALUES = {
    "RANDOM": "Random",
    "ROUND_ROBIN": "RoundRobin",
    "LEAST_REQUEST": "LeastRequest",
    "PASSTHROUGH": "Passthrough",
    "DISABLE": "Disable",
    "SIMPLE": "Simple",
    "MUTUAL": "Mutual",
    "ISTIO_MUTUAL": "MeshMutual",
}
_FIELDS = {"loadBalancer": "loadBalancing"}
OWN = {"simple": "UNSPECIFIED"}
"""A load balancer that leaves the choice to Istio."""


def connected(objects: Iterable[Body], asked: RoutedRequest, host: str) -> Decision:
    """The settings of the requested port: its own entry replaces those of the destination as a whole
    (MergeTrafficPolicy).
    """
    rules = [
        body["spec"] for body in objects if body["kind"] == "DestinationRule" and body["spec"]["host"] == host
    ]
    policy = rules[0].get("trafficPolicy", {}) if rules else {}
    levels = [level for level in policy.get("portLevelSettings", ()) if level["port"]["number"] == asked.port]
    given = {
        name: value
        for name, value in (levels[0] if levels else policy).items()
        if name not in ("port", "portLevelSettings")
    }
    said = {_FIELDS.get(name, name): _ours(value) for name, value in given.items() if value != OWN}
    return {name: effect(name, value, asked.place({})) for name, value in said.items()}


def _ours(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_NAMES.get(name, name): _ours(item) for name, item in value.items()}
    return _VALUES.get(value, value) if isinstance(value, str) else value
