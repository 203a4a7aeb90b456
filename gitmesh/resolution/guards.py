"""Which ports an Allow closes on which pods, shape by shape.

An Allow is written for pods by their labels, and for ports by their numbers; what it does not admit is closed
on all of the pods that it selects. So what leaves other ports as they were must leave out what an Allow of
another Service guards on some of the same pods, lest it open that door. On the pods that the other Service
does not mean this would close a port that no policy speaks of: there the port is left open by labels that
tell these pods apart, and where no label does, it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from msgspec import Struct

from gitmesh.model.facts import Service, Workload
from gitmesh.model.units import PodsApart
from gitmesh.resolution.index import Index, all_targets
from gitmesh.resolution.situation import Situation

MOST_APART = 64
"""Kinds of pods of one destination that are told apart; each takes an object of its own."""


class ClosedPorts(Struct, frozen=True, kw_only=True):
    """Ports of some pods that are closed though no policy means them, as their pods cannot be told from
    those that a policy means."""

    workload: Workload
    numbers: frozenset[int]


class GuardedPorts:
    """What the Allows of a destination, and of others that may select the same pods, guard. `governed`: it
    has Allows of its own.
    """

    def __init__(self, situation: Situation, index: Index, *, governed: bool) -> None:
        self._situation, self._index = situation, index
        self._services = (*((situation.service,) if governed else ()), *situation.governed)

    @cached_property
    def _numbers(self) -> Mapping[tuple[str, str], frozenset[int]]:
        """The ports that each guards on its pods, or would on these: what is bound to arrive later, such as a
        pod that both select, must not find a door open."""
        mine = self._situation.bearers
        return {
            service.key: all_targets(service, (*mine, *self._index.bearing(service)))
            for service in self._services
        }

    def numbers(self, labels: Mapping[str, str]) -> frozenset[int]:
        """The ports that are guarded on some pods that may have these labels and any others."""
        return frozenset(
            number
            for service in self._services
            if all(labels.get(key, value) == value for key, value in service.selector.items())
            for number in self._numbers[service.key]
        )

    def there(self, workload: Workload) -> frozenset[int]:
        """The ports that these pods have, as far as they or a Service say so."""
        reached = (all_targets(one, [workload]) for one in self._index.selecting(workload))
        return frozenset(workload.ports.values()).union(*reached)

    def of_others(self, workload: Workload) -> frozenset[int]:
        """The ports of these pods that Allows of other destinations govern."""
        return self._governed(workload, self._situation.governed)

    def _governed(self, workload: Workload, services: Iterable[Service]) -> frozenset[int]:
        return frozenset(
            number
            for service in services
            if service.selector.items() <= workload.labels.items()
            for number in all_targets(service, [workload])
        )

    def apart(self) -> tuple[tuple[PodsApart, ...], tuple[ClosedPorts, ...]]:
        """The pods on which ports are left open that are guarded on others, and ports that are there and
        closed all the same."""
        found: dict[tuple[tuple[str, str], ...], frozenset[int]] = {}
        closed: list[ClosedPorts] = []
        whole = self.numbers(self._situation.service.selector)
        for workload in self._situation.workloads:
            meant = whole - self._governed(workload, self._services)
            if not meant or (workload.pods and not workload.mesh):
                continue
            labels = self._index.facts.telling(workload)
            place, guarded = tuple(labels.items()), self.numbers(labels)
            if meant - guarded and (place in found or len(found) < MOST_APART):
                found[place] = guarded
            left = self.there(workload) & (meant & guarded if place in found else meant)
            closed += [ClosedPorts(workload=workload, numbers=left)] if left else []
        parts = (PodsApart(labels=labels, guarded=tuple(sorted(found[labels]))) for labels in sorted(found))
        return tuple(parts), tuple(closed)
