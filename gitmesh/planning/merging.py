"""Several units that want one object: the same, or each some fields of it. Called by build; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.model.objects import canonical, decode, digest
from gitmesh.planning.retaining import content_of, with_content

if TYPE_CHECKING:
    from gitmesh.model.admission import Subject
    from gitmesh.model.manifests import Manifest
    from gitmesh.model.units import UnitKey


class _ContradictionError(Exception):
    """One field has two values."""


def together(one: Manifest, other: Manifest) -> Manifest | None:
    """The object as both want it; None where they contradict each other. What both call a part of the object
    is put together, and so are fields in somebody else's: of an object that is wanted whole, more fields may
    mean something else."""
    fields = not (one.ownership.is_object or other.ownership.is_object)
    same = _frame(one) == _frame(other) and (fields or one.ownership == other.ownership)
    if same and not fields and one.body == other.body:
        return replace(one, units=_units(one, other))
    # An object of ours that decides who may call is never put together with one that does not: their order
    # would differ.
    if not same or not (fields or (one.part and other.part)):
        return None
    try:
        made = _fields(one, other) if fields else _parts(one, other)
    except _ContradictionError:
        return None
    return replace(
        made,
        units=_units(one, other),
        apart=one.apart and other.apart,
        fields=dict(sorted({**other.fields, **one.fields}.items())),
        owners={**other.owners, **one.owners},
        contested=tuple(sorted({*one.contested, *other.contested})),
    )


def _frame(manifest: Manifest) -> object:
    """What must be the same for two to be put together."""
    if not manifest.ownership.is_object:
        return manifest.version
    labels = decode(manifest.body)["metadata"].get("labels")
    return manifest.version, manifest.decides, manifest.forbidden, labels


def _parts(one: Manifest, other: Manifest) -> Manifest:
    content = _merged(content_of(one), content_of(other))
    return with_content(one, content, _policies(one, other))


def _fields(one: Manifest, other: Manifest) -> Manifest:
    """Fields in somebody else's object. One inside another is a contradiction: the outer says all of it."""
    ownership = one.ownership.joined(other.ownership)
    if len(ownership.only) < len({*one.ownership.only, *other.ownership.only}):
        raise _ContradictionError
    # No marks stand in it, so nothing but the fields can differ.
    body = canonical(_merged(decode(one.body), decode(other.body)))
    made = replace(one, body=body, digest=digest(body), ownership=ownership, decides=_decides(one, other))
    return replace(made, policies=_policies(one, other))


def _decides(one: Manifest, other: Manifest) -> Subject:
    """What both decide together: whatever one of them does beside routing."""
    subjects = {one.decides, other.decides} - {"routing"}
    if len(subjects) > 1:
        raise _ContradictionError
    return subjects.pop() if subjects else "routing"


def _units(one: Manifest, other: Manifest) -> tuple[UnitKey, ...]:
    return tuple(sorted({*one.units, *other.units}))


def _policies(one: Manifest, other: Manifest) -> tuple[str, ...]:
    return tuple(sorted({*one.policies, *other.policies}))


def _merged(one: Any, other: Any) -> Any:
    """Mappings with the fields of both; anything else must be the same. Raises _ContradictionError."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = {name: _merged(one[name], other[name]) for name in one.keys() & other.keys()}
        return {**one, **other, **both}
    # Lists too: what their order means, and whether items add up, only the translator knows.
    if one != other:
        raise _ContradictionError
    return one
