"""Destinations over the same pods: what one of them grants is granted at the pods of all. Called by ordering;
no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.model.units import AccessUnit, Unit, UnitKey


def same_pods(units: Sequence[Unit]) -> Mapping[UnitKey, frozenset[UnitKey]]:
    """Of each destination in a cluster the others that reach a port of its pods, where there are any."""
    access = (unit for unit in units if isinstance(unit, AccessUnit) and unit.sharing)
    return {unit.key: frozenset(_others(unit)) for unit in access}


def _others(unit: AccessUnit) -> Iterable[UnitKey]:
    for service, _ in unit.sharing:
        yield replace(unit.key, namespace=service.namespace, name=service.name)
