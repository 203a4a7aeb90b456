"""The unit of each mesh that a VirtualMesh has: its gateways, who reads what is mesh-wide, its defaults
(docs/kinds/virtualmesh.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256

from msgspec.structs import replace

from gitmesh.model.facts import Mesh
from gitmesh.model.policies import Policy
from gitmesh.model.routes import Decided
from gitmesh.model.selectors import WorkloadSelector
from gitmesh.model.units import MeshUnit, RootReader
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.model.workloads import Workload, by_controller
from gitmesh.resolution.index import Index, Key, all_targets
from gitmesh.resolution.membership import MeshOwners, root_of, spec_of


def mesh_units(
    cluster: str, index: Index, membership: MeshOwners, governed: Collection[Key]
) -> tuple[MeshUnit, ...]:
    """The units of the cluster's meshes that a VirtualMesh has and nothing holds; `governed` are Services
    that an Allow selects.
    """
    owned = (
        (mesh, membership.owner.get((cluster, mesh.name)))
        for mesh in sorted(index.facts.meshes, key=lambda m: m.name)
    )
    held = membership.held | membership.homeless
    wanted = ((mesh, policy) for mesh, policy in owned if policy and (cluster, mesh.name) not in held)
    return tuple(_unit(cluster, index, mesh, policy, governed, membership) for mesh, policy in wanted)


def _unit(
    cluster: str,
    index: Index,
    mesh: Mesh,
    policy: Policy,
    governed: Collection[Key],
    membership: MeshOwners,
) -> MeshUnit:
    spec = spec_of(policy)
    own = sorted((w for w in index.facts.workloads if w.mesh == mesh.name), key=lambda w: w.shape)
    gateways = [w for w in own if _is_gateway(w, spec, cluster)]
    places = {gateway.namespace for gateway in gateways}
    around = sorted(
        # Of any mesh: an object that selects by labels in a namespace means their pods as well.
        (w for w in index.facts.workloads if w.mesh and w.namespace in places),
        key=lambda w: w.shape,
    )
    governed_ports = {key: _guarded(shapes, index, governed) for key, shapes in by_controller(around).items()}
    # Once the VirtualMesh lists its gateways there is no doubt: what it leaves out is none.
    doubtful = tuple(w for w in own if w.router and w not in gateways and spec.gateways is None)
    unit = MeshUnit(
        cluster=cluster,
        mesh=mesh,
        gateways=tuple(gateways),
        doubtful=doubtful,
        # Only where it is asked for: it changes with gateways of other clusters, and the digest with it.
        vouched=membership.vouched[policy.id] if doubtful else (),
        governed_ports={key: ports for key, ports in governed_ports.items() if ports},
        neighbours=tuple(workload for workload in around if workload not in gateways),
        access_default=Decided(value=spec.access_default, origin=policy.origin("access_default")),
        mtls=None if spec.mtls is None else Decided(value=spec.mtls, origin=policy.origin("mtls", "mode")),
        readers=tuple(sorted(_readers(cluster, index, mesh, membership))),
        policies=(policy.id,),
    )
    return replace(unit, digest=sha256(repr(unit).encode()).hexdigest())


def _readers(cluster: str, index: Index, mesh: Mesh, membership: MeshOwners) -> Iterator[RootReader]:
    """The other meshes that read what is mesh-wide for this one."""
    own = membership.owner[cluster, mesh.name]
    for other in index.facts.meshes_of(mesh.translator):
        if other.name != mesh.name and root_of(other) == root_of(mesh):
            owner = membership.owner.get((cluster, other.name))
            spec = spec_of(owner) if owner else None
            yield RootReader(
                mesh=other.name,
                alike=owner is own,
                mtls=spec is not None and spec.mtls is not None,
                denied=spec is not None and spec.access_default == "Deny",
            )


def _is_gateway(workload: Workload, spec: VirtualMeshSpec, cluster: str) -> bool:
    """Whether a default of Deny does not cover it."""
    # As the VirtualMesh says, else as the cluster vouches for it: what pods say of themselves is no
    # authority.
    if spec.gateways is None:
        return workload.gateway
    return any(_means(item, workload, cluster) for item in spec.gateways)


def _means(item: WorkloadSelector, workload: Workload, cluster: str) -> bool:
    return (
        (item.clusters is None or cluster in item.clusters)
        and (item.namespaces is None or workload.namespace in item.namespaces)
        and (item.service_accounts is None or workload.service_account in item.service_accounts)
        and (item.labels or {}).items() <= workload.labels.items()
    )


def _guarded(shapes: Sequence[Workload], index: Index, governed: Collection[Key]) -> tuple[int, ...]:
    """Ports of the workload that an Allow governs, on whichever of its pods."""
    pairs = ((one, service) for one in shapes for service in index.selecting(one) if service.key in governed)
    return tuple(sorted({number for one, service in pairs for number in all_targets(service, [one])}))
