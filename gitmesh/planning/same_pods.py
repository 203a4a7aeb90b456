"""Destinations over the same pods: what one of them grants is granted at the pods of all. Called by ordering;
no I/O.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.model.units import AccessUnit, Unit, UnitKey


def same_pods(units: Sequence[Unit]) -> Mapping[UnitKey, frozenset[UnitKey]]:
    """Of each destination in a cluster the others that reach a port of its pods, where there are any; also of
    one that no policy is for any more, as what was granted to it may still be there."""
    found: dict[UnitKey, set[UnitKey]] = defaultdict(set)
    for unit in units:
        for other in _others(unit) if isinstance(unit, AccessUnit) else ():
            found[unit.key].add(other)
            found[other].add(unit.key)
    return {key: frozenset(others) for key, others in found.items()}


def _others(unit: AccessUnit) -> Iterable[UnitKey]:
    for service, _ in unit.sharing:
        yield replace(unit.key, namespace=service.namespace, name=service.name)
