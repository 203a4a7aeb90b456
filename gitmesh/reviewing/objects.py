"""Which desired objects of a cluster differ between two revisions, and in which fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from gitmesh.model.comparison import ObjectDelta
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import Body, ObjectKey, canonical, decode, mapping
from gitmesh.model.ownership import Ownership
from gitmesh.model.plan import Action, FieldChange
from gitmesh.model.policies import Origin
from gitmesh.planning.fields import changes, nearest
from gitmesh.planning.ownership import ID


def object_deltas(base: Build, head: Build) -> tuple[ObjectDelta, ...]:
    """The objects that differ, by key."""
    return tuple(_deltas(base, head))


def _deltas(base: Build, head: Build) -> Iterator[ObjectDelta]:
    for key in sorted(base.manifests.keys() | head.manifests.keys()):
        # An object that head holds stays as it is, so that nothing changes.
        if key in head.held:
            continue
        # What an object that base holds would be is not known.
        old = None if key in base.held else base.manifests.get(key)
        new = head.manifests.get(key)
        if (old.digest if old else "") != (new.digest if new else ""):
            yield _delta(key, old, new)


def _delta(key: ObjectKey, old: Manifest | None, new: Manifest | None) -> ObjectDelta:
    either = [one for one in (new, old) if one]
    fields = either[0].fields if either else {}
    # Somebody else's object is there before and after: what changes are our fields in it.
    stays = (old and new) or not all(one.ownership.is_object for one in either)
    return ObjectDelta(
        key=key,
        action=Action.UPDATE if stays else Action.CREATE if new else Action.DELETE,
        before=_unmarked(old.body) if old else b"",
        after=_unmarked(new.body) if new else b"",
        fields=_fields(old, new) if stays else (),
        policies=tuple(sorted({policy for one in either for policy in one.policies})),
        origins=tuple(sorted(set(fields.values()))),
    )


def _unmarked(body: bytes) -> bytes:
    """An object without our mark with its own name and the cluster's."""
    found = decode(body)
    annotations = mapping(mapping(found.get("metadata")).get("annotations"))
    # The mark names the cluster: without it, the same change in two clusters reads the same.
    kept = {name: value for name, value in annotations.items() if name != ID}
    return (
        canonical({**found, "metadata": {**mapping(found.get("metadata")), "annotations": kept}})
        if ID in annotations
        else body
    )


def _fields(old: Manifest | None, new: Manifest | None) -> tuple[FieldChange, ...]:
    """Every field that differs, with the line that is to blame: of the new policies, and of the old ones for
    what is gone.
    """
    before, after = (one.fields if one else {} for one in (old, new))
    rows = changes(_body(old), _body(new), {}, after, ownership=_ownership(old, new))
    return tuple(_blamed(row, before, after) for row in rows)


def _body(manifest: Manifest | None) -> Body:
    return decode(manifest.body) if manifest else {}


def _ownership(old: Manifest | None, new: Manifest | None) -> Ownership:
    """What is ours before or after."""
    first, *others = (one.ownership for one in (new, old) if one)
    return first.joined(others[0]) if others and first.only and others[0].only else first


def _blamed(row: FieldChange, old: Mapping[str, Origin], new: Mapping[str, Origin]) -> FieldChange:
    table = old if row.want is None else new
    return replace(row, origin=nearest(row.path, table) or min((table or old or new).values(), default=None))
