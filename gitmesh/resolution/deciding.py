"""The destinations of one cluster, each decided by itself: traffic and access together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.empty import sealed
from gitmesh.model.grants import Access
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.services import Service
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.units import AccessUnit, Half, RoutingUnit
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.model.workloads import Workload
from gitmesh.resolution.access import Resolved, resolve_access
from gitmesh.resolution.connections import REFUSED, refused_connections
from gitmesh.resolution.index import Index
from gitmesh.resolution.laying import Effects
from gitmesh.resolution.preparing import FingerprintedPolicy, Memory, ResolutionInput, ServiceKey
from gitmesh.resolution.routing import Acting, Traffic, resolve_traffic
from gitmesh.resolution.rules import BY_NAME
from gitmesh.resolution.sharing import SharedDecisions, digest
from gitmesh.resolution.situation import AccessInput, AccessInputs, exempts, policies_with

_U = TypeVar("_U", RoutingUnit, AccessUnit)


class DecidedDestination(Struct, frozen=True, kw_only=True):
    """One destination by itself, each half where policies say something of it: without the subsets that
    others need of it.

    `held` are the halves of which nothing can be decided, `refused`: routing for nothing but connections that
    its pods would refuse. `sound` is what access would be without the part of the policies whose errors hold
    it; None where nobody can say.
    """

    routing: RoutingUnit | None = None
    access: AccessUnit | None = None
    traffic: Traffic = field(default_factory=Traffic)
    held: frozenset[Half] = frozenset()
    refused: bool = False
    sound: AccessUnit | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


class DestinationFacts(Struct, frozen=True, kw_only=True):
    """What both halves of a Service know of it, with a digest of that."""

    cluster: str
    service: Service
    workloads: tuple[Workload, ...]
    meshes: tuple[str, ...]
    digest: str

    def routing(self, traffic: Traffic, printed: str) -> RoutingUnit:
        """How requests go to it; `printed` is the digest of what the traffic says."""
        said = {"routes": traffic.routes, "settings": traffic.settings, "ended": traffic.ended}
        # From digests of its parts: printing the whole unit again would cost more than deciding it.
        own = digest((self.digest, RoutingUnit.__name__, printed, traffic.policies))
        return self._made(RoutingUnit, {**said, "policies": traffic.policies, "digest": own})

    def access(self, decision: Access, policies: tuple[str, ...], printed: str, **more: Any) -> AccessUnit:
        """Who may call it; `printed` is the digest of the decision."""
        own = digest((self.digest, AccessUnit.__name__, printed, policies, more))
        return self._made(AccessUnit, {"access": decision, "policies": policies, **more, "digest": own})

    def _made(self, half: type[_U], said: Mapping[str, Any]) -> _U:
        return half(
            home=self.cluster,
            written=self.cluster,
            service=self.service,
            workloads=self.workloads,
            meshes=self.meshes,
            **said,
        )


def ground(cluster: str, service: Service, index: Index) -> DestinationFacts:
    """The facts of a Service."""
    workloads, meshes = index.bearing(service), index.meshes_behind(service)
    known = digest((cluster, service, workloads, meshes))
    return DestinationFacts(
        cluster=cluster, service=service, workloads=workloads, meshes=meshes, digest=known
    )


def destinations(
    scene: ResolutionInput, cluster: str, index: Index, remembered: Memory, pool: SharedDecisions
) -> Mapping[ServiceKey, DecidedDestination]:
    """Every destination of the cluster that a policy selects or that a VirtualMesh exempts from its
    default.
    """
    return _Cluster(scene, cluster, index, remembered, pool).destinations()


class _Cluster:
    def __init__(
        self, scene: ResolutionInput, name: str, index: Index, remembered: Memory, pool: SharedDecisions
    ) -> None:
        self.scene, self.name, self.index, self.remembered = scene, name, index, remembered
        self.pool = pool
        self.acting = scene.acting.get(name, {})
        self.access_inputs = AccessInputs(scene, name, index)
        self.crowded = scene.crowded.get(name, {})
        self.effects = Effects(index.facts, scene.translators)
        self.around = self._around()

    def _around(self) -> object:
        """Stands for all that a decision may depend on beside the policies that act on its own
        destination.
        """
        owners = {
            mesh: owner and self.scene.marked[owner.id].token
            for (cluster, mesh), owner in self.scene.members.owner.items()
            if cluster == self.name
        }
        access = {
            key: tuple(marked.policy.id for marked, _ in found)
            for key, found in self.access_inputs.access.items()
        }
        inputs = (
            self.index,
            self.scene.domains,
            self.access_inputs.governed,
            owners,
            self.scene.members.held,
            access,
            self.crowded,
            self.access_inputs.broken,
            self.scene.members.claimed,
        )
        # An object of its own stands for all of it: comparing one identity per destination is what makes a
        # quiet cycle quick.
        return self.remembered.get(self.name, inputs) or self.remembered.put(self.name, inputs, object())

    def destinations(self) -> Mapping[ServiceKey, DecidedDestination]:
        return {key: self._destination(key) for key in sorted(self.acting.keys() | self._exempt())}

    def _exempt(self) -> set[ServiceKey]:
        """Services with pods in a mesh whose default of Deny has exceptions."""
        meshes = {
            mesh
            for (cluster, mesh), owner in self.scene.members.owner.items()
            if cluster == self.name and exempts(owner)
        }
        return (
            {s.key for s in self.index.facts.services if meshes & set(self.index.meshes_behind(s))}
            if meshes
            else set()
        )

    def _destination(self, key: ServiceKey) -> DecidedDestination:
        """As before while nothing around it moved, which is quick to see; else as before if what moved does
        not concern it.
        """
        tokens = self.pool.one(tuple((marked.token, form) for marked, form in self.acting.get(key, ())))
        inputs = (self.around, tokens)
        done: DecidedDestination | None = self.remembered.get((self.name, key), inputs)
        if done is not None:
            # The second answer was not asked for, but is still true: it must outlive this cycle.
            self.remembered.keep((self.name, key, "alone"))
            return done
        done = self._compared(self.index.facts.service_index[key], tokens)
        self.remembered.put((self.name, key), inputs, done)
        return done

    def _compared(self, service: Service, tokens: tuple[Any, ...]) -> DecidedDestination:
        situation = self.access_inputs.of(service)
        strict = self._strict(service)
        place = (self.name, service.key, "alone")
        inputs = (
            self.index,
            tokens,
            self.crowded.get(service.key),
            strict,
            situation and self.access_inputs.inputs(situation),
        )
        done: DecidedDestination | None = self.remembered.get(place, inputs)
        if done is None:
            done = self._decide(
                service, policies_with(self.acting.get(service.key, []), TrafficPolicySpec), situation, strict
            )
            self.remembered.put(place, inputs, done)
        return done

    def _without_meshes(self, situation: AccessInput, access: Resolved) -> Resolved:
        """What access narrows to while VirtualMeshes hold it that claim a mesh against each other: none of
        their defaults counts, and what they said stays as it is.
        """
        claiming = self.access_inputs.claiming(situation.service)
        alone = replace(situation, owners=(), broken=situation.broken | claiming)
        found = resolve_access(alone, self.scene.trust, self.index)
        return replace(access, held=True, withheld=found.withheld, sound=found.sound)

    def _strict(self, service: Service) -> Mapping[str, Origin]:
        """The meshes of its pods that take nothing but their own mTLS, and where that is said."""
        owners = {
            mesh: self.scene.members.owner.get((self.name, mesh))
            for mesh in self.index.meshes_behind(service)
        }
        return {
            mesh: owner.origin("mtls", "mode")
            for mesh, owner in owners.items()
            if owner is not None and _is_strict(owner)
        }

    def _traffic(self, service: Service, policies: Sequence[Acting], strict: Mapping[str, Origin]) -> Traffic:
        crowded = self._crowded(service, policies)
        if crowded is not None:
            return crowded
        traffic = resolve_traffic(self.name, service, policies, self.index, self.effects)
        if not strict or not traffic.settings:
            return traffic
        named = {one.policy.id for one in policies if one.form == BY_NAME}
        said = refused_connections(
            self.name, service, self.index.behind(service), traffic.settings, strict, named
        )
        held = traffic.held or any(diagnostic.is_error for diagnostic in said)
        return replace(traffic, diagnostics=(*traffic.diagnostics, *said), held=held)

    def _crowded(self, service: Service, policies: Sequence[Acting]) -> Traffic | None:
        """No decision where deciding would cost too much."""
        said = self.crowded.get(service.key)
        if said is None:
            return None
        return Traffic(
            policies=tuple(sorted(one.policy.id for one in policies)), diagnostics=(said,), held=True
        )

    def _decide(
        self,
        service: Service,
        acting: Sequence[tuple[FingerprintedPolicy, int]],
        situation: AccessInput | None,
        strict: Mapping[str, Origin],
    ) -> DecidedDestination:
        policies = [
            Acting(
                policy=marked.policy,
                form=form,
                slots=marked.slots,
                parts=marked.parts,
                idle=self.scene.selections[marked.policy.id].idle.get(self.name, frozenset()),
            )
            for marked, form in acting
        ]
        traffic = self._traffic(service, policies, strict)
        access = (
            resolve_access(situation, self.scene.trust, self.index) if situation else Resolved(access=None)
        )
        # A mesh that two VirtualMeshes claim has two defaults, and nobody can say which one holds.
        if situation and self.access_inputs.mesh_held(service):
            access = self._without_meshes(situation, access)
        decision, named = _worth_saying(situation, access.access)
        (routes, settings, ended), said = self.pool.share((traffic.routes, traffic.settings, traffic.ended))
        traffic = replace(
            traffic, routes=routes, settings=settings, ended=ended, wins=self.pool.one(traffic.wins)
        )
        here, guarding = ground(self.name, service, self.index), tuple(sorted(named))
        sharing = self.access_inputs.sharing(service) if decision is not None else ()
        withheld = tuple(sorted(access.withheld))
        sound = access.sound if withheld else None
        return DecidedDestination(
            routing=here.routing(traffic, said) if traffic.policies else None,
            access=self._access(here, decision, guarding, sharing=sharing),
            traffic=traffic,
            held=_halves(traffic.held, access.held),
            # Only this: routing that is held for nothing else comes back as soon as the mode of mTLS is
            # another.
            refused={one.code for one in traffic.diagnostics if one.is_error} == {REFUSED},
            sound=self._access(here, sound, guarding, sharing=sharing, withheld=withheld),
            diagnostics=(*traffic.diagnostics, *access.diagnostics),
        )

    def _access(
        self, here: DestinationFacts, decision: Access | None, policies: tuple[str, ...], **more: Any
    ) -> AccessUnit | None:
        if decision is None:
            return None
        shared, said = self.pool.share(decision, *_rules(decision))
        return here.access(shared, policies, said, **more)


def _halves(routing: bool, access: bool) -> frozenset[Half]:
    held: dict[Half, bool] = {"routing": routing, "access": access}
    return sealed(half for half, is_held in held.items() if is_held)


def _rules(access: Access) -> tuple[Origin | None, ...]:
    """Where the operations of a decision stand: that is no part of how they print."""
    grants = (*access.allows, *access.denies)
    return tuple(operation.origin for grant in grants for operation in grant.operations)


def _worth_saying(situation: AccessInput | None, access: Access | None) -> tuple[Access | None, set[str]]:
    """The decision and its policies; without an AccessPolicy or an exemption the mesh-wide default says it
    already.
    """
    if situation is None or access is None or not (situation.policies or access.exempt):
        return None, set()
    exempting = {access.exempt.origin.policy} if access.exempt else set()
    return access, {policy.id for policy in situation.policies} | exempting


def _is_strict(policy: Policy) -> bool:
    return (
        isinstance(policy.spec, VirtualMeshSpec)
        and policy.spec.mtls is not None
        and policy.spec.mtls.mode == "Strict"
    )
