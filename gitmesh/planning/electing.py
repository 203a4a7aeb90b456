"""Which translator writes and reads an object. Several may write one kind, as meshes share the Gateway API;
one object has one writer: whoever wrote it last, for as long as it wants it, and else the first by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.admission import GUARDING
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.ownership import blame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitmesh.model.facts import Mesh
    from gitmesh.model.ledger import Entry, Ledger
    from gitmesh.model.manifests import Build, Manifest
    from gitmesh.model.objects import ObjectKey
    from gitmesh.ports import Translator


def of_kinds(
    translators: Mapping[str, Translator], meshes: Iterable[Mesh] = ()
) -> dict[tuple[str, str], Translator]:
    """(group, kind) -> the translator that writes it. Of several one that has a mesh in the cluster, whose
    meshes these are; of several such the last by name."""
    present = {mesh.translator for mesh in meshes}
    # A dict keeps the last, so those with a mesh here come last: with no ledger, who is here reads its
    # objects best.
    ordered = sorted(translators.items(), key=lambda item: (item[0] in present, item[0]))
    return {(resource.group, resource.kind): one for _, one in ordered for resource in one.resources}


class Writers(Struct, frozen=True, dict=True):
    """The translators of one cluster's objects. `meshes` are its, `entries` are the ledger's."""

    translators: Mapping[str, Translator]
    meshes: tuple[Mesh, ...] = ()
    entries: Mapping[ObjectKey, Entry] = {}
    manifests: Mapping[ObjectKey, Manifest] = {}

    @cached_property
    def _of_kinds(self) -> Mapping[tuple[str, str], Translator]:
        return of_kinds(self.translators, self.meshes)

    def get(self, key: ObjectKey) -> Translator | None:
        """Who writes this object; None where nobody writes its kind."""
        wanted, known = self.manifests.get(key), self.entries.get(key)
        name = (wanted.writer if wanted else "") or (known.writer if known else "")
        return self.translators.get(name) or self._of_kinds.get(key[:2])

    def __getitem__(self, key: ObjectKey) -> Translator:
        """Who writes this object, of a kind that somebody writes."""
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found


def elect(built: Build, ledger: Ledger) -> Adapted:
    """One writer for each object that several translators want; the same build where there is none."""
    if not built.rivals:
        return Adapted(built=built)
    chosen = {key: _chosen(those, ledger.entries.get(key)) for key, those in built.rivals.items()}
    said = tuple(
        _told(built, chosen[key], those)
        for key, those in sorted(built.rivals.items())
        # Equal bodies serve both meshes, so there is nothing to tell.
        if len({one.body for one in those}) > 1
    )
    return Adapted(built=replace(built, manifests={**built.manifests, **chosen}), diagnostics=said)


def _chosen(rivals: Iterable[Manifest], entry: Entry | None) -> Manifest:
    known = entry.writer if entry else ""
    # The former writer keeps it: if names alone decided, installing a translator would rewrite live
    # objects.
    return min(rivals, key=lambda one: (one.writer != known, one.writer))


def _told(built: Build, chosen: Manifest, rivals: Iterable[Manifest]) -> Diagnostic:
    others = ", ".join(sorted(one.writer for one in rivals if one is not chosen))
    text = (
        f"{chosen.key} in {built.cluster} is written as {chosen.writer} needs it, and {others} would have it"
        " otherwise"
    )
    severity = Severity.ERROR if chosen.decides in GUARDING else None
    behind = blame(chosen.policies, chosen.fields.values())
    mesh = built.mesh_of(chosen)
    return finding("GM417", text, cluster=built.cluster, mesh=mesh, severity=severity, **behind)
