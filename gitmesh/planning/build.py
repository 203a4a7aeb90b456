"""Units -> desired objects per cluster: calls the translators, merges fragments, and holds them to honesty.

Called by pipeline; no I/O. A translation is remembered by what it depends on, so a one-policy change costs
what it affects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.base import Disabled
from gitmesh.model.manifests import SECURITY, Build, Fragment, Manifest, Phase
from gitmesh.model.objects import ObjectKey, canonical, digest
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS, TrafficPolicySpec
from gitmesh.model.units import MeshUnit, UnitKey
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.planning.ownership import claims, marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from gitmesh.model.facts import ClusterFacts, Mesh
    from gitmesh.model.policies import Policy
    from gitmesh.model.units import Half, Unit
    from gitmesh.ports import Translator
    from gitmesh.resolution.resolve import Resolution


class Built(Struct, frozen=True, kw_only=True):
    """One unit's objects in one cluster, with what was said of them and what keeps its live objects."""

    manifests: tuple[Manifest, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    held: tuple[ObjectKey, ...] = ()
    halves: tuple[Half, ...] = ()
    stays: Mapping[ObjectKey, Diagnostic] = {}


def build(
    resolution: Resolution,
    facts: Mapping[str, ClusterFacts | None],
    translators: Mapping[str, Translator],
    instance: str,
    memo: MutableMapping[Any, Any],
) -> tuple[Mapping[str, Build], tuple[Diagnostic, ...]]:
    """The desired objects of every cluster whose facts are known."""
    builds: dict[str, Build] = {}
    said: list[Diagnostic] = []
    for cluster, known in sorted(facts.items()):
        if known is None:
            continue
        builds[cluster], more = _build_cluster(cluster, known, resolution, translators, instance, memo)
        said += more
    return builds, tuple(said)


def _build_cluster(
    cluster: str,
    facts: ClusterFacts,
    resolution: Resolution,
    translators: Mapping[str, Translator],
    instance: str,
    memo: MutableMapping[Any, Any],
) -> tuple[Build, list[Diagnostic]]:
    units, waiting = resolution.units.get(cluster, ()), resolution.held.get(cluster, ())
    found = _Collected(cluster, set(waiting), set(resolution.waiting.get(cluster, ())))
    if units and not facts.meshes:
        found.said.append(
            finding(
                "GM507",
                f"no mesh was found in cluster {cluster}: policies have no effect there",
                cluster=cluster,
            )
        )
    for translator, meshes, context in _at_work(facts, translators):
        for unit in units:
            if facts.held:
                found.hold(unit, claims(translator, unit.key, meshes, facts))
                continue
            built = _built(unit, translator, meshes, facts, instance, (context, memo))
            if _hangs_on_the_unknown(unit, facts):
                found.doubt(unit, claims(translator, unit.key, meshes, facts), built)
            else:
                found.add(unit, built)
        for key in waiting:
            found.held.update(claims(translator, key, meshes, facts))
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
    )
    return made, found.said


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
    sound = [
        one.key
        for one in facts.services
        if (pods := facts.behind(one)) and not any(pod.mesh in facts.held_meshes for pod in pods)
    ]
    keys = [UnitKey(kind="Destination", namespace=namespace, name=name) for namespace, name in sound]
    return frozenset(
        claim
        for one, meshes, _ in _at_work(facts, translators)
        for key in keys
        for claim in claims(one, key, meshes, facts)
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
    said: list[Diagnostic] = []

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
        self.said += built.diagnostics
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
        self.said.append(
            finding(
                "GM311",
                f"{manifest.key} is wanted with different contents by {wanting}",
                cluster=self.cluster,
            )
        )


def _at_work(
    facts: ClusterFacts, translators: Mapping[str, Translator]
) -> Iterable[tuple[Translator, tuple[Mesh, ...], str]]:
    """The translators that have a mesh here, their meshes, and a text that changes with what they may read of
    the facts.
    """
    for name, translator in translators.items():
        meshes = facts.meshes_of(name)
        if meshes:
            kinds = [(kind.group, kind.kind, kind.versions, hash(kind.fields)) for kind in facts.kinds]
            yield translator, meshes, repr((name, meshes, kinds))


def _built(
    unit: Unit,
    translator: Translator,
    meshes: Sequence[Mesh],
    facts: ClusterFacts,
    instance: str,
    remembered: tuple[str, MutableMapping[Any, Any]],
) -> Built:
    context, memo = remembered
    slot = (unit.cluster, translator.name, unit.key)
    inputs = (unit.digest, context, instance)
    found = memo.get(slot)
    if found is None or found[0] != inputs:
        found = memo[slot] = (inputs, _translate(unit, translator, meshes, facts, instance))
    built: Built = found[1]
    return built


def _translate(
    unit: Unit, translator: Translator, meshes: Sequence[Mesh], facts: ClusterFacts, instance: str
) -> Built:
    try:
        translation = translator.translate(unit, meshes, facts)
    except Exception as error:  # noqa: BLE001 - a plug-in's defect on one unit must not end the work on all others
        return Built(
            diagnostics=(_defect(unit, translator, error),),
            held=claims(translator, unit.key, meshes, facts),
            halves=("",),
        )
    manifests = tuple(
        _manifest(fragment, unit, instance, translator.switches) for fragment in translation.fragments
    )
    held = tuple(
        key
        for half in translation.held
        for key in claims(translator, replace(unit.key, half=half), meshes, facts)
    )
    return Built(
        manifests=manifests,
        diagnostics=translation.diagnostics,
        held=held,
        halves=translation.held,
        stays=translation.stays,
    )


def _defect(unit: Unit, translator: Translator, error: Exception) -> Diagnostic:
    """The finding on a unit that its translator fell over; the policies' own findings come from elsewhere."""
    name = f"{unit.key.namespace}/{unit.key.name}".strip("/")
    text = (
        f"translator {translator.name} fell over {unit.key.kind.lower()} {name} of cluster {unit.cluster}:"
        " its objects are left as they are"
    )
    policy = unit.policies[0] if unit.policies else ""
    return finding(
        "GM313", text, policy=policy, cluster=unit.cluster, detail=f"{type(error).__name__}: {error}"
    )


def _manifest(fragment: Fragment, unit: Unit, instance: str, forbidden: frozenset[str]) -> Manifest:
    policies = tuple(sorted(fragment.policies or unit.policies))
    labels, annotations = marks(unit.cluster, instance, fragment.key, policies)
    metadata: dict[str, Any] = {
        "name": fragment.key.name,
        "labels": {**fragment.labels, **labels},
        "annotations": annotations,
    }
    if fragment.key.namespace:
        metadata["namespace"] = fragment.key.namespace
    api_version = f"{fragment.key.group}/{fragment.version}" if fragment.key.group else fragment.version
    body = canonical(
        {"apiVersion": api_version, "kind": fragment.key.kind, "metadata": metadata, "spec": fragment.spec}
    )
    return Manifest(
        key=fragment.key,
        version=fragment.version,
        phase=fragment.phase,
        body=body,
        digest=digest(body),
        policies=policies,
        units=() if fragment.apart else (_half_of(unit.key, fragment.phase),),
        fields=fragment.fields,
        forbidden=forbidden,
    )


def _half_of(unit: UnitKey, phase: Phase) -> UnitKey:
    """The half of a destination that an object is for, so that a failed write stops no object of the other
    half.
    """
    if unit.kind == "Mesh":
        return unit
    return replace(unit, half="access" if phase in SECURITY else "routing")


def dropped(
    policies: Sequence[Policy], builds: Mapping[str, Build], said: Iterable[Diagnostic]
) -> tuple[Diagnostic, ...]:
    """Law 1: a policy that ends in no object and in no finding is reported, whoever lost it."""
    waiting = (policy for built in builds.values() for policy in built.waiting)
    seen = {*waiting, *(diagnostic.policy for diagnostic in said)}
    seen |= {
        policy
        for built in builds.values()
        for manifest in built.manifests.values()
        for policy in manifest.policies
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
