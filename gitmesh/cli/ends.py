"""The two ends of a question as they were typed: which Service, and who calls it, in the facts of a
cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import click

from gitmesh.diagnostics import suggest
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload, by_controller
from gitmesh.reasoning.questions import Client
from gitmesh.resolution.index import port_of

ANONYMOUS = "anonymous"
ACCOUNT = "serviceaccount:"


def service_and_port(text: str, facts: ClusterFacts) -> tuple[Service, ServicePort] | None:
    """The Service and its port that are meant, if the cluster has it; a port need not be named where it is
    the only one.
    """
    service = named_service(text, facts)
    return None if service is None else (service, named_port(service, text.partition(":")[2], facts.cluster))


def named_service(text: str, facts: ClusterFacts) -> Service | None:
    """The Service that is meant, if the cluster has it."""
    place = text.partition(":")[0]
    # As a program calls it (reviews.bookshop.svc...). No Service has a dot in its own name.
    if "." in place and "/" not in place:
        name, namespace = place.split(".")[:2]
        place = f"{namespace}/{name}"
    found = [service for service in facts.services if _named(place, service.namespace, service.name)]
    return _only(found, place, facts.cluster) if found else None


def named_port(service: Service, reference: str, cluster: str) -> ServicePort:
    """Its port of that number or name, or its only one."""
    port = (
        port_of(service, int(reference) if reference.isascii() and reference.isdigit() else reference)
        if reference
        else None
    )
    if not reference and len(service.ports) == 1:
        port = service.ports[0]
    if port is None:
        has = ", ".join(f"{p.number} {p.name}".strip() for p in service.ports) or "none"
        fault = (
            f"has no port {reference}" if reference or not service.ports else "has several ports, name one"
        )
        raise click.UsageError(
            f"Service {service.namespace}/{service.name} of cluster {cluster} {fault}; there is {has}"
        )
    return port


def _named(text: str, namespace: str, name: str) -> bool:
    return text in (name, f"{namespace}/{name}")


K = TypeVar("K", Service, Workload)


def _only(found: list[K], text: str, cluster: str) -> K:
    """The one that is meant; a name that several namespaces have is a usage error."""
    places = sorted({f"{one.namespace}/{one.name}" for one in found})
    if len(places) > 1:
        raise click.UsageError(f"{text} may be {' or '.join(places)} in cluster {cluster}; say which")
    return found[0]


def named_client(text: str, ip: str, facts: ClusterFacts) -> Client | None:
    """The client that is meant, if the cluster has it."""
    if text == ANONYMOUS:
        return Client(ip=ip)
    sure = text.startswith(ACCOUNT)
    workloads = [] if sure else [one for one in facts.workloads if _named(text, one.namespace, one.name)]
    if workloads:
        meant = _only([shapes[0] for shapes in by_controller(workloads).values()], text, facts.cluster)
        return _running([one for one in workloads if one.key == meant.key], facts, ip)
    return _account(text.removeprefix(ACCOUNT), facts, ip)


def _account(text: str, facts: ClusterFacts, ip: str) -> Client | None:
    """The identity; labels are those that all its workloads share."""
    running = {(one.namespace, one.service_account) for one in facts.workloads}
    found = sorted({key for key in running | facts.service_accounts if _named(text, *key)})
    if len(found) > 1:
        places = " or ".join("/".join(key) for key in found)
        raise click.UsageError(f"{text} may be {places} in cluster {facts.cluster}; say which")
    if not found:
        return None
    workloads = [one for one in facts.workloads if (one.namespace, one.service_account) == found[0]]
    if workloads:
        return _running(workloads, facts, ip)
    namespace, name = found[0]
    own = facts.meshes[0] if facts.meshes else None
    domain, label = (own.trust_domain, own.name) if own else (None, "")
    return Client(namespace=namespace, service_account=name, trust_domain=domain, mesh=label, ip=ip)


def _running(workloads: list[Workload], facts: ClusterFacts, ip: str) -> Client:
    """A pod of these; one with a proxy, if there is one."""
    # In the middle of a rollout some pods may have no proxy yet: those with one tell more.
    first = next((one for one in workloads if one.mesh), workloads[0])
    # What only some of the pods carry is no certain label of the client.
    common = set(first.labels.items()).intersection(*(one.labels.items() for one in workloads))
    own = facts.mesh(first.mesh)
    return Client(
        namespace=first.namespace,
        service_account=first.service_account,
        trust_domain=own.trust_domain if own else None,
        labels=dict(sorted(common)),
        mesh=own.name if own else "",
        router=own is not None and all(one.router for one in workloads if one.mesh),
        ip=ip,
    )


def no_service(text: str, known: Mapping[str, ClusterFacts]) -> str:
    """That no cluster has such a Service."""
    return _missing(
        "Service",
        text.partition(":")[0],
        {one.key for facts in known.values() for one in facts.services},
        known,
    )


def no_client(text: str, known: Mapping[str, ClusterFacts]) -> str:
    """That no cluster has such a client."""
    names = {
        key
        for facts in known.values()
        for key in (*facts.service_accounts, *((w.namespace, w.name) for w in facts.workloads))
    }
    return _missing("workload or ServiceAccount", text, names, known)


def _missing(what: str, text: str, names: set[tuple[str, str]], facts: Mapping[str, ClusterFacts]) -> str:
    text = text.removeprefix(ACCOUNT)
    known = (
        {f"{namespace}/{name}" for namespace, name in names} if "/" in text else {name for _, name in names}
    )
    clusters = ", ".join(sorted(facts)) or "any cluster: none is known"
    hint = suggest(text, known)
    return f"there is no {what} {text} in {clusters}{f'; {hint}' if hint else ''}"
