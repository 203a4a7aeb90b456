"""The kinds of the Gateway API that routes, and leave for them, are written as."""

from __future__ import annotations

from gitmesh.model.objects import ApiKind

GROUP = "gateway.networking.k8s.io"
HTTP_ROUTE = ApiKind(group=GROUP, kind="HTTPRoute", plural="httproutes", versions=("v1", "v1beta1"))
GRPC_ROUTE = ApiKind(group=GROUP, kind="GRPCRoute", plural="grpcroutes", versions=("v1",))
ROUTES = (HTTP_ROUTE, GRPC_ROUTE)
REFERENCE_GRANT = ApiKind(
    group=GROUP, kind="ReferenceGrant", plural="referencegrants", versions=("v1", "v1beta1")
)
