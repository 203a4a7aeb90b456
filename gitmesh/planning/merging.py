"""Several units that want one object: the same, or each some fields of it. Called by build; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.model.objects import decode
from gitmesh.planning.retaining import with_spec

if TYPE_CHECKING:
    from gitmesh.model.manifests import Manifest


class _ContradictionError(Exception):
    """One field has two values."""


def together(one: Manifest, other: Manifest) -> Manifest | None:
    """The object as both want it; None where they contradict each other. Only what both call a part of the
    object is put together: of an object that is wanted whole, more fields may mean something else."""
    units = tuple(sorted({*one.units, *other.units}))
    if one.body == other.body:
        return replace(one, units=units)
    # An object that decides who may call is never put together with one that does not: their order would
    # differ.
    same = (one.version, one.decides, one.forbidden) == (other.version, other.decides, other.forbidden)
    mine, theirs = decode(one.body), decode(other.body)
    if not (one.part and other.part and same and _labels(mine) == _labels(theirs)):
        return None
    try:
        spec = _merged(mine["spec"], theirs["spec"])
    except _ContradictionError:
        return None
    made = with_spec(one, spec, tuple(sorted({*one.policies, *other.policies})))
    return replace(
        made,
        units=units,
        apart=one.apart and other.apart,
        fields=dict(sorted({**other.fields, **one.fields}.items())),
        owners={**other.owners, **one.owners},
        contested=tuple(sorted({*one.contested, *other.contested})),
    )


def _labels(body: Mapping[str, Any]) -> Any:
    return body["metadata"]["labels"]


def _merged(one: Any, other: Any) -> Any:
    """Mappings with the fields of both; anything else must be the same. Raises _ContradictionError."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = {name: _merged(one[name], other[name]) for name in one.keys() & other.keys()}
        return {**one, **other, **both}
    # Lists too: what their order means, and whether items add up, only the translator knows.
    if one != other:
        raise _ContradictionError
    return one
