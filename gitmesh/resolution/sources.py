"""Clients that a policy names in `sources`: those on whose requests no route acts, as gateways have routes of
their own and without a proxy nothing is routed, and ServiceAccounts and Namespaces that are not there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from gitmesh.diagnostics import Diagnostic, first_of, suggest
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.policies import Policy
from gitmesh.model.selectors import IdentitySelector, ServiceAccountRef, WorkloadSelector
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.workloads import Workload
from gitmesh.resolution.index import Index, KnownClusters

_MOST_NAMED = 8

_Account: TypeAlias = tuple[tuple[str, ...], str, tuple[str, ...] | None, tuple[str | int, ...]]
"""(namespaces, () = any; name; clusters, None = any; field below spec) of a ServiceAccount that a policy
names.
"""


def idle_sources(
    policy: Policy,
    spec: TrafficPolicySpec | AccessPolicySpec,
    world: KnownClusters,
    services: Mapping[str, Mapping[tuple[str, str], int]],
) -> tuple[Mapping[str, frozenset[int]], list[Diagnostic]]:
    """The items of `sources` that act on nobody, by cluster, and what is said of those and of others that act
    on nobody yet.
    """
    idle: dict[str, frozenset[int]] = {}
    diagnostics: list[Diagnostic] = []
    for number, item in enumerate(spec.sources or () if isinstance(spec, TrafficPolicySpec) else ()):
        for cluster, index in world.known(item.clusters):
            clients = _out_of_reach(item, index) if services.get(cluster) else ()
            diagnostics += [_unreached(policy, number, clients, cluster)] if clients else []
            if _is_idle(clients):
                idle[cluster] = idle.get(cluster, frozenset()) | {number}
    return idle, diagnostics


def _out_of_reach(source: WorkloadSelector, index: Index) -> tuple[Workload, ...]:
    """The workloads that an item of `sources` means, where no route acts on any of them; () also where none
    is known yet, or others may be there unseen.
    """
    if source.all or not index.facts.complete:
        return ()
    found: list[Workload] = []
    homes = frozenset(mesh.namespace for mesh in index.facts.meshes)
    for workload in _meant(source, _candidates(source, index)):
        if _may_be_reached(workload, homes):
            return ()
        found.append(workload)
    # The candidates were found by labels that are known; a workload with dropped labels may be meant as
    # well.
    if found and any(_may_be_reached(one, homes) for one in _meant(source, index.facts.workloads)):
        return ()
    return tuple(sorted(found, key=lambda workload: workload.key))


def _may_be_reached(workload: Workload, homes: Container[str]) -> bool:
    """Whether a route may act on it; whether pods that are still to come get a proxy is not known."""
    # Beside a control plane nothing is given one: it would have to start before whoever gives it.
    return workload.routed or (not workload.pods and workload.namespace not in homes)


def _meant(source: WorkloadSelector, among: Iterable[Workload]) -> Iterator[Workload]:
    """Those of which some pods may be meant."""
    namespaces, accounts = source.namespaces, source.service_accounts
    for workload in among:
        if (
            (namespaces is None or workload.namespace in namespaces)
            and (accounts is None or workload.service_account in accounts)
            and workload.may_carry(source.labels or {})
        ):
            yield workload


def _candidates(source: WorkloadSelector, index: Index) -> Iterable[Workload]:
    """Workloads among which all are that the item means."""
    # By what is rarest first, so that few are looked at.
    if source.labels:
        return min((index.carrying.get(pair, ()) for pair in source.labels.items()), key=len)
    if source.service_accounts:
        return (one for name in set(source.service_accounts) for one in index.running_as.get(name, ()))
    named = set(source.namespaces or ())
    return (one for name in named for one in index.facts.workloads_by_namespace.get(name, ()))


def _is_idle(clients: Sequence[Workload]) -> bool:
    """Whether rules for these clients act on nobody, now and later."""
    # Pods without a proxy may get one, and a gateway stays one.
    return bool(clients) and all(one.router for one in clients)


def _unreached(policy: Policy, number: int, clients: Sequence[Workload], cluster: str) -> Diagnostic:
    """The finding on an item of `sources` of which all clients are out of reach."""
    shown = first_of((f"{one.kind} {one.namespace}/{one.name}" for one in clients), _MOST_NAMED)
    if _is_idle(clients):
        # A gateway stays one, so these rules never act.
        code = "GM301"
        text = f"the policy does not act on requests of a gateway, which has routes of its own: {shown}"
        hint = "Say it where the routes of the gateway are said, or name clients with sidecars."
    elif any(one.router for one in clients):
        code = "GM303"
        text = (
            "the policy acts on no client yet: gateways have routes of their own, and others that it means no"
            f" proxy: {shown}"
        )
        hint = "Say it where the routes of the gateways are said, or name clients with sidecars."
    else:
        # A proxy may come with the next rollout, so the rules stay.
        code = "GM303"
        text = f"the policy acts on no client yet, as none that it means has a proxy of its own: {shown}"
        hint = "Give the clients proxies, or guard and route where the destination is."
    return policy.origin("sources", number).finding(code, text, cluster=cluster, hint=hint)


def missing_accounts(
    policy: Policy, spec: TrafficPolicySpec | AccessPolicySpec, world: KnownClusters
) -> Iterator[Diagnostic]:
    """ServiceAccounts that a policy names and that are nowhere where it may mean them."""
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
        yield policy.origin(*path).finding(
            "GM208",
            f"ServiceAccount {shown} does not exist in {shown_clusters(clusters)}",
            hint=suggest(name, known),
        )


def empty_namespaces(
    policy: Policy, sources: Sequence[WorkloadSelector | IdentitySelector], world: KnownClusters
) -> Iterator[Diagnostic]:
    """A client's Namespace that is nowhere."""
    for number, item in enumerate(sources):
        # It may come later, or be a stranger's, so that this is a warning and holds nothing.
        scope = () if world.may_hide(item.clusters) else world.known(item.clusters)
        for place, name in enumerate(item.namespaces or ()):
            if scope and not any(name in index.namespaces for _, index in scope):
                where = ("sources", number, "namespaces", place)
                shown = shown_clusters(item.clusters)
                yield policy.origin(*where).finding(
                    "GM209",
                    f"no workload is meant: Namespace {name} does not exist in {shown}",
                    hint=near_namespace(scope, name),
                )


def _has(index: Index, namespaces: tuple[str, ...], name: str) -> bool:
    found = index.account_namespaces.get(name, frozenset())
    return bool(found & set(namespaces)) if namespaces else bool(found)


def _accounts(policy: Policy, sources: Sequence[WorkloadSelector | IdentitySelector]) -> Iterator[_Account]:
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


def near_namespace(scope: Sequence[tuple[str, Index]], name: str) -> str:
    """A did-you-mean from the Namespaces of these clusters."""
    return suggest(name, frozenset[str]().union(*(index.namespaces for _, index in scope)))


def shown_clusters(clusters: tuple[str, ...] | None) -> str:
    """The clusters that a selector means, for a finding."""
    return f"cluster {' or '.join(clusters)}" if clusters else "any managed cluster"
