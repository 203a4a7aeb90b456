"""Everybody who can ask, in classes that no rule tells apart, with a client of each and words for sets of
them.

Known callers are asked as they are. Everybody else is an identity of which each part is one that a rule
names, or one that none does: of those that the same rules mean, the one that names least stands for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import product

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.comparison import NAMELESS
from gitmesh.model.conditions import SourceCondition
from gitmesh.model.grants import Caller, Principal
from gitmesh.reasoning import addresses
from gitmesh.reasoning.addresses import regions
from gitmesh.reasoning.callers import is_meant, is_named, is_taken
from gitmesh.reasoning.crowd import Crowd, identity, principal_key, ways_told
from gitmesh.reasoning.questions import NOBODY, Approach, Client, Question
from gitmesh.reasoning.stakes import Stake
from gitmesh.reasoning.strangers import ANYBODY, key_of, stranger_text, strangers, wider
from gitmesh.reasoning.values import MOST, UntoldError
from gitmesh.resolution.matching import source_holds


class Interest(Struct, frozen=True, kw_only=True):
    """What tells clients of a destination apart: lists of callers, each with whether it denies, and the
    clients that policies set `tls` for. `strips`: an identity may not be shown; `approaches`: what tells them
    apart by their way, on each side where it does; `takes`: the trust domains of which some of the pods take
    identities, () among them = of any."""

    lists: tuple[tuple[tuple[Caller, ...], bool], ...]
    sources: tuple[SourceCondition, ...]
    strips: bool
    approaches: tuple[Approach, ...] = ()
    takes: tuple[tuple[str, ...], ...] = ()

    def taken(self, client: Client) -> tuple[bool, ...]:
        """Which of the pods take an identity of its trust domain."""
        return tuple(is_taken(client.trust_domain, one) for one in self.takes)

    @property
    def items(self) -> tuple[tuple[Caller, bool], ...]:
        """Every single caller that some list names."""
        return tuple(dict.fromkeys((item, deny) for callers, deny in self.lists for item in callers))


def interest(stakes: Collection[Stake]) -> Interest:
    """What the sides of a destination tell clients apart by, together."""
    found = [access for one in stakes for access in one.accesses()]
    lists = {(callers, True) for access in found for callers, _ in access.denies}
    lists |= {(callers, False) for access in found for callers, _ in access.allows}
    lists |= {(access.exempt[2], False) for access in found if access.exempt}
    sources = {source for one in stakes for _, links in one.tls for source, _ in links}
    return Interest(
        lists=tuple(sorted(lists, key=repr)),
        sources=tuple(sorted(sources)),
        strips=bool(sources) or any(one.disabled for one in stakes),
        approaches=tuple(dict.fromkeys(one.approach for one in stakes if one.approach)),
        takes=tuple(sorted({pair.takes for one in stakes for _, pairs in one.pairs for pair in pairs})),
    )


class Clients:
    """The classes of clients, numbered; `samples` has a client of each."""

    def __init__(self, crowd: Crowd, about: Interest) -> None:
        self._about = about
        self._view = crowd.view(
            proxies=bool(about.sources or about.approaches),
            labels=any(source.labels for source in about.sources),
        )
        self._ways = () if about.sources or not about.approaches else crowd.by_way(about.approaches)
        principals = sorted({one for item, _ in about.items for one in item.principals}, key=repr)
        self._clients = (
            *(one.client for one in self._view.residents),
            Client(),
            *strangers(principals, about.sources, proxies=bool(about.sources or about.approaches)),
        )
        known = len(self._view.residents)
        self._others = {key_of(client): known + number for number, client in enumerate(self._clients[known:])}
        # The first of the others, `Client()`, is the one that shows no identity.
        shown = self._view.shown | {number for number in self._others.values() if number > known}
        self._refused = frozenset(self._refusing())
        self._shown = shown - self._refused
        self._regions = regions([item for item, _ in about.items])
        self._groups = self._grouped(principals)
        self._classes = self._classified()
        self.samples = tuple(self._sample(group, place) for ((group, place), *_) in self._classes)
        self._words: dict[frozenset[int], tuple[str, ...]] = {}

    def _refusing(self) -> Iterator[int]:
        """Those whose identity no pod takes: they come to none, so nothing is said of them."""
        first = (numbers for numbers in self._view.by_domain.values() if self._is_refused(numbers[0]))
        yield from (number for numbers in first for number in numbers)
        yield from filter(self._is_refused, self._others.values())

    def _is_refused(self, number: int) -> bool:
        return bool(self._about.takes) and not any(self._about.taken(self._clients[number]))

    def _grouped(self, principals: Sequence[Principal]) -> tuple[frozenset[int], ...]:
        """Clients that no single caller of a rule tells apart, wherever they call from."""
        met: dict[int, list[Principal]] = {}
        for one in principals:
            for number in self._view.by_principal.get(principal_key(one), ()):
                met.setdefault(number, []).append(one)
        alike: dict[object, set[int]] = {}
        # A policy may set `tls` for clients by their labels: then all of them are told apart. Else it is
        # enough to look at those that a rule names.
        for number in range(len(self._view.residents)) if self._about.sources else met:
            client = self._clients[number]
            key = (number in self._shown, self._told_apart(client), tuple(met.get(number, ())))
            alike.setdefault(key, set()).add(number)
        groups: dict[object, set[int]] = {}
        for members in (*alike.values(), *self._unmet(met), *({number} for number in self._others.values())):
            if left := members - self._refused:
                groups.setdefault(self._named(self._clients[min(left)]), set()).update(left)
        return tuple(map(frozenset, groups.values()))

    def _unmet(self, met: Collection[int]) -> Iterator[set[int]]:
        """Known callers that no rule mentions, those that show an identity and those that do not, each by
        their ways."""
        if not self._about.sources:
            unmet = (*self._by_taker(self._view.shown.difference(met)), self._view.hidden)
            parts = (one & way for one in unmet for way in self._ways) if self._ways else unmet
            yield from (set(members) for members in parts if members)

    def _by_taker(self, members: frozenset[int]) -> Iterable[frozenset[int]]:
        """The same, apart by which of the pods take their identity."""
        found: dict[tuple[bool, ...], set[int]] = {}
        for numbers in self._view.by_domain.values():
            found.setdefault(self._about.taken(self._clients[numbers[0]]), set()).update(numbers)
        return (members & one for one in found.values())

    def _classified(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Groups at places (both by number) of which the same decisions hold."""
        # Before they are told apart, since that looks at every rule for each of them.
        if len(self._groups) * len(self._regions) > MOST:
            raise UntoldError(f"its rules tell more than {MOST} kinds of clients apart")
        classes: dict[object, list[tuple[int, int]]] = {}
        for group, place in product(range(len(self._groups)), range(len(self._regions))):
            classes.setdefault(self._meant(self._sample(group, place)), []).append((group, place))
        return tuple(map(tuple, classes.values()))

    def _sample(self, group: int, place: int) -> Client:
        # The first of them, so that the same facts always give the same sample.
        return replace(self._clients[min(self._groups[group])], ip=self._regions[place].sample)

    def _told_apart(self, client: Client) -> object:
        return self._sources(client), ways_told(self._about.approaches, client), self._about.taken(client)

    def _sources(self, client: Client) -> tuple[bool, ...]:
        """Which of the clients with a `tls` of their own it is among; without a proxy, none."""
        if not self._about.sources:
            return ()
        request = Question(client=client, service=("", ""), port=0).request()
        return tuple(bool(client.mesh) and source_holds(source, request) for source in self._about.sources)

    def _named(self, client: Client) -> object:
        named = tuple(is_named(item, client, deny=deny) for item, deny in self._about.items)
        return client.trust_domain is None, self._told_apart(client), named

    def _meant(self, client: Client) -> object:
        """All that a decision can hang on, also for one that does not show its identity."""
        meant = tuple(self._means(callers, deny, client) for callers, deny in self._about.lists)
        return client.trust_domain is None, self._told_apart(client), meant

    def _means(self, callers: tuple[Caller, ...], deny: bool, client: Client) -> tuple[bool, ...]:
        # Once more without an identity, as it is if a `tls` of the client hides it, or if the pods have mTLS
        # disabled.
        shown = (client, Client(ip=client.ip)) if self._about.strips else (client,)
        return tuple(any(is_meant(caller, one, deny=deny) for caller in callers) for one in shown)

    def may_mean(self, number: int, callers: tuple[Caller, ...], deny: bool) -> bool:
        """Whether a list means a class, or would if it showed no identity."""
        return any(self._means(callers, deny, self.samples[number]))

    def told(self, chosen: Iterable[int]) -> tuple[str, ...]:
        """Words for some of the classes."""
        classes = frozenset(chosen)
        if classes not in self._words:
            self._words[classes] = tuple(self._told(classes))
        return self._words[classes]

    def _told(self, classes: Iterable[int]) -> Iterator[str]:
        places: dict[int, set[int]] = {}
        for group, place in (each for number in classes for each in self._classes[number]):
            places.setdefault(group, set()).add(place)
        alike: dict[frozenset[int], set[int]] = {}
        for group, found in places.items():
            alike.setdefault(frozenset(found), set()).update(self._groups[group])
        texts = [
            (name, self._from(where)) for where, members in alike.items() for name in {*self._names(members)}
        ]
        yield from (
            f"{name}{where}" for name, where in sorted(texts, key=lambda one: (_order(one[0]), one[1]))
        )

    def _from(self, places: Collection[int]) -> str:
        return addresses.told([self._regions[place] for place in places], self._regions)

    def _names(self, members: Collection[int]) -> Iterator[str]:
        if len(members) == len(self._clients) - len(self._refused):
            yield ANYBODY
        elif self._shown == members and len(members) > 1:
            yield f"{ANYBODY} with an identity"
        else:
            yield from self._known(members)
            yield from self._unknown(members)

    def _known(self, members: Collection[int]) -> Iterator[str]:
        """By their ServiceAccounts, or by their workloads where not all of a ServiceAccount's are meant. What
        another cluster calls by the same identity is named once."""
        found = [self._view.residents[number] for number in members if number < len(self._view.residents)]
        own = {identity(one.client) for one in found if not one.cluster}
        for one in found:
            if not one.cluster or identity(one.client) not in own:
                whole = all(number in members for number in self._view.by_account[one.account])
                yield one.account if whole else one.workload

    def _unknown(self, members: Collection[int]) -> Iterator[str]:
        """Of those that name more than others, only such as are treated otherwise than these."""
        for number in self._others.values():
            if number in members:
                client = self._clients[number]
                same = self._view.by_name.get((client.namespace, client.service_account), ())
                named = any(
                    one in members and identity(self._clients[one]) == identity(client) for one in same
                )
                broader = wider(client, self._others)
                if not named and not (broader and all(each in members for each in broader)):
                    yield self._stranger(client, members)

    def _stranger(self, client: Client, members: Collection[int]) -> str:
        """An identity of any trust domain goes by the name of the known one, where both are meant."""
        if client.trust_domain is None:
            return NAMELESS
        same = self._view.by_name.get((client.namespace, client.service_account), ())
        text = stranger_text(client)
        if client.trust_domain not in (NOBODY, *self._view.domains):
            return f"{text} of trust domain {client.trust_domain}"
        if client.mesh or all(number in members for number in same):
            return text
        return f"{text} of another {'trust domain' if client.trust_domain == NOBODY else 'cluster'}"


def _order(name: str) -> tuple[int, str]:
    """Names first, then everybody else, then who shows no identity."""
    return (2 if name == NAMELESS else 1 if name.startswith(ANYBODY) else 0), name
