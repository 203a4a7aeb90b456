"""Units -> desired objects per cluster: what all units come to together, and what is held. Called by
pipeline; no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.base import Disabled
from gitmesh.model.manifests import Build
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS, TrafficPolicySpec
from gitmesh.model.units import MeshUnit
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.planning.collecting import Collected
from gitmesh.planning.supporting import lacks
from gitmesh.planning.surroundings import client_tls, surrounded
from gitmesh.planning.translating import Translating, sound

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
    found = Collected(cluster, set(waiting), set(resolution.waiting.get(cluster, ())))
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
        # Sorted, so that equal inputs give equal bytes whatever order units came in (design law 8).
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
        client_tls=client_tls(units, found.held_units, facts, translators),
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


def dropped(
    policies: Sequence[Policy], builds: Mapping[str, Build], diagnostics: Iterable[Diagnostic]
) -> tuple[Diagnostic, ...]:
    """Design law 1: a policy that ends in no object and in no finding is reported, whoever lost it."""
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
        # GM507 says it of the cluster already; a line for each policy would bury it.
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
            # A policy that only hands fields back to the mesh is in force by writing nothing.
            return not all(isinstance(value, Disabled) for value in given)
        case VirtualMeshSpec() as spec:
            return spec.mtls is not None or spec.access_default == "Deny"
        case _:
            return policy.kind == "AccessPolicy"
