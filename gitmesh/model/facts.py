"""What was discovered in a cluster. Facts hold no secrets and never the objects that GitMesh wrote."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.objects import ApiKind

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
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = {}
    selector: Mapping[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    type: str = "ClusterIP"
    headless: bool = False
    alias: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return (self.namespace, self.name)


class PortRange(Struct, frozen=True, kw_only=True, order=True):
    """Container ports from `first` to `last`, both included."""

    first: int
    last: int


ROLLING_LABELS = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "controller-revision-hash",
        "controller-uid",
        "pod-template-generation",
        "pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
    }
)
"""Labels that controllers set anew with each rollout: facts leave them out, and should not change with them.
"""


class Workload(Struct, frozen=True, kw_only=True):
    """Pods of one controller (or one bare pod): Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or Pod.

    `labels` are those that all of its pods share, `differing` the keys of others; `ports` maps container port
    names to numbers, as most of its pods have them, `further` to those that others have, as in the middle of
    a rollout; `mesh` names the mesh whose proxy the pods carry ("" = none). `router` marks a proxy that is
    set up as a gateway's, by what the pods say of themselves, `gateway` one that is a gateway by more than
    that: it is in a control plane's namespace, or a programmed Gateway owns it. Nothing guards `bare`, which
    counts the pods that carry no proxy although others do, nor `unguarded`, the container ports whose
    requests some pod's proxy does not see.
    """

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str] = {}
    differing: tuple[str, ...] = ()
    service_account: str = "default"
    ports: Mapping[str, int] = {}
    further: Mapping[str, tuple[int, ...]] = {}
    mesh: str = ""
    gateway: bool = False
    router: bool = False
    native_sidecar: bool = False
    localities: tuple[str, ...] = ()
    pods: int = 0
    bare: int = 0
    unguarded: tuple[PortRange, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, name)."""
        return (self.kind, self.namespace, self.name)

    def numbers(self, port: str) -> frozenset[int]:
        """The numbers of a container port's name, on whichever of its pods."""
        return frozenset(self.further.get(port, ())).union((self.ports[port],) if port in self.ports else ())

    def may_carry(self, wanted: Mapping[str, str]) -> bool:
        """Whether some of its pods may have all of these labels."""
        unknown = ROLLING_LABELS.union(self.differing)
        return all(self.labels.get(key) == value or key in unknown for key, value in wanted.items())

    def guards(self, port: int) -> bool:
        """Whether the proxies see what comes to a container port."""
        return not any(ports.first <= port <= ports.last for ports in self.unguarded)


class Mesh(Struct, frozen=True, kw_only=True):
    """A mesh in a cluster. `translator` is the plug-in that detected it; `name` is `istio` or
    `istio-<revision>`.

    `version` is the control plane's (e.g. 1.30.3, "" if unknown); `root_namespace` is where mesh-wide objects
    live. `settings` are further facts that only the translator reads, all strings.

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
    somebody confirmed.
    """

    meshes: tuple[Mesh, ...] = ()
    kinds: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()


NOTHING_REMEMBERED = Remembered()


class ClusterFacts(Struct, frozen=True, kw_only=True, dict=True):
    """Everything known of one cluster.

    `complete` is false where a part could not be read: what is missing is then unknown, not absent. `uid`
    identifies the cluster (kube-system's uid) so that a repointed configuration is noticed. `seen` are the
    kinds that had objects, of those whose sudden emptiness is not believed. `caveats` are what must be said
    of the reading, and what is held for it. `unusable` names objects that were left out, as no object can
    have their names. `digest` identifies the content; equal digests mean equal facts.
    """

    cluster: str
    uid: str = ""
    labels: Mapping[str, str] = {}
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
    def kind_index(self) -> Mapping[tuple[str, str], ApiKind]:
        """(group, kind) -> what the cluster serves of it."""
        return {(kind.group, kind.kind): kind for kind in self.kinds}

    def behind(self, service: Service) -> tuple[Workload, ...]:
        """The workloads whose pods the Service selects; none for a Service without selector."""
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
    counted = (replace(one, pods=min(one.pods, 1), bare=min(one.bare, 1)) for one in facts.workloads)
    return replace(facts, workloads=tuple(counted), digest="")
