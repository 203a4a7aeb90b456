"""What Istio's sidecars, and its waypoints with ztunnels, can do with each field of the policy API: the docs'
matrix, and for sidecars the gates by version and CRD field.

`since` is the first Istio whose API has the field, from the tags of istio/api; fields older than 1.20 carry
none.
"""

from __future__ import annotations

from gitmesh.model.features import Side, Support, Supports


def _full(needs: str = "", *, since: str = "", side: Side = "client", note: str = "") -> Support:
    return Support(level="full", note=note, side=side, since=since, needs=needs)


def _partial(note: str, needs: str = "", *, since: str = "", side: Side = "client") -> Support:
    return Support(level="partial", note=note, side=side, since=since, needs=needs)


def _none(note: str) -> Support:
    return Support(level="none", note=note)


_HTTP = "VirtualService:spec.http"
_POLICY = "DestinationRule:spec.trafficPolicy"
_RULES = "AuthorizationPolicy:spec.rules"
_SERVER: Side = "server"

SUPPORTS: Supports = {
    "TrafficPolicy.sources.labels": _full(f"{_HTTP}.match.sourceLabels", note="not for connection fields"),
    "TrafficPolicy.sources.namespaces": _full(
        f"{_HTTP}.match.sourceNamespace", note="not for connection fields"
    ),
    "TrafficPolicy.sources.serviceAccounts": _none(
        "Istio routes cannot select clients by ServiceAccount; use labels or namespaces"
    ),
    "TrafficPolicy.matches.path.exact": _full(f"{_HTTP}.match.uri"),
    "TrafficPolicy.matches.path.prefix": _full(f"{_HTTP}.match.uri", note="as an exact and a prefix match"),
    "TrafficPolicy.matches.path.stringPrefix": _full(f"{_HTTP}.match.uri"),
    "TrafficPolicy.matches.path.suffix": _full(f"{_HTTP}.match.uri", note="as an expression"),
    "TrafficPolicy.matches.path.regex": _full(f"{_HTTP}.match.uri"),
    "TrafficPolicy.matches.path.ignoreCase": _full(f"{_HTTP}.match.ignoreUriCase"),
    "TrafficPolicy.matches.headers": _partial(
        "not the names uri, scheme, method and authority, and one condition for each header",
        f"{_HTTP}.match.headers",
    ),
    "TrafficPolicy.matches.headers.invert": _full(f"{_HTTP}.match.withoutHeaders"),
    "TrafficPolicy.matches.queryParams": _partial(
        "one condition for each parameter", f"{_HTTP}.match.queryParams"
    ),
    "TrafficPolicy.matches.method": _full(f"{_HTTP}.match.method"),
    "TrafficPolicy.matches.port": _full(f"{_HTTP}.match.port"),
    "TrafficPolicy.matches.authority": _full(f"{_HTTP}.match.authority"),
    "TrafficPolicy.split": _full(f"{_HTTP}.route.weight"),
    "TrafficPolicy.split.destination.subset": _full(f"{_HTTP}.route.destination.subset"),
    "TrafficPolicy.split.destination.port": _full(f"{_HTTP}.route.destination.port"),
    "TrafficPolicy.split.headers": _full(f"{_HTTP}.route.headers"),
    "TrafficPolicy.redirect": _full(f"{_HTTP}.redirect"),
    "TrafficPolicy.redirect.path.replacePrefixMatch": _full(f"{_HTTP}.redirect.prefixRewrite", since="1.31"),
    "TrafficPolicy.directResponse": _full(f"{_HTTP}.directResponse"),
    "TrafficPolicy.rewrite": _full(f"{_HTTP}.rewrite"),
    "TrafficPolicy.rewrite.path.replaceFullPath": _full(
        f"{_HTTP}.rewrite.uriRegexRewrite", note="by an expression"
    ),
    "TrafficPolicy.fault": _partial(
        "timeout and retries do not apply to injected faults; not with redirect or directResponse",
        f"{_HTTP}.fault",
    ),
    "TrafficPolicy.timeout": _full(f"{_HTTP}.timeout"),
    "TrafficPolicy.retries": _full(f"{_HTTP}.retries"),
    "TrafficPolicy.retries.backoff": _full(f"{_HTTP}.retries.backoff", since="1.26"),
    "TrafficPolicy.cors": _full(f"{_HTTP}.corsPolicy"),
    "TrafficPolicy.mirror": _full(f"{_HTTP}.mirrors"),
    "TrafficPolicy.headers": _partial("the Host header can be set on requests only", f"{_HTTP}.headers"),
    "TrafficPolicy.outlierDetection": _partial(
        "maxEjectionPercent: 0 cannot be told from none", f"{_POLICY}.outlierDetection"
    ),
    "TrafficPolicy.connectionPool": _partial(
        "maxRetries: 0 cannot be told from none", f"{_POLICY}.connectionPool"
    ),
    "TrafficPolicy.loadBalancing.algorithm": _full(f"{_POLICY}.loadBalancer.simple"),
    "TrafficPolicy.loadBalancing.consistentHash": _full(f"{_POLICY}.loadBalancer.consistentHash"),
    "TrafficPolicy.loadBalancing.consistentHash.ringSize": _full(
        f"{_POLICY}.loadBalancer.consistentHash.ringHash"
    ),
    "TrafficPolicy.loadBalancing.locality": _partial(
        "failover has no effect without outlierDetection", f"{_POLICY}.loadBalancer.localityLbSetting"
    ),
    "TrafficPolicy.loadBalancing.slowStart": _full(f"{_POLICY}.loadBalancer.warmup", since="1.24"),
    "TrafficPolicy.tls": _full(f"{_POLICY}.tls"),
    "AccessPolicy.sources.all": _full(side=_SERVER),
    "AccessPolicy.sources.authenticated": _full(f"{_RULES}.from.source.principals", side=_SERVER),
    "AccessPolicy.sources.serviceAccounts": _full(f"{_RULES}.from.source.principals", side=_SERVER),
    "AccessPolicy.sources.namespaces": _full(f"{_RULES}.from.source.namespaces", side=_SERVER),
    "AccessPolicy.sources.clusters": _partial(
        "where the cluster has a trust domain of its own", side=_SERVER
    ),
    "AccessPolicy.sources.ipBlocks": _full(f"{_RULES}.from.source.ipBlocks", side=_SERVER),
    "AccessPolicy.sources.notIpBlocks": _full(f"{_RULES}.from.source.notIpBlocks", side=_SERVER),
    "AccessPolicy.rules.paths": _partial(
        "not with { or }, which Istio reads as a template", f"{_RULES}.to.operation.paths", side=_SERVER
    ),
    "AccessPolicy.rules.methods": _full(f"{_RULES}.to.operation.methods", side=_SERVER),
    "AccessPolicy.rules.ports": _full(f"{_RULES}.to.operation.ports", side=_SERVER),
    "AccessPolicy.rules.hosts": _partial(
        "*suffix hosts with any port cannot be said", f"{_RULES}.to.operation.hosts", side=_SERVER
    ),
    "AccessPolicy.rules.headers": _full(f"{_RULES}.when", side=_SERVER, note="not an empty value"),
    "AccessPolicy.rules.nonHTTP": _partial(
        "with Ignore a Deny still denies what is not HTTP on a port that may carry HTTP, too",
        f"{_RULES}.to.operation.ports",
        side=_SERVER,
    ),
    "AccessPolicy.action": _full("AuthorizationPolicy:spec.action", side=_SERVER),
    "VirtualMesh.mtls.mode": _full("PeerAuthentication:spec.mtls.mode", side=_SERVER),
    "VirtualMesh.accessDefault": _full("AuthorizationPolicy:spec.rules", side=_SERVER),
    "VirtualMesh.accessExempt": _full(f"{_RULES}.to.operation.ports", side=_SERVER),
}

