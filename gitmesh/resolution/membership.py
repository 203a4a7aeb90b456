"""Which VirtualMesh a mesh belongs to, and which meshes nobody can tell it of (docs/kinds/virtualmesh.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Severity, finding, suggest
from gitmesh.model.facts import Mesh
from gitmesh.model.objects import is_label
from gitmesh.model.policies import Policy
from gitmesh.model.units import UnitKey, mesh_key
from gitmesh.model.virtualmesh import MeshRef, MeshSelector, VirtualMeshSpec
from gitmesh.resolution.index import KnownClusters

MeshId = tuple[str, str]
"""(cluster, mesh name)."""


class MeshOwners(Struct, frozen=True, kw_only=True):
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
    policies: Sequence[Policy], world: KnownClusters, clusters: Mapping[str, Mapping[str, str]]
) -> MeshOwners:
    """Resolve `meshes` of every VirtualMesh; a mesh in two of them is held."""
    claims: dict[MeshId, list[tuple[Policy, int]]] = {}
    held: set[MeshId] = set()
    pending: set[tuple[str, str]] = set()
    diagnostics: list[Diagnostic] = []
    for policy in sorted(policies, key=lambda p: p.id):
        for number, reference in enumerate(spec_of(policy).meshes):
            chosen = _Reference(policy, number, reference, world, clusters)
            for mesh in chosen.meshes():
                claims.setdefault(mesh, []).append((policy, number))
            lacking = set(chosen.held())
            held |= lacking
            pending |= {(cluster, policy.id) for cluster, _ in lacking}
            diagnostics += chosen.findings()
    # Two items of one policy may name the same mesh: that is no contradiction.
    twice = {mesh: owners for mesh, owners in claims.items() if len({policy.id for policy, _ in owners}) > 1}
    diagnostics += [
        diagnostic for mesh, owners in sorted(twice.items()) for diagnostic in _twice(mesh, owners)
    ]
    # Who is left has claims of one policy alone, perhaps by several items of it.
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
    return MeshOwners(
        owner=owner,
        held=frozenset(held | set(twice)),
        claimed=claimed,
        homeless=frozenset(homeless),
        pending=frozenset(pending),
        vouched=_vouched(owner, world),
        diagnostics=tuple(diagnostics),
    )


def _vouched(owner: Mapping[MeshId, Policy], world: KnownClusters) -> dict[str, tuple[tuple[str, str], ...]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for (cluster, mesh), policy in owner.items():
        index = world.indexes[cluster]
        own = (w for w in index.facts.workloads if w.gateway and w.mesh == mesh) if index else ()
        found.setdefault(policy.id, set()).update(
            (workload.namespace, workload.service_account) for workload in own
        )
    return {name: tuple(sorted(places)) for name, places in found.items()}


def _root(mesh: MeshId, world: KnownClusters) -> str:
    """The root namespace of a mesh that is known, "" where it does not say."""
    cluster, name = mesh
    index = world.indexes[cluster]
    known = index.facts.mesh(name) if index else None
    return root_of(known) if known else ""


def root_of(mesh: Mesh) -> str:
    """Where what is mesh-wide stands; without a root namespace of its own, in the control plane's."""
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


def spec_of(policy: Policy) -> VirtualMeshSpec:
    """What a VirtualMesh says."""
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
        world: KnownClusters,
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
        # An item without a name claims what is there, so nothing that is missing can be held for it.
        if name is not None:
            yield from ((cluster, name) for cluster in self.world.unknown(self.clusters))
            yield from (
                (cluster, name)
                for cluster, index in self.world.known(self.clusters)
                if index.facts.mesh(name) is None
            )

    def findings(self) -> Iterator[Diagnostic]:
        # While facts are missing, a mesh that is not seen may be there: nothing is said of its name.
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
    # Reversed, so that the first item of each policy is the one that stays.
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


def held_keys(cluster: str, membership: MeshOwners) -> tuple[UnitKey, ...]:
    """Keys of the held meshes of a cluster."""
    return tuple(
        sorted(
            mesh_key(cluster, name)
            for owner, name in membership.held | membership.homeless
            if owner == cluster
        )
    )
