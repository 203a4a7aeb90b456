"""The known callers of a cluster, looked up by what a rule says of an identity: what it does not mention
costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.grants import Principal
from gitmesh.reasoning.population import Resident
from gitmesh.reasoning.questions import Approach, Client
from gitmesh.reasoning.strangers import key_of

K = TypeVar("K")
IdentityKey: TypeAlias = tuple[str | None, str, str]
"""Trust domain, namespace and ServiceAccount."""


class CrowdView(Struct, frozen=True, kw_only=True):
    """The callers, numbered, each with what of it can matter. `by_principal` finds those that show an
    identity by each principal that means them, `by_account` by what their ServiceAccount is called, `by_name`
    by its namespace and name, `by_domain` by its trust domain; `hidden` show none.
    """

    residents: tuple[Resident, ...]
    by_principal: Mapping[IdentityKey, tuple[int, ...]]
    by_account: Mapping[str, tuple[int, ...]]
    by_name: Mapping[tuple[str, str], tuple[int, ...]]
    shown: frozenset[int]
    hidden: frozenset[int]
    domains: frozenset[str | None]
    by_domain: Mapping[str | None, tuple[int, ...]]


class Crowd:
    """The known callers; of what only some destinations look at there is a view of its own."""

    def __init__(self, residents: Iterable[Resident]) -> None:
        self._residents = tuple(residents)
        self._views: dict[tuple[bool, bool], CrowdView] = {}
        self._ways: dict[tuple[Approach, ...], tuple[frozenset[int], ...]] = {}

    def view(self, *, proxies: bool, labels: bool) -> CrowdView:
        """The callers, told apart by whether they have a proxy of the cluster, and by labels, only where that
        matters.
        """
        # At most four views, each of which is made once for all destinations.
        if (proxies, labels) not in self._views:
            told = {
                _shown(one): one
                for one in (_simple(one, proxies=proxies, labels=labels) for one in self._residents)
            }
            self._views[proxies, labels] = _view(tuple(told.values()))
        return self._views[proxies, labels]

    def by_way(self, approaches: tuple[Approach, ...]) -> tuple[frozenset[int], ...]:
        """The callers of the view with proxies and without labels, by all that their ways can hang on."""
        if approaches not in self._ways:
            found: dict[object, list[int]] = {}
            for number, one in enumerate(self.view(proxies=True, labels=False).residents):
                found.setdefault(ways_told(approaches, one.client), []).append(number)
            self._ways[approaches] = tuple(map(frozenset, found.values()))
        return self._ways[approaches]


def ways_told(approaches: Iterable[Approach], client: Client) -> tuple[tuple[bool, bool, bool], ...]:
    """All of a client that its way can hang on, on each side."""
    return tuple(one.told(client) for one in approaches)


def _simple(one: Resident, *, proxies: bool, labels: bool) -> Resident:
    client = one.client if proxies else replace(one.client, mesh="")
    return (
        replace(one, client=client)
        if labels
        else replace(one, client=replace(client, labels={}), workload=one.account)
    )


def _shown(one: Resident) -> object:
    return key_of(one.client), one.account, one.workload


def _view(residents: tuple[Resident, ...]) -> CrowdView:
    shown = [number for number, one in enumerate(residents) if one.client.trust_domain is not None]
    principals = [
        (principal, number) for number in shown for principal in _principals(residents[number].client)
    ]
    return CrowdView(
        residents=residents,
        by_principal=_index(principals),
        by_account=_index((one.account, number) for number, one in enumerate(residents)),
        by_name=_index(
            ((one.client.namespace, one.client.service_account), number)
            for number, one in enumerate(residents)
        ),
        shown=frozenset(shown),
        hidden=frozenset(range(len(residents))).difference(shown),
        domains=frozenset(one.client.trust_domain for one in residents if not one.cluster),
        by_domain=_index((one.client.trust_domain, number) for number, one in enumerate(residents)),
    )


def _index(pairs: Iterable[tuple[K, int]]) -> dict[K, tuple[int, ...]]:
    found: dict[K, list[int]] = {}
    for key, number in pairs:
        found.setdefault(key, []).append(number)
    return {key: tuple(numbers) for key, numbers in found.items()}


def identity(client: Client) -> IdentityKey:
    """What the client shows of itself."""
    return client.trust_domain, client.namespace, client.service_account


def principal_key(principal: Principal) -> IdentityKey:
    """The place of a principal in a view."""
    return principal.trust_domain, principal.namespace, principal.service_account


def _principals(client: Client) -> set[IdentityKey]:
    """Every principal that means the client."""
    # Of three parts.
    # Each part by its name or by "", which means any: eight keys to look up, whatever rules there are.
    return set(product(*(("", part or "") for part in identity(client))))  # type: ignore[arg-type]
