"""Whether a caller is meant (docs/concepts.md#selectors)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from functools import lru_cache

from msgspec.structs import replace

from gitmesh.model.grants import Caller, Principal
from gitmesh.reasoning.questions import NOBODY, Client

# Kept, since the same few blocks are asked about for each client.
_network = lru_cache(maxsize=4096)(ipaddress.ip_network)
_address = lru_cache(maxsize=4096)(ipaddress.ip_address)


def is_meant(caller: Caller, client: Client, *, deny: bool) -> bool | None:
    """Whether the item means the client; None where that hangs on an address that is not known."""
    return is_named(caller, client, deny=deny) and is_at(caller, client.ip)


def is_taken(domain: str | None, takes: Collection[str]) -> bool:
    """Whether pods that take identities of these trust domains (none = of any) take one of this; None shows
    no identity, and NOBODY stands for those that nobody names."""
    return not takes or domain is None or domain == NOBODY or domain in takes


def without_address(caller: Caller, *, deny: bool) -> Caller | None:
    """Whom the item means where addresses are not seen: of a Deny those at any, of an Allow nobody (None)."""
    if not caller.ip_blocks and not caller.not_ip_blocks:
        return caller
    kind = "all" if caller.kind == "address" else caller.kind
    return replace(caller, kind=kind, ip_blocks=(), not_ip_blocks=()) if deny else None


def is_named(caller: Caller, client: Client, *, deny: bool) -> bool:
    """Whether the item means the client, wherever it calls from."""
    if caller.kind in ("all", "address"):
        return True
    # A Deny errs on the closed side: an item by identity also means callers without one, and one that cannot
    # be told by identities means everybody.
    if deny and (client.trust_domain is None or caller.inexpressible):
        return True
    if client.trust_domain is None:
        return False
    return caller.kind == "authenticated" or any(
        is_principal(principal, client) for principal in caller.principals
    )


def is_principal(principal: Principal, client: Client) -> bool:
    """Whether the client shows this identity."""
    return (
        principal.service_account in ("", client.service_account)
        and principal.namespace in ("", client.namespace)
        and principal.trust_domain in ("", client.trust_domain)
    )


def is_at(caller: Caller, ip: str) -> bool | None:
    """Whether the item means callers at this address; None where that hangs on an address that is not
    known.
    """
    if not (caller.ip_blocks or caller.not_ip_blocks):
        return True
    if not ip:
        return None
    return (not caller.ip_blocks or is_inside(ip, caller.ip_blocks)) and not is_inside(
        ip, caller.not_ip_blocks
    )


def is_inside(ip: str, blocks: Iterable[str]) -> bool:
    """Whether the address is in one of the blocks."""
    return any(_address(ip) in _network(block) for block in blocks)
