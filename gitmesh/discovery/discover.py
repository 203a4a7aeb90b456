"""Rows of one cluster's objects -> `ClusterFacts`: meshes, workloads and which mesh they are in, Services,
served kinds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from gitmesh.discovery.continuity import emptied, gone_for_good, settled, unread_kinds
from gitmesh.discovery.controlplanes import Homes, detect, homes_of, hooked
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.discovery.metadata import NO_OWNER
from gitmesh.discovery.naming import is_subdomain
from gitmesh.discovery.rows import NamespaceRow, PodRow, PodShape, Reduced, Rows
from gitmesh.discovery.shapes import Selectors, TemplatePods, by_shape
from gitmesh.model.facts import NOTHING_REMEMBERED, ClusterFacts, Mesh, Remembered
from gitmesh.model.features import decides_access
from gitmesh.model.objects import ApiKind
from gitmesh.model.workloads import EVERY_PORT, Workload, WorkloadKey
from gitmesh.ports import Membership, PodFact, Translator

_RUN_OF_CRON = re.compile(r"(.+)-\d{8}")
"""What a CronJob calls its Jobs: its own name, and the minute."""

SPARED = frozenset({"Gateway", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})
"""Kinds without which facts are complete: only verdicts of a mesh, the end of a hold by itself, or whether a
gateway is one, wait for them."""


def assemble(
    cluster: str,
    labels: Mapping[str, str],
    rows: Iterable[Reduced],
    translators: Sequence[Translator],
    *,
    uid: str = "",
    unread: Collection[str] = (),
    complete: bool = True,
    assumed: Iterable[ApiKind] = (),
    homes: Homes | None = None,
    remembered: Remembered = NOTHING_REMEMBERED,
) -> ClusterFacts:
    """The facts of a cluster, whatever the order of its rows.

    `uid` defaults to that of the Namespace kube-system. `unread` are kinds whose list was refused
    (`ConfigMap/namespace/name` for a single one), `complete` is false where some other object could not be
    read. `assumed` are kinds that are served although no CustomResourceDefinition says so. `homes` are the
    namespaces where control planes count, by translator. `remembered` is what was known before: what is
    missing now and was there then is not taken for an order (`continuity`).
    """
    sorted_rows = Rows.of(rows)
    homes = homes if homes is not None else homes_of(translators)
    detected = detect(sorted_rows, translators, homes, unread)
    # Before pods are asked for their mesh: a mesh that is away is put back first, so that its pods stay in
    # it.
    meshes, said = settled(cluster, detected.meshes, detected.elsewhere, remembered, homes)
    pods_in = sorted_rows.pods_in(remembered.namespaces - detected.homes)
    seen, emptiness = emptied(cluster, sorted_rows.counts(), unread, pods_in, remembered)
    members = _Members(translators, meshes, sorted_rows, detected.homes)
    workloads = _workloads(sorted_rows, members, remembered)
    whole = complete and SPARED.issuperset(unread)
    # That no pod speaks of a mesh any more is believed only of a reading in which pods were seen: a cluster
    # without one is a folder that is not mounted, or an answer that will be another one soon.
    if whole and not emptiness and sorted_rows.pods:
        gone = gone_for_good(said, workloads, hooked(sorted_rows, translators, meshes, unread))
        said = [caveat for caveat in said if caveat.mesh not in gone]
        meshes = tuple(mesh for mesh in meshes if mesh.name not in gone)
    kinds = {(kind.group, kind.kind): kind for kind in (*assumed, *sorted_rows.kinds)}
    return with_digest(
        ClusterFacts(
            cluster=cluster,
            uid=uid or cluster_uid(sorted_rows.namespaces),
            labels=dict(sorted(labels.items())),
            complete=whole,
            namespaces={
                row.name: dict(row.labels) for row in sorted(sorted_rows.namespaces, key=lambda row: row.name)
            },
            services=tuple(sorted(sorted_rows.services, key=lambda service: service.key)),
            service_accounts=frozenset((row.namespace, row.name) for row in sorted_rows.accounts),
            workloads=workloads,
            meshes=meshes,
            kinds=tuple(kinds[key] for key in sorted(kinds)),
            seen=seen,
            caveats=tuple(sorted((*said, *unread_kinds(cluster, unread), *emptiness))),
        )
    )


def cluster_uid(rows: Iterable[Reduced]) -> str:
    """The uid of the Namespace kube-system: what identifies a cluster. "" if it was not read."""
    return next((row.uid for row in rows if isinstance(row, NamespaceRow) and row.name == "kube-system"), "")


class _Members:
    """Answers which mesh pods are in; the first translator that knows them decides, and one that presumes it
    only where none does (`Mesh.presumed`). `homes` are where control planes may be.
    """

    def __init__(
        self, translators: Sequence[Translator], meshes: Sequence[Mesh], rows: Rows, homes: frozenset[str]
    ) -> None:
        self._homes = homes
        self._owned = _owned_by_gateways(rows)
        self._presumed = {mesh.name for mesh in meshes if mesh.presumed}
        self._controlling = {mesh.namespace for mesh in meshes}
        own = ((t, tuple(mesh for mesh in meshes if mesh.translator == t.name)) for t in translators)
        self._translators = tuple((translator, found) for translator, found in own if found)
        self._namespaces = {row.name: dict(row.labels) for row in rows.namespaces}

    def of(self, namespace: str, name: str, shape: PodShape) -> Membership | None:
        """The membership of pods of this shape."""
        pod, labels = _pod_fact(namespace, name, shape), self._namespaces.get(namespace, {})
        answers = [
            _seen(answer, translator)
            for translator, meshes in self._translators
            if (answer := translator.member(pod, labels, meshes)) is not None
        ]
        # False sorts first: an answer of a mesh that only presumes the pod is its own counts where no other
        # does.
        found = min(answers, key=lambda answer: answer.mesh in self._presumed, default=None)
        # A control plane is in no mesh, not even in one of which nothing tells whom it serves.
        beside = namespace in self._controlling and found is not None and found.mesh in self._presumed
        return None if beside else found

    def is_gateway(self, workload: WorkloadKey) -> bool:
        """Whether pods that are set up as a gateway's are one's."""
        # Pods could claim anything of themselves: only a namespace where control planes may be, or an owner
        # that is a gateway, counts.
        return workload[1] in self._homes or workload in self._owned


def _seen(answer: Membership, translator: Translator) -> Membership:
    """In a mesh that has no say in who may call, nobody guards a pod's ports."""
    # Said of the pods and not left to each reader: else an Allow would be thought in force there.
    return answer if decides_access(translator.supports) else replace(answer, unguarded=(EVERY_PORT,))


