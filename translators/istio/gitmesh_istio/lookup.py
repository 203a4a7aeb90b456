"""Which DestinationRule a client takes for a host (istiod, PushContext.destinationRule): one of its own
namespace first, then of the Service's, then of the root namespace; in each an exact host before a wildcard, a
longer wildcard before a shorter one. It takes that one whole. Clients in the root namespace look only for
what is shown to them alone before they look in the Service's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import ObjectKey
from gitmesh.model.strangers import EVERYBODY, NamedSubset, Stranger

# Rules for workloads of one namespace and host that are looked at one by one. Of more, some are taken to have
# workloads. That concerns clients of the namespace alone.
_MOST_SELECTORS = 100


class Taken(Struct, frozen=True, kw_only=True):
    """The rules for one host in one namespace: to clients they are one. `subsets` by name; `everywhere`: all
    clients see it.
    """

    by: ObjectKey
    subsets: Mapping[str, NamedSubset]
    sets: tuple[str, ...]
    tls: str
    port_tls: Mapping[str, str]
    everywhere: bool


class _Place(Struct, frozen=True, kw_only=True):
    """The rules for one host in one namespace, as its own clients and as others take them."""

    rules: tuple[ObjectKey, ...]
    own: Taken | None
    exported: Taken | None


class Lookup:
    """The DestinationRules of others; what is for one host in one namespace is put together once, however
    much it is. `clients` are the namespaces that have some.
    """

    def __init__(
        self,
        rules: Iterable[Stranger],
        facts: ClusterFacts,
        roots: Collection[str],
        clients: Collection[str],
    ) -> None:
        self._clients = clients
        found: dict[str, dict[str, list[Stranger]]] = defaultdict(lambda: defaultdict(list))
        for rule in rules:
            for host in rule.hosts:
                found[host][rule.namespace].append(rule)
        self._by_host = {
            host: {
                namespace: _place(here, facts, is_root=namespace in roots)
                for namespace, here in places.items()
            }
            for host, places in found.items()
        }

    def local(self, host: str) -> Mapping[str, Taken]:
        """Namespace of clients -> what they take of their own; namespaces without clients left out."""
        found: dict[str, Taken] = {}
        for places in self._matching(host):
            for namespace, place in places.items():
                # `_matching` begins with the most exact host, so the first that a namespace has is the one
                # that its clients take.
                if namespace not in found and namespace in self._clients and place.own:
                    found[namespace] = place.own
        return found

    def exported(self, host: str, namespace: str) -> Taken | None:
        """What clients elsewhere take of a namespace."""
        # The most exact host alone counts, whoever sees it.
        for places in self._matching(host):
            place = places.get(namespace)
            if place and place.exported:
                return place.exported
        return None

    def exactly(self, host: str, namespace: str) -> tuple[ObjectKey, ...]:
        """The rules of a namespace for this very host that somebody follows."""
        place = self._by_host.get(host, {}).get(namespace)
        return place.rules if place else ()

    def _matching(self, host: str) -> Iterator[Mapping[str, _Place]]:
        """What covers a host, the most exact first."""
        # One look for each character of the host, however many rules there are.
        yield self._by_host.get(host, {})
        # From the longest wildcard to `*` itself: the first that somebody wrote is the one that istiod
        # takes.
        yield from (places for cut in range(len(host) + 1) if (places := self._by_host.get(f"*{host[cut:]}")))


def _place(rules: Sequence[Stranger], facts: ClusterFacts, *, is_root: bool) -> _Place:
    followed = _followed(rules, facts)
    own = [
        rule
        for rule in followed
        if (rule.shown == (rule.namespace,) if is_root else rule.is_shown(rule.namespace))
    ]
    return _Place(
        rules=tuple(rule.key for rule in followed),
        own=_taken(own),
        # What is for its own namespace alone nobody else sees.
        exported=_taken([rule for rule in rules if rule.shown != (rule.namespace,)]),
    )


def _followed(rules: Sequence[Stranger], facts: ClusterFacts) -> list[Stranger]:
    """Without those for workloads of which the namespace has none in the mesh, or for another mesh than its
    workloads are in."""
    workloads = [one for one in facts.workloads_by_namespace.get(rules[0].namespace, ()) if one.mesh]
    selecting = [rule for rule in rules if rule.clients or rule.meshes]
    idle = {
        rule.key
        for rule in selecting[:_MOST_SELECTORS]
        if not any(rule.is_read_by(one.mesh) and one.may_carry(rule.clients) for one in workloads)
    }
    return [rule for rule in rules if rule.key not in idle]


def _taken(rules: Sequence[Stranger]) -> Taken | None:
    """Of two subsets of a name the first counts."""
    if not rules:
        return None
    subsets: dict[str, NamedSubset] = {}
    for rule in rules:
        for subset in rule.subsets:
            subsets.setdefault(subset.name, subset)
    return Taken(
        by=min(rule.key for rule in rules),
        subsets=subsets,
        sets=tuple(sorted({one for rule in rules for one in rule.sets})),
        tls=next((rule.tls for rule in rules if rule.tls), ""),
        port_tls={port: mode for rule in reversed(rules) for port, mode in rule.port_tls.items()},
        everywhere=any(EVERYBODY in rule.shown for rule in rules),
    )
