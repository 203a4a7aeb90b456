"""One unit -> its objects in one cluster: calls a translator and holds it to honesty. Called by build; no
I/O.

A translation is remembered by what it depends on, so a one-policy change costs what it affects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.empty import EMPTY, NOBODY, no_items
from gitmesh.model.manifests import Fragment, Manifest
from gitmesh.model.naming import mesh_label
from gitmesh.model.objects import ObjectKey, canonical, digest
from gitmesh.model.units import AccessUnit, DestinationUnit, MeshUnit, RoutingUnit
from gitmesh.planning.ownership import marks
from gitmesh.planning.supporting import Lacks, form_of, unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

    from gitmesh.model.facts import ClusterFacts, Mesh
    from gitmesh.model.objects import Body
    from gitmesh.model.units import Unit
    from gitmesh.ports import Translator


class Built(Struct, frozen=True, kw_only=True):
    """One unit's objects in one cluster, with what was said of them. `held`: nothing can be said of it, and
    its live objects stay as they are; `stays` as translators say it."""

    manifests: tuple[Manifest, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    held: bool = False
    stays: Mapping[ObjectKey, Diagnostic] = no_items()


class Translating(Struct, frozen=True, kw_only=True):
    """One translator in one cluster: its `meshes`, what they lack, and a text that changes with what it may
    read of the facts. `memo` keeps translations.
    """

    translator: Translator
    meshes: tuple[Mesh, ...]
    facts: ClusterFacts
    instance: str
    lacking: Lacks
    context: str
    memo: MutableMapping[Any, Any]

    def concerns(self, unit: Unit) -> bool:
        """Whether the translator's meshes have a part in the unit. Routes are for callers, who may be in any
        mesh of the written cluster that is known to have some; access is decided where the pods are. Pods
        that are not there yet may come in any: a controller that is scaled to nothing must not come up
        unguarded.
        """
        if isinstance(unit, MeshUnit):
            return True
        # A mesh that is only presumed has no known proxies, so it is no reason to write routes beside
        # another's.
        if isinstance(unit, RoutingUnit) and not all(mesh.presumed for mesh in self.meshes):
            return True
        known = {mesh.name for mesh in self.facts.meshes}.intersection(unit.meshes)
        to_come = not known or any(not one.pods for one in unit.workloads)
        return to_come or any(mesh.name in known for mesh in self.meshes)

    def built(self, unit: Unit) -> Built:
        """The objects of a unit; those of the last time while nothing moved that they depend on."""
        withheld = unit.withheld if isinstance(unit, AccessUnit) else ()
        # A unit may be translated twice in a cycle, whole and without its faulty policies: each has its own
        # place.
        slot = (self.translator.name, unit.key, bool(withheld))
        around = unit.around if isinstance(unit, DestinationUnit) else None
        inputs = (unit.digest, withheld, around, self.context, self.instance)
        found = self.memo.get(slot)
        if found is None or found[0] != inputs:
            found = self.memo[slot] = (inputs, self._translated(unit))
        built: Built = found[1]
        return built

    def _told(self, unit: Unit, said: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Findings on the unit, whoever made them, with its cluster and those of the translator's meshes that
        it is about: the destination's pods may be in meshes of others, too."""
        among = (unit.mesh.name,) if isinstance(unit, MeshUnit) else unit.meshes
        label = mesh_label(self.meshes, among)
        return tuple(replace(one, cluster=unit.key.written, mesh=label) for one in said)

    def _translated(self, unit: Unit) -> Built:
        """Without routing that asks for what the mesh does not have, or for nothing."""
        if not isinstance(unit, RoutingUnit):
            return self._asked(unit)
        # Access may want a destination of which routing says nothing: there is then no object, not an empty
        # one.
        if unit.is_silent:
            return Built()
        lacking = unsupported(unit, form_of(unit, self.lacking, self.meshes))
        return Built(diagnostics=self._told(unit, lacking), held=True) if lacking else self._asked(unit)

    def _asked(self, unit: Unit) -> Built:
        try:
            translation = self.translator.translate(unit, self.meshes, self.facts)
            manifests = tuple(
                _manifest(one, unit, self.instance, self.translator) for one in translation.fragments
            )
        # A plug-in's defect on one unit must not end the work on all others.
        except Exception as error:  # noqa: BLE001
            return Built(diagnostics=self._told(unit, [_defect(unit, self.translator, error)]), held=True)
        return Built(
            manifests=manifests,
            diagnostics=self._told(unit, translation.diagnostics),
            held=translation.held,
            stays={key: self._told(unit, [said])[0] for key, said in translation.stays.items()},
        )


def sound(unit: Unit, built: Built) -> AccessUnit | None:
    """Access whose translator finds errors in the parts of some policies, as the others say it."""
    if not isinstance(unit, AccessUnit) or not built.held:
        return None
    granting = {one.origin.policy for one in (*unit.access.allows, *unit.access.denies)}
    faulty = granting.intersection(one.policy for one in built.diagnostics if one.is_error)
    if not faulty:
        return None
    return replace(unit, access=unit.access.without(faulty), withheld=tuple(sorted(faulty)))


def _defect(unit: Unit, translator: Translator, error: Exception) -> Diagnostic:
    """The finding on a unit that its translator fell over; the policies' own findings come from elsewhere."""
    key = unit.key
    shown = str(key) if key.half == "mesh" else f"destination {key}"
    text = (
        f"translator {translator.name} fell over {shown} of cluster {key.written}: its objects are left as"
        " they are"
    )
    policy = unit.policies[0] if unit.policies else ""
    return finding("GM313", text, policy=policy, detail=f"{type(error).__name__}: {error}")


def _manifest(fragment: Fragment, unit: Unit, instance: str, translator: Translator) -> Manifest:
    """Raises ValueError where the fragment does not fit to its own ownership: what is not ours would be
    written, or what is ours would be fought over.
    """
    policies = tuple(sorted(fragment.policies or unit.policies))
    # Before anything is written: what a plug-in says of itself is believed only as far as it fits.
    if misfit := fragment.ownership.misfit(fragment.body):
        raise ValueError(f"{fragment.key}: {misfit}")
    whole = _marked(fragment, unit.key.written, instance, policies)
    body, decides = canonical(whole), translator.decides(whole)
    return Manifest(
        key=fragment.key,
        version=fragment.version,
        decides=decides,
        body=body,
        digest=digest(body),
        policies=policies,
        units=(unit.key,),
        apart=fragment.apart,
        fields=fragment.fields,
        owners=fragment.owners or EMPTY,
        writer=translator.name,
        # What hides somebody else's object from the mesh is its owner's to say.
        forbidden=translator.opt_out_keys if fragment.ownership.is_object else NOBODY,
        contested=fragment.contested,
        part=fragment.part,
        ownership=fragment.ownership,
    )


def _marked(fragment: Fragment, cluster: str, instance: str, policies: tuple[str, ...]) -> Body:
    """The object with our marks, where it is ours; somebody else's bears none."""
    body = fragment.body
    if not fragment.ownership.is_object:
        return body
    labels, annotations = marks(cluster, instance, fragment.key, policies)
    # Our marks win over a translator's labels: without them the object would be nobody's.
    metadata = {
        **body["metadata"],
        "labels": {**fragment.labels, **labels},
        "annotations": {**fragment.annotations, **annotations},
    }
    return {**body, "metadata": metadata}
