"""What was discovered in a cluster. Facts hold no secrets and never the objects that GitMesh wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.empty import no_items
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.strangers import ForeignGuard, Stranger

_NOT_HTTP = frozenset({"tcp", "udp", "sctp", "tls", "https", "mongo", "redis", "mysql", "kubernetes.io/wss"})

_DATAGRAMS = frozenset({"udp", "sctp"})


class ServicePort(Struct, frozen=True, kw_only=True, order=True):
    """A port of a Service. `target` is a container port number, or the name of one.

    `protocol` is the application protocol as appProtocol or the port's name prefix tell it, in lower case
    (http, http2, grpc, grpc-web, https, tls, tcp, udp, mongo, ...), or "" where the mesh must sniff.
    """

    number: int
    name: str = ""
    target: int | str = 0
    protocol: str = ""

    @property
    def seen(self) -> bool:
        """Whether a proxy sees what comes to it: sidecars take TCP alone."""
        return self.protocol not in _DATAGRAMS

    @property
    def http(self) -> bool:
        """Whether a proxy sees requests on it; a port without a protocol is sniffed, so it may."""
        return self.protocol not in _NOT_HTTP

    @property
    def raw(self) -> bool:
        """Whether a proxy may see connections without requests on it; where it sniffs, it may see either."""
        return self.seen and (not self.http or not self.protocol)


class Service(Struct, frozen=True, kw_only=True):
    """A Service: what a destination is. `selector` empty means that its endpoints are made by hand.

    `alias` is the full name that an ExternalName Service stands for, where it has the form of a Service's
    (`stock.depot.svc.cluster.local`), in lower case; "" for a host elsewhere, whose address is no fact.
    `conditions` are those of its status that a controller of a name of its own wrote (`example.com/Bound`):
    type -> True, False or Unknown.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = no_items()
    selector: Mapping[str, str] = no_items()
    ports: tuple[ServicePort, ...] = ()
    type: str = "ClusterIP"
    headless: bool = False
    alias: str = ""
    conditions: Mapping[str, str] = no_items()

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return (self.namespace, self.name)


class PortRange(Struct, frozen=True, kw_only=True, order=True):
    """Container ports from `first` to `last`, both included."""

    first: int
    last: int


EVERY_PORT = PortRange(first=1, last=65535)
"""All that a container can have."""

