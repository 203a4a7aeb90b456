"""What a mesh of the Gateway API can do with each feature of the policy API: the docs' matrix, and the gates
by CRD field.

A mesh must follow matches by path, header and method, weights, header changes and redirects (conformance
profile MESH-HTTP). What else HTTPRoutes say it may leave out (`UNPROMISED`): each such route tells it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.model.features import Side, Support, Supports
from gitmesh.model.workloads import Dataplane

OTHER_PLANES: Mapping[Dataplane, Supports] = {}

UNPROMISED = frozenset({"timeout", "retries", "cors", "mirror", "rewrite"})
"""Request fields that no feature of meshes stands for, or one that they need not have
(gateway-api@1.6.1:pkg/features/mesh.go). Linkerd drops a whole route for some of them, without a word."""
_MAYBE = "a mesh need not follow it (GM303)"
_RULES = "HTTPRoute:spec.rules"
_SERVER: Side = "server"


def _full(needs: str = "", note: str = "") -> Support:
    return Support(level="full", needs=needs, note=note)


def _partial(note: str, needs: str = "") -> Support:
    return Support(level="partial", note=note, needs=needs)


def _none(note: str) -> Support:
    return Support(level="none", note=note)


def _unguarded(note: str = "the Gateway API does not say who may call whom") -> Support:
    return Support(level="none", note=note, side=_SERVER)


_EVERY_CLIENT = _none("routes of a Service hold for every client")
# Expressions could be said, but where they stand among other matches is up to each mesh.
_PATHS = _none("routes of the Gateway API compare exact paths and whole segments alone")
_CONNECTIONS = _none("the Gateway API does not say how connections are made")

SUPPORTS: Supports = {
    "TrafficPolicy.sources.labels": _EVERY_CLIENT,
    "TrafficPolicy.sources.namespaces": _EVERY_CLIENT,
    "TrafficPolicy.sources.serviceAccounts": _EVERY_CLIENT,
    "TrafficPolicy.matches.path.exact": _full(f"{_RULES}.matches.path"),
    "TrafficPolicy.matches.path.prefix": _full(f"{_RULES}.matches.path"),
    "TrafficPolicy.matches.path.stringPrefix": _PATHS,
    "TrafficPolicy.matches.path.suffix": _PATHS,
    "TrafficPolicy.matches.path.regex": _PATHS,
    "TrafficPolicy.matches.path.ignoreCase": _PATHS,
    "TrafficPolicy.matches.headers": _partial(
        "other than exact ones as expressions, which a mesh need not take", f"{_RULES}.matches.headers"
    ),
    "TrafficPolicy.matches.headers.invert": _full(note="carved out by a rule of its own"),
    "TrafficPolicy.matches.queryParams": _partial(
        "a mesh need not follow it", f"{_RULES}.matches.queryParams"
    ),
    "TrafficPolicy.matches.method": _full(f"{_RULES}.matches.method"),
    "TrafficPolicy.matches.port": _full("HTTPRoute:spec.parentRefs.port"),
    "TrafficPolicy.matches.authority": _partial("as a condition on the header host"),
    "TrafficPolicy.split": _full(f"{_RULES}.backendRefs.weight"),
    "TrafficPolicy.split.destination.subset": _none("routes name Services: make one for each version"),
    "TrafficPolicy.split.destination.port": _full(f"{_RULES}.backendRefs.port"),
    "TrafficPolicy.split.headers": _partial("a mesh need not follow it", f"{_RULES}.backendRefs.filters"),
    "TrafficPolicy.redirect": _full(f"{_RULES}.filters.requestRedirect"),
    "TrafficPolicy.redirect.path.replacePrefixMatch": _partial(
        "a mesh need not follow it", f"{_RULES}.filters.requestRedirect.path"
    ),
    "TrafficPolicy.directResponse": _none("HTTPRoutes cannot answer requests themselves"),
    "TrafficPolicy.rewrite": _partial(_MAYBE, f"{_RULES}.filters.urlRewrite"),
    "TrafficPolicy.rewrite.path.replaceFullPath": _partial(
        "a mesh need not follow it", f"{_RULES}.filters.urlRewrite.path"
    ),
    "TrafficPolicy.fault": _none("HTTPRoutes cannot inject faults"),
    "TrafficPolicy.timeout": _partial(_MAYBE, f"{_RULES}.timeouts"),
    "TrafficPolicy.retries": _partial(f"on status codes; {_MAYBE}", f"{_RULES}.retry"),
    "TrafficPolicy.retries.backoff": _partial(_MAYBE, f"{_RULES}.retry.backoff"),
    "TrafficPolicy.cors": _partial(f"exact origins and *; {_MAYBE}", f"{_RULES}.filters.cors"),
    "TrafficPolicy.mirror": _partial(_MAYBE, f"{_RULES}.filters.requestMirror"),
    "TrafficPolicy.headers": _partial("not the header host", f"{_RULES}.filters.requestHeaderModifier"),
    "TrafficPolicy.outlierDetection": _CONNECTIONS,
    "TrafficPolicy.connectionPool": _CONNECTIONS,
    "TrafficPolicy.loadBalancing.algorithm": _CONNECTIONS,
    "TrafficPolicy.loadBalancing.consistentHash": _CONNECTIONS,
    "TrafficPolicy.loadBalancing.consistentHash.ringSize": _CONNECTIONS,
    "TrafficPolicy.loadBalancing.locality": _CONNECTIONS,
    "TrafficPolicy.loadBalancing.slowStart": _CONNECTIONS,
    "TrafficPolicy.tls": _CONNECTIONS,
    "AccessPolicy.sources.all": _unguarded(),
    "AccessPolicy.sources.authenticated": _unguarded(),
    "AccessPolicy.sources.serviceAccounts": _unguarded(),
    "AccessPolicy.sources.namespaces": _unguarded(),
    "AccessPolicy.sources.clusters": _unguarded(),
    "AccessPolicy.sources.ipBlocks": _unguarded(),
    "AccessPolicy.sources.notIpBlocks": _unguarded(),
    "AccessPolicy.rules.paths": _unguarded(),
    "AccessPolicy.rules.methods": _unguarded(),
    "AccessPolicy.rules.ports": _unguarded(),
    "AccessPolicy.rules.hosts": _unguarded(),
    "AccessPolicy.rules.headers": _unguarded(),
    "AccessPolicy.rules.nonHTTP": _unguarded(),
    "AccessPolicy.action": _unguarded(),
    "VirtualMesh.mtls.mode": _unguarded("the Gateway API does not say how a mesh encrypts"),
    "VirtualMesh.accessDefault": _unguarded(),
    "VirtualMesh.accessExempt": _unguarded(),
}
