"""managedFields: who says what about an object, and how another manager's claims become ours.

Server-side apply removes only fields that no other manager claims. What people or webhooks write comes with
operation Update and keeps a claim, so a field that somebody added would stay for ever. As the whole content
of our objects is ours (design law 4), such claims are moved to our own entry before the apply, which then
removes what we do not want. Claims of managers with operation Apply are touched once: when the object is
adopted, as its owner agreed to. Fields that others write by agreement (`Ownership.excepted`) are no part of
this. Format: https://kubernetes.io/docs/reference/using-api/server-side-apply/
(FieldsV1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from gitmesh.model.objects import listed, mapping
from gitmesh.model.ownership import FIELD_MANAGER, WHOLE, FieldPath, Ownership

Entry = Mapping[str, Any]
_NOT_CONTENT = frozenset({"f:apiVersion", "f:kind", "f:metadata", "f:status"})


def entries(raw: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The well-formed entries of an object, those of the status subresource left out."""
    found = listed(mapping(raw.get("metadata")).get("managedFields"))
    # Status is written by controllers all the time, through a subresource that an apply of the object does
    # not touch.
    return tuple(e for e in found if isinstance(e.get("fieldsV1"), dict) and not e.get("subresource"))


def is_ours(entry: Entry) -> bool:
    """Whether it is what we applied. An entry of our name with operation Update is a webhook's work during
    our write.
    """
    return entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"


def managers(found: Sequence[Entry]) -> dict[str, str]:
    """Field manager -> operation; Apply where it has both."""
    return {
        str(e.get("manager", "")): str(e.get("operation", ""))
        for e in sorted(found, key=lambda e: e.get("operation") == "Apply")
    }


def written(found: Sequence[Entry]) -> float:
    """When content was last written, in seconds since the epoch; 0 where no entry tells."""
    return max((seconds(str(e["time"])) for e in found if e.get("time")), default=0.0)