ROLLING_LABELS = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-completion-index",
        "batch.kubernetes.io/job-name",
        "controller-revision-hash",
        "controller-uid",
        "job-name",
        "pod-template-generation",
        "pod-template-hash",
        "rollouts-pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
    }
)
"""Labels that controllers set anew with each rollout or for each pod. Facts keep one only where a selector
names it, so that they do not change with every rollout (`Workload.dropped`)."""

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Labels, sorted."""
WorkloadKey: TypeAlias = tuple[str, str, str]
"""(kind, namespace, name)."""
_Closing: TypeAlias = tuple[tuple[ObjectKey, Mapping[str, str]], ...]
Shape: TypeAlias = tuple[WorkloadKey, tuple[object, ...]]
"""A workload, and all that its pods of one shape agree in."""


class Probe(Struct, frozen=True, kw_only=True, order=True):
    """A probe by which a kubelet asks a container port by HTTP, without query, or by gRPC."""

    port: int
    path: str = ""
    grpc: bool = False


Dataplane: TypeAlias = Literal["sidecar", "ambient"]
"""Who sees the traffic of a pod: a proxy of its own, or one that it shares with others."""


class Workload(Struct, frozen=True, kw_only=True):
    """The pods of one shape of one controller (or one bare pod): Deployment, StatefulSet, DaemonSet,
    ReplicaSet, Job or Pod. They agree in everything that is said here; a controller whose pods do not has
    several. One without pods has the shape of its template.

    `dropped` are the keys of labels of which the values are not kept: `labels` says nothing of them. `ports`
    maps container port names to numbers; `mesh` names the mesh that the pods are in ("" = none), and
    `dataplane` how: by a proxy in each pod (`sidecar`), or by one of their node (`ambient`), which sees
    connections and no requests. `router` marks a proxy that is set up as a gateway's, by what the pods say of
    themselves, `gateway` one that is a gateway by more than that: it is in a control plane's namespace, or a
    programmed Gateway owns it. `unguarded` are the container ports whose requests the proxy does not see.
    `probes` are those of the kubelet that come to the proxy as any other client's requests do.
    """

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str] = no_items()
    dropped: tuple[str, ...] = ()
    service_account: str = "default"
    ports: Mapping[str, int] = no_items()
    mesh: str = ""
    dataplane: Dataplane = "sidecar"
    gateway: bool = False
    router: bool = False
    native_sidecar: bool = False
    localities: tuple[str, ...] = ()
    pods: int = 0
    unguarded: tuple[PortRange, ...] = ()
    probes: tuple[Probe, ...] = ()

    @property
    def key(self) -> WorkloadKey:
        """(kind, namespace, name) of the controller."""
        return (self.kind, self.namespace, self.name)

    @property
    def shape(self) -> Shape:
        """What tells these pods from all others, as something to look up by."""
        return self.key, (
            tuple(sorted(self.labels.items())),
            self.dropped,
            self.service_account,
            tuple(sorted(self.ports.items())),
            self.mesh,
            self.dataplane,
            self.gateway,
            self.router,
            self.native_sidecar,
            self.unguarded,
            self.probes,
        )

    @property
    def routed(self) -> bool:
        """Whether policies decide how its own requests go: it has a proxy, and not one that is a gateway's,
        which has routes of its own.
        """
        return bool(self.mesh) and not self.router

    def numbers(self, port: str) -> frozenset[int]:
        """The number of a container port's name; none where the pods have no such port."""
        return frozenset((self.ports[port],) if port in self.ports else ())

    def may_carry(self, wanted: Mapping[str, str]) -> bool:
        """Whether the pods may have all of these labels, of which some may not be known."""
        return all(self.labels.get(key) == value or key in self.dropped for key, value in wanted.items())

    def guards(self, port: int) -> bool:
        """Whether the proxies see what comes to a container port."""
        return not any(ports.first <= port <= ports.last for ports in self.unguarded)

    @property
    def guards_none(self) -> bool:
        """Whether no port is guarded: the mesh has no say in who may call, or its proxies see nothing."""
        return EVERY_PORT in self.unguarded


def by_controller(workloads: Iterable[Workload]) -> Mapping[WorkloadKey, tuple[Workload, ...]]:
    """The shapes of each controller: people know controllers, not shapes. In the order given."""
    found: dict[WorkloadKey, list[Workload]] = {}
    for workload in workloads:
        found.setdefault(workload.key, []).append(workload)
    return {key: tuple(shapes) for key, shapes in found.items()}


class Mesh(Struct, frozen=True, kw_only=True):
    """A mesh in a cluster. `translator` is the plug-in that detected it; `name` is `istio` or
    `istio-<revision>`.

    `version` is the control plane's (e.g. 1.30.3, "" if unknown); `root_namespace` is where mesh-wide objects
    live. `settings` are further facts that only the translator reads, all strings. `presumed`: nothing tells
    which pods it serves, so it is taken for those that no other mesh knows, and for their callers.

    `assumed` and `unread` are what detection says of its own reading, for `discovery.continuity` alone, and
    empty in facts: the names of values that are the mesh's defaults because nothing says otherwise
    (`trust_domain`, `root_namespace`, keys of `settings`), and why its configuration could not be read ("" =
    it was).
    """

    translator: str
    name: str
    version: str = ""
    revision: str = ""
    namespace: str = ""
    root_namespace: str = ""
    trust_domain: str = ""
    ambient: bool = False
    presumed: bool = False
    settings: Mapping[str, str] = {}
    assumed: tuple[str, ...] = ()
    unread: str = ""


