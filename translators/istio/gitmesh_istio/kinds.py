"""The kinds that this translator writes; `v1` is served since 1.22, clusters with older CRDs get
`v1beta1`.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitmesh_gatewayapi import GRPC_ROUTE, HTTP_ROUTE

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import ApiKind

_VERSIONS = ("v1", "v1beta1")


def _resource(group: str, kind: str, plural: str) -> ApiKind:
    return ApiKind(group=f"{group}.istio.io", kind=kind, plural=plural, versions=_VERSIONS)


VIRTUAL_SERVICE = _resource("networking", "VirtualService", "virtualservices")
DESTINATION_RULE = _resource("networking", "DestinationRule", "destinationrules")
AUTHORIZATION_POLICY = _resource("security", "AuthorizationPolicy", "authorizationpolicies")
PEER_AUTHENTICATION = _resource("security", "PeerAuthentication", "peerauthentications")

RESOURCES = (VIRTUAL_SERVICE, DESTINATION_RULE, AUTHORIZATION_POLICY, PEER_AUTHENTICATION)
"""Istio's own, which its webhook validates."""
WRITTEN = (*RESOURCES, HTTP_ROUTE, GRPC_ROUTE)
"""What ambient needs, too: the kinds of the port. GRPCRoutes are read alone: istiod merges those of others
with our HTTPRoutes, which waypoints follow on ports of gRPC."""

EXPORTS = {
    VIRTUAL_SERVICE.kind: "defaultVirtualServiceExportTo",
    DESTINATION_RULE.kind: "defaultDestinationRuleExportTo",
}
"""Kind -> the field of MeshConfig, and of Mesh.settings, that says which namespaces see an object without
`exportTo`; unset is `*`.
"""

AUTO_MTLS = "enableAutoMtls"
"""The field of MeshConfig, and of Mesh.settings where it is off: clients then use mTLS only where a
DestinationRule says so.
"""

REVISION = "istio.io/rev"
"""Of an object: the revision that alone reads it; of a control plane, pod or namespace: whose it is."""
TAG = "istio.io/tag"
"""Of an injector: another name of the revision that its label REVISION says (istio.io, 'Stable revision
labels')."""
TAGS = "tags"
"""The tags of a revision in Mesh.settings, where it has some."""
DEFAULT_REVISION = "default"
"""What a revision without a name is called there."""
DRY_RUN = "istio.io/dry-run"
"""Of an AuthorizationPolicy: where it is true, it is tried out and not enforced."""
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
"""What istiod takes for true, in annotations and in its environment (Go's strconv.ParseBool)."""
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
"""What it takes for false; all else says nothing."""
OPT_OUT_KEYS = frozenset({REVISION, DRY_RUN, "internal.istio.io/route-semantics"})
"""Only control planes of that revision read the object; it is tried out and not enforced; its routes are a
gateway's.
"""


def writes(facts: ClusterFacts) -> Sequence[ApiKind]:
    """The kinds for such a cluster."""
    served = facts.kind_index.get((GRPC_ROUTE.group, GRPC_ROUTE.kind))
    # Routes of the Gateway API are for waypoints, which only ambient pods come by. Sidecars follow those of
    # others, too: these are read where no right is asked for, as in a folder, of whose kinds no schema is
    # known.
    if not facts.is_ambient and (served is None or served.fields):
        return RESOURCES
    # GRPCRoutes are only read and never written, so that a cluster need not serve them.
    return WRITTEN if served or not facts.kinds else (*RESOURCES, HTTP_ROUTE)
