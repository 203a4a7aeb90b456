"""The doors between the core and the world. Adapters and plug-ins satisfy them by shape; nothing inherits
from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from gitmesh.model.facts import NOTHING_REMEMBERED
from gitmesh.model.workloads import Dataplane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gitmesh.model.admission import Effect, Subject
    from gitmesh.model.facts import ClusterFacts, Mesh, Remembered
    from gitmesh.model.features import Supports
    from gitmesh.model.forge import Comment, CommitStatus, PullRequest
    from gitmesh.model.ledger import Ledger, Stored
    from gitmesh.model.links import Links, Ref
    from gitmesh.model.manifests import Manifest, Translation
    from gitmesh.model.objects import ApiKind, Body, ObjectKey
    from gitmesh.model.plan import Live, Observed, Outcome, Plan
    from gitmesh.model.report import MeshStatus, Report
    from gitmesh.model.routes import Laid
    from gitmesh.model.snapshot import Snapshot
    from gitmesh.model.strangers import Around, Stranger
    from gitmesh.model.units import DestinationUnit, Unit
    from gitmesh.model.workloads import PortRange, Probe


class Source(Protocol):
    """A git repository or a folder."""

    @property
    def name(self) -> str:
        """Name of the source in the configuration."""

    def fetch(self) -> Snapshot:
        """The tip of the branch. Raises SourceError."""

    def read(self, commit: str) -> Snapshot:
        """An older commit, for the last good state: one that the branch leads to or that was accepted, no
        other. Raises SourceError.
        """

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` is `ancestor` or comes after it."""

    def leads_to(self, commit: str) -> bool:
        """Whether the branch, as it was last seen, is that commit or comes after it."""

    def accept(self, commit: str) -> None:
        """Record that this commit came into force, where only this is recorded. Raises SourceError."""

    def accepted(self) -> str:
        """The commit that was recorded last, "" if none is."""


class Cluster(Protocol):
    """One cluster: Kubernetes, a directory, or memory. Every method may raise ClusterError.

    `settle` is the number of seconds in which every proxy is taken to learn of a write.
    """

    name: str
    labels: Mapping[str, str]
    enforce: bool
    settle: float

    def facts(self, remembered: Remembered = NOTHING_REMEMBERED) -> ClusterFacts:
        """What lives there, without our own objects, given what was known before. The same object again while
        nothing changed.
        """

    def prefetch(self, kinds: Sequence[ApiKind]) -> None:
        """Begin to read what `observe` will be asked for: servers answer while other clusters are read.
        Reports nothing itself.
        """

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:
        """Every live object of these kinds, ours or not."""

    def find(self, keys: Sequence[ObjectKey]) -> Mapping[ObjectKey, Live]:
        """Those of these objects that are there now, each asked for by name, of kinds that `observe` found:
        what answers a list may be a while behind.
        """

    def predict(self, plan: Plan) -> Plan:
        """Drop the updates that the cluster itself says change nothing (a server's dry run of what
        differs).
        """

    def apply(self, plan: Plan) -> tuple[Outcome, ...]:
        """Carry out the plan's writes in order; a failure stops the later steps that its policies' units
        need.
        """

    @property
    def clock(self) -> Callable[[], float] | None:
        """What tells the cluster's own time at its last answer, in seconds since the epoch (0 = it did not
        tell); None where nothing runs, so that no mesh could say anything."""

    def load(self, instance: str) -> Stored:
        """The ledger; an empty one if there is none."""

    def save(self, ledger: Ledger, version: str) -> str:
        """Compare-and-set the ledger; returns its new version. Raises ClusterError on a lost race."""


class Fleet(Protocol):
    """All clusters of the configuration, several at once, each failing alone."""

    clusters: Mapping[str, Cluster]

    def each(self, work: Callable[[Cluster], Any], names: Iterable[str] | None = None) -> Mapping[str, Any]:
        """Run `work` on the clusters at the same time; a ClusterError becomes the result of its cluster."""


class Publisher(Protocol):
    """Somewhere a report goes: status branch, metrics, events."""

    def publish(self, report: Report) -> Report:
        """Show the report; returns it with findings of its own added. Never raises for the world's
        failures.
        """


