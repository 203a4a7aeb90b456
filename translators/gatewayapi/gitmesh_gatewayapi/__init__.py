"""What all meshes share that read routes of the Gateway API with Services as parents (GEP-1426): resolved
rows become HTTPRoutes and GRPCRoutes, with the leave that they need. A library for translators; of a mesh it
knows what its `Dialect` says. The translator for those without one of their own is `mesh`.
"""

from gitmesh_gatewayapi.grants import between, grant_name, links
from gitmesh_gatewayapi.kinds import GRPC_ROUTE, HTTP_ROUTE, REFERENCE_GRANT
from gitmesh_gatewayapi.objects import GrantObject, RouteObject, parents_of
from gitmesh_gatewayapi.remarks import Dialect, Remark
from gitmesh_gatewayapi.routes import MAX_ROUTES, HttpRoutes, http_routes, route_name

__all__ = [
    "GRPC_ROUTE",
    "HTTP_ROUTE",
    "MAX_ROUTES",
    "REFERENCE_GRANT",
    "Dialect",
    "GrantObject",
    "HttpRoutes",
    "Remark",
    "RouteObject",
    "between",
    "grant_name",
    "http_routes",
    "links",
    "parents_of",
    "route_name",
]
