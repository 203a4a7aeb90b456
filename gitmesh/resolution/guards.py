"""Which ports an Allow closes on which pods, shape by shape.

An Allow is written for pods by their labels, and for ports by their numbers; what it does not admit is closed
on all of the pods that it selects. So what leaves other ports as they were must leave out what an Allow of
another Service guards on some of the same pods, lest it open that door. On the pods that the other Service
does not mean this would close a port that no policy speaks of: there the port is left open by labels that
tell these pods apart, and where no label does, it is told. So it is with pods that an Allow of a stranger
closes, and on which ours opens nothing but what it grants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from msgspec import Struct

from gitmesh.model.grants import PodsApart
from gitmesh.model.objects import ObjectKey
from gitmesh.model.services import Service
from gitmesh.model.workloads import Workload
from gitmesh.resolution.index import Index, all_targets
from gitmesh.resolution.situation import AccessInput

MOST_APART = 64
"""Kinds of pods of one destination that are told apart; each takes an object of its own."""


class ClosedPorts(Struct, frozen=True, kw_only=True):
    """Ports of some pods that are closed though no policy means them, as their pods cannot be told from
    those that a policy means or a stranger closes."""

    workload: Workload
    numbers: frozenset[int]


class GuardedPorts:
    """What the Allows of a destination, and of others that may select the same pods, guard. `governed`: it
    has Allows of its own.
    """

    def __init__(self, situation: AccessInput, index: Index, *, governed: bool) -> None:
        self._situation, self._index = situation, index
        self._services = (*((situation.service,) if governed else ()), *situation.governed)

    @cached_property
    def _numbers(self) -> Mapping[tuple[str, str], frozenset[int]]:
        """The ports that each guards on its pods, or would on these."""
        mine = self._situation.bearers
        # A pod that comes later, and that both Services select, must not find a port open.
        return {
            service.key: all_targets(service, (*mine, *self._index.bearing(service)))
            for service in self._services
        }

    def numbers(self, labels: Mapping[str, str]) -> frozenset[int]:
        """The ports that are guarded on some pods that may have these labels and any others."""
        return frozenset(
            number
            for service in self._services
            # A label that is not given may have any value: pods that come later may have that one.
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

    @cached_property
    def shut_by(self) -> ObjectKey | None:
        """A stranger's Allow that closes some of the pods."""
        return self._shut_by({})

    def _shut_by(self, labels: Mapping[str, str]) -> ObjectKey | None:
        """One that closes some of those that have these labels."""
        meant = (one for one in self._situation.workloads if labels.items() <= one.labels.items())
        return next(filter(None, map(self._index.facts.closer, meant)), None)

    def apart(self) -> tuple[tuple[PodsApart, ...], tuple[ClosedPorts, ...]]:
        """The pods on which ports are left open that are guarded on others, or closed there by strangers, and
        ports that are there and closed all the same."""
        found: dict[tuple[tuple[str, str], ...], frozenset[int]] = {}
        closed: list[ClosedPorts] = []
        whole, shut = self.numbers(self._situation.service.selector), self.shut_by is not None
        for workload in self._situation.workloads:
            there = self.there(workload)
            meant = (whole | there if shut else whole) - self._governed(workload, self._services)
            if not (meant or shut) or self._is_let_be(workload):
                continue
            labels = self._index.facts.telling(workload)
            place, covered = tuple(labels.items()), self.numbers(labels)
            # Bounded: each part is an object of its own, and labels of pods are anybody's to choose.
            opens = (shut or meant - covered) and len(found) < MOST_APART
            if opens and place not in found and not self._shut_by(labels):
                found[place] = covered
            # What is closed beyond what the policies mean is told, and not opened: narrower errs on the
            # closed side.
            left = there & (meant & covered if place in found else meant)
            closed += [ClosedPorts(workload=workload, numbers=left)] if left else []
        parts = (
            PodsApart(labels=labels, governed_ports=tuple(sorted(found[labels]))) for labels in sorted(found)
        )
        return tuple(parts), tuple(closed)

    def _is_let_be(self, workload: Workload) -> bool:
        """Whether nothing of ours closes the pods: they have no proxy, or others close them anyway."""
        return bool(workload.pods and not workload.mesh) or bool(self._index.facts.closer(workload))
