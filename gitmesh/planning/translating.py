"""One unit -> its objects in one cluster: calls a translator and holds it to honesty. Called by build; no
I/O.

A translation is remembered by what it depends on, so a one-policy change costs what it affects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.empty import EMPTY, no_items
from gitmesh.model.manifests import SECURITY, Fragment, Manifest, Narrowing, Phase
from gitmesh.model.objects import ObjectKey, canonical, digest
from gitmesh.model.units import DestinationUnit, UnitKey
from gitmesh.planning.ownership import claims, marks
from gitmesh.planning.supporting import Lack, unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from gitmesh.model.facts import ClusterFacts, Mesh
    from gitmesh.model.units import Half, Unit
    from gitmesh.ports import Translator


class Built(Struct, frozen=True, kw_only=True):
    """One unit's objects in one cluster, with what was said of them and what keeps its live objects."""

    manifests: tuple[Manifest, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    held: tuple[ObjectKey, ...] = ()
    halves: tuple[Half, ...] = ()
    stays: Mapping[ObjectKey, Diagnostic] = no_items()


class Translating(Struct, frozen=True, kw_only=True):
    """One translator in one cluster: its `meshes`, what they lack, and a text that changes with what it may
    read of the facts. `memo` keeps translations.
    """

    translator: Translator
    meshes: tuple[Mesh, ...]
    facts: ClusterFacts
    instance: str
    lacking: tuple[Lack, ...]
    context: str
    memo: MutableMapping[Any, Any]

    def claims(self, key: UnitKey, half: Half | None = None) -> tuple[ObjectKey, ...]:
        """Every object that the unit, or another half of it than the key names, may own."""
        named = key if half is None else replace(key, half=half)
        return claims(self.translator, named, self.meshes, self.facts)

    def built(self, unit: Unit) -> Built:
        """The objects of a unit; those of the last time while nothing moved that they depend on."""
        withheld = unit.withheld if isinstance(unit, DestinationUnit) else ()
        slot = (unit.cluster, self.translator.name, unit.key, bool(withheld))
        around = unit.around if isinstance(unit, DestinationUnit) else None
        inputs = (unit.digest, withheld, around, self.context, self.instance)
        found = self.memo.get(slot)
        if found is None or found[0] != inputs:
            found = self.memo[slot] = (inputs, self._translated(unit))
        built: Built = found[1]
        return built

    def narrowing(self, unit: DestinationUnit) -> Mapping[ObjectKey, Narrowing]:
        """What held access may be narrowed to: of each object that decides it, what all policies but the
        withheld ones want. What is said of it waits with the rest of the unit."""
        built = self.built(unit)
        if built.held:
            return {}
        wanted = {manifest.key: manifest for manifest in built.manifests}
        withheld = frozenset(unit.withheld)
        return {
            key: Narrowing(wanted=wanted.get(key), withheld=withheld)
            for key in self.claims(unit.key, "access")
        }

    def _translated(self, unit: Unit) -> Built:
        """Without the routing of a unit that asks for what the mesh does not have."""
        if not isinstance(unit, DestinationUnit):
            return self._asked(unit)
        lacking = unsupported(unit, self.lacking, self.meshes)
        if not lacking:
            return self._asked(unit)
        held = Built(diagnostics=lacking, held=self.claims(unit.key, "routing"), halves=("routing",))
        return _together([held, self._asked(unit.without("routing"))])

    def _asked(self, unit: Unit) -> Built:
        try:
            translation = self.translator.translate(unit, self.meshes, self.facts)
        except Exception as error:  # noqa: BLE001 - a plug-in's defect on one unit must not end the work on all others
            return self._fallen(unit, error)
        manifests = (
            _manifest(one, unit, self.instance, self.translator.opt_out_keys) for one in translation.fragments
        )
        return Built(
            manifests=tuple(manifests),
            diagnostics=translation.diagnostics,
            held=tuple(key for half in translation.held for key in self.claims(unit.key, half)),
            halves=translation.held,
            stays=translation.stays,
        )

    def _fallen(self, unit: Unit, error: Exception) -> Built:
        """A defect holds its own half alone, since an error in routing never holds access."""
        halves = unit.halves if isinstance(unit, DestinationUnit) else ()
        if isinstance(unit, DestinationUnit) and len(halves) > 1:
            return _together([self._asked(unit.without(half)) for half in halves])
        half = halves[0] if halves else ""
        return Built(
            diagnostics=(_defect(unit, self.translator, error),),
            held=self.claims(unit.key, half),
            halves=(half,),
        )


def _together(parts: Sequence[Built]) -> Built:
    return Built(
        manifests=tuple(one for part in parts for one in part.manifests),
        diagnostics=tuple(dict.fromkeys(one for part in parts for one in part.diagnostics)),
        held=tuple(key for part in parts for key in part.held),
        halves=tuple(half for part in parts for half in part.halves),
        stays={key: said for part in parts for key, said in part.stays.items()} or EMPTY,
    )


def sound(unit: Unit, built: Built) -> DestinationUnit | None:
    """The access of a unit whose translator finds errors in the parts of some policies, as the others say."""
    if not isinstance(unit, DestinationUnit) or unit.access is None or not {"", "access"} & {*built.halves}:
        return None
    granting = {one.origin.policy for one in (*unit.access.allows, *unit.access.denies)}
    faulty = granting.intersection(one.policy for one in built.diagnostics if one.is_error)
    if not faulty:
        return None
    withheld = tuple(sorted(faulty))
    return replace(unit.without("routing"), access=unit.access.without(faulty), withheld=withheld)


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
        owners=fragment.owners or EMPTY,
        forbidden=forbidden,
        contested=fragment.contested,
    )


def _half_of(unit: UnitKey, phase: Phase) -> UnitKey:
    """The half of a destination that an object is for, so that a failed write stops no object of the other
    half.
    """
    if unit.kind == "Mesh":
        return unit
    return replace(unit, half="access" if phase in SECURITY else "routing")
