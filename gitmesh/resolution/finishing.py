"""What destinations need of each other: subsets that splits route to, and holds that follow from holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.routes import Subset
from gitmesh.model.units import HALVES, AccessUnit, Half, RoutingUnit, UnitKey, half_key
from gitmesh.resolution.deciding import DecidedDestination, ground
from gitmesh.resolution.index import Index
from gitmesh.resolution.laying import Need
from gitmesh.resolution.preparing import Memory, Same, ServiceKey
from gitmesh.resolution.routing import Traffic
from gitmesh.resolution.sharing import digest

HeldHalves: TypeAlias = "Mapping[Half, set[ServiceKey]]"


class UnitAssembler:
    """The units of one cluster and what is held of it; `named` are destinations that policies hold by name,
    by the half that the policies are about."""

    def __init__(
        self, cluster: str, done: Mapping[ServiceKey, DecidedDestination], named: HeldHalves
    ) -> None:
        self.cluster, self.done = cluster, done
        self.diagnostics = [diagnostic for one in done.values() for diagnostic in one.diagnostics]
        self.held = {
            half: named[half] | {key for key, one in done.items() if half in one.held} for half in HALVES
        }
        # Only routing: who may call hangs on nobody's subset, so access is not held along with it.
        self._spread(self.held["routing"])

    def _spread(self, held: set[ServiceKey]) -> None:
        """Hold the destinations of which a route leads to a subset of a held one."""
        # Turned round first, so that a hold costs what it reaches and no pass over all destinations.
        needing: dict[ServiceKey, list[tuple[ServiceKey, Need]]] = {}
        for key, one in self.done.items():
            for need in one.traffic.needs:
                needing.setdefault(need.service, []).append((key, need))
        waiting = sorted(held)
        # Such a route would find no such subset.
        while waiting:
            target = waiting.pop()
            for key, need in needing.get(target, ()):
                if key not in held:
                    held.add(key)
                    waiting.append(key)
                    self.diagnostics.append(self._follows(need))

    def _follows(self, need: Need) -> Diagnostic:
        text = f"this subset is of Service {'/'.join(need.service)}, which is held by findings of its own"
        origin = need.origin
        return origin.finding("GM218", text, cluster=self.cluster)

    def held_keys(self) -> Iterator[UnitKey]:
        """Keys of the halves of destinations that keep their live objects."""
        for half in HALVES:
            yield from (half_key(half, self.cluster, key) for key in self.held[half])

    def units(self, index: Index, remembered: Memory) -> Iterator[RoutingUnit | AccessUnit]:
        """Every half that is not held, of destinations that policies act on, and the routing of those that
        only have to offer a subset."""
        for key, done in self.done.items():
            if done.access is not None and key not in self.held["access"]:
                yield done.access
        needs = self._needs()
        for key in (self.done.keys() | needs.keys()) - self.held["routing"]:
            unit = self._routing(index, key, tuple(needs.get(key, ())), remembered)
            if unit is not None:
                yield unit

    def narrowing(self) -> Iterator[AccessUnit]:
        """Access that is held for errors of some policies, as all others have it."""
        for key in sorted(self.held["access"] & self.done.keys()):
            if (sound := self.done[key].sound) is not None:
                yield sound

    def comes(self, policy: Policy, key: ServiceKey) -> bool:
        """Whether what the policy says of the destination comes though its access is held: a new Deny of a
        policy without errors does."""
        done = self.done.get(key)
        spec = policy.spec
        return (
            isinstance(spec, AccessPolicySpec)
            and spec.action == "Deny"
            and done is not None
            and done.sound is not None
            and policy.id not in done.sound.withheld
        )

    def _needs(self) -> dict[ServiceKey, list[Subset]]:
        origins: dict[tuple[ServiceKey, tuple[tuple[str, str], ...]], set[Origin]] = {}
        for key, one in self.done.items():
            # A held route is not written, so what it would need is not made for it.
            for need in one.traffic.needs if key not in self.held["routing"] else ():
                origins.setdefault((need.service, need.labels), set()).add(need.origin)
        found: dict[ServiceKey, list[Subset]] = {}
        for service, labels in sorted(origins):
            found.setdefault(service, []).append(
                Subset(labels=labels, origins=tuple(sorted(origins[service, labels])))
            )
        return found

    def _routing(
        self, index: Index, key: ServiceKey, subsets: tuple[Subset, ...], remembered: Memory
    ) -> RoutingUnit | None:
        done = self.done.get(key)
        alone = done.routing if done else None
        if not subsets:
            return alone
        # `Same` compares by identity: the unit is large, and was remembered itself.
        inputs = (index, Same(alone), subsets)
        unit: RoutingUnit | None = remembered.get((self.cluster, key), inputs)
        if unit is None:
            alone = alone or ground(self.cluster, index.facts.service_index[key], index).routing(
                Traffic(), ""
            )
            unit = remembered.put((self.cluster, key), inputs, _offering(alone, subsets))
        return unit


def _offering(unit: RoutingUnit, subsets: tuple[Subset, ...]) -> RoutingUnit:
    asking = {origin.policy for subset in subsets for origin in subset.origins}
    return replace(
        unit,
        subsets=subsets,
        policies=tuple(sorted({*unit.policies, *asking})),
        digest=digest((unit.digest, subsets)),
    )
