"""The register of features: what of the policy API a mesh may have or lack.

A translator's table names every one of them: the type checker refuses a table that forgets one or has one
too many, and so does the door through which plug-ins come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict, cast

from msgspec import Struct

Side = Literal["client", "server"]
"""Where a feature takes effect: in the proxies of those who call, or of those who are called."""


class Support(Struct, frozen=True, kw_only=True):
    """What a mesh can do with one feature. `note` says what differs; where it has none of it, that is what
    people are told.

    `since` is the first mesh version, `needs` the CRD field ("VirtualService:spec.http.mirrors") that must be
    served.
    """

    level: Literal["full", "partial", "none"]
    note: str = ""
    side: Side = "client"
    since: str = ""
    needs: str = ""


Supports = TypedDict(
    "Supports",
    {
        "TrafficPolicy.sources.labels": Support,
        "TrafficPolicy.sources.namespaces": Support,
        "TrafficPolicy.sources.serviceAccounts": Support,
        "TrafficPolicy.matches.path.exact": Support,
        "TrafficPolicy.matches.path.prefix": Support,
        "TrafficPolicy.matches.path.stringPrefix": Support,
        "TrafficPolicy.matches.path.suffix": Support,
        "TrafficPolicy.matches.path.regex": Support,
        "TrafficPolicy.matches.path.ignoreCase": Support,
        "TrafficPolicy.matches.headers": Support,
        "TrafficPolicy.matches.headers.invert": Support,
        "TrafficPolicy.matches.queryParams": Support,
        "TrafficPolicy.matches.method": Support,
        "TrafficPolicy.matches.port": Support,
        "TrafficPolicy.matches.authority": Support,
        "TrafficPolicy.split": Support,
        "TrafficPolicy.split.destination.subset": Support,
        "TrafficPolicy.split.destination.port": Support,
        "TrafficPolicy.split.headers": Support,
        "TrafficPolicy.redirect": Support,
        "TrafficPolicy.redirect.path.replacePrefixMatch": Support,
        "TrafficPolicy.directResponse": Support,
        "TrafficPolicy.rewrite": Support,
        "TrafficPolicy.rewrite.path.replaceFullPath": Support,
        "TrafficPolicy.fault": Support,
        "TrafficPolicy.timeout": Support,
        "TrafficPolicy.retries": Support,
        "TrafficPolicy.retries.backoff": Support,
        "TrafficPolicy.cors": Support,
        "TrafficPolicy.mirror": Support,
        "TrafficPolicy.headers": Support,
        "TrafficPolicy.outlierDetection": Support,
        "TrafficPolicy.connectionPool": Support,
        "TrafficPolicy.loadBalancing.algorithm": Support,
        "TrafficPolicy.loadBalancing.consistentHash": Support,
        "TrafficPolicy.loadBalancing.consistentHash.ringSize": Support,
        "TrafficPolicy.loadBalancing.locality": Support,
        "TrafficPolicy.loadBalancing.slowStart": Support,
        "TrafficPolicy.tls": Support,
        "AccessPolicy.sources.all": Support,
        "AccessPolicy.sources.authenticated": Support,
        "AccessPolicy.sources.serviceAccounts": Support,
        "AccessPolicy.sources.namespaces": Support,
        "AccessPolicy.sources.clusters": Support,
        "AccessPolicy.sources.ipBlocks": Support,
        "AccessPolicy.sources.notIpBlocks": Support,
        "AccessPolicy.rules.paths": Support,
        "AccessPolicy.rules.methods": Support,
        "AccessPolicy.rules.ports": Support,
        "AccessPolicy.rules.hosts": Support,
        "AccessPolicy.rules.headers": Support,
        "AccessPolicy.rules.nonHTTP": Support,
        "AccessPolicy.action": Support,
        "VirtualMesh.mtls.mode": Support,
        "VirtualMesh.accessDefault": Support,
        "VirtualMesh.accessExempt": Support,
    },
)
"""What a mesh can do with every feature."""
FEATURES: tuple[str, ...] = tuple(sorted(Supports.__required_keys__))


def decides_access(supports: Supports) -> bool:
    """Whether the mesh has a say in who may call. Where it has none nothing can be closed either, so access
    to its pods is unenforced (security law)."""
    access = (feature for feature in FEATURES if feature.startswith("AccessPolicy."))
    return any(support_of(supports, feature).level != "none" for feature in access)


def support_of(supports: Supports, feature: str) -> Support:
    """What the table says of a feature."""
    return cast("Mapping[str, Support]", supports)[feature]
