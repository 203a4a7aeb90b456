"""Units -> desired objects per cluster: what all units come to together, and what is held. Called by
pipeline; no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.manifests import Build, Manifest, Narrowing
from gitmesh.model.objects import ObjectKey
from gitmesh.model.units import AccessUnit, MeshUnit, UnitKey
from gitmesh.planning.merging import together
from gitmesh.planning.supporting import lacks
from gitmesh.planning.surroundings import surrounded
from gitmesh.planning.translating import Built, Translating, sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.units import Unit
    from gitmesh.ports import Translator
    from gitmesh.resolution.resolve import Resolution


def build(
    resolution: Resolution,
    facts: Mapping[str, ClusterFacts | None],
    translators: Mapping[str, Translator],
    instance: str,
    memo: MutableMapping[Any, Any],
) -> tuple[Mapping[str, Build], tuple[Diagnostic, ...]]:
    """The desired objects of every cluster whose facts are known."""
    builds: dict[str, Build] = {}
    diagnostics: list[Diagnostic] = []
    for cluster, known in sorted(facts.items()):
        # Unknown facts are no empty cluster: without a build nothing of it is compared, so nothing is
        # deleted.
        if known is None:
            continue
        builds[cluster], more = _build_cluster(cluster, known, resolution, translators, instance, memo)
        diagnostics += more
    return builds, tuple(diagnostics)


def _build_cluster(
    cluster: str,
    facts: ClusterFacts,
    resolution: Resolution,
    translators: Mapping[str, Translator],
    instance: str,
    memo: MutableMapping[Any, Any],
) -> tuple[Build, list[Diagnostic]]:
    waiting = resolution.held.get(cluster, ())
    units = surrounded(resolution.units.get(cluster, ()), facts, translators)
    found = _Collected(cluster, set(waiting), set(resolution.waiting.get(cluster, ())))
    # Once for the cluster: of hundreds of policies the cause is one.
    if units and not facts.meshes:
        found.diagnostics.append(
            finding(
                "GM507",
                f"no mesh was found in cluster {cluster}: policies have no effect there",
                cluster=cluster,
            )
        )
    for work in _at_work(facts, translators, instance, memo):
        for unit in filter(work.concerns, units):
            if facts.held:
                found.hold(unit)
            elif _hangs_on_the_unknown(unit, facts):
                # Translated all the same: what a unit without a doubt wants alike is told by comparing
                # bodies.
                found.doubt(unit, work.built(unit))
            else:
                built = work.built(unit)
                found.add(unit, built)
                if (others := sound(unit, built)) is not None:
                    # Translated once more, as if the faulty policies were not there: what remains may only
                    # take away.
                    found.narrow(others, work.built(others))
        for held in filter(work.concerns, resolution.narrowing.get(cluster, ())):
            doubtful = facts.held or _hangs_on_the_unknown(held, facts)
            # Facts that are in doubt are no error of a policy, so they take no access away from anybody.
            if doubtful or not found.narrow(held, work.built(held)):
                found.waiting.update(held.policies)
    found.decide()
    # What a mesh that is not found may own is unknown: its mesh-wide deny must not be pruned for that.
    known = all(key.half != "mesh" or facts.mesh(key.name) for key in waiting)
    made = Build(
        cluster=cluster,
        # Sorted, so that equal inputs give equal bytes whatever order units came in (law 8).
        manifests=dict(sorted(found.manifests.items())),
        held=frozenset(found.held),
        complete=facts.complete and known and not facts.held_meshes and not facts.held,
        doubtful=facts.held or bool(facts.held_meshes),
        settled=_settled(facts) if facts.complete and known and not facts.held else frozenset(),
        meshes=facts.meshes,
        units=units,
        held_units=frozenset(found.held_units),
        refused=resolution.refused.get(cluster, ()),
        waiting=frozenset(found.waiting),
        stays=found.stays,
        pending=resolution.pending.get(cluster, frozenset()),
        gone=tuple(one for one in resolution.gone if one.cluster == cluster),
        narrowing=found.narrowing,
        sound=found.sound,
        rivals=found.rivals,
    )
    return made, found.diagnostics


def _hangs_on_the_unknown(unit: Unit, facts: ClusterFacts) -> bool:
    """Whether a doubt about the facts of a mesh keeps the unit from being decided."""
    if not facts.held_meshes:
        return False
    if isinstance(unit, MeshUnit):
        return unit.mesh.name in facts.held_meshes
    # Which meshes the pods of another cluster are in says nothing of the callers in this one.
    # An object in one cluster for pods of another: its callers' mesh is the one in doubt, and that is
    # unknown.
    abroad = unit.home != unit.written
    return abroad or not unit.meshes or not facts.held_meshes.isdisjoint(unit.meshes)


def _settled(facts: ClusterFacts) -> frozenset[tuple[str, str]]:
    """While a mesh is in doubt: the Services whose pods are all in other meshes. A policy may be withdrawn
    there.
    """
    if not facts.held_meshes:
        return frozenset()
    return frozenset(
        one.key
        for one in facts.services
        if (pods := facts.behind(one)) and not any(pod.mesh in facts.held_meshes for pod in pods)
    )


class _Collected(Struct):
    """What the units of one cluster come to."""

    cluster: str
    held_units: set[UnitKey]
    waiting: set[str]
    manifests: dict[ObjectKey, Manifest] = {}
    held: set[ObjectKey] = set()
    doubted: dict[ObjectKey, dict[UnitKey, bytes]] = {}
    stays: dict[ObjectKey, Diagnostic] = {}
    narrowing: dict[ObjectKey, Narrowing] = {}
    sound: dict[UnitKey, frozenset[str]] = {}
    rivals: dict[ObjectKey, tuple[Manifest, ...]] = {}
    diagnostics: list[Diagnostic] = []

    def hold(self, unit: Unit) -> None:
        """Leave everything that a unit owns as it is."""
        self.held_units.add(unit.key)
        self.waiting.update(unit.policies)

    def doubt(self, unit: Unit, built: Built) -> None:
        """The same, but for what a unit without a doubt wants too, with the same content: revisions share
        what is mesh-wide.
        """
        self.hold(unit)
        for manifest in built.manifests:
            self.doubted.setdefault(manifest.key, {})[unit.key] = manifest.body

    def decide(self) -> None:
        """Hold what is doubted, and what the other half of a destination, which is held, may want a part
        of."""
        held = {(key.home, key.namespace, key.name) for key in self.held_units if key.half != "mesh"}
        for manifest in self.manifests.values():
            if manifest.part and any((o.home, o.namespace, o.name) in held for o in manifest.units):
                self.held.add(manifest.key)
        for key, bodies in self.doubted.items():
            # Two revisions may share a root namespace; the one without a doubt decides as long as both say
            # the same.
            wanted = self.manifests.get(key)
            if wanted is None or any(body != wanted.body for body in bodies.values()):
                self.held.add(key)
            else:
                self.manifests[key] = replace(wanted, units=tuple(sorted({*wanted.units, *bodies})))

    def add(self, unit: Unit, built: Built) -> None:
        """One unit's objects, and what it keeps back."""
        self.diagnostics += built.diagnostics
        self.stays.update(built.stays)
        if built.held:
            self.held_units.add(unit.key)
            # What nobody says why is lost, and `dropped` tells it.
            if any(one.policy in unit.policies for one in built.diagnostics):
                self.waiting.update(set(unit.policies).difference(*(one.policies for one in built.manifests)))
        for manifest in built.manifests:
            self._merge(manifest)

    def narrow(self, unit: AccessUnit, built: Built) -> bool:
        """What held access may be narrowed to: what all policies but the withheld ones want of its objects.
        What is said of it waits with the rest of the unit. False where that cannot be told, either."""
        if built.held:
            return False
        withheld = frozenset(unit.withheld)
        self.sound[unit.key] = withheld
        self.narrowing |= {one.key: Narrowing(wanted=one, withheld=withheld) for one in built.manifests}
        self.held.update(one.key for one in built.manifests)
        return True

    def _merge(self, manifest: Manifest) -> None:
        """Several units may want one object (a mesh-wide one, say); where they contradict each other, what is
        live stays as it is. Of what two translators want one is elected.
        """
        other = self.manifests.setdefault(manifest.key, manifest)
        if other is manifest:
            return
        # Elected later, when the ledger is known: whoever wrote it last goes on, so objects do not change
        # hands.
        if other.writer != manifest.writer:
            self.rivals[manifest.key] = (*self.rivals.get(manifest.key, (other,)), manifest)
            return
        if (both := together(other, manifest)) is not None:
            self.manifests[manifest.key] = both
            return
        wanting = f"{', '.join(other.policies)} and {', '.join(manifest.policies)}"
        # A defect of a translator, or two policies at odds: neither body may win by the order in which they
        # came.
        self.held.add(manifest.key)
        self.diagnostics.append(
            finding(
                "GM311",
                f"{manifest.key} is wanted with different contents by {wanting}",
                cluster=self.cluster,
            )
        )


def _at_work(
    facts: ClusterFacts,
    translators: Mapping[str, Translator],
    instance: str,
    memo: MutableMapping[Any, Any],
) -> Iterable[Translating]:
    """The translators that have a mesh here."""
    for name, translator in sorted(translators.items()):
        if meshes := facts.meshes_of(name):
            # The served schema is part of the key of remembered translations: an upgraded CRD may hold more
            # fields.
            kinds = [(kind.group, kind.kind, kind.versions, hash(kind.fields)) for kind in facts.kinds]
            yield Translating(
                translator=translator,
                meshes=meshes,
                facts=facts,
                instance=instance,
                lacking=lacks(translator, meshes, facts),
                context=repr((name, meshes, kinds, facts.ambient_namespaces, facts.proxied)),
                memo=memo,
            )
