"""A small fixed world for routing: several Services, ports, versions and clients in two clusters."""

from __future__ import annotations

from collections.abc import Iterator

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from tests.factories import facts, service, workload
from tests.soundness.requests import AskedRequest
from tests.soundness.unified_routing import RoutedRequest

PORTS = (
    ServicePort(number=80, name="http", target=8080),
    ServicePort(number=81, name="p81", target=81, protocol="http"),
)
_MORE = (ServicePort(number=80, name="http", target=8080), ServicePort(number=82, name="p82", target=82))
DESTINATION = service("r", labels={"team": "red"}, ports=PORTS)
OTHERS = (service("s", labels={"team": "blue"}, ports=_MORE), service("t", "bank", labels={"team": "red"}))
CLIENTS = (
    workload("a"),
    workload("b", service_account="web"),
    workload("c", "bank", labels={"app": "a"}, service_account="web"),
)
_PODS = tuple(workload(f"r-{version}", labels={"app": "r", "version": version}) for version in ("v1", "v2"))
_ACCOUNTS = frozenset(
    (namespace, account) for namespace in ("shop", "bank") for account in ("default", "web")
)


def bookshelf(cluster: str, version: str = "1.30.3") -> ClusterFacts:
    """The facts of one cluster, with this version of Istio."""
    domain = f"{cluster}.local"
    mesh = Mesh(
        translator="istio", name="istio", version=version, root_namespace="istio-system", trust_domain=domain
    )
    pods = (*_PODS, workload("s"), workload("t", "bank"), *CLIENTS)
    return facts(cluster, DESTINATION, *OTHERS, *pods, mesh, service_accounts=_ACCOUNTS)


WORLD = {name: bookshelf(name) for name in ("east", "west")}


def questions(
    facts: ClusterFacts,
    to: Service,
    requests: tuple[AskedRequest, ...],
    clients: tuple[Workload, ...] = CLIENTS,
) -> Iterator[RoutedRequest]:
    """Every request of every client to every port of the Service."""
    for client in clients:
        for port in to.ports:
            for request in requests:
                yield RoutedRequest(client=client, facts=facts, service=to, port=port.number, request=request)
