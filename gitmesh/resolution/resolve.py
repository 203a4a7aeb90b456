"""From policies and facts to units: what each destination and each mesh of each cluster must do
(docs/design.md#units).
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
from gitmesh.model.units import HALVES, AccessUnit, Half, RoutingUnit, Unit, UnitKey
from gitmesh.ports import Translator
from gitmesh.resolution.deciding import DecidedDestination, destinations
from gitmesh.resolution.finishing import UnitAssembler
from gitmesh.resolution.index import KnownClusters
from gitmesh.resolution.membership import held_keys
from gitmesh.resolution.meshes import mesh_units
from gitmesh.resolution.preparing import Memory, ResolutionInput, ServiceKey, prepared
from gitmesh.resolution.routing import RuleId
from gitmesh.resolution.sharing import SharedDecisions


class Resolution(Struct, frozen=True, kw_only=True):
    """Units by cluster, sorted by key; `held` are those that an error or unknown facts keep
    back, `waiting` by cluster the policies on them.

    `refused` are, by cluster, destinations of which routing is held for nothing but connections that their
    pods would refuse. `pending` are, by cluster, the policies that name what is not there, or may not be
    there: they withdraw nothing. `gone` are findings on destinations that one cluster lacks and another has,
    for where something of ours is left of them. `narrowing` are, by cluster, destinations whose access errors
    of some policies hold, decided as the others say.
    """

    units: Mapping[str, tuple[Unit, ...]] = {}
    held: Mapping[str, tuple[UnitKey, ...]] = {}
    refused: Mapping[str, tuple[RoutingUnit, ...]] = {}
    waiting: Mapping[str, frozenset[str]] = {}
    pending: Mapping[str, frozenset[str]] = {}
    gone: tuple[Diagnostic, ...] = ()
    narrowing: Mapping[str, tuple[AccessUnit, ...]] = {}
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
    return _Resolving(policies, facts, clusters, {} if memo is None else memo, translators).resolution()


_MEMORIES = ("index", "policy", "select", "destination", "unit")


class _Resolving:
    """One call: what all have in common first, then every cluster by itself."""

    def __init__(
        self,
        policies: Sequence[Policy],
        facts: Mapping[str, ClusterFacts | None],
        clusters: Mapping[str, Mapping[str, str]],
        memo: MutableMapping[Any, Any],
        translators: Mapping[str, Translator],
    ) -> None:
        self.memo = {name: Memory(memo, name) for name in _MEMORIES}
        self.scene = prepared(policies, facts, clusters, self.memo, translators)
        self.world = self.scene.world

    def resolution(self) -> Resolution:
        units: dict[str, tuple[Unit, ...]] = {}
        held: dict[str, tuple[UnitKey, ...]] = {}
        refused: dict[str, tuple[RoutingUnit, ...]] = {}
        narrowing: dict[str, tuple[AccessUnit, ...]] = {}
        found = [*self.scene.members.diagnostics, *self._unknown()]
        found += [
            diagnostic for selection in self.scene.selections.values() for diagnostic in selection.diagnostics
        ]
        waiting: dict[str, frozenset[str]] = {}
        decided: list[DecidedDestination] = []
        # One for all clusters of the run: clusters that are alike hold each decision once.
        pool = SharedDecisions()
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
            refused[cluster] = tuple(one.routing for one in done.values() if one.refused and one.routing)
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
            # A policy that names a client that is nowhere may be wrong everywhere, so it withdraws nothing
            # anywhere.
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
            named[half] |= {key for where, key in selection.held if where == cluster}
            named[half] |= set(selection.services.get(cluster, ())) if selection.broken else set()
        return named

    def _unknown(self) -> Iterator[Diagnostic]:
        # Without policies nothing is left as it is, so there is nothing to say.
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


def _shadowed(done: Iterable[DecidedDestination], scene: ResolutionInput) -> Iterator[Diagnostic]:
    """Rules that decide nothing on any destination."""
    wins: set[RuleId] = set()
    losers: dict[RuleId, tuple[Origin, Origin]] = {}
    for one in done:
        wins |= one.traffic.wins
        for rule, origins in one.traffic.shadowed.items():
            losers[rule] = min(origins, losers.get(rule, origins))
    for rule in sorted(losers.keys() - wins, key=repr):
        mine, winner = losers[rule]
        # A cluster whose facts are unknown may have the destination on which this rule does decide.
        if not _may_act_unseen(scene.marked[rule[0]].policy, scene.world):
            text = f"this rule never decides anything: {winner.policy} ({winner.at}) decides all that it sets"
            yield mine.finding("GM211", text)


def _may_act_unseen(policy: Policy, world: KnownClusters) -> bool:
    destinations: Sequence[DestinationSelector] = getattr(policy.spec, "destinations", ())
    return any(world.unknown(item.clusters) for item in destinations)
