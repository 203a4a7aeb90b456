"""Which Services a policy selects in each cluster, and what its selectors name that is not there (api.md,
Selectors).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, finding, hold_id, suggest
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.empty import EMPTY, no_items, sealed
from gitmesh.model.policies import Policy
from gitmesh.model.selectors import DestinationSelector, IdentitySelector, ServiceAccountRef, WorkloadSelector
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.units import UnitKey
from gitmesh.resolution.clients import is_idle, out_of_reach, unreached
from gitmesh.resolution.index import Index, World
from gitmesh.resolution.precedence import destination_form

Account: TypeAlias = tuple[tuple[str, ...], str, tuple[str, ...] | None, tuple[str | int, ...]]
"""(namespaces, () = any; name; clusters, None = any; field below spec) of a ServiceAccount that a policy
names.
"""
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
    held: tuple[tuple[str, UnitKey], ...] = ()
    pending: frozenset[str] = frozenset()
    broken: bool = False
    idle: Mapping[str, frozenset[int]] = no_items()
    gone: tuple[Diagnostic, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def select(policy: Policy, world: World) -> Selection:
    """The destinations of a TrafficPolicy or AccessPolicy in every managed cluster."""
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec | AccessPolicySpec)
    services: dict[str, dict[tuple[str, str], int]] = {}
    held: set[tuple[str, UnitKey]] = set()
    pending: set[str] = set()
    gone: list[Diagnostic] = []
    diagnostics: list[Diagnostic] = []
    for number, item in enumerate(spec.destinations):
        one = _Item(policy, number, item, world)
        one.add_to(services)
        held |= set(one.held())
        pending |= one.pending()
        diagnostics += one.findings()
        gone += one.gone() if isinstance(spec, AccessPolicySpec) else ()
    missing = tuple(_missing_accounts(policy, spec, world))
    idle, unseen = _idle(policy, spec, world, services)
    said = (
        *diagnostics,
        *unseen,
        *_elsewhere(policy, spec, world),
        *missing,
        *_empty_namespaces(policy, spec.sources or (), world),
    )
    return Selection(
        services=_held_once(services),
        held=tuple(sorted(held)),
        pending=sealed(pending),
        broken=bool(missing),
        idle=idle or EMPTY,
        gone=tuple(gone),
        diagnostics=said,
    )


def _idle(
    policy: Policy,
    spec: TrafficPolicySpec | AccessPolicySpec,
    world: World,
    services: Mapping[str, Mapping[tuple[str, str], int]],
) -> tuple[Mapping[str, frozenset[int]], list[Diagnostic]]:
    """The items of `sources` that act on nobody, by cluster, and what is said of those and of others that act
    on nobody yet.
    """
    idle: dict[str, frozenset[int]] = {}
    diagnostics: list[Diagnostic] = []
    for number, item in enumerate(spec.sources or () if isinstance(spec, TrafficPolicySpec) else ()):
        for cluster, index in world.known(item.clusters):
            clients = out_of_reach(item, index) if services.get(cluster) else ()
            diagnostics += [unreached(policy, number, clients, cluster)] if clients else []
            if is_idle(clients):
                idle[cluster] = idle.get(cluster, frozenset()) | {number}
    return idle, diagnostics


def _elsewhere(
    policy: Policy, spec: TrafficPolicySpec | AccessPolicySpec, world: World
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
                yield finding(
                    "GM215",
                    text,
                    at=policy.at(name, number),
                    policy=policy.id,
                    field=f"spec.{name}[{number}]",
                )


def _held_once(
    found: Mapping[str, Mapping[tuple[str, str], int]],
) -> dict[str, Mapping[tuple[str, str], int]]:
    """The same, in which clusters with equal destinations have one mapping of them."""
    seen: dict[frozenset[tuple[tuple[str, str], int]], _Forms] = {}
    return {cluster: seen.setdefault(frozenset(one.items()), one) for cluster, one in found.items()}


class _Item:
    """One destination selector in all clusters it may mean."""

    def __init__(self, policy: Policy, number: int, item: DestinationSelector, world: World) -> None:
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
        if self.item.clusters is None and len(lacking) < len(self.scope):
            return ()
        return lacking

    def gone(self) -> Iterator[Diagnostic]:
        """Of each cluster that lacks the exactly named Service while another one has it: to be said where
        objects of ours say that it was there. A list that comes back without it must not open what an
        AccessPolicy guards.
        """
        lacking = [name for name, index in self.scope if self.item.name and not self._named(index)]
        for cluster in lacking if len(lacking) < len(self.scope) else ():
            shown = " or ".join(f"{namespace}/{self.item.name}" for namespace in self.namespaces)
            yield finding(
                "GM208",
                f"Service {shown} is not in cluster {cluster} any more, though it is elsewhere: what decides"
                " who may call it stays there",
                at=self.policy.at("destinations", self.number, "name"),
                policy=self.policy.id,
                field=f"spec.destinations[{self.number}].name",
                cluster=cluster,
                hint=(
                    "Put the Service back, or name the other clusters in `clusters`; where it is gone for"
                    " good,"
                ),
                hold=hold_id(cluster, "gone", self.policy.id, self.number, shown),
            )

    def _named(self, index: Index) -> bool:
        return any(index.service(namespace, self.item.name or "") for namespace in self.namespaces)

    def held(self) -> Iterator[tuple[str, UnitKey]]:
        if self.item.name:
            for cluster in (*self.missing(), *self.world.unknown(self.item.clusters)):
                for namespace in self.namespaces:
                    yield cluster, UnitKey(kind="Destination", namespace=namespace, name=self.item.name)

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
        if not self.item.all and not any(self.found.values()):
            yield finding(
                "GM209",
                "this selector finds no Service",
                at=self.policy.at("destinations", self.number),
                policy=self.policy.id,
                field=f"spec.destinations[{self.number}]",
            )

    def _lost(self, place: int, name: str) -> Diagnostic:
        where = ("destinations", self.number, "namespaces", place)
        return finding(
            "GM208",
            f"Namespace {name} does not exist in {_where(self.item.clusters)}",
            at=self.policy.at(*where),
            policy=self.policy.id,
            field=self.policy.origin(*where).field,
            hint=_near_namespace(self.scope, name),
        )

    def _absent(self, where: str, cluster: str) -> Diagnostic:
        name = self.item.name or ""
        shown = " or ".join(f"{namespace}/{name}" for namespace in self.namespaces)
        return finding(
            "GM208",
            f"Service {shown} does not exist {where}",
            at=self.policy.at("destinations", self.number, "name"),
            policy=self.policy.id,
            field=f"spec.destinations[{self.number}].name",
            cluster=cluster,
            hint=near_service(self.world, self.namespaces, name, [cluster] if cluster else None),
        )


def near_service(
    world: World, namespaces: Sequence[str], name: str, clusters: Sequence[str] | None = None
) -> str:
    """A did-you-mean from the Services of the namespaces, or else from those of others."""
    keys = sorted({key for _, index in world.known(clusters) for key in index.facts.service_index})
    near = suggest(name, {n for namespace, n in keys if namespace in namespaces})
    if near:
        return near
    elsewhere = [f"{namespace}/{n}" for namespace, n in keys if n == name]
    return f"did you mean {elsewhere[0]}?" if elsewhere else ""


def _missing_accounts(
    policy: Policy, spec: TrafficPolicySpec | AccessPolicySpec, world: World
) -> Iterator[Diagnostic]:
    for namespaces, name, clusters, path in _accounts(policy, spec.sources or ()):
        scope = world.known(clusters)
        if not scope or world.may_hide(clusters) or any(_has(index, namespaces, name) for _, index in scope):
            continue
        known = {
            n
            for _, index in scope
            for namespace, n in index.facts.service_accounts
            if not namespaces or namespace in namespaces
        }
        shown = f"{'|'.join(namespaces)}/{name}" if namespaces else name
        yield finding(
            "GM208",
            f"ServiceAccount {shown} does not exist in {_where(clusters)}",
            at=policy.at(*path),
            policy=policy.id,
            field=policy.origin(*path).field,
            hint=suggest(name, known),
        )


def _empty_namespaces(
    policy: Policy, sources: Sequence[WorkloadSelector | IdentitySelector], world: World
) -> Iterator[Diagnostic]:
    """A client's Namespace that is nowhere: it may come later, or be a stranger's, so this is a warning and
    holds nothing.
    """
    for number, item in enumerate(sources):
        scope = () if world.may_hide(item.clusters) else world.known(item.clusters)
        for place, name in enumerate(item.namespaces or ()):
            if scope and not any(name in index.namespaces for _, index in scope):
                where = ("sources", number, "namespaces", place)
                yield finding(
                    "GM209",
                    f"no workload is meant: Namespace {name} does not exist in {_where(item.clusters)}",
                    at=policy.at(*where),
                    policy=policy.id,
                    field=policy.origin(*where).field,
                    hint=_near_namespace(scope, name),
                )


def _near_namespace(scope: Sequence[tuple[str, Index]], name: str) -> str:
    return suggest(name, frozenset[str]().union(*(index.namespaces for _, index in scope)))


def _where(clusters: tuple[str, ...] | None) -> str:
    return f"cluster {' or '.join(clusters)}" if clusters else "any managed cluster"


def _has(index: Index, namespaces: tuple[str, ...], name: str) -> bool:
    found = index.account_namespaces.get(name, frozenset())
    return bool(found & set(namespaces)) if namespaces else bool(found)


def _accounts(policy: Policy, sources: Sequence[WorkloadSelector | IdentitySelector]) -> Iterator[Account]:
    for number, item in enumerate(sources):
        accounts: Sequence[str | ServiceAccountRef] = item.service_accounts or ()
        for index, account in enumerate(accounts):
            path = ("sources", number, "service_accounts", index)
            if isinstance(account, str):
                yield tuple(item.namespaces or ()), account, item.clusters, path
            else:
                yield (
                    (account.namespace or policy.namespace,),
                    account.name,
                    (account.cluster,) if account.cluster else None,
                    path,
                )
