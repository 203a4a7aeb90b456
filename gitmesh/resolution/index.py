"""Indexes over facts, so that selecting costs what it finds: Services by name, label and namespace, pods
behind Services.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.selectors import DestinationSelector
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import ROLLING_LABELS, Shape, Workload

Key = tuple[str, str]


class Index:
    """One cluster's facts, indexed. Immutable; indexes are built when first asked for."""

    def __init__(self, facts: ClusterFacts) -> None:
        self.facts = facts
        self._behind: dict[Key, tuple[Workload, ...]] = {}
        self._meshes: dict[Key, tuple[str, ...]] = {}
        self._sharing: dict[Key, tuple[Service, ...]] = {}
        self._compatible: dict[Key, tuple[Service, ...]] = {}
        self._peers: dict[
            tuple[str, frozenset[str], frozenset[str]], dict[tuple[str, ...], list[Service]]
        ] = {}

    def service(self, namespace: str, name: str) -> Service | None:
        """The Service of that name."""
        return self.facts.service_index.get((namespace, name))

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Every Namespace that is there."""
        # A folder of manifests need not hold the Namespace objects themselves.
        named: list[Service | Workload] = [*self.facts.services, *self.facts.workloads]
        accounts = (namespace for namespace, _ in self.facts.service_accounts)
        return frozenset(self.facts.namespaces).union((one.namespace for one in named), accounts)

    def selected(self, item: DestinationSelector, default_namespace: str) -> Iterator[Service]:
        """Services that a selector item means; its `clusters` are not looked at."""
        wanted = (item.labels or {}).items()
        return (
            s for s in self._candidates(item, default_namespace) if not wanted or wanted <= s.labels.items()
        )

    def _candidates(self, item: DestinationSelector, default_namespace: str) -> Iterable[Service]:
        namespaces = item.namespaces or ()
        if item.name:
            found = (self.service(namespace, item.name) for namespace in namespaces or (default_namespace,))
            return [service for service in found if service]
        if item.labels:
            # Any one label finds candidates; the sorted first, so that the work is the same at every run.
            pair = next(iter(sorted(item.labels.items())))
            return [s for s in self._by_label.get(pair, ()) if not namespaces or s.namespace in namespaces]
        if namespaces:
            return [
                s
                # A namespace that is named twice must not give its Services twice.
                for namespace in set(namespaces)
                for s in self.facts.services_by_namespace.get(namespace, ())
            ]
        return self.facts.services

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, str], list[Service]]:
        index: dict[tuple[str, str], list[Service]] = {}
        for service in self.facts.services:
            for pair in service.labels.items():
                index.setdefault(pair, []).append(service)
        return index

    def behind(self, service: Service) -> tuple[Workload, ...]:
        """The workloads, shape by shape, whose pods the Service selects, sorted; none for a Service without
        selector.
        """
        if service.key not in self._behind:
            found = self._carrying(service.namespace, service.selector)
            self._behind[service.key] = tuple(sorted(found, key=lambda w: w.shape))
        return self._behind[service.key]

    def _carrying(self, namespace: str, wanted: Mapping[str, str]) -> Iterator[Workload]:
        """The workloads that have all of these labels; none where none are wanted."""
        pairs = (self._workloads_by_label.get((namespace, *pair), []) for pair in sorted(wanted.items()))
        # By the rarest label: the fewest workloads have to be looked at.
        return (w for w in min(pairs, key=len, default=[]) if wanted.items() <= w.labels.items())

    def bearing(self, service: Service) -> tuple[Workload, ...]:
        """The workloads whose ports are those of the Service: its own, or, while it has no pods, those of
        which its pods may be next.
        """
        found = self.behind(service)
        if found or ROLLING_LABELS.isdisjoint(service.selector):
            return found
        # The pods that it selects may only be missing for a moment, as when the one pod of a StatefulSet that
        # has this name is recreated.
        lasting = {key: value for key, value in service.selector.items() if key not in ROLLING_LABELS}
        return tuple(sorted(self._carrying(service.namespace, lasting), key=lambda w: w.shape))

    def unsure(self, service: Service) -> tuple[str, ...]:
        """The keys of labels by which the Service selects and that decide whether it means some pods, while
        the facts have no values of them. Sorted; none but in facts of older versions.
        """
        return tuple(
            sorted(
                key
                for key in service.selector
                for w in self._dropping.get((service.namespace, key), ())
                if w.may_carry(service.selector)
            )
        )

    @cached_property
    def _dropping(self) -> Mapping[Key, list[Workload]]:
        """(namespace, key of a label) -> the workloads with pods of which its value is not known."""
        index: dict[Key, list[Workload]] = {}
        for workload in self.facts.workloads:
            # A template without pods has no value yet for what controllers set, and no Service means it.
            for key in workload.dropped if workload.pods else ():
                index.setdefault((workload.namespace, key), []).append(workload)
        return index

    @cached_property
    def _workloads_by_label(self) -> Mapping[tuple[str, str, str], list[Workload]]:
        index: dict[tuple[str, str, str], list[Workload]] = {}
        for workload in self.facts.workloads:
            for key, value in workload.labels.items():
                index.setdefault((workload.namespace, key, value), []).append(workload)
        return index

    def selecting(self, workload: Workload) -> Sequence[Service]:
        """The Services that select these pods, sorted."""
        return self._selecting.get(workload.shape, ())

    @cached_property
    def carrying(self) -> Mapping[tuple[str, str], list[Workload]]:
        """Label -> the workloads of any namespace that carry it."""
        index: dict[tuple[str, str], list[Workload]] = {}
        for workload in self.facts.workloads:
            for pair in workload.labels.items():
                index.setdefault(pair, []).append(workload)
        return index

    @cached_property
    def running_as(self) -> Mapping[str, list[Workload]]:
        """Name of a ServiceAccount -> the workloads of any namespace that run as one of that name."""
        index: dict[str, list[Workload]] = {}
        for workload in self.facts.workloads:
            index.setdefault(workload.service_account, []).append(workload)
        return index

    @cached_property
    def _selecting(self) -> Mapping[Shape, list[Service]]:
        index: dict[Shape, list[Service]] = {}
        for service in sorted(self.facts.services, key=lambda one: one.key):
            for workload in self.behind(service):
                index.setdefault(workload.shape, []).append(service)
        return index

    def sharing_ports(self, service: Service) -> tuple[Service, ...]:
        """Other Services that reach a port of some pod which this one reaches too, sorted."""
        if service.key not in self._sharing:
            found = {
                other.key: other
                for workload in self.behind(service)
                for other in self.selecting(workload)
                if all_targets(service, [workload]) & all_targets(other, [workload])
            }
            self._sharing[service.key] = tuple(found[key] for key in sorted(found) if key != service.key)
        return self._sharing[service.key]

    def meshes_behind(self, service: Service) -> tuple[str, ...]:
        """The meshes of its pods, sorted."""
        if service.key not in self._meshes:
            self._meshes[service.key] = tuple(
                sorted({workload.mesh for workload in self.behind(service) if workload.mesh})
            )
        return self._meshes[service.key]

    @cached_property
    def _keysets(self) -> Mapping[str, Mapping[frozenset[str], list[Service]]]:
        index: dict[str, dict[frozenset[str], list[Service]]] = {}
        for service in self.facts.services:
            if service.selector:
                index.setdefault(service.namespace, {}).setdefault(frozenset(service.selector), []).append(
                    service
                )
        return index

    def compatible(self, service: Service) -> tuple[Service, ...]:
        """Other Services of the namespace whose selector one pod could meet too: no key has two different
        values. Sorted.
        """
        if service.key not in self._compatible:
            found = self._find_compatible(service) if service.selector else ()
            self._compatible[service.key] = tuple(
                sorted((s for s in found if s.key != service.key), key=lambda s: s.key)
            )
        return self._compatible[service.key]

    def _find_compatible(self, service: Service) -> Iterator[Service]:
        for keys, services in self._keysets.get(service.namespace, {}).items():
            shared = keys.intersection(service.selector)
            # Services are grouped by the keys they select by: comparing each with each would be quadratic
            # in a namespace.
            group = self._peers.get((service.namespace, keys, shared))
            if group is None:
                group = self._peers[service.namespace, keys, shared] = _grouped(services, shared)
            yield from group.get(_values(service, shared), ())

    @cached_property
    def account_namespaces(self) -> Mapping[str, frozenset[str]]:
        """ServiceAccount name -> the namespaces that have one."""
        index: dict[str, set[str]] = {}
        for namespace, name in self.facts.service_accounts:
            index.setdefault(name, set()).add(namespace)
        return {name: frozenset(found) for name, found in index.items()}


def _values(service: Service, keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(service.selector[key] for key in sorted(keys))


def _grouped(services: Iterable[Service], keys: frozenset[str]) -> dict[tuple[str, ...], list[Service]]:
    groups: dict[tuple[str, ...], list[Service]] = {}
    for service in services:
        groups.setdefault(_values(service, keys), []).append(service)
    return groups


class KnownClusters(Struct, frozen=True):
    """Every managed cluster by name; None where its facts are unknown, which is not the same as empty."""

    indexes: Mapping[str, Index | None]

    def known(self, names: Iterable[str] | None = None) -> tuple[tuple[str, Index], ...]:
        """Managed clusters with known facts, of these names (None: of all)."""
        wanted = None if names is None else set(names)
        found = (
            (name, index) for name, index in sorted(self.indexes.items()) if wanted is None or name in wanted
        )
        return tuple((name, index) for name, index in found if index is not None)

    def unknown(self, names: Iterable[str] | None = None) -> tuple[str, ...]:
        """Managed clusters without facts, of these names."""
        wanted = None if names is None else set(names)
        return tuple(
            name
            for name, index in sorted(self.indexes.items())
            if index is None and (wanted is None or name in wanted)
        )

    def unidentified(self) -> tuple[str, ...]:
        """Managed clusters of which it is not known who is who: without facts, or with a mesh whose trust
        domain was not read.
        """
        nameless = (
            name for name, index in self.known() if any(not mesh.trust_domain for mesh in index.facts.doubted)
        )
        return tuple(sorted({*self.unknown(), *nameless}))

    def may_hide(self, names: Iterable[str] | None = None) -> bool:
        """Whether something that was not found may still be there: facts of these clusters are unknown or
        incomplete.
        """
        chosen = None if names is None else tuple(names)
        return bool(self.unknown(chosen)) or any(not index.facts.complete for _, index in self.known(chosen))


def port_of(service: Service, reference: int | str) -> ServicePort | None:
    """The Service's port of this number or name."""
    return next((port for port in service.ports if reference in (port.number, port.name or None)), None)


def targets(port: ServicePort, workloads: Iterable[Workload]) -> frozenset[int]:
    """The workload port numbers behind a Service port; a named one may differ by workload and by pod, and be
    none at all.
    """
    if isinstance(port.target, int):
        # Kubernetes, ServicePort.targetPort: without one it is the port itself.
        return frozenset([port.target or port.number])
    return frozenset(number for workload in workloads for number in workload.numbers(port.target))


def all_targets(service: Service, workloads: Iterable[Workload]) -> frozenset[int]:
    """Every workload port number behind a Service."""
    return all_targets_of(service.ports, workloads)


def all_targets_of(ports: Iterable[ServicePort], workloads: Iterable[Workload]) -> frozenset[int]:
    """Every workload port number behind some ports of a Service."""
    known = tuple(workloads)
    return frozenset(number for port in ports for number in targets(port, known))
