"""What the access decision of a destination depends on, and what must be said of that alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.empty import sealed
from gitmesh.model.policies import Policy
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.model.workloads import Workload, WorkloadKey, by_controller
from gitmesh.resolution.index import Index, all_targets
from gitmesh.resolution.preparing import FingerprintedPolicy, ResolutionInput
from gitmesh.resolution.rules import BY_NAME


class Neighbour(Struct, frozen=True, kw_only=True):
    """Another Service that shares pods and target ports, and the AccessPolicies that select it."""

    service: Service
    policies: frozenset[str]


class AccessInput(Struct, frozen=True, kw_only=True):
    """Everything that the decision depends on.

    `workloads` are its pods, `bearers` the workloads whose ports are those of its pods, also while it has
    none; `policies` select the destination, `named` are those of them that name it, `broken` those that name
    something which is not there; `governed` are other Services that an Allow selects and whose pods this
    one's may be; `owners` are the VirtualMeshes of the meshes of its pods, None for a mesh without one.
    """

    cluster: str
    service: Service
    workloads: tuple[Workload, ...]
    bearers: tuple[Workload, ...]
    policies: tuple[Policy, ...]
    governed: tuple[Service, ...]
    neighbours: tuple[Neighbour, ...]
    owners: tuple[Policy | None, ...]
    named: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()


class AccessInputs:
    """What the access decisions of one cluster depend on, destination by destination.

    `access` are the AccessPolicies by destination, `governed` the destinations that an Allow selects,
    `broken` the policies that name something which is not there.
    """

    def __init__(self, scene: ResolutionInput, cluster: str, index: Index) -> None:
        self.scene, self.cluster, self.index = scene, cluster, index
        self.access = {
            key: found
            for key, acting in scene.acting.get(cluster, {}).items()
            if (found := policies_with(acting, AccessPolicySpec))
        }
        self.governed = scene.governed.get(cluster, frozenset())
        self.broken = frozenset(policy for policy, one in scene.selections.items() if one.broken)

    def of(self, service: Service) -> AccessInput | None:
        """What the access decision depends on; None where nothing decides access.

        A Service without pods yet is taken to get them in any mesh of the cluster.
        """
        policies = self.access.get(service.key, [])
        meshes = self.index.meshes_behind(service) or tuple(
            sorted(mesh.name for mesh in self.index.facts.meshes)
        )
        owners = tuple(self.scene.members.owner.get((self.cluster, mesh)) for mesh in meshes)
        # A mesh-wide default alone is said by one object of the mesh; each destination need not repeat it.
        if not policies and not any(owner is not None and exempts(owner) for owner in owners):
            return None
        # Without a policy of its own there is nobody to tell that others share its decision.
        neighbours = self.index.sharing_ports(service) if policies else ()
        return AccessInput(
            cluster=self.cluster,
            service=service,
            workloads=self.index.behind(service),
            bearers=self.index.bearing(service),
            policies=tuple(marked.policy for marked, _ in policies),
            governed=tuple(other for other in self.index.compatible(service) if other.key in self.governed),
            neighbours=tuple(Neighbour(service=s, policies=self._policies(s)) for s in neighbours),
            owners=owners,
            named=sealed(marked.policy.id for marked, form in policies if form == BY_NAME),
            broken=sealed(self.broken.intersection(marked.policy.id for marked, _ in policies)),
        )

    def _policies(self, service: Service) -> frozenset[str]:
        return sealed(marked.policy.id for marked, _ in self.access.get(service.key, ()))

    def inputs(self, situation: AccessInput) -> tuple[object, ...]:
        """What of the situation may change while the facts of this cluster and the policies that act here do
        not.
        """
        return (
            self.scene.domains,
            tuple(service.key for service in situation.governed),
            tuple((neighbour.service.key, neighbour.policies) for neighbour in situation.neighbours),
            tuple(governed for _, governed in self.sharing(situation.service)),
            tuple(self.scene.marked[owner.id].token if owner else None for owner in situation.owners),
            self.mesh_held(situation.service),
            self.claiming(situation.service),
            situation.broken,
        )

    def mesh_held(self, service: Service) -> bool:
        """Whether it is not known what the default of its meshes is."""
        return any(
            (self.cluster, mesh) in self.scene.members.held for mesh in self.index.meshes_behind(service)
        )

    def claiming(self, service: Service) -> frozenset[str]:
        """The VirtualMeshes that claim one of its meshes against each other."""
        claimed = self.scene.members.claimed
        meshes = self.index.meshes_behind(service)
        return sealed(policy for mesh in meshes for policy in claimed.get((self.cluster, mesh), ()))

    def sharing(self, service: Service) -> tuple[tuple[Service, bool], ...]:
        """Other Services behind which a pod's port is that is behind this one too, and whether an Allow
        selects them."""
        return tuple((one, one.key in self.governed) for one in self.index.sharing_ports(service))


def policies_with(
    acting: Sequence[tuple[FingerprintedPolicy, int]], spec: type[TrafficPolicySpec] | type[AccessPolicySpec]
) -> list[tuple[FingerprintedPolicy, int]]:
    """Those of one kind, with the form by which each selects the destination."""
    return [(marked, form) for marked, form in acting if isinstance(marked.policy.spec, spec)]


def exempts(policy: Policy) -> bool:
    """Whether a VirtualMesh has exceptions from a default of Deny."""
    return (
        isinstance(policy.spec, VirtualMeshSpec)
        and policy.spec.access_default == "Deny"
        and policy.spec.access_exempt is not None
    )


def about(
    code: str, text: str, policy: Policy, situation: AccessInput, *path: str | int, detail: str = ""
) -> Diagnostic:
    """A finding on a policy's field, in the cluster of the situation and the meshes of its pods."""
    meshes = ", ".join(sorted({one.mesh for one in situation.workloads if one.mesh}))
    return policy.origin(*path).finding(code, text, cluster=situation.cluster, mesh=meshes, detail=detail)