def _owned_by_gateways(rows: Rows) -> frozenset[WorkloadKey]:
    """The workloads that a controller made for a Gateway of the Gateway API that it has programmed."""
    programmed = {(row.namespace, row.name) for row in rows.gateways if row.programmed}
    return frozenset(
        (row.kind, row.namespace, row.name)
        for row in rows.controllers
        if (row.namespace, row.gateway) in programmed
    )


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
        probes={c.name: c.probes for c in (*shape.containers, *shape.init_containers) if c.probes},
        host_network=shape.host_network,
    )


class _Group(Struct):
    """The pods of one workload: how many there are of each template, and on which nodes."""

    pods: Counter[PodShape] = field(default_factory=Counter)
    nodes: dict[PodShape, set[str]] = field(default_factory=lambda: defaultdict(set))


def _workloads(rows: Rows, members: _Members, remembered: Remembered) -> tuple[Workload, ...]:
    groups = _groups(rows)
    for row in rows.controllers:
        if row.template is not None and (key := (row.kind, row.namespace, row.name)) not in groups:
            # A controller that is scaled to nothing: its policies must be there when it comes up.
            groups[key] = _Group(pods=Counter({row.template: 0}))
    localities = {row.name: row.locality for row in rows.nodes}
    theirs = ((namespace, dict(pairs)) for namespace, pairs in remembered.selectors)
    own = ((one.namespace, one.selector) for one in rows.services)
    selectors = Selectors((*own, *theirs), remembered.named)
    made = (
        workload
        for key, group in groups.items()
        for workload in by_shape(key, _template_pods(key, group, localities, members), selectors)
    )
    return tuple(sorted(made, key=lambda workload: workload.shape))


def _groups(rows: Rows) -> dict[WorkloadKey, _Group]:
    replica_sets = {
        (row.namespace, row.name): row.owner for row in rows.controllers if row.kind == "ReplicaSet"
    }
    groups: dict[WorkloadKey, _Group] = {}
    for pod in rows.pods:
        kind, name = _controller_of(pod, replica_sets)
        group = groups.setdefault((kind, pod.namespace, name), _Group())
        group.pods[pod.shape] += 1
        group.nodes[pod.shape].add(pod.node)
    return groups


def _template_pods(
    key: WorkloadKey, group: _Group, localities: Mapping[str, str], members: _Members
) -> Iterator[TemplatePods]:
    _, namespace, name = key
    for template, pods in group.pods.items():
        yield TemplatePods(
            template=template,
            pods=pods,
            localities=frozenset(localities[node] for node in group.nodes[template] if node in localities),
            member=members.of(namespace, name, template),
            is_gateway=members.is_gateway(key),
        )


def _controller_of(pod: PodRow, replica_sets: Mapping[tuple[str, str], tuple[str, str]]) -> tuple[str, str]:
    """(kind, name) of the workload: what owns the pod, and what owns its ReplicaSet; a Job that a CronJob
    made is one of its runs.
    """
    kind, name = pod.owner
    # A static pod is owned by its Node, which is no workload. An owner whose name no object can have is a
    # mistake or a trick, and must not hide the pod.
    if pod.owner == NO_OWNER or kind == "Node" or not is_subdomain(name):
        return "Pod", pod.name
    # Each run is a Job of its own name; facts that followed them would change with every run.
    if kind == "Job" and (run := _RUN_OF_CRON.fullmatch(name)):
        return "CronJob", run[1]
    if kind != "ReplicaSet":
        return pod.owner
    owner = replica_sets.get((pod.namespace, name))
    if owner is not None:
        return pod.owner if owner == NO_OWNER else owner
    # Where the ReplicaSet is not at hand, its name tells the Deployment, if the pod's hash confirms it.
    stem, _, suffix = name.rpartition("-")
    return (
        ("Deployment", stem)
        if stem and dict(pod.shape.labels).get("pod-template-hash") == suffix
        else pod.owner
    )
