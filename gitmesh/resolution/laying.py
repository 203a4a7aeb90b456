"""What TrafficPolicies lay on the ports of one Service, and where the rows of a `split` or `mirror` lead.

What can have no effect there, as the meshes of the cluster say (docs/concepts.md#what-an-error-holds), is an
error of a policy that names the Service, a note of one that selects it among others. A target that is not
there is an error of its policy; a subset that is named is needed of the target's Service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.naming import camel, mesh_label
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.requests import DestinationRef, Mirror, SplitTarget
from gitmesh.model.routes import Decided, Laid, Target
from gitmesh.model.services import Service
from gitmesh.ports import Translator
from gitmesh.resolution.index import Index, KnownClusters, port_of
from gitmesh.resolution.routes import Row
from gitmesh.resolution.rules import Rule
from gitmesh.resolution.selection import missing_port, near_service
from gitmesh.resolution.slots import Items, Slot, is_disabled, items_of, slot_path

_Asked: TypeAlias = "tuple[tuple[Translator, tuple[Mesh, ...], str], ...]"


class Effects:
    """One cluster's meshes, each with its translator. What has no effect for the clients of one of them has
    none: nobody could say for whom the policy holds.
    """

    def __init__(self, facts: ClusterFacts, translators: Mapping[str, Translator]) -> None:
        self._facts = facts
        self._asked = tuple(
            (translator, meshes)
            for name, translator in translators.items()
            if (meshes := facts.meshes_of(name))
        )

    def on(self, service: Service) -> _Asked:
        """The translators to ask about a Service, each with its meshes and how findings name them. Whose
        meshes are presumed has no part in a destination of another one (planning/translating).
        """
        known = {pod.mesh for pod in self._facts.behind(service) if pod.mesh}
        return tuple(
            (translator, meshes, mesh_label(meshes, known))
            for translator, meshes in self._asked
            if not known or any(not one.presumed or one.name in known for one in meshes)
        )

    def why_not(self, laid: Laid, asked: _Asked) -> tuple[str, str]:
        """Why a field can have no effect where it is laid, and the meshes that say so; "" where it can."""
        for translator, meshes, label in asked:
            if why := translator.inert(laid, meshes, self._facts):
                return why, label
        return "", ""


class LaidOn:
    """What policies lay on one Service; `diagnostics` is what must be said of what has no effect there."""

    def __init__(self, cluster: str, service: Service, effects: Effects) -> None:
        self.cluster, self.service, self.effects = cluster, service, effects
        self._asked = effects.on(service)
        self.diagnostics: list[Diagnostic] = []
        self._known: dict[tuple[str, Slot, int], bool] = {}

    def left(self, rule: Rule, *, named: bool) -> Rule | None:
        """What of the rule can have an effect on the ports that it means; None where nothing can. `named`:
        its policy names the Service.
        """
        idle = frozenset(slot for slot in rule.slots if self._is_idle(rule, slot, named=named))
        if not idle:
            return rule
        left = {slot: value for slot, value in rule.slots.items() if slot not in idle}
        return replace(rule, slots=left) if left else None

    def _is_idle(self, rule: Rule, slot: Slot, *, named: bool) -> bool:
        """Whether a field has no effect, which is told once of each policy and port."""
        value, port, field = rule.slots[slot], rule.match.port, slot_path(rule.policy, slot)[0]
        if is_disabled(value) or port < 0:
            return False
        asked = (rule.policy.id, slot, port)
        # Rules of one policy lay the same values: each is asked about, and told, once for a port.
        if asked not in self._known:
            why, mesh = self._why_not(field, value, port, rule.policy)
            self._known[asked] = bool(why)
            code, said = ("GM301", "can have no effect") if named else ("GM305", "is left out")
            if why:
                name = f"{self.service.namespace}/{self.service.name}"
                self._say(code, f"{camel(field)} {said} on Service {name}: {why}", rule.policy, field, mesh)
        return self._known[asked]

    def reaches(self, field: str, target: Target, port: int, policy: Policy) -> bool:
        """Whether a `split` or `mirror` can send requests for a port (0 = any) to a target. Where it cannot,
        that is an error whatever selects the Service that is called: the policy names the target.
        """
        why, mesh = self._why_not(field, target, port, policy)
        if why:
            name = f"{target.service.namespace}/{target.service.name}"
            self._say("GM301", f"{field} to Service {name} can have no effect: {why}", policy, field, mesh)
        return not why

    def tell(self, code: str, text: str, policy: Policy, *path: str | int, hint: str = "") -> None:
        """Say something of a policy's field on this Service."""
        self.diagnostics.append(policy.origin(*path).finding(code, text, cluster=self.cluster, hint=hint))

    def _why_not(self, field: str, value: object, port: int, policy: Policy) -> tuple[str, str]:
        ports = tuple(one for one in self.service.ports if port in (0, one.number))
        laid = Laid(field=field, value=value, service=self.service, ports=ports)
        try:
            return self.effects.why_not(laid, self._asked)
        # A plug-in's defect on one Service must not end the work on all others.
        except Exception as error:  # noqa: BLE001
            name = f"{self.service.namespace}/{self.service.name}"
            text = f"a translator fell over {camel(field)} of Service {name}: its routing is left as it is"
            self._say("GM313", text, policy, field, detail=f"{type(error).__name__}: {error}")
            return "", ""

    def _say(
        self, code: str, text: str, policy: Policy, field: str, mesh: str = "", detail: str = ""
    ) -> None:
        said = policy.origin(field).finding(code, text, cluster=self.cluster, mesh=mesh, detail=detail)
        # Rows of one policy ask the same of the same target.
        if said not in self.diagnostics:
            self.diagnostics.append(said)


