"""Everybody who can ask, in classes that no rule tells apart, with a client of each and words for sets of them.

Known callers are asked as they are. Everybody else is an identity of which each part is one that a rule names, or one that none does:
of those that the same rules mean, the one that names least stands for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.units import Caller, Principal, SourceCondition
from gitmesh.reasoning import addresses
from gitmesh.reasoning.addresses import regions
from gitmesh.reasoning.callers import is_meant, is_named, is_principal
from gitmesh.reasoning.population import NAMELESS, Resident
from gitmesh.reasoning.questions import Client, Question
from gitmesh.reasoning.stakes import Stake
from gitmesh.reasoning.values import MOST, UntoldError
from gitmesh.resolution.matching import source_holds

ANYBODY = "anybody"
_NOBODY = "~"
"""A name that nothing in a cluster can have."""
_PARTS = ("trust_domain", "namespace", "service_account", "labels", "mesh")


class Interest(Struct, frozen=True, kw_only=True):
    """What tells clients of a destination apart: lists of callers, each with whether it denies, and the clients that policies set `tls`
    for. `strips`: an identity may not be shown."""

    lists: tuple[tuple[tuple[Caller, ...], bool], ...]
    sources: tuple[SourceCondition, ...]
    strips: bool

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
    )


class Identity(Struct, frozen=True, kw_only=True):
    """A caller, wherever it calls from. `resident`: it is known; else the parts that its client names are all that is said of it."""

    client: Client
    resident: Resident | None = None


class Clients:
    """The classes of clients, numbered; `samples` has a client of each."""

    def __init__(self, residents: Iterable[Resident], about: Interest) -> None:
        self._about = about
        self._identities = tuple(_identities(residents, about))
        own = (one for one in self._identities if one.resident and not one.resident.cluster)
        self._domains = frozenset(one.client.trust_domain for one in own)
        self._regions = regions([item for item, _ in about.items])
        groups: dict[object, list[int]] = {}
        for number, one in enumerate(self._identities):
            groups.setdefault(self._named(one.client), []).append(number)
        classes: dict[object, list[tuple[list[int], int]]] = {}
        for members in groups.values():
            for place, region in enumerate(self._regions):
                client = replace(self._identities[members[0]].client, ip=region.sample)
                classes.setdefault(self._meant(client), []).append((members, place))
        self._classes = tuple(classes.values())
        self.samples = tuple(self._sample(members[0], place) for ((members, place), *_) in self._classes)
        if len(self.samples) > MOST:
            raise UntoldError(f"its rules tell more than {MOST} kinds of clients apart")

    def _sample(self, number: int, place: int) -> Client:
        return replace(self._identities[number].client, ip=self._regions[place].sample)

    def _sources(self, client: Client) -> tuple[bool, ...]:
        """Which of the clients with a `tls` of their own it is among; without a proxy, none."""
        request = Question(client=client, service=("", ""), port=0).request()
        return tuple(bool(client.mesh) and source_holds(source, request) for source in self._about.sources)

    def _named(self, client: Client) -> object:
        named = tuple(is_named(item, client, deny=deny) for item, deny in self._about.items)
        return client.trust_domain is None, self._sources(client), named

    def _meant(self, client: Client) -> object:
        """All that a decision can hang on, also for one that does not show its identity."""
        shown = (client, Client(ip=client.ip)) if self._about.strips else (client,)
        meant = tuple(_means(callers, one, deny) for callers, deny in self._about.lists for one in shown)
        return client.trust_domain is None, self._sources(client), meant

    def told(self, chosen: Iterable[int]) -> tuple[str, ...]:
        """Words for some of the classes."""
        places: dict[int, set[int]] = {}
        for number in chosen:
            for members, place in self._classes[number]:
                for member in members:
                    places.setdefault(member, set()).add(place)
        by_places: dict[frozenset[int], set[int]] = {}
        for member, found in places.items():
            by_places.setdefault(frozenset(found), set()).add(member)
        texts = [(name, self._from(where)) for where, members in by_places.items() for name in dict.fromkeys(self._names(members))]
        return tuple(f"{name}{where}" for name, where in sorted(texts, key=lambda one: (_order(one[0]), one[1])))

    def _from(self, places: Collection[int]) -> str:
        return addresses.told([self._regions[place] for place in places], self._regions)

    def _names(self, members: Collection[int]) -> Iterator[str]:
        every = range(len(self._identities))
        shown = {number for number in every if self._identities[number].client.trust_domain is not None}
        if len(members) == len(every) > 1:
            yield ANYBODY
        elif shown == set(members) and len(shown) > 1:
            yield f"{ANYBODY} with an identity"
        else:
            yield from self._residents(members)
            yield from self._strangers(members)

    def _residents(self, members: Collection[int]) -> Iterator[str]:
        """By their ServiceAccounts, or by their workloads where not all of a ServiceAccount's are meant. What another cluster calls by
        the same identity is named once."""
        apart = {one.resident.account for number, one in enumerate(self._identities) if one.resident and number not in members}
        found = [one for number in members if (one := self._identities[number].resident)]
        own = {_identity(one.client) for one in found if not one.cluster}
        told = (one for one in found if not one.cluster or _identity(one.client) not in own)
        yield from {one.workload if one.account in apart else one.account for one in told}

    def _strangers(self, members: Collection[int]) -> Iterator[str]:
        """Of those that name more than others, only such as are treated otherwise than these."""
        others = {_key(one.client): number for number, one in enumerate(self._identities) if one.resident is None}
        known = {_identity(one.client) for number in members if (one := self._identities[number]).resident}
        for number in members:
            one = self._identities[number]
            wider = _wider(_key(one.client), others) if one.resident is None else []
            if one.resident is None and _identity(one.client) not in known and not (wider and all(each in members for each in wider)):
                yield self._stranger(one.client, known)

    def _stranger(self, client: Client, known: Collection[_Key]) -> str:
        """An identity of any trust domain goes by the name of the known one, where both are meant."""
        if client.trust_domain is None:
            return NAMELESS
        same = {_identity(one.client) for one in self._identities if one.resident and _names(one.client) == _names(client)}
        away = client.trust_domain == _NOBODY and bool(same) and not same <= set(known)
        domain = "of another trust domain" if away else "" if client.trust_domain in (_NOBODY, *self._domains) else _domain(client)
        return " ".join(part for part in (_stranger(client), domain) if part)


def _means(callers: Iterable[Caller], client: Client, deny: bool) -> bool | None:
    answers = [is_meant(caller, client, deny=deny) for caller in callers]
    return True if True in answers else None if None in answers else False


def _order(name: str) -> tuple[int, str]:
    """Names first, then everybody else, then who shows no identity."""
    return (2 if name == NAMELESS else 1 if name.startswith(ANYBODY) else 0), name


# --- who else there may be


def _identities(residents: Iterable[Resident], about: Interest) -> Iterator[Identity]:
    """Known callers, each with what of it can matter; then everybody else."""
    with_labels = any(source.labels for source in about.sources)
    seen: set[object] = set()
    for one in residents:
        told = one if about.sources else replace(one, client=replace(one.client, mesh=""))
        told = told if with_labels else replace(told, workload=one.account, client=replace(told.client, labels={}))
        if (key := (_key(told.client), told.account, told.workload)) not in seen:
            seen.add(key)
            yield Identity(client=told.client, resident=told)
    yield Identity(client=Client())
    yield from (Identity(client=client) for client in _others(about))


def _others(about: Interest) -> Iterator[Client]:
    """Of the identities that the same rules mean, the one that names least."""
    principals = sorted({one for item, _ in about.items for one in item.principals}, key=repr)
    values: dict[str, list[object]] = {
        "trust_domain": _first(_NOBODY, (one.trust_domain for one in principals)),
        "namespace": _first(_NOBODY, (*(one.namespace for one in principals), *_each(about.sources, "namespaces"))),
        "service_account": _first(_NOBODY, (*(one.service_account for one in principals), *_each(about.sources, "service_accounts"))),
        "labels": _labellings(about.sources),
        "mesh": ["", _NOBODY] if about.sources else [""],
    }
    found: dict[int, dict[str, object]] = {-1: {}}
    for part in _PARTS:
        further: dict[int, dict[str, object]] = {}
        for value in values[part]:
            meant = _meant_by(part, value, principals, about.sources)
            for rules, parts in found.items():
                further.setdefault(rules & meant, {**parts, part: value})
        if len(further) > MOST:
            raise UntoldError(f"its rules tell more than {MOST} kinds of callers apart")
        found = further
    for parts in found.values():
        yield Client(**parts)  # type: ignore[arg-type]  # each part has a value of its type


def _first(other: str, named: Iterable[str]) -> list[object]:
    return [other, *sorted({*named} - {""})]


def _each(sources: Iterable[SourceCondition], field: str) -> Iterator[str]:
    for source in sources:
        yield from getattr(source, field)


def _labellings(sources: Iterable[SourceCondition]) -> list[object]:
    """Every way to carry the labels that matter, or other ones; none first."""
    pairs = sorted({pair for source in sources for pair in source.labels})
    keys: dict[str, list[str | None]] = {}
    for key, value in pairs:
        keys.setdefault(key, [None]).append(value)
    ways = 1
    for choices in keys.values():
        ways *= len(choices)
    if ways > MOST:
        raise UntoldError(f"tls is set for clients by {len(keys)} labels, which tells too many of them apart")
    return [{key: value for key, value in zip(keys, way, strict=True) if value is not None} for way in product(*keys.values())]


def _meant_by(part: str, value: object, principals: Sequence[Principal], sources: Sequence[SourceCondition]) -> int:
    """A bit for each principal and each source, and one for a proxy: whether this part of a client meets it."""
    client = Client(**{"trust_domain": _NOBODY, "namespace": _NOBODY, "service_account": _NOBODY, part: value})  # type: ignore[arg-type]
    request = Question(client=client, service=("", ""), port=0).request()
    answers = [is_principal(replace(_principal_part(one, part)), client) for one in principals]
    answers += [source_holds(_source_part(one, part), request) for one in sources]
    answers.append(part != "mesh" or bool(value))
    return sum(1 << number for number, holds in enumerate(answers) if holds)


def _principal_part(principal: Principal, part: str) -> Principal:
    """The identity with this part alone."""
    return Principal(**{part: getattr(principal, part)}) if part in _PARTS[:3] else Principal()


def _source_part(source: SourceCondition, part: str) -> SourceCondition:
    field = {"namespace": "namespaces", "service_account": "service_accounts", "labels": "labels"}.get(part)
    return SourceCondition(**{field: getattr(source, field)}) if field else SourceCondition()


# --- words for them

_Key = tuple[object, ...]


def _key(client: Client) -> _Key:
    return client.trust_domain, client.namespace, client.service_account, tuple(sorted(client.labels.items())), client.mesh


def _identity(client: Client) -> _Key:
    return client.trust_domain, client.namespace, client.service_account


def _wider(key: _Key, others: Mapping[_Key, int]) -> list[int]:
    """Those that name all but the fewest parts of what this one names; of who shows no identity, none."""
    if key[0] is None:
        return []
    least: _Key = (_NOBODY, _NOBODY, _NOBODY, (), "")
    named = [place for place, part in enumerate(key) if part != least[place]]
    for size in range(1, len(named) + 1):
        keys = (tuple(least[at] if at in left else part for at, part in enumerate(key)) for left in combinations(named, size))
        if found := [others[each] for each in keys if each in others]:
            return found
    return []


def _names(client: Client) -> tuple[str, str]:
    return client.namespace, client.service_account


def _domain(client: Client) -> str:
    return f"of trust domain {client.trust_domain}"


def _stranger(client: Client) -> str:
    namespace, account = (name.replace(_NOBODY, "") for name in _names(client))
    who = f"{namespace}/{account}" if namespace and account else f"{ANYBODY} else"
    where = [f"in {namespace}"] if namespace and not account else [f"as {account}"] if account and not namespace else []
    labels = [f"labelled {', '.join(f'{key}={value}' for key, value in sorted(client.labels.items()))}"] if client.labels else []
    proxy = ["with a proxy of this cluster"] if client.mesh and not client.labels else []
    return " ".join([who, *where, *labels, *proxy])


__all__ = ["ANYBODY", "Clients", "Interest", "interest"]
