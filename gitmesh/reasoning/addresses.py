"""The address space, cut into regions by the blocks that rules name: one address of each, and words for sets
of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct

from gitmesh.model.grants import Caller
from gitmesh.reasoning.callers import is_at, is_inside
from gitmesh.reasoning.values import MOST, UntoldError, Value, cut, spoken, terms

_BITS: Mapping[int, int] = {4: 32, 6: 128}


class AddressRegion(Struct, frozen=True, kw_only=True):
    """Addresses that no item tells apart: one of them, "" where no item asks for addresses, and what blocks
    they are in. `inside` says of each item whether it means callers there."""

    sample: str = ""
    inside: tuple[bool, ...] = ()
    values: tuple[Value, ...] = ()


def regions(items: Sequence[Caller]) -> tuple[AddressRegion, ...]:
    """The regions that the items tell apart; a single one where none of them asks for addresses."""
    blocks = sorted({block for item in items for block in (*item.ip_blocks, *item.not_ip_blocks)})
    if not blocks:
        return (AddressRegion(inside=(True,) * len(items)),)
    if len(blocks) > MOST:
        raise UntoldError(f"its rules name {len(blocks)} blocks of addresses")
    found: dict[tuple[bool, ...], list[Value]] = {}
    for value in cut(_addresses(blocks), {block: partial(_lies_in, block) for block in blocks}):
        found.setdefault(tuple(is_at(item, value.sample or "") is True for item in items), []).append(value)
    return tuple(
        AddressRegion(sample=values[0].sample or "", inside=inside, values=tuple(values))
        for inside, values in found.items()
    )


def _lies_in(block: str, address: str) -> bool:
    return is_inside(address, (block,))


def _addresses(blocks: Iterable[str]) -> Iterator[str]:
    """The first address of each stretch in which no block begins or ends."""
    places = {version: {0} for version in _BITS}
    for block in map(ipaddress.ip_network, blocks):
        # Where a block ends, the next stretch begins: one address behind its last.
        places[block.version] |= {int(block.network_address), int(block.broadcast_address) + 1}
    for version, found in places.items():
        # Behind the last block of the space there is no address any more.
        yield from (str(_Address[version](place)) for place in sorted(found) if place < 1 << _BITS[version])


_Address = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}


def told(chosen: Collection[AddressRegion], every: Collection[AddressRegion]) -> str:
    """` from 10.0.0.0/8 but not 10.1.0.0/16`; "" for all of them."""
    if len(chosen) == len(every):
        return ""
    values = [value for one in chosen for value in one.values]
    return f" from {spoken(terms(values, [value for one in every for value in one.values]), 'anywhere')}"
