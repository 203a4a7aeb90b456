"""Callers that the facts do not know: of those that the same rules mean, the one that names least stands for
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any, TypeAlias

from gitmesh.model.conditions import SourceCondition
from gitmesh.model.grants import Principal
from gitmesh.reasoning.questions import NOBODY, Client
from gitmesh.reasoning.values import MOST, UntoldError

ANYBODY = "anybody"
Key: TypeAlias = tuple[object, ...]
"""All that a client is but its address."""

_LEAST: Key = (NOBODY, NOBODY, NOBODY, (), "")
_Meets: TypeAlias = Callable[[Principal | SourceCondition, Any], bool]


def strangers(
    principals: Sequence[Principal], sources: Sequence[SourceCondition], *, proxies: bool
) -> Iterator[Client]:
    """Identities whose parts are such as rules name, or NOBODY; the one that names nothing is the first.
    `proxies`: also such as have a proxy of the cluster."""
    every: tuple[Principal | SourceCondition, ...] = (*principals, *sources)
    found: dict[int, dict[str, Any]] = {(1 << (len(every) + 1)) - 1: {}}
    for part, (values, meets) in _parts(principals, sources, proxies).items():
        further: dict[int, dict[str, Any]] = {}
        for value in values:
            meant = sum(1 << bit for bit, rule in enumerate(every) if meets(rule, value))
            meant |= int(part != "mesh" or bool(value)) << len(every)
            for rules, parts in found.items():
                further.setdefault(rules & meant, {**parts, part: value})
        if len(further) > MOST:
            raise UntoldError(f"its rules tell more than {MOST} kinds of callers apart")
        found = further
    yield from (Client(**parts) for parts in found.values())


def _parts(
    principals: Iterable[Principal], sources: Sequence[SourceCondition], proxies: bool
) -> Mapping[str, tuple[Sequence[Any], _Meets]]:
    """Of each part of a client the values to try, and whether one is what a rule asks for."""
    named = {
        part: {getattr(one, part) for one in principals}
        for part in ("trust_domain", "namespace", "service_account")
    }
    spaces = {name for source in sources for name in source.namespaces}
    accounts = {name for source in sources for name in source.service_accounts}
    return {
        "trust_domain": (_names(named["trust_domain"]), _meets("trust_domain", "")),
        "namespace": (_names(named["namespace"] | spaces), _meets("namespace", "namespaces")),
        "service_account": (
            _names(named["service_account"] | accounts),
            _meets("service_account", "service_accounts"),
        ),
        "labels": (_labellings(sources), _labelled),
        "mesh": (("", NOBODY) if proxies else ("",), lambda _rule, _value: True),
    }


def _names(found: Iterable[str]) -> tuple[str, ...]:
    # First, since of the values that the same rules mean the first one stands for all.
    return (NOBODY, *sorted({*found} - {""}))


def _meets(of_principal: str, of_source: str) -> _Meets:
    def meets(rule: Principal | SourceCondition, value: str) -> bool:
        if isinstance(rule, Principal):
            return getattr(rule, of_principal) in ("", value)
        wanted = getattr(rule, of_source) if of_source else ()
        return not wanted or value in wanted

    return meets


def _labelled(rule: Principal | SourceCondition, value: Mapping[str, str]) -> bool:
    return isinstance(rule, Principal) or all(value.get(key) == wanted for key, wanted in rule.labels)


def _labellings(sources: Iterable[SourceCondition]) -> list[Mapping[str, str]]:
    """Every way to carry the labels that matter, or other ones; none first."""
    keys: dict[str, list[str | None]] = {}
    for key, value in sorted({pair for source in sources for pair in source.labels}):
        keys.setdefault(key, [None]).append(value)
    ways = 1
    # Counted before they are made, as they multiply.
    for choices in keys.values():
        ways *= len(choices)
    if ways > MOST:
        raise UntoldError(f"tls is set for clients by {len(keys)} labels, which tells too many of them apart")
    return [
        {key: value for key, value in zip(keys, way, strict=True) if value is not None}
        for way in product(*keys.values())
    ]


def key_of(client: Client) -> Key:
    """All that it is but its address."""
    return (
        client.trust_domain,
        client.namespace,
        client.service_account,
        tuple(sorted(client.labels.items())),
        client.mesh,
    )


def wider(client: Client, others: Mapping[Key, int]) -> list[int]:
    """Of other strangers those that name all but the fewest parts of what this one names; of who shows no
    identity, none.
    """
    if client.trust_domain is None:
        return []
    key = key_of(client)
    named = [place for place, part in enumerate(key) if part != _LEAST[place]]
    for size in range(1, len(named) + 1):
        keys = (
            tuple(_LEAST[at] if at in left else part for at, part in enumerate(key))
            for left in combinations(named, size)
        )
        if found := [others[each] for each in keys if each in others]:
            return found
    return []


def stranger_text(client: Client) -> str:
    """Words for a stranger; its trust domain is left out."""
    namespace, account = (name.replace(NOBODY, "") for name in (client.namespace, client.service_account))
    who = f"{namespace}/{account}" if namespace and account else f"{ANYBODY} else"
    where = (
        [f"in {namespace}"]
        if namespace and not account
        else [f"as {account}"]
        if account and not namespace
        else []
    )
    labels = (
        [f"labelled {', '.join(f'{key}={value}' for key, value in sorted(client.labels.items()))}"]
        if client.labels
        else []
    )
    proxy = ["with a proxy of this cluster"] if client.mesh and not client.labels else []
    return " ".join([who, *where, *labels, *proxy])