class Need(Struct, frozen=True, kw_only=True):
    """A subset of another (or the same) Service that a route sends requests to."""

    service: tuple[str, str]
    labels: tuple[tuple[str, str], ...]
    origin: Origin


class Targets:
    """Those of all rows of one Service; `needs` are the subsets, `unsure`: whether some target is there is
    not known. What must be said is added to what is said of the Service.
    """

    def __init__(self, cluster: str, service: Service, index: Index, laid: LaidOn) -> None:
        self.cluster, self.service, self.index, self.laid = cluster, service, index, laid
        self.diagnostics = laid.diagnostics
        self.needs: list[Need] = []
        self.unsure = False
        self._name = f"{service.namespace}/{service.name}"
        self._known: dict[tuple[str, str], Items] = {}

    def of(self, row: Row, name: str, decided: Decided) -> tuple[Target, ...]:
        """The targets of a `split` or `mirror`; without those that are not there, which is told."""
        policy = _decider(row, decided)
        placed = zip(self.items(row, name, decided).places, decided.value, strict=True)
        found = (self._target(row, policy, (name, place, "destination"), item) for place, item in placed)
        return tuple(target for target in found if target is not None)

    def items(self, row: Row, name: str, decided: Decided) -> Items:
        """The items of a decided list."""
        policy = _decider(row, decided)
        # Found once for all rows: the value of a policy's list is the same in each.
        if (policy.id, name) not in self._known:
            self._known[policy.id, name] = items_of(policy, name, decided.value)
        return self._known[policy.id, name]

    def _target(
        self, row: Row, policy: Policy, path: tuple[str | int, ...], item: SplitTarget | Mirror
    ) -> Target | None:
        reference = item.destination
        namespace = reference.namespace or self.service.namespace
        service = self.index.service(namespace, reference.name)
        # It may be in what was not read: a wrong "does not exist" would be an error, and this only holds.
        if service is None and not self.index.facts.complete:
            self.unsure = True
            text = (
                f"the facts of cluster {self.cluster} are incomplete, so it is not known whether"
                f" {namespace}/{reference.name} is there"
            )
            self.laid.tell("GM216", text, policy, *path, "name")
            return None
        if service is None:
            world = KnownClusters({self.cluster: self.index})
            hint = near_service(world, (namespace,), reference.name)
            text = f"Service {namespace}/{reference.name} does not exist"
            self.laid.tell("GM208", text, policy, *path, "name", hint=hint)
            return None
        port = self._target_port(row, policy, path, reference, service)
        subset = tuple(sorted((reference.subset or {}).items()))
        target = Target(service=service, port=port or 0, subset=subset)
        if port is None or not self.laid.reaches(str(path[0]), target, row.match.port, policy):
            return None
        if subset:
            self._need(policy, (*path, "subset"), service, subset)
        return target

    def _target_port(
        self,
        row: Row,
        policy: Policy,
        path: tuple[str | int, ...],
        reference: DestinationRef,
        service: Service,
    ) -> int | None:
        if reference.port is not None:
            port = port_of(service, reference.port)
            if port is None:
                self.diagnostics.append(
                    missing_port(policy, (*path, "port"), service, reference.port, self.cluster)
                )
            return port.number if port else None
        # One port of another Service is meant whatever was asked for; of several, the one that was, where all
        # are there. The Service itself keeps it always: it may get a port that is not known here.
        if len(service.ports) == 1 and service.key != self.service.key:
            return service.ports[0].number
        requested = {row.match.port} if row.match.port else {port.number for port in self.service.ports}
        if requested and requested <= {port.number for port in service.ports}:
            return 0
        text = (
            f"Service {service.namespace}/{service.name} does not have every port of {self._name}; name the"
            " port that is meant"
        )
        self.laid.tell("GM218", text, policy, *path)
        return None

    def _need(
        self,
        policy: Policy,
        path: tuple[str | int, ...],
        service: Service,
        labels: tuple[tuple[str, str], ...],
    ) -> None:
        self.needs.append(Need(service=service.key, labels=labels, origin=policy.origin(*path)))
        wanted = dict(labels)
        if self.index.facts.complete and not any(w.may_carry(wanted) for w in self.index.behind(service)):
            shown = ", ".join(f"{key}={value}" for key, value in labels)
            self.laid.tell(
                "GM209",
                f"no pod behind Service {service.namespace}/{service.name} carries {shown}",
                policy,
                *path,
            )


def _decider(row: Row, decided: Decided) -> Policy:
    return next(rule.policy for rule in row.rules if rule.policy.id == decided.origin.policy)
