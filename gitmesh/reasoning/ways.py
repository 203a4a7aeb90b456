"""Who sees a request on its way to pods without a proxy of their own: a proxy in front of them, or nobody."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from gitmesh.model.grants import Access
from gitmesh.model.units import AccessUnit
from gitmesh.reasoning.questions import Client, Known, Pair, Question, ServiceKey


class Way(Enum):
    """Whether somebody sees requests there who decides about them. `AHEAD`: not the pods' own proxies, but
    one ahead of them, to which callers have no address."""

    SEEN = auto()
    AHEAD = auto()
    UNSEEN = auto()
    UNSURE = auto()


def way_of(question: Question, known: Known, pair: Pair) -> Way:
    """How a request comes to the pods. Clients with a proxy of their own, and those without a mesh, come
    directly; whether it is one with a proxy, an identity alone does not say, nor that it is one without where
    no pods in its namespace are.
    """
    told = list(ways_of(known, pair))
    if not told:
        return Way.SEEN
    if not question.client.mesh or not any(question.service in ways for ways in told):
        return Way.UNSEEN
    if not all(question.service in ways for ways in told):
        return Way.UNSURE
    return Way.AHEAD if by_proxy_ahead(question, known) else Way.UNSURE


def by_proxy_ahead(question: Question, known: Known) -> bool | None:
    """Whether the client's requests come through the proxy ahead of the Service, if it has one; None where
    that is not known."""
    if not question.client.mesh:
        return False
    _, without, own = known.approach.told(question.client)
    return True if without and not own else None


def seen_as(question: Question, known: Known, pair: Pair) -> Client | None:
    """As whom pods see the client where its request comes by the proxy ahead of the Service that was called;
    None where there is none."""
    units = (known.access.get(question.service), known.routing.get(question.service))
    found = next((unit.around.seen_as for unit in units if unit and unit.around.seen_as), None)
    mesh = known.index.facts.mesh(pair.workload.mesh)
    if found is None or mesh is None:
        return None
    namespace, account = found
    return Client(
        namespace=namespace, service_account=account, trust_domain=mesh.trust_domain, mesh=mesh.name
    )


def shutting(known: Known, pair: Pair) -> Iterator[AccessUnit]:
    """The destinations whose pods refuse, at this port, the proxy ahead of some Services."""
    if not known.shuts_out:
        return
    services = (*(one for one, _ in (*pair.reached, *pair.closing, *pair.denying)), *pair.spreading)
    for service in dict.fromkeys(service.key for service in services):
        unit = known.access.get(service)
        if unit is not None and unit.around.shut and _has(unit.access, pair.number):
            yield unit


def _has(access: Access, number: int) -> bool:
    # Where the ports are not known, any of them may be meant.
    return number in access.targets or not access.targets or bool(access.unresolved_targets)


def ways_of(known: Known, pair: Pair) -> Iterator[tuple[ServiceKey, ...]]:
    """Of each destination that decides about the pods, and some of whose pods have no proxy of their own, the
    Services whose requests are seen on the way."""
    services = (*(one for one, _ in (*pair.reached, *pair.closing)), *pair.spreading)
    for service in services:
        unit = known.access.get(service.key)
        if unit is not None and _is_unseen(unit):
            yield unit.around.ways


def _is_unseen(unit: AccessUnit) -> bool:
    return any(one.mesh and one.dataplane == "ambient" for one in unit.workloads)