_NO_CLIENT = "HTTPRoutes of a Service hold for every client"
_PATHS = "HTTPRoutes compare exact paths and whole segments"
_PAST = "callers in no mesh come past the waypoint, so they are refused what only requests tell"
_ADDRESS = "a waypoint sees none: nobody is allowed by one, and whoever is denied by one is at any"
_OTHER = "to other Services with the waypoint's identity, past their own waypoints"

AMBIENT: Supports = {
    **SUPPORTS,
    "TrafficPolicy.sources.labels": _none(_NO_CLIENT),
    "TrafficPolicy.sources.namespaces": _none(_NO_CLIENT),
    "TrafficPolicy.sources.serviceAccounts": _none(_NO_CLIENT),
    "TrafficPolicy.matches.path.exact": _full(),
    "TrafficPolicy.matches.path.prefix": _full(),
    "TrafficPolicy.matches.path.stringPrefix": _none(_PATHS),
    "TrafficPolicy.matches.path.suffix": _none(_PATHS),
    "TrafficPolicy.matches.path.regex": _none(_PATHS),
    "TrafficPolicy.matches.path.ignoreCase": _none(_PATHS),
    "TrafficPolicy.matches.headers": _partial(
        "not the names uri, scheme, method and authority, not the empty text, one condition for each header"
    ),
    "TrafficPolicy.matches.headers.invert": _partial("as a more specific rule for what is left out"),
    "TrafficPolicy.matches.queryParams": _partial("one condition for each parameter"),
    "TrafficPolicy.matches.method": _full(),
    "TrafficPolicy.matches.port": _full(),
    "TrafficPolicy.matches.authority": _full(),
    "TrafficPolicy.split": _partial(_OTHER),
    "TrafficPolicy.split.destination.subset": _none("an HTTPRoute names Services; make one for the subset"),
    "TrafficPolicy.split.destination.port": _full(),
    "TrafficPolicy.split.headers": _full(),
    "TrafficPolicy.redirect": _full(),
    "TrafficPolicy.redirect.path.replacePrefixMatch": _full(),
    "TrafficPolicy.directResponse": _partial("404 without a body alone, behind every other match"),
    "TrafficPolicy.rewrite": _partial("a host name without a port"),
    "TrafficPolicy.rewrite.path.replaceFullPath": _full(),
    "TrafficPolicy.fault": _none("HTTPRoutes cannot inject faults"),
    "TrafficPolicy.timeout": _full(),
    "TrafficPolicy.retries": _partial(
        "on status codes alone, and at least once; Istio adds its own conditions"
    ),
    "TrafficPolicy.retries.backoff": _full(),
    "TrafficPolicy.cors": _partial(
        "origins by name; other origins' preflights get no permission from the proxy"
    ),
    "TrafficPolicy.mirror": _partial(_OTHER),
    "TrafficPolicy.headers": _partial("not the Host header, and no empty values"),
    "TrafficPolicy.loadBalancing.consistentHash": _partial(
        "a cookie that is made is the same for all requests of one connection of a ztunnel",
        f"{_POLICY}.loadBalancer.consistentHash",
    ),
    "AccessPolicy.sources.all": _partial(_PAST, side=_SERVER),
    "AccessPolicy.sources.ipBlocks": _partial(_ADDRESS, side=_SERVER),
    "AccessPolicy.sources.notIpBlocks": _partial(_ADDRESS, side=_SERVER),
    "AccessPolicy.action": _partial(
        "a Deny of some requests denies all to who comes past the waypoint; Services that share pods in part"
        " are closed",
        side=_SERVER,
    ),
    "VirtualMesh.mtls.mode": _partial("Disabled: pods in ambient keep mTLS among themselves", side=_SERVER),
    "VirtualMesh.accessExempt": _partial("Services that share pods in part are closed", side=_SERVER),
}
"""The same for pods without a proxy of their own, whose Services are bound to a waypoint."""
