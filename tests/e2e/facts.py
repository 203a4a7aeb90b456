"""What `gitmesh discover` finds in the lab's bookshop, from the same tables: lets the cases be checked where
no lab is built.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from tests.lab import bookshop
from tests.lab.bookshop import Dataplane
from tests.lab.installation import ISTIO_VERSION, SYSTEM

_KUBERNETES = Service(
    namespace="default",
    name="kubernetes",
    labels={"component": "apiserver", "provider": "kubernetes"},
    ports=(ServicePort(number=443, name="https", target=6443, protocol="https"),),
)
"""The Service that the API server makes of itself."""


_BOUND = {"istio.io/WaypointBound": "True"}
"""What istiod says of a Service that a waypoint takes."""


def world_facts(dataplane: Dataplane = "sidecar") -> Mapping[str, ClusterFacts]:
    """The facts of every cluster of the world."""
    return {name: _facts(cluster) for name, cluster in bookshop.DATAPLANES[dataplane].items()}


def _facts(cluster: bookshop.LabCluster) -> ClusterFacts:
    return ClusterFacts(
        cluster=cluster.name,
        namespaces={**cluster.namespaces, SYSTEM: {}},
        services=(_KUBERNETES, *(_service(one, cluster) for one in cluster.services)),
        service_accounts=frozenset((one.namespace, one.service_account) for one in cluster.workloads),
        workloads=tuple(_workload(one) for one in cluster.workloads),
        meshes=(_mesh(cluster),),
    )


def _service(one: bookshop.LabService, cluster: bookshop.LabCluster) -> Service:
    ports = (
        ServicePort(number=number, name=name, target=target, protocol=one.protocol)
        for name, (number, target) in one.ports.items()
    )
    return Service(
        namespace=one.namespace,
        name=one.name,
        labels={"app": one.app},
        selector={"app": one.app},
        ports=tuple(ports),
        conditions=_BOUND if cluster.namespaces[one.namespace] == bookshop.AMBIENT else {},
    )


def _workload(one: bookshop.LabWorkload) -> Workload:
    return Workload(
        kind="Deployment",
        namespace=one.namespace,
        name=one.name,
        labels=one.labels,
        service_account=one.service_account,
        mesh="istio" if one.proxy else "",
        dataplane="ambient" if one.proxy in ("ztunnel", "waypoint") else "sidecar",
        pods=len(one.pods),
    )


def _mesh(cluster: bookshop.LabCluster) -> Mesh:
    return Mesh(
        translator="istio",
        name="istio",
        version=ISTIO_VERSION,
        revision="default",
        namespace=SYSTEM,
        root_namespace=SYSTEM,
        trust_domain=cluster.trust_domain,
        takes=(cluster.trust_domain,),
        ambient=cluster.dataplane == "ambient",
        settings={"clusterDomain": "cluster.local", **_waypoints(cluster)},
    )


def _waypoints(cluster: bookshop.LabCluster) -> Mapping[str, str]:
    """As `gitmesh_istio.waypoints` keeps them: which there are, and the namespaces that are bound to one."""
    places = [f"{one.namespace}/{one.name}" for one in cluster.workloads if one.proxy == "waypoint"]
    if not places:
        return {}
    bound = (f"{place.partition('/')[0]}={place}" for place in places)
    return {
        "waypoints": ",".join(f"{place}=ready" for place in places),
        "waypointNamespaces": ",".join(bound),
    }
