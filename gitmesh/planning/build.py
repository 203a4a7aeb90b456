"""Units -> desired objects per cluster: what all units come to together, and what is held. Called by
pipeline; no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.base import Disabled
from gitmesh.model.manifests import Build, Manifest, Narrowing
from gitmesh.model.objects import ObjectKey
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS, TrafficPolicySpec
from gitmesh.model.units import MeshUnit, UnitKey
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.planning.ownership import claims
from gitmesh.planning.supporting import lacks
from gitmesh.planning.surroundings import surrounded
from gitmesh.planning.translating import Built, Translating, sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.policies import Policy
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
    if units and not facts.meshes:
        found.diagnostics.append(
            finding(
                "GM507",
                f"no mesh was found in cluster {cluster}: policies have no effect there",
                cluster=cluster,
            )
        )
    for work in _at_work(facts, translators, instance, memo):
        for unit in units:
            if facts.held:
                found.hold(unit, work.claims(unit.key))
                continue
            built = work.built(unit)
            if _hangs_on_the_unknown(unit, facts):
                found.doubt(unit, work.claims(unit.key), built)
            else:
                found.add(unit, built)
                if (others := sound(unit, built)) is not None:
                    found.narrowing.update(work.narrowing(others))
        for key in waiting:
            found.held.update(work.claims(key))
        for held in resolution.narrowing.get(cluster, ()):
            doubtful = facts.held or _hangs_on_the_unknown(held, facts)
            narrowing = {} if doubtful else work.narrowing(held)
            found.narrowing.update(narrowing)
            found.waiting.update(() if narrowing else held.policies)
    found.decide()
    # What a mesh that is not found may own is unknown: its mesh-wide deny must not be pruned for that.
    known = all(key.kind != "Mesh" or facts.mesh(key.name) for key in waiting)
    made = Build(
        cluster=cluster,
        manifests=dict(sorted(found.manifests.items())),
        held=frozenset(found.held),
        complete=facts.complete and known and not facts.held_meshes and not facts.held,
        doubtful=facts.held or bool(facts.held_meshes),
        decided=_decided(facts, translators) if facts.complete and known and not facts.held else frozenset(),
        meshes=facts.meshes,
        units=units,
        held_units=frozenset(found.held_units),
        refused=resolution.refused.get(cluster, ()),
        waiting=frozenset(found.waiting),
        stays=found.stays,
        pending=resolution.pending.get(cluster, frozenset()),
        gone=tuple(one for one in resolution.gone if one.cluster == cluster),
        narrowing=found.narrowing,
    )
    return made, found.diagnostics


def _hangs_on_the_unknown(unit: Unit, facts: ClusterFacts) -> bool:
    """Whether a doubt about the facts of a mesh keeps the unit from being decided."""
    if not facts.held_meshes:
        return False
    if isinstance(unit, MeshUnit):
        return unit.mesh.name in facts.held_meshes
    return not unit.meshes or not facts.held_meshes.isdisjoint(unit.meshes)


def _decided(facts: ClusterFacts, translators: Mapping[str, Translator]) -> frozenset[ObjectKey]:
    """While a mesh is in doubt: what the destinations may own whose pods are all in other meshes. A policy
    may be withdrawn there.
    """
    if not facts.held_meshes:
        return frozenset()
    apart = [
        one.key
        for one in facts.services
        if (pods := facts.behind(one)) and not any(pod.mesh in facts.held_meshes for pod in pods)
    ]
    keys = [UnitKey(kind="Destination", namespace=namespace, name=name) for namespace, name in apart]
    return frozenset(
        claim
        for name, translator in translators.items()
        if (meshes := facts.meshes_of(name))
        for key in keys
        for claim in claims(translator, key, meshes, facts)
    )


class _Collected(Struct):
    """What the units of one cluster come to."""

    cluster: str
    held_units: set[UnitKey]
    waiting: set[str]
    manifests: dict[ObjectKey, Manifest] = {}
    held: set[ObjectKey] = set()
    doubted: dict[ObjectKey, set[bytes]] = {}
    stays: dict[ObjectKey, Diagnostic] = {}
    narrowing: dict[ObjectKey, Narrowing] = {}
    diagnostics: list[Diagnostic] = []

    def hold(self, unit: Unit, objects: Iterable[ObjectKey]) -> None:
        """Leave everything that a unit may own as it is."""
        self.held.update(objects)
        self.held_units.add(unit.key)
        self.waiting.update(unit.policies)

    def doubt(self, unit: Unit, objects: Iterable[ObjectKey], built: Built) -> None:
        """The same, but for what a unit without a doubt wants too, with the same content: revisions share
        what is mesh-wide.
        """
        self.hold(unit, ())
        wanted = {manifest.key: manifest.body for manifest in built.manifests}
        for key in objects:
            self.doubted.setdefault(key, set()).add(wanted.get(key, b""))

    def decide(self) -> None:
        """Hold what is doubted."""
        for key, bodies in self.doubted.items():
            if key not in self.manifests or bodies != {self.manifests[key].body}:
                self.held.add(key)

    def add(self, unit: Unit, built: Built) -> None:
        """One unit's objects, and what it keeps back."""
        self.diagnostics += built.diagnostics
        self.stays.update(built.stays)
        if built.held:
            self.held.update(built.held)
            self.held_units.update(replace(unit.key, half=half) for half in built.halves)
            lacking = set(unit.policies).difference(*(manifest.policies for manifest in built.manifests))
            # What nobody says why is lost, and `dropped` tells it.
            self.waiting.update(
                lacking if any(one.policy in unit.policies for one in built.diagnostics) else ()
            )
        for manifest in built.manifests:
            self._merge(manifest)

    def _merge(self, manifest: Manifest) -> None:
        """Two units may want one object (a mesh-wide one, say), but only the same one: else what is live
        stays as it is.
        """
        other = self.manifests.setdefault(manifest.key, manifest)
        if other is manifest:
            return
        if other.body == manifest.body:
            self.manifests[manifest.key] = replace(
                other, units=tuple(sorted({*other.units, *manifest.units}))
            )
            return
        wanting = f"{', '.join(other.policies)} and {', '.join(manifest.policies)}"
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
    for name, translator in translators.items():
        if meshes := facts.meshes_of(name):
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


