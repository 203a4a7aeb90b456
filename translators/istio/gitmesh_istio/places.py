"""Where the parts of a compound field stand in Istio's objects, so that a changed value leads to its own line
of the policy.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.model.policies import Origin
from gitmesh.model.units import Decided

_NEW_PATH = ("path.replaceFullPath", "path.replacePrefixMatch")

_SPELT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "retries": {
        "attempts": ("retries.attempts",),
        "perTryTimeout": ("retries.perTryTimeout",),
        "retryOn": ("retries.retryOn",),
        "backoff": ("retries.backoff",),
    },
    "fault": {
        "delay.fixed": ("fault.delay.fixedDelay",),
        "delay.percent": ("fault.delay.percentage",),
        "abort.httpStatus": ("fault.abort.httpStatus",),
        "abort.percent": ("fault.abort.percentage",),
    },
    "cors": {
        "allowOrigins": ("corsPolicy.allowOrigins",),
        "allowMethods": ("corsPolicy.allowMethods",),
        "allowHeaders": ("corsPolicy.allowHeaders",),
        "exposeHeaders": ("corsPolicy.exposeHeaders",),
        "maxAge": ("corsPolicy.maxAge",),
        "allowCredentials": ("corsPolicy.allowCredentials",),
    },
    "rewrite": {
        "hostname": ("rewrite.authority",),
        **dict.fromkeys(_NEW_PATH, ("rewrite.uri", "rewrite.uriRegexRewrite")),
    },
    "redirect": {
        "scheme": ("redirect.scheme",),
        "hostname": ("redirect.authority",),
        "port": ("redirect.port",),
        "statusCode": ("redirect.redirectCode",),
        **dict.fromkeys(_NEW_PATH, ("redirect.uri", "redirect.prefixRewrite")),
    },
    "direct_response": {"status": ("directResponse.status",), "body": ("directResponse.body",)},
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
"""Field of a TrafficPolicy -> part of it -> the fields of a route, or of a DestinationRule's traffic policy,
that say it.
"""


def part_origins(name: str, decided: Decided) -> dict[str, Origin]:
    """The origins of the parts of a decided field, by the fields of Istio that say them."""
    spelt = _SPELT.get(name, {})
    return {field: origin for part, origin in decided.parts.items() for field in spelt.get(part, ())}
