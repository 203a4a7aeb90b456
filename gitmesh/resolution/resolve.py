"""From policies and facts to units: what each destination and each mesh of each cluster must do (design.md,
resolve).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, finding, in_order
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.selectors import DestinationSelector
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.units import HALVES, DestinationUnit, Half, Unit, UnitKey
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.ports import Translator
from gitmesh.resolution.bounds import MOST_COMPARISONS, MOST_IN_ALL, comparisons, extent, too_many
from gitmesh.resolution.deciding import DecidedDestination, destinations
from gitmesh.resolution.destinations import RuleId
from gitmesh.resolution.finishing import UnitAssembler
from gitmesh.resolution.identities import Trust
from gitmesh.resolution.index import Index, World
from gitmesh.resolution.pool import Pool
from gitmesh.resolution.rules import NO_PARTS, parts_of, slots_of
from gitmesh.resolution.scene import (
    FingerprintedPolicy,
    Remembered,
    ResolutionInput,
    Same,
    ServiceKey,
    places,
)
from gitmesh.resolution.selection import Selection, select
from gitmesh.resolution.virtualmeshes import held_keys, memberships, mesh_units


class Resolution(Struct, frozen=True, kw_only=True):
    """Units by cluster, sorted by key; `held` are those (or halves of those) that an error or unknown facts
    keep back, `waiting` by cluster the policies on them.

    `refused` are, by cluster, destinations of which routing is held for nothing but connections that their
    pods would refuse. `pending` are, by cluster, the policies that name what is not there, or may not be
    there: they withdraw nothing. `gone` are findings on destinations that one cluster lacks and another has,
    for where something of ours is left of them. `narrowing` are, by cluster, destinations whose access errors
    of some policies hold, decided as the others say.
    """

    units: Mapping[str, tuple[Unit, ...]] = {}
    held: Mapping[str, tuple[UnitKey, ...]] = {}
    refused: Mapping[str, tuple[DestinationUnit, ...]] = {}
    waiting: Mapping[str, frozenset[str]] = {}
    pending: Mapping[str, frozenset[str]] = {}
    gone: tuple[Diagnostic, ...] = ()
    narrowing: Mapping[str, tuple[DestinationUnit, ...]] = {}
    diagnostics: tuple[Diagnostic, ...] = ()


_NO_TRANSLATORS: Mapping[str, Translator] = {}


def resolve(
    policies: Sequence[Policy],
    facts: Mapping[str, ClusterFacts | None],
    clusters: Mapping[str, Mapping[str, str]],
    memo: MutableMapping[Any, Any] | None = None,
    translators: Mapping[str, Translator] = _NO_TRANSLATORS,
) -> Resolution:
    """Decide, for every unit, what all policies together say of it.

    `facts` maps each managed cluster to what is known of it (None = unknown, never empty); `clusters` maps
    every configured cluster to its labels. `memo` keeps results between calls, so that a small change costs
    little. `translators` say what has no effect on their meshes: the same ones in every call with one `memo`.
    """
    return _Run(policies, facts, clusters, {} if memo is None else memo, translators).resolution()


_MEMORIES = ("index", "policy", "select", "destination", "unit")


class _Run:
    """One call: the scene first, then every cluster by itself."""

    def __init__(
        self,
        policies: Sequence[Policy],
        facts: Mapping[str, ClusterFacts | None],
        clusters: Mapping[str, Mapping[str, str]],
        memo: MutableMapping[Any, Any],
        translators: Mapping[str, Translator],
    ) -> None:
        self.translators = translators
        self.memo = {name: Remembered(memo, name) for name in _MEMORIES}
        self.world = World(
            {name: None if known is None else self._index(name, known) for name, known in facts.items()}
        )
        self.scene = self._scene(sorted(policies, key=lambda policy: policy.id), clusters)

    def _scene(
        self, policies: Sequence[Policy], clusters: Mapping[str, Mapping[str, str]]
    ) -> ResolutionInput:
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
            translators=self.translators,
            domains=tuple(
                (c, i and tuple((m.name, m.trust_domain) for m in i.facts.meshes)) for c, i in indexes
            ),
        )

    def _index(self, cluster: str, facts: ClusterFacts) -> Index:
        remembered, inputs = self.memo["index"], facts.digest or Same(facts)
        index: Index = remembered.get(cluster, inputs) or remembered.put(cluster, inputs, Index(facts))
        return index

    def _mark(self, policy: Policy) -> FingerprintedPolicy:
        remembered, inputs = self.memo["policy"], Same(policy)
        marked: FingerprintedPolicy | None = remembered.get(policy.id, inputs)
        if marked is None:
            slots = slots_of(policy) if isinstance(policy.spec, TrafficPolicySpec) else {}
            size = extent(policy.spec, slots) if isinstance(policy.spec, TrafficPolicySpec) else 0
            parts = parts_of(policy) if isinstance(policy.spec, TrafficPolicySpec) else NO_PARTS
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

    def resolution(self) -> Resolution:
        units: dict[str, tuple[Unit, ...]] = {}
        held: dict[str, tuple[UnitKey, ...]] = {}
        refused: dict[str, tuple[DestinationUnit, ...]] = {}
        narrowing: dict[str, tuple[DestinationUnit, ...]] = {}
        found = [*self.scene.members.diagnostics, *self._unknown()]
        found += [
            diagnostic for selection in self.scene.selections.values() for diagnostic in selection.diagnostics
        ]
        waiting: dict[str, frozenset[str]] = {}
        decided: list[DecidedDestination] = []
        pool = Pool()
        for cluster, index in sorted(self.world.indexes.items()):
            done = destinations(self.scene, cluster, index, self.memo["destination"], pool) if index else {}
            finished = UnitAssembler(cluster, done, self._held_by_name(cluster))
            made: list[Unit] = []
            if index is not None:
                made += [
                    *finished.units(index, self.memo["unit"]),
                    *mesh_units(
                        cluster, index, self.scene.members, self.scene.governed.get(cluster, frozenset())
                    ),
                ]
            units[cluster] = tuple(sorted(made, key=lambda unit: unit.key))
            held[cluster] = tuple(sorted({*finished.held_keys(), *held_keys(cluster, self.scene.members)}))
            refused[cluster] = tuple(one.unit for one in done.values() if one.refused)
            narrowing[cluster] = tuple(finished.narrowing())
            waiting[cluster] = self._waiting(cluster, finished)
            found += finished.diagnostics
            decided += done.values()
        said = in_order([*found, *_shadowed(decided, self.scene)])
        gone = tuple(one for selection in self.scene.selections.values() for one in selection.gone)
        return Resolution(
            units=units,
            held=held,
            refused=refused,
            waiting=waiting,
            pending=self._pending(),
            gone=gone,
            narrowing=narrowing,
            diagnostics=said,
        )

    def _pending(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {cluster: set() for cluster in self.world.indexes}
        for cluster, policy in self.scene.members.pending:
            found[cluster].add(policy)
        for policy, selection in self.scene.selections.items():
            for cluster in found if selection.broken else selection.pending:
                found[cluster].add(policy)
        return {cluster: frozenset(policies) for cluster, policies in found.items()}

    def _waiting(self, cluster: str, finished: UnitAssembler) -> frozenset[str]:
        """The policies on what is held of a cluster."""
        acting = self.scene.acting.get(cluster, {})
        held = (
            (half, marked)
            for half in HALVES
            for key in finished.held[half]
            for marked, _ in acting.get(key, ())
            if not finished.comes(marked.policy, key)
        )
        claimed = self.scene.members.claimed
        meshes = (
            policy for (where, _), policies in claimed.items() if where == cluster for policy in policies
        )
        return frozenset(meshes).union(
            marked.policy.id for half, marked in held if half == _half(marked.policy)
        )

    def _held_by_name(self, cluster: str) -> dict[Half, set[ServiceKey]]:
        """Destinations held by policies that name what is not there, by the half that the policies are
        about.
        """
        named: dict[Half, set[ServiceKey]] = {half: set() for half in HALVES}
        for name, selection in self.scene.selections.items():
            half = _half(self.scene.marked[name].policy)
            named[half] |= {(key.namespace, key.name) for where, key in selection.held if where == cluster}
            named[half] |= set(selection.services.get(cluster, ())) if selection.broken else set()
        return named

    def _unknown(self) -> Iterator[Diagnostic]:
        if self.scene.marked:
            for cluster in self.world.unknown():
                yield finding(
                    "GM216",
                    f"the facts of cluster {cluster} are unknown; everything there is left as it is",
                    cluster=cluster,
                )


def _half(policy: Policy) -> Half:
    """What of a destination a policy is about."""
    return "access" if isinstance(policy.spec, AccessPolicySpec) else "routing"


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


def _crowded(
    acting: Mapping[str, Mapping[ServiceKey, Sequence[tuple[FingerprintedPolicy, int]]]],
) -> dict[str, dict[ServiceKey, Diagnostic]]:
    """Destinations with more rules than can be compared, and, while all of them together have more, the
    costliest, with the finding on each. It is told by their number alone: what is decided may not depend on
    what is remembered.
    """
    costs: dict[tuple[str, ServiceKey], int] = {}
    for cluster, here in acting.items():
        for key, marked in here.items():
            costs[cluster, key] = comparisons(one.extent for one, _ in marked if one.extent)
    left = total = sum(costs.values())
    found: dict[str, dict[ServiceKey, Diagnostic]] = {}
    for cluster, key in sorted(costs, key=lambda place: (-costs[place], place)):
        if costs[cluster, key] <= MOST_COMPARISONS and left <= MOST_IN_ALL:
            break
        left -= costs[cluster, key]
        sized = [(one.policy, one.extent) for one, _ in acting[cluster][key] if one.extent]
        in_all = 0 if costs[cluster, key] > MOST_COMPARISONS else total
        found.setdefault(cluster, {})[key] = too_many(sized, f"Service {'/'.join(key)}", cluster, in_all)
    return found


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


def _shadowed(done: Iterable[DecidedDestination], scene: ResolutionInput) -> Iterator[Diagnostic]:
    """Rules that decide nothing on any destination; none is called so while a cluster may still show it
    one.
    """
    wins: set[RuleId] = set()
    losers: dict[RuleId, tuple[Origin, Origin]] = {}
    for one in done:
        wins |= one.traffic.wins
        for rule, origins in one.traffic.shadowed.items():
            losers[rule] = min(origins, losers.get(rule, origins))
    for rule in sorted(losers.keys() - wins, key=repr):
        mine, winner = losers[rule]
        if not _may_act_unseen(scene.marked[rule[0]].policy, scene.world):
            text = f"this rule never decides anything: {winner.policy} ({winner.at}) decides all that it sets"
            yield finding("GM211", text, at=mine.at, policy=mine.policy, field=mine.field)


def _may_act_unseen(policy: Policy, world: World) -> bool:
    destinations: Sequence[DestinationSelector] = getattr(policy.spec, "destinations", ())
    return any(world.unknown(item.clusters) for item in destinations)
