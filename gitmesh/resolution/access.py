"""The access decision of one destination: AccessPolicies and the VirtualMesh, resolved to workload ports and
identities.

docs/concepts.md#who-may-call: access is decided at the (workload, target port) pairs behind a Service, which
other Services may share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.empty import sealed
from gitmesh.model.grants import Access, Exemption, Grant, PodsApart
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.model.workloads import by_controller
from gitmesh.resolution.grants import Grants, access_spec, spoken
from gitmesh.resolution.guards import GuardedPorts
from gitmesh.resolution.identities import Trust
from gitmesh.resolution.index import Index, all_targets, all_targets_of, port_of, targets
from gitmesh.resolution.situation import AccessInput, about, narrowed, no_selector, outside, shared

Default: TypeAlias = Literal["Deny", "Allow", "MeshDefault"]
_MOST_SHOWN = 8
_STRICTEST: tuple[Default, ...] = ("Deny", "MeshDefault", "Allow")


class Resolved(Struct, frozen=True, kw_only=True):
    """The decision, None where there is nothing to guard; `held` where it cannot be made. `withheld` are the
    policies whose own errors are why, `sound` is the decision that all others come to: None where what is not
    known concerns them, too.
    """

    access: Access | None
    diagnostics: tuple[Diagnostic, ...] = ()
    held: bool = False
    withheld: frozenset[str] = frozenset()
    sound: Access | None = None


def resolve_access(situation: AccessInput, trust: Trust, index: Index) -> Resolved:
    """Decide who may call the destination."""
    # Meshes guard pods by their labels; endpoints that are made by hand have none.
    if not situation.service.selector:
        return Resolved(access=None, diagnostics=tuple(no_selector(situation)))
    return _Decision(situation, trust, index).resolved()


class _Decision:
    def __init__(self, situation: AccessInput, trust: Trust, index: Index) -> None:
        self.situation, self.trust, self.index = situation, trust, index
        self.grants = Grants(situation, trust)
        self.diagnostics, self.withheld = self.grants.diagnostics, self.grants.withheld
        self.doubtful = False

    def resolved(self) -> Resolved:
        at_hand = self.situation
        allows = tuple(
            self.grants.of(policy) for policy in at_hand.policies if access_spec(policy).action == "Allow"
        )
        denies = tuple(
            self.grants.of(policy) for policy in at_hand.policies if access_spec(policy).action == "Deny"
        )
        own = all_targets(at_hand.service, at_hand.bearers)
        unresolved = tuple(
            sorted({str(p.target) for p in at_hand.service.ports if not targets(p, at_hand.bearers)})
        )
        self._doubt(unresolved)
        self._unsure()
        guards = GuardedPorts(at_hand, self.index, governed=bool(allows))
        covered = guards.numbers(at_hand.service.selector)
        default = _default(at_hand.owners)
        access = Access(
            allows=allows,
            denies=denies,
            governed=bool(allows),
            targets=tuple(sorted(own)),
            unresolved_targets=unresolved,
            governed_ports=tuple(sorted(covered)),
            default=default,
            # An Allow ends what the default exempts: it says who may call, and nobody else may.
            exempt=self._exemption(covered) if default == "Deny" and not allows else None,
            mixed=tuple(sorted(set(self._mixed(own, default, guards)))),
            # Where the default denies, or numbers are unknown, nothing is left open that would have to be
            # told apart.
            apart=self._apart(guards) if allows and default != "Deny" and not unresolved else (),
            shut_by=guards.shut_by,
            # What the ports carry matters only where some rule tells requests apart; it is dear to find
            # out.
            spoken=spoken(at_hand, self.index) if self.grants.asks_http else {},
        )
        self._tell_shut(access)
        self._tell_denied(denies, own, guards)
        self.diagnostics += [*outside(at_hand), *shared(at_hand)]
        return Resolved(
            access=access,
            diagnostics=tuple(self.diagnostics),
            # Policies that were broken before hold their destinations by themselves.
            held=self.doubtful or not self.withheld <= at_hand.broken,
            withheld=sealed(self.withheld),
            sound=self._sound(access) if self.withheld and not self.doubtful else None,
        )

    def _sound(self, access: Access) -> Access:
        """The decision as all but the withheld policies make it. An Allow that is withheld ends no exemption;
        where another one is withdrawn it governs the destination all the same.
        """
        governed = any(grant.origin.policy not in self.withheld for grant in access.allows)
        guards = GuardedPorts(self.situation, self.index, governed=governed)
        covered = guards.numbers(self.situation.service.selector)
        exempt = self._exemption(covered) if access.default == "Deny" and not governed else None
        # Without those policies' part, but as governed as before: a faulty Allow must not open what it
        # closed.
        known = replace(access, governed_ports=tuple(sorted(covered)), exempt=exempt).without(self.withheld)
        withheld = [one.origin() for one in self.situation.policies if one.id in self.withheld]
        if known.governed or not withheld or covered.isdisjoint(known.targets):
            return known
        # Other Services govern ports of its pods: what nobody grants on this one any more goes there, too.
        return replace(known, governed=True, allows=(Grant(callers=(), operations=(), origin=min(withheld)),))

    def _doubt(self, unresolved: Sequence[str]) -> None:
        """Named ports that no pod has."""
        if not unresolved or self.index.facts.complete:
            return
        # Where pods may not all have been read, the numbers are unknown, and not none.
        self.doubtful = bool(self.situation.policies)
        for policy in self.situation.policies:
            text = (
                f"the numbers of {', '.join(unresolved)} are unknown while the facts of cluster"
                f" {self.situation.cluster} are incomplete"
            )
            self.diagnostics.append(about("GM216", text, policy, self.situation, "destinations"))

    def _unsure(self) -> None:
        """Labels that the Service selects by and that facts of an older version left out."""
        keys = self.index.unsure(self.situation.service)
        # Which pods are behind it is unknown, and not none.
        self.doubtful |= bool(keys and self.situation.policies)
        for policy in self.situation.policies if keys else ():
            text = (
                f"the facts of cluster {self.situation.cluster} leave out labels by which Service"
                f" {'/'.join(self.situation.service.key)} selects ({', '.join(keys)}): its pods are unknown"
            )
            self.diagnostics.append(about("GM216", text, policy, self.situation, "destinations"))

    def _apart(self, guards: GuardedPorts) -> tuple[PodsApart, ...]:
        """The pods that are told apart; what is closed on others that are not is told."""
        parts, closed = guards.apart()
        shown = {
            f"port {', '.join(map(str, sorted(one.numbers)))} of {one.workload.kind}"
            f" {one.workload.namespace}/{one.workload.name}": None
            for one in closed
        }
        for policy in self.situation.policies if shown else ():
            if access_spec(policy).action == "Allow":
                text = (
                    f"this closes {'; '.join(list(shown)[:_MOST_SHOWN])} to everybody: the number is guarded,"
                    " or closed by others, on other pods of the Service, and no label tells these apart"
                )
                self.diagnostics.append(about("GM304", text, policy, self.situation, "destinations"))
        return parts

    def _tell_shut(self, access: Access) -> None:
        """What stays closed beside a stranger's Allow, which a default of Deny closes anyway."""
        if access.shut_by is None or not access.governed or access.default == "Deny":
            return
        policy = self._policy(min(grant.origin for grant in access.allows))
        text = (
            f"in {self.situation.cluster}, {access.shut_by} decides about the same pods: ports that no policy"
            " of ours guards stay as it leaves them"
        )
        self.diagnostics.append(about("GM410", text, policy, self.situation, "destinations"))

    def _policy(self, origin: Origin) -> Policy:
        return next(one for one in self.situation.policies if one.id == origin.policy)

    def _tell_denied(self, denies: Sequence[Grant], own: Collection[int], guards: GuardedPorts) -> None:
        """Numbers that a Deny closes on pods which have them, though not behind this Service."""
        service = self.situation.service
        pods = [one for one in self.situation.workloads if one.mesh] if denies else []
        # Meshes name pods and numbers, but no pairs, and in the middle of a rollout a named port is two
        # numbers.
        lacking = [(one, frozenset(own) - all_targets(service, [one])) for one in pods]
        others = [(one, numbers & guards.there(one)) for one, numbers in lacking if numbers]
        for grant in denies if others else ():
            asked = [set(one.targets) if one.ports else set(own) for one in grant.operations]
            numbers = set[int]().union(*asked) if asked else set(own)
            shown = {
                f"port {', '.join(map(str, sorted(found)))} of {one.kind} {one.namespace}/{one.name}": None
                for one, there in others
                if (found := there & numbers)
            }
            if shown:
                self._tell_also_denied(grant, tuple(shown))

    def _tell_also_denied(self, grant: Grant, shown: Sequence[str]) -> None:
        policy = self._policy(grant.origin)
        text = (
            f"this denies {'; '.join(shown[:_MOST_SHOWN])}, too: the number is behind the Service on other of"
            " its pods"
        )
        self.diagnostics.append(about("GM304", text, policy, self.situation, "destinations"))

    def _mixed(self, own: Collection[int], default: Default, guards: GuardedPorts) -> Iterator[int]:
        """Target ports that some pods have not behind this Service, and that are not open there. On pods of
        one controller, as in the middle of a rollout, another's number is no port at all unless they say so.
        """
        service = self.situation.service
        for shapes in by_controller(w for w in self.situation.workloads if w.mesh).values():
            kin = all_targets(service, shapes)
            for workload in shapes:
                lacking = frozenset(own) - all_targets(service, [workload])
                # A number that only another pod of the same controller has is nothing here: the two are one
                # rollout apart.
                lacking -= kin - guards.there(workload)
                yield from lacking if default == "Deny" else lacking & guards.of_others(workload)

    def _exemption(self, covered: frozenset[int]) -> Exemption | None:
        owners = {
            owner.id: owner
            for owner in self.situation.owners
            if owner is not None and _mesh(owner).access_default == "Deny"
        }
        if len(owners) != 1:
            # Pods in several VirtualMeshes: what one of them exempts the others may not.
            self.diagnostics += [
                narrowed(owner, self.situation) for owner in owners.values() if _mesh(owner).access_exempt
            ]
            return None
        owner = next(iter(owners.values()))
        exempt = _mesh(owner).access_exempt
        if exempt is None:
            return None
        if shut_by := next(filter(None, map(self.index.facts.closer, self.situation.workloads)), None):
            # Exempt is what the default does not close, not what others do: an object of ours would open it.
            name = "/".join(self.situation.service.key)
            text = f"{shut_by} decides about pods of Service {name}, so nothing is exempt there"
            self.diagnostics.append(about("GM304", text, owner, self.situation, "access_exempt"))
            return None
        ports = [
            port for reference in exempt.ports or () if (port := port_of(self.situation.service, reference))
        ]
        # Exempt is open to all, so a number that means another port on some pod is left out, as in an
        # Allow.
        numbers = all_targets_of(ports, self.situation.bearers) - self.grants.ambiguous(
            owner, ("access_exempt", "ports"), ports
        )
        if exempt.ports is None and covered:
            numbers = all_targets(self.situation.service, self.situation.bearers)
        # Nothing is left that an Allow of another Service does not guard: there would be an exemption of no
        # port, which reads as one of all.
        if (exempt.ports is not None or covered) and not numbers - covered:
            return None
        who = self.trust.identities(exempt.sources, owner.namespace, deny=False) if exempt.sources else None
        if who and who.unknown:
            self.withheld.add(owner.id)
        return Exemption(
            ports=tuple(sorted({port.number for port in ports})),
            targets=tuple(sorted(numbers - covered)),
            callers=who.callers if who else (),
            origin=owner.origin("access_exempt"),
        )


def _mesh(policy: Policy) -> VirtualMeshSpec:
    assert isinstance(policy.spec, VirtualMeshSpec)
    return policy.spec


def _default(owners: Sequence[Policy | None]) -> Default:
    """Pods in several meshes get the strictest of their defaults."""
    # In a cluster without a mesh there is no owner to ask.
    given = {_mesh(owner).access_default if owner else "MeshDefault" for owner in owners} or {"MeshDefault"}
    return next(default for default in _STRICTEST if default in given)