def dropped(
    policies: Sequence[Policy], builds: Mapping[str, Build], diagnostics: Iterable[Diagnostic]
) -> tuple[Diagnostic, ...]:
    """Law 1: a policy that ends in no object and in no finding is reported, whoever lost it."""
    waiting = (policy for built in builds.values() for policy in built.waiting)
    seen = {*waiting, *(diagnostic.policy for diagnostic in diagnostics)}
    seen |= {
        policy
        for built in builds.values()
        for manifest in (*built.manifests.values(), *(one.wanted for one in built.narrowing.values()))
        for policy in (manifest.policies if manifest else ())
    }
    lost = [policy for policy in policies if policy.id not in seen and _wants_objects(policy)]
    told = _without_mesh(builds) if lost else frozenset()
    return tuple(
        finding(
            "GM309", f"{policy.id} ended in no object and no finding", at=policy.location, policy=policy.id
        )
        for policy in lost
        if policy.id not in told
    )


def _without_mesh(builds: Mapping[str, Build]) -> frozenset[str]:
    """Policies that act on nothing but clusters without a mesh: GM507 says it of the cluster."""
    acting = {
        meshed: [built for built in builds.values() if bool(built.meshes) is meshed]
        for meshed in (False, True)
    }
    without, within = (
        {policy for built in found for unit in built.units for policy in unit.policies}
        for found in acting.values()
    )
    return frozenset(without - within)


def _wants_objects(policy: Policy) -> bool:
    match policy.spec:
        case TrafficPolicySpec() as spec:
            given = (getattr(spec, name) for name in spec.given((*REQUEST_FIELDS, *CONNECTION_FIELDS)))
            return not all(isinstance(value, Disabled) for value in given)
        case VirtualMeshSpec() as spec:
            return spec.mtls is not None or spec.access_default == "Deny"
        case _:
            return policy.kind == "AccessPolicy"
