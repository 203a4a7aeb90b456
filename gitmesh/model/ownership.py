"""What of an object is ours: all of it, all but some fields, or some fields of somebody else's object.

The one place that says what of a live object is compared with what is wanted, what of it is applied, and what
stays when nobody wants it any more. Fields are named by paths through mappings: a list is one value, whose
items have no names.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from gitmesh.model.objects import Body, mapping

FIELD_MANAGER = "gitmesh"
"""Who writes what is ours, where the cluster keeps count of that (Kubernetes, "Server-Side Apply")."""

FieldPath: TypeAlias = tuple[str, ...]
"""`("metadata", "annotations", "example.com/mode")`: a tuple, as names may hold dots."""

_ABSENT = object()
_MARKED = ("labels", "annotations")
_NO_CONTENT = frozenset({"apiVersion", "kind", "metadata", "status"})


class Ownership(Struct, frozen=True):
    """`only`: these fields of somebody else's object are ours, and nothing else of it. `excepted`: the object
    is ours but for these fields, which others write. Neither: all of it is. Both are sorted.

    Raises ValueError for a path that nobody can own: of the identity, the status, or what the server keeps.
    """

    only: tuple[FieldPath, ...] = ()
    excepted: tuple[FieldPath, ...] = ()

    def __post_init__(self) -> None:
        if self.only and self.excepted:
            raise ValueError("an object is ours in some fields, or in all but some, not both")
        paths = self.only or self.excepted
        for path in paths:
            if not _may_be_owned(path):
                raise ValueError(f"the field {dotted(path)!r} is nobody's to own")
        for path, after in itertools.pairwise(paths):
            if path >= after or after[: len(path)] == path:
                raise ValueError(f"{dotted(path)!r} and {dotted(after)!r} are not two fields, sorted")

    @property
    def is_object(self) -> bool:
        """Whether the object itself is ours. Then our marks stand on it, it is created where it is not there,
        one that somebody else made is a conflict, and withdrawing it deletes it. Else none of this.
        """
        return not self.only

    def part(self, body: Body) -> Body:
        """What of an object is ours, with the object's identity: this is what is applied."""
        # Without its identity the server would not know which object the fields are of.
        if self.only:
            return _onto(_identity(body), body, self.only)
        return _without(body, self.excepted)

    def onto(self, wanted: Body, live: Body | None) -> Body:
        """The whole object with our part as it is wanted, and the rest as it is live."""
        if live is None:
            return wanted
        # First all of ours goes: a field that is wanted no more must not stay for not being mentioned.
        if self.only:
            return _onto(_without(live, self.only), wanted, self.only)
        return _onto(_without(wanted, self.excepted), live, self.excepted)

    def rest(self, live: Body) -> Body | None:
        """What stays of a live object when nobody wants it any more, which is also what of it is somebody
        else's; None where the object goes."""
        return _without(live, self.only) if self.only else None

    def in_state(self, body: Body, state: Mapping[str, Any]) -> Body:
        """The object in a state on the way: another spec; of a kind without one other data; of fields other
        labels or annotations, where these are what is ours.
        """
        if self.only:
            first = self.only[0]
            return _put(body, first[:2] if first[0] == "metadata" else first[:1], state)
        return {**body, "data" if "data" in body and "spec" not in body else "spec": state}

    def compared(self, body: Body, wanted: Body, forbidden: frozenset[str]) -> Body:
        """What of an object is held against `wanted`: all content that is ours, and of the labels and
        annotations those that are wanted or `forbidden`, as others may have theirs on any object. Fields that
        hold nothing are left out: servers drop them.
        """
        mine, sample = self.part(body), self.part(wanted)
        content = {name: value for name, value in mine.items() if name not in _NO_CONTENT and value != {}}
        metadata = {part: dict(_metadata(mine, part)) for part in _MARKED}
        # Of somebody else's object all labels and annotations that are left here are ours, of our own there
        # may be others' beside them.
        if self.is_object:
            for part, found in metadata.items():
                ours = {*_metadata(sample, part), *forbidden}
                metadata[part] = {name: value for name, value in found.items() if name in ours}
        return {**content, "metadata": metadata}

    def joined(self, other: Ownership) -> Ownership:
        """The fields of both, of two that own some fields of one object; of one inside another the outer."""
        return outermost((*self.only, *other.only))

    def covers(self, path: FieldPath) -> bool:
        """Whether it is one of the fields, or in one of them."""
        return any(path[: end + 1] in self.only for end in range(len(path)))

    def sets(self, wanted: Body, path: FieldPath) -> bool:
        """Whether an object as it is wanted says what this field is to be."""
        return _value(wanted, path) is not _ABSENT

    def misfit(self, body: Body) -> str:
        """Why an object as it is wanted does not fit to what is ours of it; "" where it does."""
        for path in self.only:
            if _value(body, path) is _ABSENT:
                return f"it does not say what {dotted(path)} is to be"
        for path in self.excepted:
            if _value(body, path) is not _ABSENT:
                return f"it says what {dotted(path)} is to be, which others write"
        # Whatever else it says would be written without anybody knowing that it is ours, and never taken off.
        if self.only and _content(self.part(body)) != _content(body):
            return "it says more than the fields that are ours"
        return ""


