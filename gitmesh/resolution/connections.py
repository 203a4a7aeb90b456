"""Connection fields of a destination: decided for each port and each group of clients, since a connection
carries many requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.model.policies import Origin
from gitmesh.model.traffic import CONNECTION_FIELDS
from gitmesh.model.units import Decided, RequestMatch, SourceCondition
from gitmesh.resolution.matching import implies
from gitmesh.resolution.rules import Rule, Slot, is_disabled

CONNECTION: frozenset[Slot] = frozenset((name,) for name in CONNECTION_FIELDS)


def settings(rules: Sequence[Rule]) -> Mapping[int, Mapping[str, Decided]]:
    """Connection fields by Service port number, 0 = the whole destination; a port has an entry if some rule
    names it.

    `rules` are in precedence. The greatest rule that sets a field decides it for its clients, lesser ones for
    the others.
    """
    setting = [rule for rule in rules if rule.slots.keys() & CONNECTION]
    ports = sorted({rule.match.port for rule in setting if rule.match.port > 0})
    table = {port: _setting(rule for rule in setting if rule.match.port in (0, port)) for port in ports}
    whole = _setting(rule for rule in setting if not rule.match.port)
    return {**({0: whole} if whole else {}), **table}


def _setting(rules: Iterator[Rule]) -> Mapping[str, Decided]:
    said: dict[str, list[Decided]] = {}
    for rule in rules:
        for slot in sorted(rule.slots.keys() & CONNECTION):
            greater = said.setdefault(slot[0], [])
            if not any(_covers(one.source, rule.match.source) for one in greater):
                value, parts = rule.slots[slot], rule.parts.get(slot, {})
                greater.append(
                    Decided(value=value, origin=rule.origin(slot), parts=parts, source=rule.match.source)
                )
    chains = {name: _chain(greater) for name, greater in sorted(said.items())}
    return {name: chain for name, chain in chains.items() if chain is not None}


def _covers(wide: SourceCondition, narrow: SourceCondition) -> bool:
    """Whether every client of `narrow` is one of `wide`."""
    return implies(RequestMatch(source=narrow), RequestMatch(source=wide))


def _chain(decisions: Sequence[Decided]) -> Decided | None:
    """The decisions, greatest first, as one; None where all of them leave the mesh its own."""
    chain: Decided | None = None
    for decided in reversed(decisions):
        if chain is not None or not is_disabled(decided.value):
            chain = replace(decided, fallback=chain)
    return chain


def beyond(chain: Decided, most: int) -> Origin | None:
    """The origin of the last decision of a chain that is longer."""
    length, one = 1, chain
    while one.fallback is not None:
        length, one = length + 1, one.fallback
    return one.origin if length > most else None