def no_selector(situation: AccessInput) -> Iterator[Diagnostic]:
    """Endpoints made by hand are no pods."""
    name = f"{situation.service.namespace}/{situation.service.name}"
    for policy in situation.policies:
        yield about(
            "GM308",
            f"Service {name} has no selector, so there are no pods to guard",
            policy,
            situation,
            "destinations",
        )


def outside(situation: AccessInput) -> Iterator[Diagnostic]:
    """Pods without a proxy, and ports that proxies do not see."""
    behind = f"behind Service {situation.service.namespace}/{situation.service.name}"
    texts = []
    # Controllers without pods guard nothing and leave nothing open.
    shapes = by_controller(workload for workload in situation.workloads if workload.pods)
    if bare := {key: found for key, found in shapes.items() if not all(one.mesh for one in found)}:
        shown = ", ".join(_pods(key, found) for key, found in bare.items())
        counts = ", ".join(filter(None, (_count(key, found) for key, found in bare.items())))
        texts.append((f"{behind} these are in no mesh: {shown}", counts))
    texts.extend((f"{behind} {text}", "") for text in _unseen(situation))
    for text, detail in texts:
        yield from (
            about("GM308", text, policy, situation, "destinations", detail=detail)
            for policy in situation.policies
        )
    yield from _unguarded(situation)


def _unguarded(situation: AccessInput) -> Iterator[Diagnostic]:
    """What no proxy can guard, wherever it runs: a Service without ports, and ports that carry no TCP."""
    name = f"Service {situation.service.namespace}/{situation.service.name}"
    ports = situation.service.ports
    for policy in situation.policies:
        if not ports:
            yield about(
                "GM308",
                f"{name} has no ports, so nothing says what is to be guarded",
                policy,
                situation,
                "destinations",
            )
        for port in ports:
            # A number that carries TCP as well is guarded as far as that goes.
            if not port.seen and _is_meant(port, policy):
                text = f"port {port.number} of {name} is {port.protocol.upper()}, which proxies never see"
                yield about("GM308", text, policy, situation, "destinations")


def _is_meant(port: ServicePort, policy: Policy) -> bool:
    spec = policy.spec
    assert isinstance(spec, AccessPolicySpec)
    rules = spec.rules or ()
    named = [rule.ports for rule in rules]
    return (
        spec.action == "Allow"
        or not rules
        # A Deny without ports means the port, too: who denies all believes that this one is closed.
        or any(ports is None or {port.number, port.name}.intersection(ports) for ports in named)
    )


def _pods(key: WorkloadKey, shapes: Sequence[Workload]) -> str:
    kind, namespace, name = key
    some = " (some of its pods)" if any(one.mesh for one in shapes) else ""
    return f"{kind} {namespace}/{name}{some}"


def _count(key: WorkloadKey, shapes: Sequence[Workload]) -> str:
    """How many of its pods carry no proxy although others do: a number that moves while a workload grows or
    rolls.
    """
    bare, pods = sum(one.pods for one in shapes if not one.mesh), sum(one.pods for one in shapes)
    return f"{bare} of {pods} pods of {key[2]}" if bare < pods else ""


def _unseen(situation: AccessInput) -> Iterator[str]:
    """By mesh what it guards nothing of, and the ports that its proxies leave out of others."""
    none: dict[str, dict[str, None]] = {}
    some: dict[str, None] = {}
    for one in situation.workloads:
        targets = sorted(all_targets(situation.service, [one]))
        if ports := [number for number in targets if not one.guards(number)]:
            name = f"{one.kind} {one.namespace}/{one.name}"
            # Told by mesh: every workload of it is concerned, and a line for each would say the same.
            if one.guards_none:
                none.setdefault(one.mesh, {})[name] = None
            else:
                word = "port" if len(ports) == 1 else "ports"
                some[f"{word} {', '.join(map(str, ports))} of {name}"] = None
    yield from (f"mesh {mesh} guards no port of {', '.join(names)}" for mesh, names in none.items())
    if some:
        yield f"the proxies do not see {'; '.join(some)}"


def shared(situation: AccessInput) -> Iterator[Diagnostic]:
    """Services that share a pair of pods and port share its decision (docs/concepts.md#who-may-call)."""
    mine = f"{situation.service.namespace}/{situation.service.name}"
    for other in situation.neighbours:
        name = f"{other.service.namespace}/{other.service.name}"
        for policy in situation.policies:
            if policy.id not in other.policies:
                text = (
                    f"Service {name} reaches the same pods and ports as {mine}, which this policy selects"
                    " alone"
                )
                yield about("GM213", text, policy, situation, "destinations")


def narrowed(owner: Policy, situation: AccessInput) -> Diagnostic:
    """What one VirtualMesh exempts another may not."""
    name = f"{situation.service.namespace}/{situation.service.name}"
    return about(
        "GM304",
        f"the pods of Service {name} are in several VirtualMeshes, so nothing is exempt",
        owner,
        situation,
        "access_exempt",
    )
