"""The world of the end-to-end tests as tables: which pods and Services each cluster has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

APP_PORT = 8080
"""Where applications listen; Services have another port on purpose."""
SERVICE_PORT = 9080
ADMIN_PORT = 9090
MESHED = {"istio-injection": "enabled"}


@dataclass(frozen=True)
class Workload:
    """A Deployment with its pods, all of one ServiceAccount."""

    namespace: str
    name: str
    service_account: str
    pods: tuple[str, ...]
    labels: Mapping[str, str]
    ports: tuple[int, ...] = ()
    sidecar: bool = True


@dataclass(frozen=True)
class Service:
    """A Service over the pods of its namespace with the label `app`."""

    namespace: str
    name: str
    app: str
    ports: Mapping[str, tuple[int, int]] = field(default_factory=lambda: {"http": (SERVICE_PORT, APP_PORT)})
    """Name of the port to (port, target port)."""


@dataclass(frozen=True)
class Cluster:
    """One cluster of the world; `subnet` is the first half of its pods' addresses."""

    name: str
    trust_domain: str
    region: str
    subnet: str
    namespaces: Mapping[str, Mapping[str, str]]
    workloads: tuple[Workload, ...]
    services: tuple[Service, ...]


def _client(namespace: str, name: str, *, sidecar: bool = True) -> Workload:
    return Workload(namespace, name, name, (name,), {"app": name}, sidecar=sidecar)


def _server(
    app: str, *pods: str, version: str = "", namespace: str = "bookshop", ports: tuple[int, ...] = (APP_PORT,)
) -> Workload:
    labels = {"app": app, **({"version": version} if version else {})}
    return Workload(namespace, f"{app}-{version}" if version else app, app, pods, labels, ports)


EAST = Cluster(
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
        _client("outside", "plain", sidecar=False),
    ),
    services=(
        Service("bookshop", "reviews", "reviews"),
        Service("bookshop", "reviews-next", "reviews-next"),
        Service("bookshop", "ratings", "ratings"),
        Service(
            "bookshop",
            "details",
            "details",
            {"http": (SERVICE_PORT, APP_PORT), "admin": (ADMIN_PORT, ADMIN_PORT)},
        ),
        Service("bookshop", "details-twin", "details"),
        Service("bookshop", "vault", "vault"),
        Service("bookshop", "lighthouse", "lighthouse"),
        Service("office", "ledger", "ledger"),
    ),
)
WEST = Cluster(
    name="west",
    trust_domain="west.local",
    region="eu-west",
    subnet="10.22",
    namespaces={"bookshop": MESHED, "outside": {}},
    workloads=(
        _client("bookshop", "productpage"),
        _server("reviews", "reviews-v1-0", version="v1"),
        _server("ratings", "ratings-v1-0", version="v1"),
        _client("outside", "plain", sidecar=False),
    ),
    services=(Service("bookshop", "reviews", "reviews"), Service("bookshop", "ratings", "ratings")),
)
CLUSTERS = {cluster.name: cluster for cluster in (EAST, WEST)}
