"""Before any destination is decided: what all of them are decided from, and the memory that lets a small
change cost little.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.policies import Policy
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.ports import Translator
from gitmesh.resolution.comparing import MOST_COMPARISONS, MOST_IN_ALL, comparisons, extent, too_many
from gitmesh.resolution.identities import Trust
from gitmesh.resolution.index import Index, KnownClusters
from gitmesh.resolution.membership import MeshOwners, memberships
from gitmesh.resolution.selection import Selection, select
from gitmesh.resolution.slots import NO_PARTS, Parts, Slot, parts_of, slots_of

ServiceKey: TypeAlias = tuple[str, str]
"""(namespace, name)."""


class FingerprintedPolicy(Struct, frozen=True, kw_only=True):
    """A policy and what must be equal for everything derived from it to be equal: content, and places for
    provenance. `extent` is what the rules of a TrafficPolicy count for on each destination."""

    policy: Policy
    token: tuple[str, str, str]
    slots: Mapping[Slot, Any] = {}
    parts: Parts = NO_PARTS
    extent: int = 0


Acting: TypeAlias = Mapping[ServiceKey, list[tuple[FingerprintedPolicy, int]]]
"""Service -> the policies that select it, by name, and the form by which each does."""


class ResolutionInput(Struct, frozen=True, kw_only=True):
    """`acting` is by cluster, `governed` the destinations there that an enforced Allow selects; `domains` are
    the trust domains of every mesh, on which the identities that `trust` finds depend. `crowded` are, by
    cluster, destinations with more rules than can be compared, which are not decided; `translators` say what
    has no effect on their meshes."""

    world: KnownClusters
    trust: Trust
    marked: Mapping[str, FingerprintedPolicy]
    members: MeshOwners
    selections: Mapping[str, Selection]
    acting: Mapping[str, Acting]
    governed: Mapping[str, frozenset[ServiceKey]]
    domains: tuple[Any, ...]
    crowded: Mapping[str, Mapping[ServiceKey, Diagnostic]] = {}
    translators: Mapping[str, Translator] = {}


def places(policy: Policy) -> str:
    """A hash of where everything of the policy stands."""
    # Provenance is part of the output, so that a policy that moved is another one.
    positions = policy.positions
    return sha256(
        repr((positions.source, positions.path, sorted(positions.values.items(), key=repr))).encode()
    ).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """Equal to another only if both wrap the very same object."""

    value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


class Memory:
    """Results by place, valid while their inputs are equal; what is not asked for in a run is forgotten after
    it.
    """

    def __init__(self, memo: MutableMapping[Any, Any], name: str) -> None:
        self._old: Mapping[object, tuple[object, object]] = memo.get(name, {})
        self._new: dict[object, tuple[object, object]] = {}
        memo[name] = self._new

    def get(self, place: object, inputs: object) -> Any:
        """The result for these inputs, or None."""
        found = self._old.get(place)
        if found is None or found[0] != inputs:
            return None
        # Only what is asked for again outlives this run: otherwise memory would keep every policy that ever
        # was.
        self._new[place] = found
        return found[1]

    def keep(self, place: object) -> None:
        """Remember what is remembered here, though nobody asked for it in this run."""
        if place in self._old:
            self._new[place] = self._old[place]

    def put(self, place: object, inputs: object, value: Any) -> Any:
        """Remember and return the value."""
        self._new[place] = (inputs, value)
        return value


def prepared(
    policies: Sequence[Policy],
    facts: Mapping[str, ClusterFacts | None],
    clusters: Mapping[str, Mapping[str, str]],
    memory: Mapping[str, Memory],
    translators: Mapping[str, Translator],
) -> ResolutionInput:
    """All that is done before any destination is decided: facts indexed, policies fingerprinted and selected.

    `memory` holds results of the calls before under "index", "policy" and "select".
    """
    ordered = sorted(policies, key=lambda policy: policy.id)
    return _Preparation(facts, memory).input(ordered, clusters, translators)


class _Preparation:
    def __init__(self, facts: Mapping[str, ClusterFacts | None], memory: Mapping[str, Memory]) -> None:
        self.memo = memory
        self.world = KnownClusters(
            {name: None if known is None else self._index(name, known) for name, known in facts.items()}
        )

    def input(
        self,
        policies: Sequence[Policy],
        clusters: Mapping[str, Mapping[str, str]],
        translators: Mapping[str, Translator],
    ) -> ResolutionInput:
        """What the destinations are decided from; `policies` are sorted."""
        marked = {policy.id: self._mark(policy) for policy in policies}
        indexes = tuple(sorted(self.world.indexes.items()))
        selecting = [
            one
            for one in marked.values()
            if isinstance(one.policy.spec, TrafficPolicySpec | AccessPolicySpec)
        ]
        selections = {one.policy.id: self._select(one, indexes) for one in selecting}
        acting = _acting(marked, selections)
        return ResolutionInput(
            world=self.world,
            trust=Trust(self.world),
            marked=marked,
            members=memberships(
                [policy for policy in policies if isinstance(policy.spec, VirtualMeshSpec)],
                self.world,
                clusters,
            ),
            selections=selections,
            acting=acting,
            governed=_governed(marked, selections),
            crowded=_crowded(acting),
            translators=translators,
            domains=tuple(
                # The trust domains of all clusters: a new mesh anywhere may make an identity here
                # ambiguous.
                (c, i and tuple((m.name, m.trust_domain) for m in i.facts.meshes))
                for c, i in indexes
            ),
        )

    def _index(self, cluster: str, facts: ClusterFacts) -> Index:
        # Facts without a digest were made by hand: then nothing but the very same object is equal.
        remembered, inputs = self.memo["index"], facts.digest or Same(facts)
        index: Index = remembered.get(cluster, inputs) or remembered.put(cluster, inputs, Index(facts))
        return index

    def _mark(self, policy: Policy) -> FingerprintedPolicy:
        # The parser hands out the same object as long as its file does not change: nothing is compared.
        remembered, inputs = self.memo["policy"], Same(policy)
        marked: FingerprintedPolicy | None = remembered.get(policy.id, inputs)
        if marked is None:
            slots = slots_of(policy) if isinstance(policy.spec, TrafficPolicySpec) else {}
            size = extent(policy.spec, slots) if isinstance(policy.spec, TrafficPolicySpec) else 0
            parts = parts_of(policy) if isinstance(policy.spec, TrafficPolicySpec) else NO_PARTS
            # Places, too: a policy that only moved down in its file decides the same, but its findings
            # stand elsewhere.
            token = (policy.id, policy.digest, places(policy))
            marked = FingerprintedPolicy(policy=policy, token=token, slots=slots, parts=parts, extent=size)
            remembered.put(policy.id, inputs, marked)
        return marked

    def _select(
        self, marked: FingerprintedPolicy, indexes: tuple[tuple[str, Index | None], ...]
    ) -> Selection:
        remembered, place, inputs = self.memo["select"], marked.policy.id, (marked.token, indexes)
        found: Selection = remembered.get(place, inputs) or remembered.put(
            place, inputs, select(marked.policy, self.world)
        )
        return found


def _acting(
    marked: Mapping[str, FingerprintedPolicy], selections: Mapping[str, Selection]
) -> dict[str, dict[ServiceKey, list[tuple[FingerprintedPolicy, int]]]]:
    acting: dict[str, dict[ServiceKey, list[tuple[FingerprintedPolicy, int]]]] = {}
    for name, selection in selections.items():
        for cluster, forms in selection.services.items():
            here = acting.setdefault(cluster, {})
            for key, form in forms.items():
                here.setdefault(key, []).append((marked[name], form))
    return acting


def _governed(
    marked: Mapping[str, FingerprintedPolicy], selections: Mapping[str, Selection]
) -> dict[str, frozenset[ServiceKey]]:
    found: dict[str, set[ServiceKey]] = {}
    for name, selection in selections.items():
        spec = marked[name].policy.spec
        for cluster, forms in (
            selection.services.items()
            if isinstance(spec, AccessPolicySpec) and spec.action == "Allow"
            else ()
        ):
            found.setdefault(cluster, set()).update(forms)
    return {cluster: frozenset(keys) for cluster, keys in found.items()}


def _crowded(
    acting: Mapping[str, Mapping[ServiceKey, Sequence[tuple[FingerprintedPolicy, int]]]],
) -> dict[str, dict[ServiceKey, Diagnostic]]:
    """Destinations with more rules than can be compared, and, while all of them together have more, the
    costliest, with the finding on each.
    """
    # By their number alone: what is decided may not depend on what is remembered.
    costs: dict[tuple[str, ServiceKey], int] = {}
    for cluster, here in acting.items():
        for key, marked in here.items():
            costs[cluster, key] = comparisons(one.extent for one, _ in marked if one.extent)
    left = total = sum(costs.values())
    found: dict[str, dict[ServiceKey, Diagnostic]] = {}
    # The costliest first: as few destinations as can be go undecided, and which ones depends on no order of
    # files.
    for cluster, key in sorted(costs, key=lambda place: (-costs[place], place)):
        if costs[cluster, key] <= MOST_COMPARISONS and left <= MOST_IN_ALL:
            break
        left -= costs[cluster, key]
        sized = [(one.policy, one.extent) for one, _ in acting[cluster][key] if one.extent]
        in_all = 0 if costs[cluster, key] > MOST_COMPARISONS else total
        found.setdefault(cluster, {})[key] = too_many(sized, f"Service {'/'.join(key)}", cluster, in_all)
    return found
