"""Which live objects are a held unit's: those that it wanted when they were last written, as the ledger
knows. Names tell nothing: a unit may have had other ones before. Called by converge; no I/O.

What an older version wrote is of no known unit. It is kept while any unit is held that it may be of, and is
known again as soon as somebody wants it.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.model.admission import GUARDING
from gitmesh.model.manifests import Narrowing
from gitmesh.model.objects import decode
from gitmesh.model.units import HALVES, half_key, mesh_key
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.electing import Writers
from gitmesh.planning.fields_of_others import with_kept
from gitmesh.planning.ownership import policies_behind, policies_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Entry
    from gitmesh.model.manifests import Build, Manifest
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.model.units import UnitKey
    from gitmesh.ports import Translator

_MESH_WIDE = "VirtualMesh/"


def is_mesh_wide(policies: Collection[str]) -> bool:
    """Whether some of these policies decide about whole meshes."""
    return any(policy.startswith(_MESH_WIDE) for policy in policies)


class Owners:
    """Whose the objects of one cluster are, by `entries` of its ledger."""

    def __init__(
        self,
        entries: Mapping[ObjectKey, Entry],
        built: Build,
        observed: Observed,
        facts: ClusterFacts,
        translators: Mapping[str, Translator],
    ) -> None:
        self._entries, self._built, self._live, self._facts = entries, built, observed.live, facts
        self._writers = Writers(translators, built.meshes, entries, built.manifests)

    def known(self, key: ObjectKey) -> frozenset[UnitKey]:
        """The units that wanted the object when it was last written, or want it now."""
        entry, manifest = self._entries.get(key), self._built.manifests.get(key)
        return frozenset((*(entry.units if entry else ()), *(manifest.units if manifest else ())))

    def of(self, key: ObjectKey) -> frozenset[UnitKey]:
        """The units that the object is of, or may be of where that is not known."""
        entry, found = self._entries.get(key), self.known(key)
        # Where the ledger has units it is believed: it wrote them down with the object.
        if entry is None or entry.units:
            return found
        if found:  # meshes share what is mesh-wide
            shared = any(unit.half == "mesh" for unit in found)
            return found.union(self._rooted(key.namespace) if shared else ())
        live = self._live.get(key)
        return self._may_be(live) if live else frozenset()

    def owned(self, units: Collection[UnitKey]) -> frozenset[ObjectKey]:
        """The objects of these units, live and wanted."""
        keys = self._entries.keys() | self._built.manifests.keys()
        return frozenset(key for key in keys if not self.of(key).isdisjoint(units))

    def may_be_access(self, key: ObjectKey) -> bool:
        """Whether it decides who may call a destination, and nobody knows which."""
        return not self.is_known(key) and all(unit.half == "access" for unit in self.of(key))

    def is_known(self, key: ObjectKey) -> bool:
        """Whether the ledger knows which units the object is of."""
        entry = self._entries.get(key)
        return entry is not None and bool(entry.units)

    def with_kept(self, manifest: Manifest, entry: Entry) -> Manifest:
        """The wanted fields of somebody else's object, beside those of ours in it that stay as they are."""
        return with_kept(manifest, self._live.get(manifest.key), entry)

    def policies(self, key: ObjectKey) -> frozenset[str]:
        """The policies that a live object comes from."""
        # An older version wrote it: whatever it may be of keeps it, until somebody wants it and its units
        # are known.
        live = self._live.get(key)
        return policies_behind(live, self._entries.get(key)) if live else frozenset()

    def _may_be(self, live: Live) -> frozenset[UnitKey]:
        """Those of the object's namespace, in the half that its kind of object is for, and meshes where a
        policy about meshes is behind it."""
        writer = self._writers.get(live.key)
        # By what the object decides and not by its kind: some kinds do either.
        half = "access" if writer and writer.decides(decode(live.body)) in GUARDING else "routing"
        found = self._halves.get((live.key.namespace, half), frozenset())
        return found | self._meshes if is_mesh_wide(policies_of(live)) else found

    @cached_property
    def _meshes(self) -> frozenset[UnitKey]:
        # A mesh that is not found has no facts, but it is held, and its objects are still there.
        held = (key for key in self._built.held_units if key.half == "mesh")
        return frozenset((*held, *(mesh_key(self._facts.cluster, one.name) for one in self._facts.meshes)))

    def _rooted(self, namespace: str) -> frozenset[UnitKey]:
        """The meshes that may have mesh-wide objects there; of one that is not found it is not known."""
        elsewhere = (
            mesh_key(self._facts.cluster, one.name)
            for one in self._facts.meshes
            if namespace not in (one.root_namespace, one.namespace)
        )
        return self._meshes.difference(elsewhere)

    @cached_property
    def _halves(self) -> Mapping[tuple[str, str], frozenset[UnitKey]]:
        found: dict[tuple[str, str], set[UnitKey]] = defaultdict(set)
        here = self._facts.cluster
        services = (half_key(half, here, one.key) for one in self._facts.services for half in HALVES)
        for key in (*self._built.held_units, *services):
            found[key.namespace, key.half].add(key)
        return {place: frozenset(keys) for place, keys in found.items()}


def hold(
    built: Build, entries: Mapping[ObjectKey, Entry], owners: Owners, in_force: Collection[str]
) -> Adapted:
    """The build with the objects of its held units held, and with what a doubt of facts does not concern; the
    same build where nothing is held. `in_force` are all policies: what other ones granted does not stay for
    a unit that an object only may be of."""
    if not (built.held_units or built.settled):
        return Adapted(built=built)
    held, narrowing, manifests = set(built.held), dict(built.narrowing), dict(built.manifests)
    decided: set[ObjectKey] = set()
    for key, entry in entries.items():
        units = owners.of(key)
        manifest = built.manifests.get(key)
        # What its unit wants again is compared as ever; only what no unit wants is kept for those that are
        # held.
        keeping = units & built.held_units - frozenset(manifest.units if manifest else ())
        if keeping and manifest and not (entry.ownership.is_object or manifest.ownership.is_object):
            manifests[key] = owners.with_kept(manifest, entry)
        elif keeping:
            held.add(key)
            if key not in narrowing and keeping <= built.sound.keys():
                withheld = frozenset[str]().union(*(built.sound[unit] for unit in keeping))
                narrowing[key] = Narrowing(wanted=None, withheld=withheld)
            # It is of nobody known. What policies that are gone granted is withdrawn; what those in force
            # grant may be the held unit's, and stays.
            elif key not in narrowing and built.complete and owners.may_be_access(key):
                withheld = owners.policies(key).intersection(in_force)
                narrowing[key] = Narrowing(wanted=None, withheld=withheld)
        # While a mesh is in doubt nothing is deleted, but for objects of Services all of whose pods are in
        # others.
        elif built.settled and owners.is_known(key) and _is_settled(units, built):
            decided.add(key)
    made = replace(
        built,
        held=frozenset(held),
        decided=frozenset(decided),
        narrowing=narrowing,
        manifests=manifests,
    )
    return Adapted(built=made)


def _is_settled(units: Collection[UnitKey], built: Build) -> bool:
    return all(
        unit.half != "mesh" and unit.home == unit.written and (unit.namespace, unit.name) in built.settled
        for unit in units
    )
