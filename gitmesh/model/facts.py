"""What was discovered in a cluster. Facts hold no secrets and never the objects that GitMesh wrote."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct

from gitmesh.model.objects import ApiKind

_NOT_HTTP = frozenset({"tcp", "udp", "sctp", "tls", "https", "mongo", "redis", "mysql", "kubernetes.io/wss"})


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
    def http(self) -> bool:
        """Whether a proxy sees requests on it; a port without a protocol is sniffed, so it may."""
        return self.protocol not in _NOT_HTTP


class Service(Struct, frozen=True, kw_only=True):
    """A Service: what a destination is. `selector` empty means that its endpoints are made by hand."""

    namespace: str
    name: str
    labels: Mapping[str, str] = {}
    selector: Mapping[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    type: str = "ClusterIP"
    headless: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return (self.namespace, self.name)


class PortRange(Struct, frozen=True, kw_only=True, order=True):
    """Container ports from `first` to `last`, both included."""

    first: int
    last: int


class Workload(Struct, frozen=True, kw_only=True):
    """Pods of one controller (or one bare pod): Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or Pod.

    `labels` are those that all of its pods share; `ports` maps container port names to numbers; `mesh` names the
    mesh whose proxy the pods carry ("" = none); `gateway` marks a proxy that is an ingress, egress or east-west gateway.
    Nothing guards `bare`, which counts the pods that carry no proxy although others do, nor `unguarded`, the container ports
    whose requests some pod's proxy does not see.
    """

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str] = {}
    service_account: str = "default"
    ports: Mapping[str, int] = {}
    mesh: str = ""
    gateway: bool = False
    native_sidecar: bool = False
    localities: tuple[str, ...] = ()
    pods: int = 0
    bare: int = 0
    unguarded: tuple[PortRange, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, name)."""
        return (self.kind, self.namespace, self.name)

    def guards(self, port: int) -> bool:
        """Whether the proxies see what comes to a container port."""
        return not any(ports.first <= port <= ports.last for ports in self.unguarded)


class Mesh(Struct, frozen=True, kw_only=True):
    """A mesh in a cluster. `translator` is the plug-in that detected it; `name` is `istio` or `istio-<revision>`.

    `version` is the control plane's (e.g. 1.30.3, "" if unknown); `root_namespace` is where mesh-wide objects live.
    `settings` are further facts that only the translator reads, all strings.
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


class ClusterFacts(Struct, frozen=True, kw_only=True, dict=True):
    """Everything known of one cluster.

    `complete` is false where a part could not be read: what is missing is then unknown, not absent.
    `uid` identifies the cluster (kube-system's uid) so that a repointed configuration is noticed.
    `unusable` names objects that were left out, as no object can have their names.
    `digest` identifies the content; equal digests mean equal facts.
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
    unusable: tuple[str, ...] = ()
    digest: str = ""

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
        return tuple(w for w in self.workloads_by_namespace.get(service.namespace, ()) if wanted <= w.labels.items())

    def mesh(self, name: str) -> Mesh | None:
        """The mesh of that name."""
        return next((mesh for mesh in self.meshes if mesh.name == name), None)

    def meshes_of(self, translator: str) -> tuple[Mesh, ...]:
        """The meshes that a translator writes for."""
        return tuple(mesh for mesh in self.meshes if mesh.translator == translator)