class Forge(Protocol):
    """One repository at a hosting service. Every method has a deadline of its own, and may raise
    ForgeError.
    """

    @property
    def comment_limit(self) -> int:
        """Characters that a comment may have."""

    def pulls(self, branch: str) -> tuple[PullRequest, ...]:
        """The open pull requests that are to go into the branch, by number."""

    def pull(self, number: int) -> PullRequest:
        """One pull request, whatever its state. ForgeError(refused) where there is none."""

    def pulls_of(self, commit: str) -> tuple[PullRequest, ...]:
        """The pull requests by which a commit went into its branch, by number; none where nobody opened
        one.
        """

    def comments(self, number: int) -> tuple[Comment, ...]:
        """Every comment of a pull request, oldest first."""

    def add_comment(self, number: int, body: str) -> Comment:
        """Write a new comment. Not repeated after a failure that leaves open whether it was written: who
        calls lists again.
        """

    def edit_comment(self, number: int, comment: int, body: str) -> None:
        """Replace the body of a comment of ours. ForgeError(refused) where it is gone."""

    def delete_comment(self, number: int, comment: int) -> None:
        """Delete a comment of ours; one that is gone already is deleted."""

    def statuses(self, commit: str) -> tuple[CommitStatus, ...]:
        """The newest status of each context of a commit."""

    def set_status(self, commit: str, status: CommitStatus) -> None:
        """Set one context's status of a commit."""


class PodFact(Struct, frozen=True, kw_only=True):
    """A pod as translators see it for detection: containers and initContainers as (name, image) pairs; `args`
    by their names, and so are the `probes` of each that come over the network, but for those by TCP.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    service_account: str = "default"
    containers: tuple[tuple[str, str], ...] = ()
    init_containers: tuple[tuple[str, str], ...] = ()
    args: Mapping[str, tuple[str, ...]] = {}
    probes: Mapping[str, tuple[Probe, ...]] = {}


class ControlObjects(Struct, frozen=True, kw_only=True):
    """What `detect` reads: Deployments and DaemonSets that may be control planes, ConfigMaps by (namespace,
    name), namespaces.

    Of ConfigMaps only those that a translator asks for are read; of the `refused` nothing is known;
    `validators` are the ValidatingWebhookConfigurations that name a group of a kind that a translator writes,
    `gateways` the Gateways of the Gateway API with what they ask for, and whether they are programmed and
    have addresses.
    `homes` are the namespaces where a control plane of the mesh counts.
    """

    deployments: tuple[Body, ...] = ()
    daemonsets: tuple[Body, ...] = ()
    configmaps: Mapping[tuple[str, str], Body] = {}
    refused: frozenset[tuple[str, str]] = frozenset()
    namespaces: Mapping[str, Mapping[str, str]] = {}
    validators: tuple[Body, ...] = ()
    gateways: tuple[Body, ...] = ()
    homes: tuple[str, ...] = ()


class Membership(Struct, frozen=True, kw_only=True):
    """Which mesh a pod is in, by which data plane, whether its proxy is a gateway or a native sidecar, the
    ports whose requests it does not see, and the kubelet's probes that come to it as any other client's
    requests do.
    """

    mesh: str
    dataplane: Dataplane = "sidecar"
    gateway: bool = False
    native_sidecar: bool = False
    unguarded: tuple[PortRange, ...] = ()
    probes: tuple[Probe, ...] = ()


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
        """The spec on the way from `before` to `after` (None: is not there). With `kept` it still provides
        those; None where there is none, so that the object stays as it is until nobody uses them.

        Without, and where both decide who may call, it is safe where one write is not (design law 2): what
        refuses admits in it at most what it admits before and after; what grants may grant nobody, where it
        goes over to others; what closes by existing admits what is admitted without it; a mode of mTLS may
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

    def guarded(self, live: Live) -> Mapping[str, str] | None:
        """The labels of the pods of its namespace about which a live object of ours decides who may call
        them; None for any other object, and for one that is about all pods."""

    def verdict(self, live: Live, meshes: Sequence[Mesh]) -> MeshStatus:
        """What the mesh itself says of a live object, given the cluster's meshes of every kind. Status is
        untrusted content.
        """
