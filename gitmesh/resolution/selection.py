"""Which Services a policy selects in each cluster, and what its selectors name that is not there
(docs/concepts.md#selectors).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, hold_id, suggest
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.empty import EMPTY, no_items, sealed
from gitmesh.model.kinds import Spec
from gitmesh.model.policies import Policy
from gitmesh.model.selectors import DestinationSelector, WorkloadSelector
from gitmesh.model.services import Service
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.virtualmesh import VirtualMeshSpec
from gitmesh.model.workloads import ROLLING_LABELS
from gitmesh.resolution.index import Index, KnownClusters
from gitmesh.resolution.rules import destination_form
from gitmesh.resolution.sources import (
    empty_namespaces,
    idle_sources,
    missing_accounts,
    near_namespace,
    shown_clusters,
)

_Forms: TypeAlias = Mapping[tuple[str, str], int]
"""Service -> the greatest form by which it was selected."""


class Selection(Struct, frozen=True, kw_only=True):
    """What one policy selects: cluster -> Service key -> the greatest form by which it was selected.

    `held` are destinations named exactly that are missing or may exist unseen, `pending` the clusters where a
    destination names what is not there. `broken`: the policy itself names something that is not there, so
    that every unit it acts on is held. `idle` are, by cluster, the items of `sources` of a TrafficPolicy that
    act on nobody there. `gone` says of clusters that lack a destination which others have that what the
    policy does there is not withdrawn unseen.
    """

    services: Mapping[str, Mapping[tuple[str, str], int]] = {}
    held: tuple[tuple[str, tuple[str, str]], ...] = ()
    pending: frozenset[str] = frozenset()
    broken: bool = False
    idle: Mapping[str, frozenset[int]] = no_items()
    gone: tuple[Diagnostic, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def select(policy: Policy, world: KnownClusters) -> Selection:
    """The destinations of a TrafficPolicy or AccessPolicy in every managed cluster."""
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec | AccessPolicySpec)
    services: dict[str, dict[tuple[str, str], int]] = {}
    held: set[tuple[str, tuple[str, str]]] = set()
    pending: set[str] = set()
    gone: list[Diagnostic] = []
    diagnostics: list[Diagnostic] = []
    for number, item in enumerate(spec.destinations):
        one = _DestinationItem(policy, number, item, world)
        one.add_to(services)
        held |= set(one.held())
        pending |= one.pending()
        diagnostics += one.findings()
        # Routes to a Service that is gone lead nowhere; access that goes with it opens its pods, which may
        # still run.
        gone += one.gone() if isinstance(spec, AccessPolicySpec) else ()
    missing = tuple(missing_accounts(policy, spec, world))
    idle, unseen = idle_sources(policy, spec, world, services)
    said = (
        *diagnostics,
        *unseen,
        *_elsewhere(policy, spec, world),
        *missing,
        *empty_namespaces(policy, spec.sources or (), world),
    )
    return Selection(
        services=_held_once(services),
        held=tuple(sorted(held)),
        pending=sealed(pending),
        # A ServiceAccount that is nowhere is most likely a misspelled one, and the right one would lose its
        # access or keep what it is denied.
        broken=bool(missing),
        idle=idle or EMPTY,
        gone=tuple(gone),
        diagnostics=said,
    )


def _elsewhere(
    policy: Policy, spec: TrafficPolicySpec | AccessPolicySpec, world: KnownClusters
) -> Iterator[Diagnostic]:
    """Selectors of clusters that are configured and not managed here: nothing is to be done for them."""
    sources = spec.sources or () if isinstance(spec, TrafficPolicySpec) else ()
    named: Mapping[str, Sequence[DestinationSelector | WorkloadSelector]] = {
        "destinations": spec.destinations,
        "sources": sources,
    }
    for name, items in named.items():
        for number, item in enumerate(items):
            if item.clusters and world.indexes.keys().isdisjoint(item.clusters):
                text = (
                    f"cluster {' or '.join(item.clusters)} is not managed here: nothing is to be done for it"
                )
                yield policy.origin(name, number).finding("GM215", text)


def _held_once(found: Mapping[str, _Forms]) -> dict[str, _Forms]:
    """The same, in which clusters with equal destinations have one mapping of them."""
    seen: dict[frozenset[tuple[tuple[str, str], int]], _Forms] = {}
    return {cluster: seen.setdefault(frozenset(one.items()), one) for cluster, one in found.items()}


class _DestinationItem:
    """One destination selector in all clusters it may mean."""

    def __init__(self, policy: Policy, number: int, item: DestinationSelector, world: KnownClusters) -> None:
        self.policy, self.number, self.item, self.world = policy, number, item, world
        self.scope = world.known(item.clusters)
        self.found = {
            name: [s.key for s in index.selected(item, policy.namespace)] for name, index in self.scope
        }

    @property
    def namespaces(self) -> tuple[str, ...]:
        return self.item.namespaces or (self.policy.namespace,)

    def add_to(self, services: dict[str, dict[tuple[str, str], int]]) -> None:
        form = destination_form(self.item)
        for cluster, keys in self.found.items():
            forms = services.setdefault(cluster, {})
            for key in keys:
                forms[key] = max(form, forms.get(key, 0))

    def missing(self) -> tuple[str, ...]:
        """Clusters that should have the exactly named Service and, as far as is known, do not."""
        if not self.item.name:
            return ()
        lacking = tuple(name for name, index in self.scope if not self._named(index))
        # Without `clusters` the name means wherever it is: that some clusters lack it is no mistake.
        if self.item.clusters is None and len(lacking) < len(self.scope):
            return ()
        return lacking

    def gone(self) -> Iterator[Diagnostic]:
        """Of each cluster that lacks the exactly named Service while another one has it: to be said where
        objects of ours say that it was there.
        """
        lacking = [name for name, index in self.scope if self.item.name and not self._named(index)]
        # A list that comes back without the Service must not open what an AccessPolicy guards.
        for cluster in lacking if len(lacking) < len(self.scope) else ():
            shown = " or ".join(f"{namespace}/{self.item.name}" for namespace in self.namespaces)
            yield self.policy.origin("destinations", self.number, "name").finding(
                "GM208",
                f"Service {shown} is not in cluster {cluster} any more, though it is elsewhere: what decides"
                " who may call it stays there",
                cluster=cluster,
                hint=(
                    "Put the Service back, or name the other clusters in `clusters`; where it is gone for"
                    " good,"
                ),
                hold=hold_id(cluster, "gone", self.policy.id, self.number, shown),
            )

    def _named(self, index: Index) -> bool:
        return any(index.service(namespace, self.item.name or "") for namespace in self.namespaces)

    def held(self) -> Iterator[tuple[str, tuple[str, str]]]:
        if self.item.name:
            for cluster in (*self.missing(), *self.world.unknown(self.item.clusters)):
                for namespace in self.namespaces:
                    yield cluster, (namespace, self.item.name)

    def pending(self) -> set[str]:
        """Clusters where it names what is not there, or may not be there: what is meant may be what it acted
        on until now.
        """
        return {cluster for cluster, _ in self.held()} | {
            cluster for cluster, _ in self.scope if self.absent()
        }

    def absent(self) -> list[tuple[int, str]]:
        """Namespaces, with their places in the list, that none of its clusters has."""
        named = enumerate(self.item.namespaces or ())
        return [
            (place, name)
            for place, name in named
            if not any(name in index.namespaces for _, index in self.scope)
        ]

    def findings(self) -> Iterator[Diagnostic]:
        missing = self.missing()
        if missing and self.item.clusters:
            for cluster in missing:
                if not self.world.may_hide([cluster]):
                    yield self._absent(f"in cluster {cluster}", cluster)
        elif missing:
            if not self.world.may_hide():
                yield self._absent(
                    "in any managed cluster" if len(missing) > 1 else f"in cluster {missing[0]}", ""
                )
        elif self.scope and not self.world.may_hide(self.item.clusters):
            lost = [self._lost(place, name) for place, name in self.absent()]
            yield from lost or self._nothing()

    def _nothing(self) -> Iterator[Diagnostic]:
        # `all` of nothing is what an empty cluster looks like.
        if not self.item.all and not any(self.found.values()):
            at = self.policy.origin("destinations", self.number)
            yield at.finding("GM209", "this selector finds no Service")

    def _lost(self, place: int, name: str) -> Diagnostic:
        where = ("destinations", self.number, "namespaces", place)
        return self.policy.origin(*where).finding(
            "GM208",
            f"Namespace {name} does not exist in {shown_clusters(self.item.clusters)}",
            hint=near_namespace(self.scope, name),
        )

    def _absent(self, where: str, cluster: str) -> Diagnostic:
        name = self.item.name or ""
        shown = " or ".join(f"{namespace}/{name}" for namespace in self.namespaces)
        return self.policy.origin("destinations", self.number, "name").finding(
            "GM208",
            f"Service {shown} does not exist {where}",
            cluster=cluster,
            hint=near_service(self.world, self.namespaces, name, [cluster] if cluster else None),
        )


def near_service(
    world: KnownClusters, namespaces: Sequence[str], name: str, clusters: Sequence[str] | None = None
) -> str:
    """A did-you-mean from the Services of the namespaces, or else from those of others."""
    keys = sorted({key for _, index in world.known(clusters) for key in index.facts.service_index})
    near = suggest(name, {n for namespace, n in keys if namespace in namespaces})
    if near:
        return near
    # The same name in another namespace is the usual mistake: a reference without one means the policy's
    # own.
    elsewhere = [f"{namespace}/{n}" for namespace, n in keys if n == name]
    return f"did you mean {elsewhere[0]}?" if elsewhere else ""


def missing_port(
    policy: Policy, path: tuple[str | int, ...], service: Service, reference: int | str, cluster: str
) -> Diagnostic:
    """The finding on a port that the Service does not have."""
    names = [port.name for port in service.ports if port.name]
    shown = ", ".join(f"{port.number} {port.name}".strip() for port in service.ports) or "none"
    return policy.origin(*path).finding(
        "GM208",
        f"Service {service.namespace}/{service.name} has no port {reference}; it has {shown}",
        cluster=cluster,
        hint=suggest(str(reference), names),
    )


def rolling_labels(policies: Iterable[Policy]) -> frozenset[str]:
    """The keys of labels that controllers set anew, of those by which policies select pods: facts keep no
    others of these.
    """
    return ROLLING_LABELS.intersection(key for policy in policies for key in _keys(policy.spec))


def _keys(spec: Spec) -> Iterator[str]:
    match spec:
        case TrafficPolicySpec():
            for item in spec.sources or ():
                yield from item.labels or ()
            for shares in (spec.split, spec.mirror):
                for share in shares if isinstance(shares, tuple) else ():
                    yield from share.destination.subset or ()
        case VirtualMeshSpec():
            for item in spec.gateways or ():
                yield from item.labels or ()
        case _:
            pass
