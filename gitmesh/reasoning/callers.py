"""Whether a caller is meant (api.md, Selectors, Identities; AccessPolicy)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from gitmesh.model.units import Caller, Principal
from gitmesh.reasoning.questions import Client

_network = lru_cache(maxsize=4096)(ipaddress.ip_network)
_address = lru_cache(maxsize=4096)(ipaddress.ip_address)


def is_meant(caller: Caller, client: Client, *, deny: bool) -> bool | None:
    """Whether the item means the client; None where that hangs on an address that is not known.

    A Deny errs on the closed side: an item by identity also means callers without one, and one that cannot be told by
    identities means everybody.
    """
    if not _named(caller, client, deny):
        return False
    return _at(caller, client.ip)


def _named(caller: Caller, client: Client, deny: bool) -> bool:
    if caller.kind in ("all", "address"):
        return True
    if deny and (client.trust_domain is None or caller.inexpressible):
        return True
    if client.trust_domain is None:
        return False
    return caller.kind == "authenticated" or any(_is(principal, client) for principal in caller.principals)


def _is(principal: Principal, client: Client) -> bool:
    pairs = (
        (principal.trust_domain, client.trust_domain),
        (principal.namespace, client.namespace),
        (principal.service_account, client.service_account),
    )
    return all(wanted in ("", mine) for wanted, mine in pairs)


def _at(caller: Caller, ip: str) -> bool | None:
    if not (caller.ip_blocks or caller.not_ip_blocks):
        return True
    if not ip:
        return None
    return (not caller.ip_blocks or _inside(ip, caller.ip_blocks)) and not _inside(ip, caller.not_ip_blocks)


def _inside(ip: str, blocks: Iterable[str]) -> bool:
    return any(_address(ip) in _network(block) for block in blocks)
