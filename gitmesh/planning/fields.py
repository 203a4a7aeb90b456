"""The field-level difference of two objects that are already known to differ, for people and for
provenance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gitmesh.model.objects import canonical, mapping
from gitmesh.model.ownership import WHOLE, Ownership
from gitmesh.model.plan import FieldChange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitmesh.model.policies import Origin

T = TypeVar("T")
_ABSENT = object()
_MOST_COMPARED = 2_500
"""Pairs of items of two lists that are looked at for what they share."""


def changes(
    live: Mapping[str, Any],
    want: Mapping[str, Any],
    managers: Mapping[str, str],
    origins: Mapping[str, Origin],
    forbidden: frozenset[str] = frozenset(),
    ownership: Ownership = WHOLE,
) -> tuple[FieldChange, ...]:
    """Every field that GitMesh would write differently, of those that are ours: the content, and of the
    metadata our own labels and annotations and what is forbidden.

    `managers` maps dotted paths to the field manager that set them, `origins` to the policy line behind them.
    """
    there, wanted = (ownership.compared(one, want, forbidden) for one in (live, want))
    names = sorted({*there, *wanted} - {"metadata"})
    rows = [row for name in names for row in _walk(_at(there, name), _at(wanted, name), name)]
    # Of the metadata only what is ours and what may not stand there: other labels are their owners' business.
    for part in ("labels", "annotations"):
        old, new = (mapping(mapping(one.get("metadata")).get(part)) for one in (there, wanted))
        for name in (*new, *sorted(old.keys() - new.keys())):
            rows += _walk(_at(old, name), _at(new, name), f"metadata.{part}.{name}")
    return tuple(
        FieldChange(
            path=path,
            live=_shown(old),
            want=_shown(new),
            manager=nearest(path, managers) or "",
            origin=nearest(path, origins),
        )
        for path, old, new in rows
    )


def _at(fields: Mapping[str, Any], name: str) -> Any:
    return fields.get(name, _ABSENT)


def _walk(live: Any, want: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if live == want:
        return
    if isinstance(live, dict) and isinstance(want, dict):
        for name in sorted({*live, *want}):
            yield from _walk(live.get(name, _ABSENT), want.get(name, _ABSENT), f"{path}.{name}")
    elif isinstance(live, list) and isinstance(want, list) and _of_items(live, want):
        yield from _items(live, want, path)
    else:
        yield path, live, want


def _of_items(live: list[Any], want: list[Any]) -> bool:
    """Lists of mappings are compared item by item; lists of plain values read better whole."""
    return any(isinstance(item, dict) for item in (*live, *want))


def _items(live: list[Any], want: list[Any], path: str) -> Iterator[tuple[str, Any, Any]]:
    """The rows of two lists by content: an item that only moved is no change, but that the order changed
    is.
    """
    pairs = paired(live, want)
    for new, old in sorted(pairs.items()):
        yield from _walk(live[old], want[new], f"{path}[{new}]")
    taken = set(pairs.values())
    for old in range(len(live)):
        if old not in taken:
            yield f"{path}[{old}]", live[old], _ABSENT
    for new in range(len(want)):
        if new not in pairs:
            yield f"{path}[{new}]", _ABSENT, want[new]
    # In a route the first match wins, so the same items in another order are another object.
    order = [pairs[new] for new in sorted(pairs)]
    if order != sorted(order):
        yield f"{path} (order)", sorted(order), order


def paired(live: list[Any], want: list[Any]) -> dict[int, int]:
    """Index in `want` -> index in `live` of the item that it is: equal ones first, then those that share
    most, then in order.
    """
    pairs: dict[int, int] = {}
    free: dict[bytes, list[int]] = {}
    for index, item in enumerate(live):
        free.setdefault(canonical(item), []).append(index)
    for index, item in enumerate(want):
        if same := free.get(canonical(item)):
            pairs[index] = same.pop(0)
    olds = sorted(index for rest in free.values() for index in rest)
    news = [index for index in range(len(want)) if index not in pairs]
    for _, new, old in sorted(_likeness(live, want, olds, news)):
        if new not in pairs and old in olds:
            pairs[new] = old
            olds.remove(old)
    return pairs


def _likeness(
    live: list[Any], want: list[Any], olds: list[int], news: list[int]
) -> Iterator[tuple[int, int, int]]:
    """(minus what both share, index in `want`, index in `live`) of items that may be one; of very many only
    those in one place.
    """
    # Comparing each with each is quadratic, and a tenant may make such lists as long as an object can be.
    if len(olds) * len(news) > _MOST_COMPARED:
        yield from ((0, index, index) for index in news if index in set(olds))
        return
    leaves = {old: set(_leaves(live[old])) for old in olds}
    for new in news:
        mine = set(_leaves(want[new]))
        yield from (
            (-len(mine & leaves[old]), new, old)
            for old in olds
            # As many old as new: then a pair that shares nothing is still the item that was rewritten, not
            # one that came and one that went.
            if mine & leaves[old] or len(olds) == len(news)
        )


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every plain value inside, with its path; items of lists without their place."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{path}[]")
    else:
        yield path, str(value)


def _shown(value: Any) -> Any:
    return None if value is _ABSENT else value


def nearest(path: str, table: Mapping[str, T]) -> T | None:
    """The entry of the path or of its nearest parent; for a parent that holds no entry, of its first
    child.
    """
    at = path
    while at:
        if at in table:
            return table[at]
        cut = max(at.rfind("."), at.rfind("["))
        at = at[:cut] if cut > 0 else ""
    inside = sorted(known for known in table if known.startswith((f"{path}.", f"{path}[")))
    return table[inside[0]] if inside else None
