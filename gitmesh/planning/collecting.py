"""What the units of one cluster come to together: objects, what is held, and what held access narrows to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.manifests import Manifest, Narrowing
from gitmesh.model.objects import ObjectKey
from gitmesh.model.units import AccessUnit, UnitKey
from gitmesh.planning.merging import together
from gitmesh.planning.translating import Built

if TYPE_CHECKING:
    from gitmesh.model.units import Unit


class Collected(Struct):
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
        live stays as it is. Of what two translators want one is elected, but fields of somebody else's
        object, which each may have beside the other.
        """
        other = self.manifests.setdefault(manifest.key, manifest)
        if other is manifest:
            return
        rivals = other.writer != manifest.writer
        beside = not (rivals and other.ownership.is_object)
        if beside and (both := together(other, manifest)) is not None:
            self.manifests[manifest.key] = both
            return
        # Elected later, when the ledger is known: whoever wrote it last goes on, so objects do not change
        # hands.
        if rivals:
            self.rivals[manifest.key] = (*self.rivals.get(manifest.key, (other,)), manifest)
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
