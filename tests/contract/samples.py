"""For each feature of the policy API a policy that uses it, and the same policy without it: (kind, with,
without).

Keys are those of `Translator.supports`; a feature that some translator lists must have a sample here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Spec = Mapping[str, Any]

TO_REVIEWS: Spec = {"destinations": [{"name": "reviews", "namespaces": ["shop"]}]}
TIMEOUT: Spec = {**TO_REVIEWS, "timeout": "7s"}
V1: Spec = {"name": "reviews", "subset": {"version": "v1"}}
RATINGS: Spec = {"name": "ratings", "namespace": "shop"}
OTHER: Spec = {**RATINGS, "port": 80}
DENYING: Spec = {
    "action": "Deny",
    "sources": [{"all": True}],
    "destinations": [{"name": "ratings", "namespaces": ["shop"]}],
}
FAILING: Spec = {**TO_REVIEWS, "outlierDetection": {"consecutiveErrors": 3}}


def _traffic(more: Spec, without: Spec = TIMEOUT) -> tuple[str, Spec, Spec]:
    return "TrafficPolicy", {**without, **more}, without


def _match(match: Spec, without: Spec | None = None) -> tuple[str, Spec, Spec]:
    return (
        "TrafficPolicy",
        {**TIMEOUT, "matches": [match]},
        {**TIMEOUT, **({"matches": [without]} if without else {})},
    )


def _field(name: str, value: Any, without: Any = None) -> tuple[str, Spec, Spec]:
    base = {**TIMEOUT, **({name: without} if without is not None else {})}
    return "TrafficPolicy", {**TIMEOUT, name: value}, base


def _access(
    sources: Spec | None = None, rule: Spec | None = None, action: str = "Allow"
) -> tuple[str, Spec, Spec]:
    base: dict[str, Any] = {"sources": [{"authenticated": True}], **TO_REVIEWS}
    given = {
        **base,
        "action": action,
        **({"sources": [sources]} if sources else {}),
        **({"rules": [rule]} if rule else {}),
    }
    return "AccessPolicy", given, base if given != base else {**base, "sources": [{"all": True}]}


def _mesh(more: Spec, without: Spec | None = None) -> tuple[str, Spec, Spec]:
    meshes: Spec = {"meshes": [{"cluster": "east"}]}
    return "VirtualMesh", {**meshes, **more}, {**meshes, **(without or {"mtls": {"mode": "Strict"}})}


_PATH = {"path": {"prefix": "/a"}}
_HASH = {"consistentHash": {"sourceIp": True}}

SAMPLES: Mapping[str, tuple[str, Spec, Spec]] = {
    "TrafficPolicy.sources.labels": _traffic({"sources": [{"labels": {"app": "frontend"}}]}),
    "TrafficPolicy.sources.namespaces": _traffic({"sources": [{"namespaces": ["web"]}]}),
    "TrafficPolicy.sources.serviceAccounts": _traffic({"sources": [{"serviceAccounts": ["frontend"]}]}),
    "TrafficPolicy.matches.path.exact": _match({"path": {"exact": "/a"}}),
    "TrafficPolicy.matches.path.prefix": _match(_PATH),
    "TrafficPolicy.matches.path.stringPrefix": _match({"path": {"stringPrefix": "/a"}}),
    "TrafficPolicy.matches.path.suffix": _match({"path": {"suffix": ".png"}}),
    "TrafficPolicy.matches.path.regex": _match({"path": {"regex": "/a.+"}}),
    "TrafficPolicy.matches.path.ignoreCase": _match({"path": {"prefix": "/a", "ignoreCase": True}}, _PATH),
    "TrafficPolicy.matches.headers": _match({"headers": [{"name": "x", "exact": "1"}]}),
    "TrafficPolicy.matches.headers.invert": _match(
        {"headers": [{"name": "x", "exact": "1", "invert": True}]}, {"headers": [{"name": "x", "exact": "1"}]}
    ),
    "TrafficPolicy.matches.queryParams": _match({"queryParams": [{"name": "q", "exact": "1"}]}),
    "TrafficPolicy.matches.method": _match({"method": "GET"}),
    "TrafficPolicy.matches.port": _match({"port": 80}),
    "TrafficPolicy.matches.authority": _match({"authority": {"exact": "a.example"}}),
    "TrafficPolicy.split": _traffic({"split": [{"weight": 1, "destination": OTHER}]}, TIMEOUT),
    "TrafficPolicy.split.destination.subset": _field(
        "split", [{"destination": V1}], [{"destination": {"name": "reviews"}}]
    ),
    "TrafficPolicy.split.destination.port": _field(
        "split", [{"destination": {**OTHER, "port": 9090}}], [{"destination": RATINGS}]
    ),
    "TrafficPolicy.split.headers": _field(
        "split",
        [{"destination": OTHER, "headers": {"request": {"set": {"x": "1"}}}}],
        [{"destination": OTHER}],
    ),
    "TrafficPolicy.redirect": _field("redirect", {"hostname": "b.example"}),
    "TrafficPolicy.redirect.path.replacePrefixMatch": (
        "TrafficPolicy",
        {**TO_REVIEWS, "matches": [_PATH], "redirect": {"path": {"replacePrefixMatch": "/b"}}},
        {**TO_REVIEWS, "matches": [_PATH], "redirect": {"path": {"replaceFullPath": "/b"}}},
    ),
    "TrafficPolicy.directResponse": _field("directResponse", {"status": 503}),
    "TrafficPolicy.rewrite": _field("rewrite", {"hostname": "b.example"}),
    "TrafficPolicy.rewrite.path.replaceFullPath": _field("rewrite", {"path": {"replaceFullPath": "/b"}}),
    "TrafficPolicy.fault": _field("fault", {"abort": {"httpStatus": 503, "percent": 1}}),
    "TrafficPolicy.timeout": ("TrafficPolicy", TIMEOUT, {**TO_REVIEWS, "retries": {"attempts": 1}}),
    "TrafficPolicy.retries": _field("retries", {"attempts": 1}),
    "TrafficPolicy.retries.backoff": _field("retries", {"attempts": 1, "backoff": "25ms"}, {"attempts": 1}),
    "TrafficPolicy.cors": _field("cors", {"allowOrigins": [{"exact": "https://a"}]}),
    "TrafficPolicy.mirror": _field("mirror", [{"destination": OTHER, "percent": 1}]),
    "TrafficPolicy.headers": _field("headers", {"request": {"set": {"x": "1"}}}),
    "TrafficPolicy.outlierDetection": ("TrafficPolicy", FAILING, TIMEOUT),
    "TrafficPolicy.connectionPool": _field("connectionPool", {"tcp": {"maxConnections": 1}}),
    "TrafficPolicy.loadBalancing.algorithm": _field("loadBalancing", {"algorithm": "Random"}),
    "TrafficPolicy.loadBalancing.consistentHash": _field("loadBalancing", _HASH),
    "TrafficPolicy.loadBalancing.consistentHash.ringSize": _field(
        "loadBalancing", {"consistentHash": {"sourceIp": True, "ringSize": 2048}}, _HASH
    ),
    "TrafficPolicy.loadBalancing.locality": _traffic(
        {"loadBalancing": {"locality": {"failover": [{"from": "eu", "to": "us"}]}}}, FAILING
    ),
    "TrafficPolicy.loadBalancing.slowStart": _field("loadBalancing", {"slowStart": "30s"}),
    "TrafficPolicy.tls": _field("tls", {"mode": "Disable"}),
    "AccessPolicy.sources.all": _access({"all": True}),
    "AccessPolicy.sources.authenticated": (
        "AccessPolicy",
        {"sources": [{"authenticated": True}], **TO_REVIEWS},
        {"sources": [{"all": True}], **TO_REVIEWS},
    ),
    "AccessPolicy.sources.serviceAccounts": _access(
        {"serviceAccounts": [{"name": "frontend", "namespace": "web"}]}
    ),
    "AccessPolicy.sources.namespaces": _access({"namespaces": ["web"]}),
    "AccessPolicy.sources.clusters": _access({"clusters": ["east"]}),
    "AccessPolicy.sources.ipBlocks": _access({"ipBlocks": ["10.0.0.0/8"]}),
    "AccessPolicy.sources.notIpBlocks": _access({"notIpBlocks": ["10.0.0.0/8"]}),
    "AccessPolicy.rules.paths": _access(rule={"paths": ["/a*"]}),
    "AccessPolicy.rules.methods": _access(rule={"methods": ["GET"]}),
    "AccessPolicy.rules.ports": (
        "AccessPolicy",
        {
            "sources": [{"all": True}],
            "destinations": [{"name": "ratings", "namespaces": ["shop"]}],
            "rules": [{"ports": [80]}],
        },
        {"sources": [{"all": True}], "destinations": [{"name": "ratings", "namespaces": ["shop"]}]},
    ),
    "AccessPolicy.rules.hosts": _access(rule={"hosts": ["a.example"]}),
    "AccessPolicy.rules.headers": _access(rule={"headers": [{"name": "x", "exact": "1"}]}),
    "AccessPolicy.rules.nonHTTP": (
        "AccessPolicy",
        {**DENYING, "rules": [{"methods": ["PUT"], "nonHTTP": "Ignore"}]},
        {**DENYING, "rules": [{"methods": ["PUT"]}]},
    ),
    "AccessPolicy.action": _access(action="Deny"),
    "VirtualMesh.mtls.mode": _mesh({"mtls": {"mode": "Permissive"}}),
    "VirtualMesh.accessDefault": _mesh({"mtls": {"mode": "Strict"}, "accessDefault": "Deny"}),
    "VirtualMesh.accessExempt": _mesh(
        {"accessDefault": "Deny", "accessExempt": {"ports": [9090]}}, {"accessDefault": "Deny"}
    ),
}
