"""The world of the end-to-end tests as tables: which pods and Services each cluster has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

APP_PORT = 8080
"""Where applications listen; Services have another port on purpose."""
SERVICE_PORT = 9080
ADMIN_PORT = 9090
MESHED = {"istio-injection": "enabled"}
WAYPOINT = "waypoint"
"""The name of every waypoint: of its Gateway, its Service, its pods' ServiceAccount."""
AMBIENT = {"istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": WAYPOINT}
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
HBONE_PORT = 15008
REVISION = "default"
"""Of a control plane that is the only one."""

Proxy: TypeAlias = Literal["", "sidecar", "ztunnel", "waypoint"]
"""What carries a pod's connections: nothing, an Envoy of its own, or what stands in for its node's ztunnel; a
waypoint is an Envoy alone.
"""
Dataplane: TypeAlias = Literal["sidecar", "ambient"]


@dataclass(frozen=True)
class LabWorkload:
    """A Deployment with its pods, all of one ServiceAccount."""

    namespace: str
    name: str
    service_account: str
    pods: tuple[str, ...]
    labels: Mapping[str, str]
    ports: tuple[int, ...] = ()
    proxy: Proxy = "sidecar"


@dataclass(frozen=True)
class LabService:
    """A Service over the pods of its namespace with the label `app`."""

    namespace: str
    name: str
    app: str
    ports: Mapping[str, tuple[int, int]] = field(default_factory=lambda: {"http": (SERVICE_PORT, APP_PORT)})
    """Name of the port to (port, target port)."""
    protocol: str = "http"
    """Of its ports (`appProtocol`)."""


@dataclass(frozen=True)
class LabCluster:
    """One cluster of the world; `subnet` is the first half of its pods' addresses."""

    name: str
    trust_domain: str
    region: str
    subnet: str
    namespaces: Mapping[str, Mapping[str, str]]
    workloads: tuple[LabWorkload, ...]
    services: tuple[LabService, ...]
    dataplane: Dataplane = "sidecar"
    revision: str = REVISION
    """Of its control plane; where there are several, each has a table."""


def _client(namespace: str, name: str, *, proxy: Proxy = "sidecar") -> LabWorkload:
    return LabWorkload(namespace, name, name, (name,), {"app": name}, proxy=proxy)


def _server(
    app: str, *pods: str, version: str = "", namespace: str = "bookshop", ports: tuple[int, ...] = (APP_PORT,)
) -> LabWorkload:
    labels = {"app": app, **({"version": version} if version else {})}
    return LabWorkload(namespace, f"{app}-{version}" if version else app, app, pods, labels, ports)


EAST = LabCluster(
    name="east",
    trust_domain="east.local",
    region="eu-east",
    subnet="10.21",
    namespaces={"bookshop": MESHED, "office": MESHED, "outside": {}},
    workloads=(
        _client("bookshop", "productpage"),
        _client("bookshop", "probe"),
        _server("reviews", "reviews-v1-0", version="v1"),
        _server("reviews", "reviews-v2-0", "reviews-v2-1", version="v2"),
        _server("reviews-next", "reviews-next-0"),
        _server("ratings", "ratings-v1-0", version="v1"),
        _server("details", "details-v1-0", version="v1", ports=(APP_PORT, ADMIN_PORT)),
        _server("vault", "vault-0"),
        _server("lighthouse", "lighthouse-0"),
        _client("office", "clerk"),
        _server("ledger", "ledger-0", namespace="office"),
        _client("outside", "plain", proxy=""),
    ),
    services=(
        LabService("bookshop", "reviews", "reviews"),
        LabService("bookshop", "reviews-next", "reviews-next"),
        LabService("bookshop", "ratings", "ratings"),
        LabService(
            "bookshop",
            "details",
            "details",
            {"http": (SERVICE_PORT, APP_PORT), "admin": (ADMIN_PORT, ADMIN_PORT)},
        ),
        LabService("bookshop", "details-twin", "details"),
        LabService("bookshop", "vault", "vault"),
        LabService("bookshop", "lighthouse", "lighthouse"),
        LabService("office", "ledger", "ledger"),
    ),
)
WEST = LabCluster(
    name="west",
    trust_domain="west.local",
    region="eu-west",
    subnet="10.22",
    namespaces={"bookshop": MESHED, "outside": {}},
    workloads=(
        _client("bookshop", "productpage"),
        _server("reviews", "reviews-v1-0", version="v1"),
        _server("ratings", "ratings-v1-0", version="v1"),
        _client("outside", "plain", proxy=""),
    ),
    services=(LabService("bookshop", "reviews", "reviews"), LabService("bookshop", "ratings", "ratings")),
)


def in_ambient(cluster: LabCluster) -> LabCluster:
    """The same pods at the same addresses, with ztunnels, and a waypoint for the Services of each namespace
    that is in the mesh.
    """
    meshed = sorted(name for name, labels in cluster.namespaces.items() if labels == MESHED)
    labels = {"app": WAYPOINT, GATEWAY_NAME: WAYPOINT}
    waypoints = [
        LabWorkload(name, WAYPOINT, WAYPOINT, (f"{WAYPOINT}-{name}",), labels, proxy="waypoint")
        for name in meshed
    ]
    ports = {"mesh": (HBONE_PORT, HBONE_PORT)}
    return replace(
        cluster,
        dataplane="ambient",
        namespaces={name: AMBIENT if name in meshed else own for name, own in cluster.namespaces.items()},
        workloads=(
            *(replace(one, proxy="ztunnel") if one.proxy else one for one in cluster.workloads),
            *waypoints,
        ),
        services=(
            *cluster.services,
            *(LabService(name, WAYPOINT, WAYPOINT, ports, protocol="hbone") for name in meshed),
        ),
    )


CLUSTERS = {cluster.name: cluster for cluster in (EAST, WEST)}
DATAPLANES: Mapping[Dataplane, Mapping[str, LabCluster]] = {
    "sidecar": CLUSTERS,
    "ambient": {name: in_ambient(cluster) for name, cluster in CLUSTERS.items()},
}
"""The clusters by name, for each of Istio's data planes."""