class Caveat(Struct, frozen=True, kw_only=True, order=True):
    """What must be said of a reading of a cluster. `hold` is the id of the hold that it causes, "" where it
    causes none: what depends on the `mesh` ("" = on anything in the cluster) is then left as it is until the
    doubt ends, or while it is `approved`.
    """

    code: str
    text: str
    mesh: str = ""
    hold: str = ""
    hint: str = ""
    approved: bool = False

    @property
    def holds(self) -> bool:
        """Whether something is left as it is for it."""
        return bool(self.hold) and not self.approved


class Remembered(Struct, frozen=True, kw_only=True):
    """What is known of a cluster from before a reading, so that an absence is not taken for an order.

    `meshes` were there, with the values on which names of others depend; `kinds` had objects; `namespaces`
    have objects of ours; `held` are the ids of the holds of the last cycle, `approved` those whose facts
    somebody confirmed. `named` are the ROLLING_LABELS by which policies select pods, which are to be kept;
    `selectors` are those of strangers that name some, each with the namespace of its pods ("" = all).
    """

    meshes: tuple[Mesh, ...] = ()
    kinds: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    selectors: frozenset[tuple[str, Pairs]] = frozenset()


NOTHING_REMEMBERED = Remembered()


class ClusterFacts(Struct, frozen=True, kw_only=True, dict=True):
    """Everything known of one cluster.

    `complete` is false where a part could not be read: what is missing is then unknown, not absent. `uid`
    identifies the cluster (kube-system's uid) so that a repointed configuration is noticed. `seen` are the
    kinds that had objects, of those whose sudden emptiness is not believed. `caveats` are what must be said
    of the reading, and what is held for it. `unusable` names objects that were left out, as no object can
    have their names. `strangers` are objects of a mesh that are not ours, by key. `digest` identifies the
    content; equal digests mean equal facts.
    """

    cluster: str
    uid: str = ""
    labels: Mapping[str, str] = no_items()
    complete: bool = True
    namespaces: Mapping[str, Mapping[str, str]] = {}
    services: tuple[Service, ...] = ()
    service_accounts: frozenset[tuple[str, str]] = frozenset()
    workloads: tuple[Workload, ...] = ()
    meshes: tuple[Mesh, ...] = ()
    kinds: tuple[ApiKind, ...] = ()
    seen: tuple[str, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    unusable: tuple[str, ...] = ()
    strangers: tuple[Stranger, ...] = ()
    digest: str = ""

    @property
    def held(self) -> bool:
        """Whether nothing in the cluster can be decided."""
        return any(caveat.holds and not caveat.mesh for caveat in self.caveats)

    @cached_property
    def held_meshes(self) -> frozenset[str]:
        """The meshes of which nothing can be decided; all where the cluster is held."""
        if self.held:
            return frozenset(mesh.name for mesh in self.meshes)
        return frozenset(caveat.mesh for caveat in self.caveats if caveat.holds)

    @property
    def doubted(self) -> tuple[Mesh, ...]:
        """The meshes of which nothing can be decided."""
        return tuple(mesh for mesh in self.meshes if mesh.name in self.held_meshes)

    @cached_property
    def service_index(self) -> Mapping[tuple[str, str], Service]:
        """(namespace, name) -> Service."""
        return {service.key: service for service in self.services}

    @cached_property
    def is_ambient(self) -> bool:
        """Whether some pods of a mesh have no proxy of their own."""
        return bool(self.ambient_namespaces)

    @cached_property
    def proxied(self) -> tuple[tuple[str, str, bool], ...]:
        """(namespace, ServiceAccount, whether a gateway's) of the workloads with a proxy of their own, in a
        cluster where others have none, sorted; else empty."""
        if not self.is_ambient:
            return ()
        own = (w for w in self.workloads if w.mesh and w.dataplane == "sidecar")
        return tuple(sorted({(w.namespace, w.service_account, w.router) for w in own}))

    @cached_property
    def ambient_namespaces(self) -> tuple[str, ...]:
        """Where pods of a mesh have no proxy of their own, sorted."""
        found = {w.namespace for w in self.workloads if w.mesh and w.dataplane == "ambient"}
        return tuple(sorted(found))

    @cached_property
    def workloads_by_namespace(self) -> Mapping[str, tuple[Workload, ...]]:
        """namespace -> its workloads."""
        index: dict[str, list[Workload]] = {}
        for workload in self.workloads:
            index.setdefault(workload.namespace, []).append(workload)
        return {namespace: tuple(found) for namespace, found in index.items()}

    @cached_property
    def services_by_namespace(self) -> Mapping[str, tuple[Service, ...]]:
        """namespace -> its Services."""
        index: dict[str, list[Service]] = {}
        for service in self.services:
            index.setdefault(service.namespace, []).append(service)
        return {namespace: tuple(found) for namespace, found in index.items()}

    @cached_property
    def guards_by_namespace(self) -> Mapping[str, tuple[tuple[Stranger, ForeignGuard], ...]]:
        """namespace ("" = all) -> what strangers say of who may call its pods."""
        index: dict[str, list[tuple[Stranger, ForeignGuard]]] = {}
        for stranger in self.strangers:
            for guard in stranger.guards:
                index.setdefault(guard.namespace, []).append((stranger, guard))
        return {namespace: tuple(found) for namespace, found in index.items()}

    @cached_property
    def kind_index(self) -> Mapping[tuple[str, str], ApiKind]:
        """(group, kind) -> what the cluster serves of it."""
        return {(kind.group, kind.kind): kind for kind in self.kinds}

    @cached_property
    def _selecting_keys(self) -> Mapping[str, frozenset[str]]:
        """namespace -> the keys of labels by which its Services, and Allows of strangers, select."""
        return {
            namespace: frozenset(
                (
                    *(key for service in services for key in service.selector),
                    *(key for _, selector in self._closing(namespace) for key in selector),
                )
            )
            for namespace, services in self.services_by_namespace.items()
        }

    def _closing(self, namespace: str) -> _Closing:
        """Strangers' Allows that are about pods of the namespace, with their selectors, one of each."""
        found = self._closing_by_namespace
        return found[namespace] if namespace in found else found[""]

    @cached_property
    def _closing_by_namespace(self) -> Mapping[str, _Closing]:
        index = self.guards_by_namespace
        everywhere = index.get("", ())
        found: dict[str, _Closing] = {}
        for namespace in {"", *index}:
            theirs = (*(index.get(namespace, ()) if namespace else ()), *everywhere)
            first: dict[Pairs, tuple[ObjectKey, Mapping[str, str]]] = {}
            for stranger, guard in theirs:
                if guard.action == "Allow":
                    first.setdefault(tuple(sorted(guard.selector.items())), (stranger.key, guard.selector))
            found[namespace] = tuple(first.values())
        return found

    def closer(self, workload: Workload) -> ObjectKey | None:
        """A stranger's Allow that may select the pods: it closes every port that none admits."""
        theirs = self._closing(workload.namespace)
        return next((key for key, selector in theirs if workload.may_carry(selector)), None)

    def telling(self, workload: Workload) -> Mapping[str, str]:
        """The labels by which the Services of its namespace, and strangers, tell the pods from others."""
        keys = self._selecting_keys.get(workload.namespace, frozenset())
        return {key: value for key, value in sorted(workload.labels.items()) if key in keys}

    def behind(self, service: Service) -> tuple[Workload, ...]:
        """The workloads, shape by shape, whose pods the Service selects; none without a selector."""
        if not service.selector:
            return ()
        wanted = service.selector.items()
        return tuple(
            w for w in self.workloads_by_namespace.get(service.namespace, ()) if wanted <= w.labels.items()
        )

    def mesh(self, name: str) -> Mesh | None:
        """The mesh of that name."""
        return next((mesh for mesh in self.meshes if mesh.name == name), None)

    def meshes_of(self, translator: str) -> tuple[Mesh, ...]:
        """The meshes that a translator writes for."""
        return tuple(mesh for mesh in self.meshes if mesh.translator == translator)


def meaning(facts: ClusterFacts) -> ClusterFacts:
    """Facts that decide alike are equal so: how many pods there are says no more than whether there are
    any.
    """
    counted = (replace(one, pods=min(one.pods, 1)) for one in facts.workloads)
    return replace(facts, workloads=tuple(counted), digest="")
