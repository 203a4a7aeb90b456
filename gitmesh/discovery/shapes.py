"""Pods of one controller by their shape: those that agree in everything by which a Service, a policy or a
mesh may tell pods apart.

Controllers set some labels anew for each rollout or each pod. Such a label is kept where a selector names it
and its other labels fit, as for a Service of a single pod of a StatefulSet, or of one generation of a
blue-green rollout; else it is dropped by name, so that facts stay the same while equal pods come and go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.discovery.rows import PodShape
from gitmesh.model.workloads import ROLLING_LABELS, Pairs, Shape, Workload, WorkloadKey
from gitmesh.ports import Membership

_TEMPLATED = frozenset({"pod-template-hash"})
_COUNTED = frozenset(
    {"apps.kubernetes.io/pod-index", "controller-revision-hash", "statefulset.kubernetes.io/pod-name"}
)
# Selectors of one namespace whose other labels are looked at. Where there are more, every pod keeps what they
# name, so that the work stays bounded.
_MOST_SELECTORS = 1_000
_GIVEN: Mapping[str, frozenset[str]] = {
    "Deployment": _TEMPLATED,
    "ReplicaSet": _TEMPLATED,
    "StatefulSet": _COUNTED,
    "DaemonSet": frozenset({"controller-revision-hash", "pod-template-generation"}),
}
"""By the kind of a controller the labels that it adds to those of its template (Kubernetes, 'Well-Known
Labels')."""


class Selectors:
    """The selectors of a cluster, of Services and of strangers, each with the namespace of the pods that it
    may mean ("" = all), that name labels which controllers set anew.
    """

    def __init__(
        self, selectors: Iterable[tuple[str, Mapping[str, str]]], everywhere: frozenset[str] = frozenset()
    ) -> None:
        """`everywhere` are the keys of such labels that are named of any pods."""
        self._everywhere = everywhere
        self._naming: dict[str, set[tuple[frozenset[str], frozenset[tuple[str, str]]]]] = defaultdict(set)
        for namespace, selector in selectors:
            if named := ROLLING_LABELS.intersection(selector):
                others = frozenset(pair for pair in selector.items() if pair[0] not in named)
                self._naming[namespace].add((named, others))
        for namespace, naming in self._naming.items():
            # Services are a tenant's to make. Without the other labels more is kept than needed, which is
            # safe.
            if len(naming) > _MOST_SELECTORS:
                self._naming[namespace] = {(named, frozenset()) for named, _ in naming}

    def kept(self, namespace: str, labels: Pairs) -> frozenset[str]:
        """Of such labels the keys that decide whether some selector means pods with these labels."""
        naming = (*self._naming.get(namespace, ()), *self._naming.get("", ()))
        carried = frozenset(labels) if naming else frozenset[tuple[str, str]]()
        # A label that no fitting selector names is dropped: keeping it would make a shape of every pod.
        here = (key for named, others in naming if others <= carried for key in named)
        return self._everywhere.union(here)


class TemplatePods(Struct, frozen=True, kw_only=True):
    """What is known of the pods of one template: how many there are, where, and which mesh they are in."""

    template: PodShape
    pods: int
    localities: frozenset[str]
    member: Membership | None
    is_gateway: bool


def by_shape(key: WorkloadKey, templates: Iterable[TemplatePods], selectors: Selectors) -> Iterator[Workload]:
    """The shapes of one controller."""
    found: dict[Shape, Workload] = {}
    for one in templates:
        workload = _workload(key, one, selectors)
        other = found.get(workload.shape)
        found[workload.shape] = workload if other is None else _together(other, workload)
    yield from found.values()


def _together(one: Workload, other: Workload) -> Workload:
    localities = tuple(sorted({*one.localities, *other.localities}))
    return replace(one, pods=one.pods + other.pods, localities=localities)


def _workload(key: WorkloadKey, one: TemplatePods, selectors: Selectors) -> Workload:
    kind, namespace, name = key
    labels, dropped = _labels(kind, namespace, one, selectors)
    member = one.member
    return Workload(
        kind=kind,
        namespace=namespace,
        name=name,
        labels=labels,
        dropped=dropped,
        service_account=one.template.service_account,
        ports=named_ports(one.template),
        mesh=member.mesh if member else "",
        dataplane=member.dataplane if member else "sidecar",
        gateway=member is not None and member.gateway and one.is_gateway,
        router=member is not None and member.gateway,
        native_sidecar=member is not None and member.native_sidecar,
        localities=tuple(sorted(one.localities)),
        pods=one.pods,
        unguarded=member.unguarded if member else (),
        probes=member.probes if member else (),
    )


def _labels(
    kind: str, namespace: str, one: TemplatePods, selectors: Selectors
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The labels that are kept, and the keys of those that are not; without pods nobody knows what their
    controller will add."""
    labels = one.template.labels
    rolling = ROLLING_LABELS - selectors.kept(namespace, labels)
    dropped = {key for key, _ in labels if key in rolling}
    to_come = _GIVEN.get(kind, frozenset()) if not one.pods else frozenset[str]()
    return {key: value for key, value in labels if key not in rolling}, tuple(sorted(dropped | to_come))


def named_ports(template: PodShape) -> dict[str, int]:
    """The numbers of the named ports of containers and native sidecars. A name that several have means the
    first of the Service port's protocol, containers before sidecars (Kubernetes, podutil.FindPort); nobody
    guards other protocols than TCP, so their ports count where the name is no other.
    """
    # Other init containers have ended before the pod takes any request.
    sidecars = (container for container in template.init_containers if container.sidecar)
    ports = [port for container in (*template.containers, *sidecars) for port in container.ports]
    found: dict[str, int] = {}
    for port in sorted(ports, key=lambda one: not one.tcp):
        found.setdefault(port.name, port.number)
    return dict(sorted(found.items()))
