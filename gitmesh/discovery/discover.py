"""Rows of one cluster's objects -> `ClusterFacts`: meshes, workloads and which mesh they are in, Services, served kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from gitmesh.discovery.crd import schema_fields
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.discovery.naming import is_placed
from gitmesh.discovery.reducer import NO_OWNER, Reducer
from gitmesh.discovery.rows import (
    FACT_KINDS,
    AccountRow,
    ConfigRow,
    ControllerRow,
    NamespaceRow,
    NodeRow,
    PodRow,
    PodShape,
    Reduced,
    ValidatorRow,
)
from gitmesh.model.facts import ClusterFacts, Mesh, Service, Workload
from gitmesh.model.objects import ApiKind, Body
from gitmesh.ports import ControlObjects, Membership, PodFact, Translator

__all__ = ["FACT_KINDS", "Reduced", "Reducer", "assemble", "cluster_uid", "schema_fields", "wanted_configmaps"]

_ROLLING = frozenset(
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
"""Labels that controllers set anew with each rollout: nobody selects by them, and facts should not change with them."""


def assemble(
    cluster: str,
    labels: Mapping[str, str],
    rows: Iterable[Reduced],
    translators: Sequence[Translator],
    *,
    uid: str = "",
    complete: bool = True,
    assumed: Iterable[ApiKind] = (),
) -> ClusterFacts:
    """The facts of a cluster, whatever the order of its rows.

    `uid` defaults to that of the Namespace kube-system. `assumed` are kinds that are served although no
    CustomResourceDefinition says so.
    """
    sorted_rows = _Rows.of(rows)
    meshes = _meshes(sorted_rows, translators)
    kinds = {(kind.group, kind.kind): kind for kind in (*assumed, *sorted_rows.kinds)}
    return with_digest(
        ClusterFacts(
            cluster=cluster,
            uid=uid or cluster_uid(sorted_rows.namespaces),
            labels=dict(sorted(labels.items())),
            complete=complete,
            namespaces={row.name: dict(row.labels) for row in sorted(sorted_rows.namespaces, key=lambda row: row.name)},
            services=tuple(sorted(sorted_rows.services, key=lambda service: service.key)),
            service_accounts=frozenset((row.namespace, row.name) for row in sorted_rows.accounts),
            workloads=_workloads(sorted_rows, _Members(translators, meshes, sorted_rows)),
            meshes=meshes,
            kinds=tuple(kinds[key] for key in sorted(kinds)),
        )
    )


def wanted_configmaps(rows: Iterable[Reduced], translators: Sequence[Translator]) -> tuple[tuple[str, str], ...]:
    """(namespace, name) of the ConfigMaps that hold the settings of the control planes among the rows, sorted."""
    deployments = [row for row in rows if isinstance(row, ControllerRow) and row.kind == "Deployment"]
    wanted = {(row.namespace, name) for row in deployments for t in translators for name in t.configured_by(_control_body(row))}
    return tuple(sorted(key for key in wanted if is_placed(*key)))


def cluster_uid(rows: Iterable[Reduced]) -> str:
    """The uid of the Namespace kube-system: what identifies a cluster. "" if it was not read."""
    return next((row.uid for row in rows if isinstance(row, NamespaceRow) and row.name == "kube-system"), "")


class _Rows(Struct):
    """Rows by kind."""

    namespaces: list[NamespaceRow] = []
    accounts: list[AccountRow] = []
    nodes: list[NodeRow] = []
    configs: list[ConfigRow] = []
    validators: list[ValidatorRow] = []
    pods: list[PodRow] = []
    controllers: list[ControllerRow] = []
    services: list[Service] = []
    kinds: list[ApiKind] = []

    @classmethod
    def of(cls, rows: Iterable[Reduced]) -> _Rows:
        found = cls()
        places: dict[type, list[Any]] = {
            NamespaceRow: found.namespaces,
            AccountRow: found.accounts,
            NodeRow: found.nodes,
            ConfigRow: found.configs,
            ValidatorRow: found.validators,
            PodRow: found.pods,
            ControllerRow: found.controllers,
            Service: found.services,
            ApiKind: found.kinds,
        }
        for row in rows:
            places[type(row)].append(row)
        return found


def _meshes(rows: _Rows, translators: Sequence[Translator]) -> tuple[Mesh, ...]:
    objects = ControlObjects(
        deployments=_control_bodies(rows, "Deployment"),
        daemonsets=_control_bodies(rows, "DaemonSet"),
        configmaps={(row.namespace, row.name): row.body for row in sorted(rows.configs, key=lambda row: (row.namespace, row.name))},
        namespaces={row.name: dict(row.labels) for row in sorted(rows.namespaces, key=lambda row: row.name)},
        validators=tuple(row.body for row in sorted(rows.validators, key=lambda row: row.name)),
    )
    found = [mesh for translator in translators for mesh in translator.detect(objects)]
    return tuple(sorted(found, key=lambda mesh: (mesh.name, mesh.translator)))


def _control_bodies(rows: _Rows, kind: str) -> tuple[Body, ...]:
    chosen = (row for row in rows.controllers if row.kind == kind and is_placed(row.namespace, row.name))
    return tuple(_control_body(row) for row in sorted(chosen, key=lambda row: (row.namespace, row.name)))


def _control_body(row: ControllerRow) -> Body:
    """What detection reads of a Deployment or DaemonSet, in the shape of the object."""
    shape = row.template
    containers = [
        {"name": c.name, "image": c.image, "args": list(c.args), "env": [{"name": name, "value": value} for name, value in env]}
        for c, env in zip(shape.containers if shape else (), row.env, strict=True)
    ]
    template = {
        "metadata": {"labels": dict(shape.labels if shape else ()), "annotations": dict(shape.annotations if shape else ())},
        "spec": {"serviceAccountName": shape.service_account if shape else "", "containers": containers},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": row.kind,
        "metadata": {"namespace": row.namespace, "name": row.name, "labels": dict(row.labels)},
        "spec": {"template": template},
    }


class _Members:
    """Answers which mesh pods are in; the first translator that knows them decides."""

    def __init__(self, translators: Sequence[Translator], meshes: Sequence[Mesh], rows: _Rows) -> None:
        own = ((t, tuple(mesh for mesh in meshes if mesh.translator == t.name)) for t in translators)
        self._translators = tuple((translator, found) for translator, found in own if found)
        self._namespaces = {row.name: dict(row.labels) for row in rows.namespaces}

    def of(self, namespace: str, name: str, shape: PodShape) -> Membership | None:
        """The membership of pods of this shape."""
        pod, labels = _pod_fact(namespace, name, shape), self._namespaces.get(namespace, {})
        answers = (translator.member(pod, labels, meshes) for translator, meshes in self._translators)
        return next((answer for answer in answers if answer is not None), None)


def _pod_fact(namespace: str, name: str, shape: PodShape) -> PodFact:
    return PodFact(
        namespace=namespace,
        name=name,
        labels=dict(shape.labels),
        annotations=dict(shape.annotations),
        service_account=shape.service_account,
        containers=tuple((c.name, c.image) for c in shape.containers),
        init_containers=tuple((c.name, c.image) for c in shape.init_containers),
        args={c.name: c.args for c in (*shape.containers, *shape.init_containers)},
    )


class _Group(Struct):
    """The pods of one workload: how many there are of each shape, and on which nodes."""

    shapes: Counter[PodShape] = field(default_factory=Counter)
    nodes: set[str] = set()


def _workloads(rows: _Rows, members: _Members) -> tuple[Workload, ...]:
    replica_sets = {(row.namespace, row.name): row.owner for row in rows.controllers if row.kind == "ReplicaSet"}
    groups: dict[tuple[str, str, str], _Group] = {}
    for pod in rows.pods:
        kind, name = _controller_of(pod, replica_sets)
        group = groups.setdefault((kind, pod.namespace, name), _Group())
        group.shapes[pod.shape] += 1
        group.nodes.add(pod.node)
    idle = {(row.kind, row.namespace, row.name): row.template for row in rows.controllers if row.template is not None}
    localities = {row.name: row.locality for row in rows.nodes}
    made = [_workload(key, group.shapes, sum(group.shapes.values()), group.nodes, localities, members) for key, group in groups.items()]
    made += [_workload(key, {shape: 1}, 0, (), localities, members) for key, shape in idle.items() if key not in groups]
    return tuple(sorted(made, key=lambda workload: workload.key))


def _controller_of(pod: PodRow, replica_sets: Mapping[tuple[str, str], tuple[str, str]]) -> tuple[str, str]:
    """(kind, name) of the workload: what owns the pod, and what owns its ReplicaSet, which the pod's name tells where the
    ReplicaSet is not at hand. A static pod, owned by its Node, stands alone."""
    kind, name = pod.owner
    if pod.owner == NO_OWNER or kind == "Node":
        return "Pod", pod.name
    if kind != "ReplicaSet":
        return pod.owner
    owner = replica_sets.get((pod.namespace, name))
    if owner is not None:
        return pod.owner if owner == NO_OWNER else owner
    stem, _, suffix = name.rpartition("-")
    return ("Deployment", stem) if stem and dict(pod.shape.labels).get("pod-template-hash") == suffix else pod.owner


def _workload(
    key: tuple[str, str, str],
    shapes: Mapping[PodShape, int],
    pods: int,
    nodes: Iterable[str],
    localities: Mapping[str, str],
    members: _Members,
) -> Workload:
    kind, namespace, name = key
    known = [(answer, count) for shape, count in shapes.items() if (answer := members.of(namespace, name, shape))]
    mesh = _commonest((answer.mesh, count) for answer, count in known)
    chosen = [answer for answer, _ in known if answer.mesh == mesh]
    return Workload(
        kind=kind,
        namespace=namespace,
        name=name,
        labels=_common_labels(shapes),
        service_account=_commonest((shape.service_account, count) for shape, count in shapes.items()),
        ports=_named_ports(shapes),
        mesh=mesh,
        gateway=any(answer.gateway for answer in chosen),
        native_sidecar=bool(chosen) and all(answer.native_sidecar for answer in chosen),
        localities=tuple(sorted({localities[node] for node in nodes if node in localities})),
        pods=pods,
        bare=pods - sum(count for _, count in known) if known else 0,
        unguarded=tuple(sorted({ports for answer, _ in known for ports in answer.unguarded})),
    )


def _commonest(counted: Iterable[tuple[str, int]]) -> str:
    """The value with the greatest count, the least value among equals; "" of nothing."""
    totals: Counter[str] = Counter()
    for value, count in counted:
        totals[value] += count
    return min(totals, key=lambda value: (-totals[value], value), default="")


def _common_labels(shapes: Iterable[PodShape]) -> dict[str, str]:
    common = set.intersection(*(set(shape.labels) for shape in shapes))
    return {key: value for key, value in sorted(common) if key not in _ROLLING}


def _named_ports(shapes: Mapping[PodShape, int]) -> dict[str, int]:
    """Container port names of containers and native sidecars. Where pods disagree, those of the commonest template win."""
    ports: dict[str, int] = {}
    for shape in sorted(shapes, key=lambda shape: (shapes[shape], repr(shape))) if len(shapes) > 1 else shapes:
        sidecars = (container for container in shape.init_containers if container.sidecar)
        for container in (*sidecars, *shape.containers):
            ports.update(container.ports)
    return dict(sorted(ports.items()))