@lru_cache(maxsize=4096)  # objects that were written at once carry one time
def seconds(time: str) -> float:
    """An RFC 3339 time as seconds since the epoch; 0 for what is none."""
    try:
        return max(datetime.fromisoformat(time).timestamp(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def field_managers(found: Sequence[Entry]) -> dict[str, str]:
    """Dotted path -> manager for what others claim. A path ends where a list begins: items have no names of
    their own.
    """
    claimed: dict[str, str] = {}
    others = [entry for entry in found if not is_ours(entry)]
    # Appliers last, so that of two who claim one field the one who will insist on it is named.
    for entry in sorted(others, key=lambda e: (e.get("operation") == "Apply", str(e.get("manager")))):
        claimed.update(dict.fromkeys(paths(entry["fieldsV1"]), str(entry.get("manager", ""))))
    return claimed


def paths(fields: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The dotted paths of the leaves of a FieldsV1 tree, each once."""
    below = {name: tree for name, tree in fields.items() if name != "."}
    # Below a list FieldsV1 names items by key or value (`k:`, `v:`), which are no field names.
    if above and (not below or not all(name.startswith("f:") for name in below)):
        yield above
        return
    for name, tree in below.items():
        yield from paths(tree if isinstance(tree, dict) else {}, f"{above}.{name[2:]}" if above else name[2:])


def claimed(
    entry: Entry, desired: Mapping[str, Any], forbidden: frozenset[str], ownership: Ownership = WHOLE
) -> dict[str, Any]:
    """The part of an entry's FieldsV1 tree that is ours to decide: all content that is ours, and the labels
    and annotations that we set or forbid.
    """
    fields = minus(entry["fieldsV1"], as_tree(ownership.excepted))
    part = {name: tree for name, tree in fields.items() if name not in _NOT_CONTENT}
    metadata = _claimed_metadata(
        mapping(fields.get("f:metadata")), mapping(desired.get("metadata")), forbidden
    )
    return {**part, "f:metadata": metadata} if metadata else part


def _claimed_metadata(
    fields: Mapping[str, Any], metadata: Mapping[str, Any], forbidden: frozenset[str]
) -> dict[str, object]:
    found: dict[str, object] = {}
    for part in ("labels", "annotations"):
        wanted = {f"f:{name}" for name in (*(metadata.get(part) or {}), *forbidden)}
        mine = {name: tree for name, tree in mapping(fields.get(f"f:{part}")).items() if name in wanted}
        if mine:
            found[f"f:{part}"] = mine
    return found


def taken_over(
    found: Sequence[Entry],
    raw: Mapping[str, Any],
    desired: Mapping[str, Any],
    forbidden: frozenset[str],
    ownership: Ownership = WHOLE,
    *,
    adopted: bool = False,
) -> list[Entry] | None:
    """All managedFields of `raw` with the claims of Update managers on our content moved to our entry; None
    if there are none.

    With `adopted` also those of Apply managers: the object's owner agreed to give it away.
    """
    takes = [
        (e, claimed(e, desired, forbidden, ownership))
        for e in found
        # An Update manager wrote once and will not insist; an applier would come back, and two would fight.
        if e.get("operation") == "Update" or (adopted and not is_ours(e))
    ]
    takes = [(entry, part) for entry, part in takes if part]
    if not takes:
        return None
    mine: dict[str, object] = {}
    for _, part in takes:
        mine = union(mine, part)
    parts = {id(entry): part for entry, part in takes}
    # Of all entries, those of subresources and malformed ones too: what is missing in the list that is
    # written back would be lost.
    kept = [_without(e, parts.get(id(e))) for e in raw["metadata"]["managedFields"]]
    ours = next((e for e in found if is_ours(e)), _first_entry(desired))
    others = [e for e in kept if e is not None and not (is_ours(e) and not e.get("subresource"))]
    return [{**ours, "fieldsV1": union(ours["fieldsV1"], mine)}, *others]


def appliers(
    found: Sequence[Entry],
    desired: Mapping[str, Any],
    forbidden: frozenset[str],
    ownership: Ownership = WHOLE,
) -> dict[str, list[str]]:
    """Other managers of operation Apply -> dotted paths of our content that they claim."""
    theirs = [entry for entry in found if entry.get("operation") == "Apply" and not is_ours(entry)]
    claims = {
        str(entry.get("manager")): sorted(paths(claimed(entry, desired, forbidden, ownership)))
        for entry in theirs
    }
    return {manager: found_paths for manager, found_paths in sorted(claims.items()) if found_paths}


def applied(found: Sequence[Entry], path: FieldPath, ours: str) -> str:
    """Who else applies a field, "" where nobody does. `ours` is our name for it."""
    for entry in found:
        if (
            entry.get("operation") == "Apply"
            and entry.get("manager") != ours
            and _has(entry["fieldsV1"], path)
        ):
            return str(entry.get("manager"))
    return ""


def _has(tree: Mapping[str, Any], path: FieldPath) -> bool:
    """Whether a FieldsV1 tree has the field, something in it, or something that it is in."""
    for name in path:
        if f"f:{name}" not in tree:
            return False
        tree = mapping(tree[f"f:{name}"])
        if not tree:
            return True
    return True


def as_tree(fields: Sequence[FieldPath]) -> dict[str, Any]:
    """Fields by their paths as a FieldsV1 tree."""
    tree: dict[str, Any] = {}
    for path in fields:
        node = tree
        for name in path:
            node = node.setdefault(f"f:{name}", {})
    return tree


def union(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Both FieldsV1 trees as one."""
    both = dict(left)
    for name, tree in right.items():
        both[name] = union(both[name], tree) if name in both else tree
    return both


def minus(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """A FieldsV1 tree without the nodes of another; emptied nodes go too."""
    rest: dict[str, object] = {}
    for name, tree in left.items():
        if name not in right:
            rest[name] = tree
        # "." says that the node itself is claimed; alone it would keep an empty mapping alive.
        elif right[name] and (below := minus(tree, right[name])) and set(below) != {"."}:
            rest[name] = below
    return rest


def _without(entry: Entry, part: Mapping[str, Any] | None) -> Entry | None:
    if part is None:
        return entry
    rest = minus(entry["fieldsV1"], part)
    return {**entry, "fieldsV1": rest} if rest else None


def _first_entry(desired: Mapping[str, Any]) -> Entry:
    """Our entry on an object that we never applied (an adopted one)."""
    head = {"manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": desired["apiVersion"]}
    return {**head, "fieldsType": "FieldsV1", "fieldsV1": {}}
