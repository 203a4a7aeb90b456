"""What destinations need of each other: subsets that splits route to, and holds that follow from holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.units import HALVES, DestinationUnit, Half, Subset, UnitKey
from gitmesh.resolution.deciding import DecidedDestination, bare, digest
from gitmesh.resolution.index import Index
from gitmesh.resolution.laying import Need
from gitmesh.resolution.preparing import Memory, Same, ServiceKey

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
        self._spread(self.held["routing"])

    def _spread(self, held: set[ServiceKey]) -> None:
        """A route to a subset of a held destination would find no such subset, so its own destination is held
        too.
        """
        # Turned round first, so that a hold costs what it reaches and no pass over all destinations.
        needing: dict[ServiceKey, list[tuple[ServiceKey, Need]]] = {}
        for key, one in self.done.items():
            for need in one.traffic.needs:
                needing.setdefault(need.service, []).append((key, need))
        waiting = sorted(held)
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
        return finding(
            "GM218", text, at=origin.at, policy=origin.policy, field=origin.field, cluster=self.cluster
        )

    def held_keys(self) -> Iterator[UnitKey]:
        """Keys of the destinations, or halves of them, that keep their live objects."""
        for key in self.held["routing"] | self.held["access"]:
            halves = [half for half in HALVES if key in self.held[half]]
            half: Half = "" if len(halves) == len(HALVES) else halves[0]
            yield UnitKey(kind="Destination", namespace=key[0], name=key[1], half=half)

    def units(self, index: Index, remembered: Memory) -> list[DestinationUnit]:
        """Every unit that is not held, or whose other half is not: destinations that policies act on, and
        those that only have to offer a subset."""
        needs = self._needs()
        keys = {key for key, one in self.done.items() if not one.empty} | needs.keys()
        held = self.held["routing"] & self.held["access"]
        return [
            unit
            for key in sorted(keys - held)
            if (unit := self._unit(index, key, tuple(needs.get(key, ())), remembered))
        ]

    def narrowing(self) -> Iterator[DestinationUnit]:
        """Access that is held for errors of some policies, as all others have it."""
        for key in sorted(self.held["access"] & self.done.keys()):
            done = self.done[key]
            if done.sound is not None and done.withheld:
                unit = replace(
                    done.unit.without("routing"),
                    access=done.sound,
                    policies=tuple(sorted(done.guarding)),
                    withheld=tuple(sorted(done.withheld)),
                )
                yield replace(unit, digest=digest(unit))

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
            and bool(done.withheld)
            and policy.id not in done.withheld
        )

    def _needs(self) -> dict[ServiceKey, list[Subset]]:
        origins: dict[tuple[ServiceKey, tuple[tuple[str, str], ...]], set[Origin]] = {}
        for key, one in self.done.items():
            for need in one.traffic.needs if key not in self.held["routing"] else ():
                origins.setdefault((need.service, need.labels), set()).add(need.origin)
        found: dict[ServiceKey, list[Subset]] = {}
        for service, labels in sorted(origins):
            found.setdefault(service, []).append(
                Subset(labels=labels, origins=tuple(sorted(origins[service, labels])))
            )
        return found

    def _unit(
        self, index: Index, key: ServiceKey, subsets: tuple[Subset, ...], remembered: Memory
    ) -> DestinationUnit | None:
        done = self.done.get(key)
        held = frozenset(half for half in HALVES if key in self.held[half])
        place, inputs = (self.cluster, key), (index, Same(done), subsets, held)
        unit: DestinationUnit | None = remembered.get(place, inputs)
        if unit is None:
            unit = remembered.put(place, inputs, _finished(self.cluster, index, key, done, subsets, held))
        return unit if unit.policies or not held else None


def _finished(
    cluster: str,
    index: Index,
    key: ServiceKey,
    done: DecidedDestination | None,
    subsets: tuple[Subset, ...],
    held: frozenset[Half],
) -> DestinationUnit:
    if done is None:
        unit = bare(cluster, index.facts.service_index[key], index)
        done = DecidedDestination(unit=unit, digest=digest(unit))
    unit, policies = (
        done.unit,
        {*done.traffic.policies, *(origin.policy for subset in subsets for origin in subset.origins)},
    )
    for half in sorted(held):
        unit = unit.without(half)
    if "routing" in held:
        subsets, policies = (), set()
    if "access" not in held:
        policies |= done.guarding
    return replace(
        unit,
        subsets=subsets,
        policies=tuple(sorted(policies)),
        digest=digest((done.digest, subsets, sorted(held))),
    )
