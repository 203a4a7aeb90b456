"""Which VirtualMesh a mesh belongs to, and the unit of each mesh (api.md, VirtualMesh)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding, suggest
from gitmesh.model.facts import Mesh, Workload, by_controller
from gitmesh.model.objects import is_label
from gitmesh.model.policies import Policy
from gitmesh.model.selectors import WorkloadSelector
from gitmesh.model.units import Decided, MeshUnit, RootReader, UnitKey
from gitmesh.model.virtualmesh import MeshRef, MeshSelector, VirtualMeshSpec
from gitmesh.resolution.index import Index, Key, World, all_targets

MeshId = tuple[str, str]
"""(cluster, mesh name)."""


class Membership(Struct, frozen=True, kw_only=True):
    """`owner` maps each selected mesh to its VirtualMesh; `held` are meshes that are missing, unseen or
    claimed twice, `claimed` the VirtualMeshes that would have them; `homeless` are those whose root namespace
    cannot exist: their own units are held, and nothing else.

    `pending` are (cluster, policy) of the VirtualMeshes that name a mesh which is missing there, or unseen.
    `vouched` are (namespace, ServiceAccount) of the gateways that clusters vouch for, by VirtualMesh.
    """

    owner: Mapping[MeshId, Policy] = {}
    held: frozenset[MeshId] = frozenset()
    claimed: Mapping[MeshId, frozenset[str]] = {}
    homeless: frozenset[MeshId] = frozenset()
    pending: frozenset[tuple[str, str]] = frozenset()
    vouched: Mapping[str, tuple[tuple[str, str], ...]] = {}
    diagnostics: tuple[Diagnostic, ...] = ()


def memberships(
    policies: Sequence[Policy], world: World, clusters: Mapping[str, Mapping[str, str]]
) -> Membership:
    """Resolve `meshes` of every VirtualMesh; a mesh in two of them is held."""
    claims: dict[MeshId, list[tuple[Policy, int]]] = {}
    held: set[MeshId] = set()
    pending: set[tuple[str, str]] = set()
    diagnostics: list[Diagnostic] = []
    for policy in sorted(policies, key=lambda p: p.id):
        for number, reference in enumerate(_spec(policy).meshes):
            chosen = _Reference(policy, number, reference, world, clusters)
            for mesh in chosen.meshes():
                claims.setdefault(mesh, []).append((policy, number))
            lacking = set(chosen.held())
            held |= lacking
            pending |= {(cluster, policy.id) for cluster, _ in lacking}
            diagnostics += chosen.findings()
    twice = {mesh: owners for mesh, owners in claims.items() if len({policy.id for policy, _ in owners}) > 1}
    diagnostics += [
        diagnostic for mesh, owners in sorted(twice.items()) for diagnostic in _twice(mesh, owners)
    ]
    owner = {mesh: owners[0][0] for mesh, owners in claims.items() if mesh not in twice}
    claimed = {
        mesh: frozenset(policy.id for policy, _ in owners)
        for mesh, owners in claims.items()
        if mesh in held or mesh in twice
    }
    homeless = {
        mesh: owners for mesh, owners in claims.items() if (root := _root(mesh, world)) and not is_label(root)
    }
    diagnostics += [
        _homeless(mesh, *owners[0], _root(mesh, world)) for mesh, owners in sorted(homeless.items())
    ]
    return Membership(
        owner=owner,
        held=frozenset(held | set(twice)),
        claimed=claimed,
        homeless=frozenset(homeless),
        pending=frozenset(pending),
        vouched=_vouched(owner, world),
        diagnostics=tuple(diagnostics),
    )


def _vouched(owner: Mapping[MeshId, Policy], world: World) -> dict[str, tuple[tuple[str, str], ...]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for (cluster, mesh), policy in owner.items():
        index = world.indexes[cluster]
        own = (w for w in index.facts.workloads if w.gateway and w.mesh == mesh) if index else ()
        found.setdefault(policy.id, set()).update(
            (workload.namespace, workload.service_account) for workload in own
        )
    return {name: tuple(sorted(places)) for name, places in found.items()}


def _root(mesh: MeshId, world: World) -> str:
    """The root namespace of a mesh that is known, "" where it does not say."""
    cluster, name = mesh
    index = world.indexes[cluster]
    known = index.facts.mesh(name) if index else None
    return _root_of(known) if known else ""


def _root_of(mesh: Mesh) -> str:
    return mesh.root_namespace or mesh.namespace


def _homeless(mesh: MeshId, policy: Policy, number: int, root: str) -> Diagnostic:
    cluster, name = mesh
    text = (
        f"the root namespace of mesh {name} is said to be {root[:64]!r}, which no Namespace can be called:"
        " nothing mesh-wide is written"
    )
    at, path = policy.at("meshes", number), f"spec.meshes[{number}]"
    return finding(
        "GM508",
        text,
        at=at,
        policy=policy.id,
        field=path,
        cluster=cluster,
        mesh=name,
        severity=Severity.ERROR,
    )


def _spec(policy: Policy) -> VirtualMeshSpec:
    assert isinstance(policy.spec, VirtualMeshSpec)
    return policy.spec


def selected_clusters(reference: MeshRef, clusters: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """The configured clusters whose meshes the item means."""
    if reference.cluster is not None:
        return (reference.cluster,) if reference.cluster in clusters else ()
    selector = reference.selector
    return tuple(
        name for name in sorted(clusters) if selector is not None and _selects(selector, name, clusters[name])
    )


def _selects(selector: MeshSelector, name: str, labels: Mapping[str, str]) -> bool:
    return (selector.clusters is None or name in selector.clusters) and (
        selector.labels or {}
    ).items() <= labels.items()


class _Reference:
    """One item of `meshes`."""

    def __init__(
        self,
        policy: Policy,
        number: int,
        reference: MeshRef,
        world: World,
        clusters: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.policy, self.number, self.reference, self.world = policy, number, reference, world
        self.clusters = selected_clusters(reference, clusters)

    def meshes(self) -> Iterator[MeshId]:
        for cluster, index in self.world.known(self.clusters):
            for mesh in index.facts.meshes:
                if self.reference.name in (None, mesh.name):
                    yield cluster, mesh.name

    def held(self) -> Iterator[MeshId]:
        name = self.reference.name
        if name is not None:
            yield from ((cluster, name) for cluster in self.world.unknown(self.clusters))
            yield from (
                (cluster, name)
                for cluster, index in self.world.known(self.clusters)
                if index.facts.mesh(name) is None
            )

    def findings(self) -> Iterator[Diagnostic]:
        if any(self.meshes()) or self.world.may_hide(self.clusters) or not self.world.known(self.clusters):
            return
        at = self.policy.at("meshes", self.number)
        path = f"spec.meshes[{self.number}]"
        name = self.reference.name
        if name is None:
            yield finding("GM209", "this item finds no mesh", at=at, policy=self.policy.id, field=path)
            return
        cluster = self.reference.cluster or ""
        known = [mesh.name for _, index in self.world.known([cluster]) for mesh in index.facts.meshes]
        at = self.policy.at("meshes", self.number, "name")
        text = f"there is no mesh {name} in cluster {cluster}"
        hint = suggest(name, known) or (f"there is {', '.join(sorted(known))}" if known else "")
        yield finding(
            "GM208",
            text,
            at=at,
            policy=self.policy.id,
            field=f"{path}.name",
            cluster=cluster,
            mesh=name,
            hint=hint,
        )


def _twice(mesh: MeshId, owners: Sequence[tuple[Policy, int]]) -> Iterator[Diagnostic]:
    first = {policy.id: (policy, number) for policy, number in reversed(owners)}
    for policy, number in first.values():
        others = ", ".join(
            f"{p.id} ({p.at('meshes', n)})"
            for p, n in sorted(first.values(), key=lambda o: o[0].id)
            if p.id != policy.id
        )
        yield two_virtual_meshes(policy, number, mesh, others)


def two_virtual_meshes(policy: Policy, number: int, mesh: MeshId, others: str) -> Diagnostic:
    """The finding on one of the policies that claim a mesh."""
    cluster, name = mesh
    text = f"mesh {name or 'of any name'} of cluster {cluster} is also in {others}"
    at, path = policy.at("meshes", number), f"spec.meshes[{number}]"
    return finding("GM214", text, at=at, policy=policy.id, field=path, cluster=cluster, mesh=name)


def mesh_units(
    cluster: str, index: Index, membership: Membership, governed: Collection[Key]
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
    membership: Membership,
) -> MeshUnit:
    spec = _spec(policy)
    own = sorted((w for w in index.facts.workloads if w.mesh == mesh.name), key=lambda w: w.shape)
    gateways = [w for w in own if _is_gateway(w, spec, cluster)]
    places = {gateway.namespace for gateway in gateways}
    around = sorted(
        (w for w in index.facts.workloads if w.mesh and w.namespace in places), key=lambda w: w.shape
    )
    governed_ports = {key: _guarded(shapes, index, governed) for key, shapes in by_controller(around).items()}
    doubtful = tuple(w for w in own if w.router and w not in gateways and spec.gateways is None)
    unit = MeshUnit(
        cluster=cluster,
        mesh=mesh,
        gateways=tuple(gateways),
        doubtful=doubtful,
        vouched=membership.vouched[policy.id] if doubtful else (),
        governed_ports={key: ports for key, ports in governed_ports.items() if ports},
        neighbours=tuple(workload for workload in around if workload not in gateways),
        access_default=Decided(value=spec.access_default, origin=policy.origin("access_default")),
        mtls=None if spec.mtls is None else Decided(value=spec.mtls, origin=policy.origin("mtls", "mode")),
        readers=tuple(sorted(_readers(cluster, index, mesh, membership))),
        policies=(policy.id,),
    )
    return replace(unit, digest=sha256(repr(unit).encode()).hexdigest())


def _readers(cluster: str, index: Index, mesh: Mesh, membership: Membership) -> Iterator[RootReader]:
    """The other meshes that read what is mesh-wide for this one."""
    own = membership.owner[cluster, mesh.name]
    for other in index.facts.meshes_of(mesh.translator):
        if other.name != mesh.name and _root_of(other) == _root_of(mesh):
            owner = membership.owner.get((cluster, other.name))
            spec = _spec(owner) if owner else None
            yield RootReader(
                mesh=other.name,
                alike=owner is own,
                mtls=spec is not None and spec.mtls is not None,
                denied=spec is not None and spec.access_default == "Deny",
            )


def _is_gateway(workload: Workload, spec: VirtualMeshSpec, cluster: str) -> bool:
    """Whether a default of Deny does not cover it: as the VirtualMesh says, else as the cluster vouches for
    it.
    """
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


def held_keys(cluster: str, membership: Membership) -> tuple[UnitKey, ...]:
    """Keys of the held meshes of a cluster."""
    return tuple(
        sorted(
            UnitKey(kind="Mesh", namespace="", name=name)
            for owner, name in membership.held | membership.homeless
            if owner == cluster
        )
    )
