"""Pods as discovered, by shape: those of one controller that agree in what decides are one workload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from gitmesh.model.empty import no_items


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
Shape: TypeAlias = tuple[WorkloadKey, tuple[object, ...]]
"""A workload, and all that its pods of one shape agree in."""


class Probe(Struct, frozen=True, kw_only=True, order=True):
    """A probe, or a hook of a container's life, by which a kubelet asks a container port by HTTP, without
    query, or by gRPC."""

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
    # As Kubernetes has it for pods that name none.
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
        # How many there are, and where they run, tells no pods apart.
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
        """Whether policies decide how its own requests go."""
        # It takes a proxy, and not a gateway's, which has routes of its own.
        return bool(self.mesh) and not self.router

    def numbers(self, port: str) -> frozenset[int]:
        """The number of a container port's name; none where the pods have no such port."""
        return frozenset((self.ports[port],) if port in self.ports else ())

    def may_carry(self, wanted: Mapping[str, str]) -> bool:
        """Whether the pods may have all of these labels, of which some may not be known."""
        # A value that was dropped may be the wanted one: what is unknown is not taken for a no.
        return all(self.labels.get(key) == value or key in self.dropped for key, value in wanted.items())

    def guards(self, port: int) -> bool:
        """Whether the proxies see what comes to a container port."""
        return not any(ports.first <= port <= ports.last for ports in self.unguarded)

    @property
    def guards_none(self) -> bool:
        """Whether no port is guarded: the mesh has no say in who may call, or its proxies see nothing."""
        return EVERY_PORT in self.unguarded


def by_controller(workloads: Iterable[Workload]) -> Mapping[WorkloadKey, tuple[Workload, ...]]:
    """The shapes of each controller, in the order given."""
    # People know controllers, and not shapes.
    found: dict[WorkloadKey, list[Workload]] = {}
    for workload in workloads:
        found.setdefault(workload.key, []).append(workload)
    return {key: tuple(shapes) for key, shapes in found.items()}
