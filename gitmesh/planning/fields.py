"""The field-level difference of two objects that are already known to differ, for people and for provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gitmesh.model.objects import mapping
from gitmesh.model.plan import FieldChange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitmesh.model.policies import Origin

T = TypeVar("T")
_ABSENT = object()


def changes(
    live: Mapping[str, Any],
    want: Mapping[str, Any],
    managers: Mapping[str, str],
    origins: Mapping[str, Origin],
    forbidden: frozenset[str] = frozenset(),
) -> tuple[FieldChange, ...]:
    """Every field that GitMesh would write differently: the whole spec, and of the metadata our own marks and what is forbidden.

    `managers` maps dotted paths to the field manager that set them, `origins` to the policy line behind them.
    """
    rows = [*_walk(live.get("spec", _ABSENT), want.get("spec", _ABSENT), "spec")]
    for part in ("labels", "annotations"):
        found = mapping(mapping(live.get("metadata")).get(part))
        wanted = want.get("metadata", {}).get(part, {})
        for name in (*wanted, *sorted(forbidden & found.keys() - wanted.keys())):
            rows += _walk(found.get(name, _ABSENT), wanted.get(name, _ABSENT), f"metadata.{part}.{name}")
    return tuple(
        FieldChange(path=path, live=_shown(old), want=_shown(new), manager=_nearest(path, managers) or "", origin=_nearest(path, origins))
        for path, old, new in rows
    )


def _walk(live: Any, want: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if live == want:
        return
    if isinstance(live, dict) and isinstance(want, dict):
        for name in sorted({*live, *want}):
            yield from _walk(live.get(name, _ABSENT), want.get(name, _ABSENT), f"{path}.{name}")
    elif isinstance(live, list) and isinstance(want, list) and _alike(live, want):
        for index in range(max(len(live), len(want))):
            old = live[index] if index < len(live) else _ABSENT
            new = want[index] if index < len(want) else _ABSENT
            yield from _walk(old, new, f"{path}[{index}]")
    else:
        yield path, live, want


def _alike(live: list[Any], want: list[Any]) -> bool:
    """Lists of mappings are compared item by item; lists of plain values read better whole."""
    return any(isinstance(item, dict) for item in (*live, *want))


def _shown(value: Any) -> Any:
    return None if value is _ABSENT else value


def _nearest(path: str, table: Mapping[str, T]) -> T | None:
    """The entry of the path or of its nearest parent; for a parent that holds no entry, of its first child."""
    at = path
    while at:
        if at in table:
            return table[at]
        cut = max(at.rfind("."), at.rfind("["))
        at = at[:cut] if cut > 0 else ""
    inside = sorted(known for known in table if known.startswith((f"{path}.", f"{path}[")))
    return table[inside[0]] if inside else None
