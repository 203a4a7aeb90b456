"""Desired objects: what translators return and what the core makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gitmesh.model.empty import no_items
from gitmesh.model.naming import mesh_label
from gitmesh.model.ownership import WHOLE, Ownership

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.diagnostics import Diagnostic
    from gitmesh.model.admission import Subject
    from gitmesh.model.facts import Mesh
    from gitmesh.model.objects import Body, ObjectKey
    from gitmesh.model.policies import Origin
    from gitmesh.model.strangers import ClientTls
    from gitmesh.model.units import RoutingUnit, Unit, UnitKey


class Fragment(Struct, frozen=True, kw_only=True):
    """One object as a translator wants it: identity, API version, and what is to stand in it.

    That is a `spec`, or the `data` of a kind that has no spec, with `labels` and `annotations` beside ours.
    `ownership` says which of it is ours: all, all but some fields that others write, which the fragment then
    leaves out, or only some fields of somebody else's object, of which the fragment says these alone.
    `fields` maps dotted paths below spec (`spec.http[0].timeout`) to where they come from, for provenance.
    `policies` are the ids of all policies behind it (a superset of those in `fields`). `owners` are, by such
    a path, the policies behind an item of a list where several say the same. `apart`: where it cannot be
    written, the other objects of its unit are written all the same. `contested` says who has objects for the
    same: it is not created beside them. `part`: it is some fields of the object, and other units may want
    others; they are put together, and none of them is created without the others.
    """

    key: ObjectKey
    version: str
    spec: Mapping[str, Any] = no_items()
    data: Mapping[str, str] | None = None
    labels: Mapping[str, str] = no_items()
    annotations: Mapping[str, str] = no_items()
    ownership: Ownership = WHOLE
    fields: Mapping[str, Origin] = no_items()
    owners: Mapping[str, tuple[str, ...]] = no_items()
    policies: tuple[str, ...] = ()
    apart: bool = False
    contested: tuple[str, ...] = ()
    part: bool = False

    @property
    def body(self) -> Body:
        """The object as the translator wants it, without marks of ours."""
        # Kinds of the core group have no group in their apiVersion.
        group, named = self.key.group, {"labels": self.labels, "annotations": self.annotations}
        place = {"namespace": self.key.namespace} if self.key.namespace else {}
        body: dict[str, Any] = {
            "apiVersion": f"{group}/{self.version}" if group else self.version,
            "kind": self.key.kind,
            "metadata": {
                "name": self.key.name,
                **place,
                **{part: dict(found) for part, found in named.items() if found},
            },
        }
        if self.data is not None:
            body["data"] = self.data
        # An object of a kind that has a spec has one, though it may be empty.
        if self.spec or (self.ownership.is_object and self.data is None):
            body["spec"] = self.spec
        return body


class Translation(Struct, frozen=True, kw_only=True):
    """A translator's answer for one unit.

    `held`: nothing can be emitted, and every object of the unit stays as it is, neither changed nor deleted.
    An error alone does not hold: the security law sometimes demands both an error and a closed object.
    `stays` are objects that are not wanted and must not be missed where they are live: there they stay, with
    this finding.
    """

    fragments: tuple[Fragment, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    held: bool = False
    stays: Mapping[ObjectKey, Diagnostic] = no_items()


class Manifest(Struct, frozen=True, kw_only=True):
    """A desired object, with GitMesh's labels and annotations on it where the object itself is ours.

    `body` is canonical JSON of what of the object is ours, `digest` a short hash of it, as the ledger keeps
    it. `units` want it, sorted. `apart`, `fields`, `owners`, `contested`, `part` and `ownership` are the
    fragment's. `forbidden` are labels and annotations that must not stand on it unless `body` has them.
    `writer` is the translator that made it.
    """

    key: ObjectKey
    version: str
    decides: Subject
    body: bytes
    digest: str
    policies: tuple[str, ...]
    units: tuple[UnitKey, ...] = ()
    apart: bool = False
    fields: Mapping[str, Origin] = no_items()
    owners: Mapping[str, tuple[str, ...]] = no_items()
    forbidden: frozenset[str] = frozenset()
    contested: tuple[str, ...] = ()
    part: bool = False
    ownership: Ownership = WHOLE
    writer: str = ""


class Narrowing(Struct, frozen=True, kw_only=True):
    """An object that decides who may call and that is held for errors of the `withheld` policies: `wanted` is
    what all others make of it, None where they say nothing of it."""

    wanted: Manifest | None
    withheld: frozenset[str]


class Relief(Struct, frozen=True, kw_only=True):
    """Of a live object of ours that leaves pods which others are to guard: `by` are the objects that must be
    as they are wanted before that is safe. Where it is wanted for other pods, its `copy` stays there, else it
    stays itself."""

    by: frozenset[ObjectKey]
    copy: ObjectKey | None = None


class Build(Struct, frozen=True, kw_only=True):
    """What one cluster should hold. `units` are what was decided, `held_units` those of which nothing new
    could be decided or said, `waiting` the policies that are not in force for that. `held` are objects that
    are never changed and never deleted: those of held units, as far as they are known, and those that several
    units want otherwise; which live ones are a held unit's is known once the ledger is read
    (planning/holding).

    `complete` is false where facts are unknown: nothing may then be deleted. `meshes` are the cluster's.
    `refused` are destinations among the held ones whose pods would refuse what policies ask for, as those
    would have them. `doubtful`: the facts themselves are in doubt, but for those of the Services (namespace,
    name) that are `settled`: nobody's doubt keeps what is `decided` for that from being deleted. `pending`
    are policies that name what is not there: what they did before stays; `gone` are findings on policies
    whose destination the cluster lacks while others have it: what they did stays too, and is then told.
    `stays` are objects that nobody wants and that stay where they are live, with a finding. `narrowing` are
    those of the held objects that may become narrower all the same, and `sound` the held units of which every
    object may, with the policies whose part of them is withheld. `rivals`: what several translators want of
    one object, of which the first is among the manifests. `client_tls`: by Service (namespace, name), with
    which TLS clients connect where no policy says it; a Service that is not there has clients that the mesh
    chooses for. `relieved` are live objects that others follow at pods; `joining` come only to pods that
    grants of ours close already, where somebody else's object is in the place of one of ours.
    """

    cluster: str
    manifests: Mapping[ObjectKey, Manifest]
    held: frozenset[ObjectKey] = frozenset()
    complete: bool = True
    meshes: tuple[Mesh, ...] = ()
    units: tuple[Unit, ...] = ()
    held_units: frozenset[UnitKey] = frozenset()
    refused: tuple[RoutingUnit, ...] = ()
    waiting: frozenset[str] = frozenset()
    doubtful: bool = False
    settled: frozenset[tuple[str, str]] = frozenset()
    decided: frozenset[ObjectKey] = frozenset()
    stays: Mapping[ObjectKey, Diagnostic] = no_items()
    pending: frozenset[str] = frozenset()
    gone: tuple[Diagnostic, ...] = ()
    narrowing: Mapping[ObjectKey, Narrowing] = {}
    rivals: Mapping[ObjectKey, tuple[Manifest, ...]] = {}
    sound: Mapping[UnitKey, frozenset[str]] = {}
    client_tls: Mapping[tuple[str, str], tuple[ClientTls, ...]] = {}
    relieved: Mapping[ObjectKey, Relief] = {}
    joining: frozenset[ObjectKey] = frozenset()

    @property
    def roots(self) -> frozenset[str]:
        """The namespaces in which what counts for a whole mesh lives."""
        return frozenset(mesh.root_namespace for mesh in self.meshes) - {""}

    @property
    def copies(self) -> frozenset[ObjectKey]:
        """Objects that stay at pods for a while in place of those that leave them."""
        return frozenset(one.copy for one in self.relieved.values() if one.copy)

    def mesh_of(self, manifest: Manifest) -> str:
        """How findings on one of its objects name the mesh that the object is for."""
        mine = (mesh for mesh in self.meshes if mesh.translator == manifest.writer)
        return mesh_label(mine, {unit.name for unit in manifest.units if unit.half == "mesh"})

    @property
    def holds(self) -> bool:
        """Whether anything is left as it is."""
        return bool(self.held or self.held_units)
