"""Which clients a TrafficPolicy means on whose requests no route acts: gateways have routes of their own, and
without a proxy nothing is routed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gitmesh.diagnostics import Diagnostic, finding, first_of
from gitmesh.model.facts import Workload
from gitmesh.model.policies import Policy
from gitmesh.model.selectors import WorkloadSelector
from gitmesh.resolution.index import Index

_MOST_NAMED = 8


def out_of_reach(source: WorkloadSelector, index: Index) -> tuple[Workload, ...]:
    """The workloads that an item of `sources` means, where no route acts on any of them; () also where none
    is known yet, or others may be there unseen.
    """
    if source.all or not index.facts.complete:
        return ()
    found: list[Workload] = []
    for workload in _meant(source, _candidates(source, index)):
        if _may_be_reached(workload):
            return ()
        found.append(workload)
    if found and any(_may_be_reached(one) for one in _meant(source, index.facts.workloads)):
        return ()
    return tuple(sorted(found, key=lambda workload: workload.key))


def _may_be_reached(workload: Workload) -> bool:
    """Whether a route may act on it; whether pods that are still to come get a proxy is not known."""
    return workload.routed or not workload.pods


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
    """Few that are meant for sure, if there are some: most items mean clients with sidecars."""
    if source.labels:
        return min((index.carrying.get(pair, ()) for pair in source.labels.items()), key=len)
    if source.service_accounts:
        return (one for name in set(source.service_accounts) for one in index.running_as.get(name, ()))
    named = set(source.namespaces or ())
    return (one for name in named for one in index.facts.workloads_by_namespace.get(name, ()))


def is_idle(clients: Sequence[Workload]) -> bool:
    """Whether rules for these clients act on nobody, now and later: pods without a proxy may get one."""
    return bool(clients) and all(one.router for one in clients)


def unreached(policy: Policy, number: int, clients: Sequence[Workload], cluster: str) -> Diagnostic:
    """The finding on an item of `sources` of which all clients are out of reach."""
    shown = first_of((f"{one.kind} {one.namespace}/{one.name}" for one in clients), _MOST_NAMED)
    if is_idle(clients):
        code = "GM301"
        text = f"the policy does not act on requests of a gateway, which has routes of its own: {shown}"
        hint = "Say it where the routes of the gateway are said, or name clients with sidecars."
    else:
        code = "GM303"
        text = f"the policy acts on no client yet, as none that it means has a proxy of its own: {shown}"
        hint = "Give the clients proxies, or guard and route where the destination is."
    at, field = policy.at("sources", number), f"spec.sources[{number}]"
    return finding(code, text, at=at, policy=policy.id, field=field, cluster=cluster, hint=hint)
