"""What `gitmesh discover` finds in the lab's bookshop, from the same tables: lets the cases be checked where
no lab is built.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.model.facts import ClusterFacts, Mesh, Service, ServicePort, Workload
from tests.lab import bookshop
from tests.lab.installation import ISTIO_VERSION, SYSTEM

_KUBERNETES = Service(
    namespace="default",
    name="kubernetes",
    labels={"component": "apiserver", "provider": "kubernetes"},
    ports=(ServicePort(number=443, name="https", target=6443, protocol="https"),),
)
"""The Service that the API server makes of itself."""


def world_facts() -> Mapping[str, ClusterFacts]:
    """The facts of every cluster of the world."""
    return {name: _facts(cluster) for name, cluster in bookshop.CLUSTERS.items()}


def _facts(cluster: bookshop.LabCluster) -> ClusterFacts:
    return ClusterFacts(
        cluster=cluster.name,
        namespaces={**cluster.namespaces, SYSTEM: {}},
        services=(_KUBERNETES, *(_service(one) for one in cluster.services)),
        service_accounts=frozenset((one.namespace, one.service_account) for one in cluster.workloads),
        workloads=tuple(_workload(one) for one in cluster.workloads),
        meshes=(_mesh(cluster.trust_domain),),
    )


def _service(one: bookshop.LabService) -> Service:
    ports = (
        ServicePort(number=number, name=name, target=target, protocol="http")
        for name, (number, target) in one.ports.items()
    )
    return Service(
        namespace=one.namespace,
        name=one.name,
        labels={"app": one.app},
        selector={"app": one.app},
        ports=tuple(ports),
    )


def _workload(one: bookshop.LabWorkload) -> Workload:
    return Workload(
        kind="Deployment",
        namespace=one.namespace,
        name=one.name,
        labels=one.labels,
        service_account=one.service_account,
        mesh="istio" if one.sidecar else "",
        pods=len(one.pods),
    )


def _mesh(trust_domain: str) -> Mesh:
    return Mesh(
        translator="istio",
        name="istio",
        version=ISTIO_VERSION,
        revision="default",
        namespace=SYSTEM,
        root_namespace=SYSTEM,
        trust_domain=trust_domain,
        settings={"clusterDomain": "cluster.local"},
    )
