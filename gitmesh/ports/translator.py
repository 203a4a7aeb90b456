"""The port of a mesh: what a plug-in is asked, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from gitmesh.model.workloads import Dataplane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitmesh.model.admission import Effect, Subject
    from gitmesh.model.facts import ClusterFacts, Mesh
    from gitmesh.model.features import Supports
    from gitmesh.model.links import Links, Ref
    from gitmesh.model.manifests import Manifest, Translation
    from gitmesh.model.objects import ApiKind, Body, ObjectKey
    from gitmesh.model.plan import Live
    from gitmesh.model.report import MeshStatus
    from gitmesh.model.routes import Laid
    from gitmesh.model.services import Service
    from gitmesh.model.strangers import Around, ClientTls, Stranger
    from gitmesh.model.units import DestinationUnit, RoutingUnit, Unit
    from gitmesh.ports.detection import ControlObjects, Membership, PodFact


class Claim(Struct, frozen=True, kw_only=True, order=True):
    """What the foreign object `by` does to our object `on`: GM401, it is for the same as ours, which is not
    created beside it, GM403, it admits more than ours does, or GM415, ours decides by what it takes away."""

    by: ObjectKey
    on: ObjectKey
    code: str
    text: str


class Aside(Struct, frozen=True, kw_only=True):
    """What becomes of an object of ours beside the object `by` of somebody else: `spec` None leaves it out.
    `text` says what that means for whom."""

    by: ObjectKey
    spec: Mapping[str, Any] | None
    text: str


class Translator(Protocol):
    """A plain module of functions and constants: everything about one mesh."""

    name: str
    resources: Sequence[ApiKind]
    """The kinds that it writes, each with the versions that it can, in order of preference."""
    opt_out_keys: frozenset[str]
    """Labels and annotations that make the mesh ignore an object, or read it otherwise: on ours stand none
    that we did not write.
    """
    homes: Sequence[str]
    """The namespaces where its control planes usually live; only there, or where the configuration says, do
    they count.
    """
    naming: frozenset[str]
    """The keys of `Mesh.settings` on which the names in objects depend: ledgers remember them."""
    supports: Supports
    """What the mesh can do with every feature. The core compares with it what policies ask for, and the docs
    print it.
    """
    other_planes: Mapping[Dataplane, Supports]
    """The same of its further data planes, where they can do other things, or in other versions: it is the
    form that routing is written in where some of the destination's pods are in one. What they can in no
    version, `translate` itself says; the docs print a column for each.
    """

    def configmaps(self, namespace: str, name: str) -> bool:
        """Whether detection wants to read this ConfigMap of a tree of files."""

    def configured_by(self, deployment: Body) -> tuple[str, ...]:
        """The ConfigMaps beside a control plane's Deployment that detection wants to read; none for any other
        Deployment. So a cluster is asked for these by name, and no right on other ConfigMaps is needed."""

    def detect(self, objects: ControlObjects) -> tuple[Mesh, ...]:
        """The meshes of this kind among the objects. What nothing says is `Mesh.assumed`, what could not be
        read `Mesh.unread`.
        """

    def injects(self, injectors: Sequence[Body], mesh: Mesh) -> bool:
        """Whether one of the MutatingWebhookConfigurations injects the mesh's proxies into new pods."""

    def member(
        self, pod: PodFact, namespace_labels: Mapping[str, str], meshes: Sequence[Mesh]
    ) -> Membership | None:
        """The mesh that the pod is in, if it is one of this kind."""

    def writes(self, facts: ClusterFacts) -> Sequence[ApiKind]:
        """Of `resources` those that it may write in such a cluster: only these are read, and no right on
        others is needed."""

    def reduced(self, key: ObjectKey, body: Body, meshes: Sequence[Mesh]) -> Stranger | None:
        """Somebody else's object of its kinds as facts keep it; None where it does nothing to anybody."""

    def surroundings(
        self, facts: ClusterFacts, meshes: Sequence[Mesh]
    ) -> Callable[[DestinationUnit], Around]:
        """What stands around each destination, by the mesh's own order of lookup. Called once for a cluster,
        so that strangers are indexed once; what it answers is all that `translate` may read of them.
        """

    def client_tls(
        self, facts: ClusterFacts, meshes: Sequence[Mesh]
    ) -> Callable[[Service, RoutingUnit | None], tuple[ClientTls, ...]] | None:
        """With which TLS clients connect to each Service, as strangers' objects and the mesh's settings say,
        beside the routing of ours that is given (None: none is written); None where the mesh chooses for all.
        Called once for a cluster.
        """

    def inert(self, laid: Laid, meshes: Sequence[Mesh], facts: ClusterFacts) -> str:
        """Why a routing field can have no effect where it is laid, though the mesh would take it; "" where it
        can. Pure. The core leaves it out there, or holds the routing of a Service that is named exactly.
        """

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        """The objects of one unit, for the meshes of this kind in the cluster that is written: of a
        destination one half, and who may call only where its pods are in one of them, or in none. Pure; reads
        served schemas from facts only.
        """

    def links(self, body: Body, meshes: Sequence[Mesh]) -> Links:
        """What an object of its kinds, ours or not, live or wanted, provides and uses. A route is written
        when what it uses is there, and what a live route of ours uses is not taken away.
        """

    def decides(self, body: Body) -> Subject:
        """What an object of its kinds that is ours decides, live or wanted."""

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        """What a change of one object (None: it is not there) does to who is admitted, while all others stay
        as they are; of one that decides no access NEITHER. What comes to narrow is taken for one that
        refuses, and what else decides access for one that grants: grants add up, so that one write of them is
        safe once all refuse what they are to refuse.
        """

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        """The spec on the way from `before` to `after` (None: is not there); of an object that says what it
        says in its data, or in annotations of somebody else's object, these. With `kept` it still provides
        those; None where there is none, so that the object stays as it is until nobody uses them.

        Without, and where both decide who may call, it is safe where one write is not (design law 2): what
        refuses admits in it at most what it admits before and after; what grants does so to whom both do, at
        pods that both are for; what closes by existing admits what is admitted without it; a mode of mTLS may
        admit more, and is then passed a step a tick. None: one write is enough.
        """

    def foreign(
        self, lives: Sequence[Live], ours: Mapping[ObjectKey, Manifest], meshes: Sequence[Mesh]
    ) -> tuple[Claim, ...]:
        """What foreign live objects do to our desired ones that decide who may call, sorted. One call for a
        cluster, so that ours are indexed once.
        """

    def beside(
        self,
        ours: Mapping[ObjectKey, Manifest],
        others: Sequence[Live],
        meshes: Sequence[Mesh],
        facts: ClusterFacts,
    ) -> Mapping[ObjectKey, Aside]:
        """Our desired objects that would admit more beside these others than they leave open and the policies
        grant, each as it must be then. `others` are strangers' objects of any kind that translators write,
        and ours that are held.
        """

    def retain(
        self, live: Body, wanted: Body | None, parts: frozenset[str] | None
    ) -> Mapping[str, Any] | None:
        """The spec of an object of ours in which a part stays that nobody knows now: what is live of `parts`
        (digests of list items; None = they cannot be told apart), beside what is wanted. It is never wider
        than that part and what is wanted. None = only the live object as it is can be that."""

    def narrowed(
        self, live: Body | None, wanted: Body | None, parts: frozenset[str] | None
    ) -> Mapping[str, Any] | None:
        """The spec of an object of ours that is held, made as narrow as is certain: what it closes stays and
        what `wanted` closes comes; what it opens stays as far as `wanted` opens it, too, or it is of `parts`
        (digests of list items; None = they cannot be told apart). `live` None: it is not there, and comes
        only to close. None = it stays as it is."""

    def guarded(self, body: Body) -> Mapping[str, str] | None:
        """The labels of the pods of its namespace about which an object of ours, live or wanted, decides who
        may call them; None for any other object, and for one that is about all pods."""

    def verdict(self, live: Live, meshes: Sequence[Mesh]) -> MeshStatus:
        """What the mesh itself says of a live object, given the cluster's meshes of every kind. Status is
        untrusted content.
        """
