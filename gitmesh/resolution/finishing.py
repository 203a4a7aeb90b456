"""What destinations need of each other: subsets that splits route to, and holds that follow from holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.policies import Origin
from gitmesh.model.units import DestinationUnit, Subset, UnitKey
from gitmesh.resolution.deciding import Done, bare, digest
from gitmesh.resolution.destinations import Need
from gitmesh.resolution.index import Index
from gitmesh.resolution.scene import Remembered, Same, ServiceKey


class Finished:
    """The units of one cluster and what is held of it; `named` are destinations that policies hold by name."""

    def __init__(self, cluster: str, done: Mapping[ServiceKey, Done], named: set[ServiceKey]) -> None:
        self.cluster, self.done = cluster, done
        self.found = [diagnostic for one in done.values() for diagnostic in one.diagnostics]
        self.held = named | {key for key, one in done.items() if one.held}
        self._spread()

    def _spread(self) -> None:
        """A route to a subset of a held destination would find no such subset, so its own destination is held too."""
        needing: dict[ServiceKey, list[tuple[ServiceKey, Need]]] = {}
        for key, one in self.done.items():
            for need in one.traffic.needs:
                needing.setdefault(need.service, []).append((key, need))
        waiting = sorted(self.held)
        while waiting:
            target = waiting.pop()
            for key, need in needing.get(target, ()):
                if key not in self.held:
                    self.held.add(key)
                    waiting.append(key)
                    self.found.append(self._follows(need))

    def _follows(self, need: Need) -> Diagnostic:
        text = f"this subset is of Service {'/'.join(need.service)}, which is held by findings of its own"
        origin = need.origin
        return finding("GM218", text, at=origin.at, policy=origin.policy, field=origin.field, cluster=self.cluster)

    def held_keys(self) -> Iterator[UnitKey]:
        """Keys of the destinations that keep their live objects."""
        return (UnitKey(kind="Destination", namespace=namespace, name=name) for namespace, name in self.held)

    def units(self, index: Index, remembered: Remembered) -> list[DestinationUnit]:
        """Every unit that is not held: destinations that policies act on, and those that only have to offer a subset."""
        needs = self._needs()
        keys = {key for key, one in self.done.items() if not one.empty} | needs.keys()
        return [self._unit(index, key, tuple(needs.get(key, ())), remembered) for key in sorted(keys - self.held)]

    def _needs(self) -> dict[ServiceKey, list[Subset]]:
        origins: dict[tuple[ServiceKey, tuple[tuple[str, str], ...]], set[Origin]] = {}
        for key, one in self.done.items():
            for need in one.traffic.needs if key not in self.held else ():
                origins.setdefault((need.service, need.labels), set()).add(need.origin)
        found: dict[ServiceKey, list[Subset]] = {}
        for service, labels in sorted(origins):
            found.setdefault(service, []).append(Subset(labels=labels, origins=tuple(sorted(origins[service, labels]))))
        return found

    def _unit(self, index: Index, key: ServiceKey, subsets: tuple[Subset, ...], remembered: Remembered) -> DestinationUnit:
        done = self.done.get(key)
        place, inputs = (self.cluster, key), (index, Same(done), subsets)
        unit: DestinationUnit | None = remembered.get(place, inputs)
        if unit is None:
            unit = remembered.put(place, inputs, _finished(self.cluster, index, key, done, subsets))
        return unit


def _finished(cluster: str, index: Index, key: ServiceKey, done: Done | None, subsets: tuple[Subset, ...]) -> DestinationUnit:
    if done is None:
        unit = bare(cluster, index.facts.service_index[key], index)
        done = Done(unit=unit, digest=digest(unit))
    policies = {*done.unit.policies, *(origin.policy for subset in subsets for origin in subset.origins)}
    return replace(done.unit, subsets=subsets, policies=tuple(sorted(policies)), digest=digest((done.digest, subsets)))