WHOLE = Ownership()
"""All of the object."""


def only_fields(paths: Iterable[FieldPath]) -> Ownership:
    """These fields of somebody else's object. Raises ValueError for none, as that would be the whole
    object."""
    fields = tuple(sorted(set(paths)))
    if not fields:
        raise ValueError("of somebody else's object at least one field is ours")
    return Ownership(only=fields)


def outermost(paths: Iterable[FieldPath]) -> Ownership:
    """These fields, without those that are in another of them. Raises ValueError for none."""
    every = set(paths)
    return only_fields(path for path in every if every.isdisjoint(path[:end] for end in range(len(path))))


def all_but(paths: Iterable[FieldPath]) -> Ownership:
    """The object without these fields. Raises ValueError for a path that nobody can own."""
    return Ownership(excepted=tuple(sorted(set(paths))))


def annotation(name: str) -> FieldPath:
    """The path of an annotation."""
    return ("metadata", "annotations", name)


def dotted(path: FieldPath) -> str:
    """A path as people read it."""
    return ".".join(path)


def differing(ownership: Ownership, live: Body, wanted: Body) -> tuple[FieldPath, ...]:
    """The fields of ours that have another value on the live object than they are to have, though they have
    one: somebody set it. A field that something else stands in the way of is one of them.
    """
    return tuple(
        path
        for path in ownership.only
        if _value(live, path) not in (_ABSENT, _value(wanted, path)) or _is_barred(live, path)
    )


def _may_be_owned(path: FieldPath) -> bool:
    # Names, finalizers, owners and versions are the server's and the owner's; a status is its controller's.
    match path:
        case ("metadata", "labels" | "annotations", str(name)):
            return bool(name)
        case (str(first), *more):
            return first not in _NO_CONTENT and all((first, *more))
    return False


def _value(body: Body, path: FieldPath) -> object:
    found: object = body
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return _ABSENT
        found = found[name]
    return found


def _is_barred(body: Body, path: FieldPath) -> bool:
    """Whether something that is no mapping stands where the path leads through."""
    above = (_value(body, path[:depth]) for depth in range(1, len(path)))
    return any(value not in (_ABSENT, None) and not isinstance(value, Mapping) for value in above)


def _without(body: Body, paths: Iterable[FieldPath]) -> Body:
    for path in paths:
        body = _cut(body, path)
    return body


def _cut(body: Body, path: FieldPath) -> Body:
    """The body without the field. Labels or annotations of which none is left go too, as on a server."""
    name, *below = path
    if name not in body:
        return body
    rest = {key: value for key, value in body.items() if key != name}
    inner = body[name]
    if not below:
        return rest
    if not isinstance(inner, Mapping):
        return body
    left = _cut(inner, tuple(below))
    return rest if not left and inner and name in _MARKED else {**body, name: left}


def _onto(body: Body, source: Body, paths: Iterable[FieldPath]) -> Body:
    """The body with these fields as the source has them; those that it does not have are left."""
    for path in paths:
        value = _value(source, path)
        if value is not _ABSENT:
            body = _put(body, path, value)
    return body


def _put(body: Body, path: FieldPath, value: object) -> Body:
    name, *below = path
    return {**body, name: _put(mapping(body.get(name)), tuple(below), value) if below else value}


def _identity(body: Body) -> dict[str, Any]:
    metadata = mapping(body.get("metadata"))
    kept = {name: metadata[name] for name in ("name", "namespace") if name in metadata}
    head = {name: body[name] for name in ("apiVersion", "kind") if name in body}
    return {**head, "metadata": kept}


def _content(body: Body) -> Body:
    """A body without what says nothing."""
    metadata = {name: value for name, value in mapping(body.get("metadata")).items() if value}
    return {**body, "metadata": metadata}


def _metadata(body: Body, part: str) -> Mapping[str, Any]:
    return mapping(mapping(body.get("metadata")).get(part))
