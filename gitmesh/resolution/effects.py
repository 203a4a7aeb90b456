"""What TrafficPolicies lay where it can have no effect, as the meshes of the cluster say (api.md, What an
error holds back): an error of a policy that names the Service, a note of one that selects it among others.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.facts import ClusterFacts, Service
from gitmesh.model.naming import camel
from gitmesh.model.policies import Policy
from gitmesh.model.units import Laid, Target
from gitmesh.ports import Translator
from gitmesh.resolution.rules import Rule, Slot, is_disabled, slot_path


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

    def why_not(self, laid: Laid) -> tuple[str, str]:
        """Why a field can have no effect where it is laid, and the meshes that say so; "" where it can."""
        for translator, meshes in self._asked:
            if why := translator.inert(laid, meshes, self._facts):
                return why, ", ".join(mesh.name for mesh in meshes)
        return "", ""


class LaidOn:
    """What policies lay on one Service; `diagnostics` is what must be said of what has no effect there."""

    def __init__(self, cluster: str, service: Service, effects: Effects) -> None:
        self.cluster, self.service, self.effects = cluster, service, effects
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
        value, port, field = rule.slots[slot], rule.match.port, slot_path(rule, slot)[0]
        if is_disabled(value) or port < 0:
            return False
        asked = (rule.policy.id, slot, port)
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

    def _why_not(self, field: str, value: object, port: int, policy: Policy) -> tuple[str, str]:
        ports = tuple(one for one in self.service.ports if port in (0, one.number))
        laid = Laid(field=field, value=value, service=self.service, ports=ports)
        try:
            return self.effects.why_not(laid)
        except Exception as error:  # noqa: BLE001 - a plug-in's defect on one Service must not end the work on all others
            name = f"{self.service.namespace}/{self.service.name}"
            text = f"a translator fell over {camel(field)} of Service {name}: its routing is left as it is"
            self._say("GM313", text, policy, field, detail=f"{type(error).__name__}: {error}")
            return "", ""

    def _say(
        self, code: str, text: str, policy: Policy, field: str, mesh: str = "", detail: str = ""
    ) -> None:
        at, name = policy.at(field), policy.origin(field).field
        said = finding(
            code, text, at=at, policy=policy.id, field=name, cluster=self.cluster, mesh=mesh, detail=detail
        )
        if said not in self.diagnostics:
            self.diagnostics.append(said)
