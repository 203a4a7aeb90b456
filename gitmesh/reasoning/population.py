"""The callers that are known from the facts of all clusters, as one cluster sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from msgspec import Struct

from gitmesh.model.comparison import NAMELESS
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.workloads import Workload
from gitmesh.reasoning.questions import Client
from gitmesh.reasoning.strangers import key_of


class Resident(Struct, frozen=True, kw_only=True):
    """A caller that is known: `account` is its ServiceAccount as people call it, `workload` its workload,
    where only some of the ServiceAccount's are meant. Of a pod without proxy both say that it shows no
    identity.
    """

    client: Client
    account: str
    workload: str
    cluster: str = ""
    """Another one that it is in."""


def population(cluster: str, facts: Mapping[str, ClusterFacts | None]) -> tuple[Resident, ...]:
    """Who may call the cluster's destinations: its own workloads and ServiceAccounts, then the identities of
    other clusters.
    """
    return tuple(
        _among(
            cluster,
            facts,
            {name: tuple(_foreign(known)) for name, known in facts.items() if known is not None},
        )
    )


def populations(facts: Mapping[str, ClusterFacts | None]) -> Mapping[str, tuple[Resident, ...]]:
    """The population of each cluster."""
    # Found once, since all other clusters are told of the same ones.
    strangers = {name: tuple(_foreign(known)) for name, known in facts.items() if known is not None}
    return {cluster: tuple(_among(cluster, facts, strangers)) for cluster in facts}


def _among(
    cluster: str, facts: Mapping[str, ClusterFacts | None], strangers: Mapping[str, tuple[Resident, ...]]
) -> Iterator[Resident]:
    own = facts.get(cluster)
    if own is not None:
        yield from _own(own)
    # After the cluster's own, and sorted: the first client of a class stands for it, and must be the same in
    # each run.
    for name in sorted(strangers.keys() - {cluster}):
        yield from strangers[name]


def _own(facts: ClusterFacts) -> Iterator[Resident]:
    residents = map(partial(_resident, facts), facts.workloads)
    yield from {(key_of(one.client), one.account, one.workload): one for one in residents}.values()
    for namespace, name, domain, mesh in _idle(facts):
        client = Client(namespace=namespace, service_account=name, trust_domain=domain, mesh=mesh)
        yield Resident(client=client, account=f"{namespace}/{name}", workload=f"{namespace}/{name}")


def _resident(facts: ClusterFacts, one: Workload) -> Resident:
    account, workload = f"{one.namespace}/{one.service_account}", f"{one.namespace}/{one.name}"
    if one.mesh:
        return Resident(client=_client(one, facts), account=account, workload=workload)
    bare = Client(namespace=one.namespace, service_account=one.service_account, labels=one.labels)
    return Resident(client=bare, account=f"{workload} {NAMELESS}", workload=f"{workload} {NAMELESS}")


def _client(workload: Workload, facts: ClusterFacts) -> Client:
    mesh = facts.mesh(workload.mesh)
    return Client(
        namespace=workload.namespace,
        service_account=workload.service_account,
        trust_domain=mesh.trust_domain if mesh else None,
        labels=workload.labels,
        mesh=mesh.name if mesh else "",
        router=mesh is not None and workload.router,
    )


def _idle(facts: ClusterFacts) -> Iterator[tuple[str, str, str, str]]:
    """ServiceAccounts that no workload runs as: they would have an identity of the cluster's first mesh."""
    running = {(one.namespace, one.service_account) for one in facts.workloads}
    if facts.meshes:
        mesh = facts.meshes[0]
        yield from ((*key, mesh.trust_domain, mesh.name) for key in sorted(facts.service_accounts - running))


def _foreign(facts: ClusterFacts) -> Iterator[Resident]:
    """The identities of another cluster."""
    domains = {mesh.name: mesh.trust_domain for mesh in facts.meshes}
    running = {
        (one.namespace, one.service_account, domains[one.mesh])
        for one in facts.workloads
        if one.mesh in domains
    }
    for namespace, name, domain in sorted(
        {*running, *((namespace, name, domain) for namespace, name, domain, _ in _idle(facts))}
    ):
        label = f"{namespace}/{name}@{facts.cluster}"
        # Without a proxy: how their requests are routed is decided where they are.
        client = Client(namespace=namespace, service_account=name, trust_domain=domain)
        yield Resident(client=client, account=label, workload=label, cluster=facts.cluster)
