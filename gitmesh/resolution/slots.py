"""The slots of a TrafficPolicy: what precedence decides as one, with the values that a policy gives them and
the places where they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from gitmesh.model.base import Disabled, Model
from gitmesh.model.empty import EMPTY
from gitmesh.model.naming import camel
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.requests import HeaderOps, Headers, Mirror, SplitTarget
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS, ROUTING_FIELDS, TrafficPolicySpec

Slot: TypeAlias = tuple[str, ...]
"""What precedence decides as one: ("timeout",), ("routing",), ("headers", "request", "x-user"), ("headers",)
= no more headers.
"""
Parts: TypeAlias = Mapping[Slot, Mapping[str, Origin]]
"""Where the values of a policy stand: slot -> dotted path of a part below the field, as policies spell it (""
= the field) -> place. Found once for a policy, as very many routes name the same."""
NO_PARTS: Parts = EMPTY
WHOLE: Slot = ()
MATCHES: Slot = ("matches",)
"""Where the policy begins, and, with the index of one, where its matches stand."""
ROUTING: Slot = ("routing",)
NO_MORE_HEADERS: Slot = ("headers",)
_ORDERED = frozenset({"failover_priority"})
"""Lists whose order has a meaning; every other list of a TrafficPolicy is a set."""


def slots_of(policy: Policy) -> Mapping[Slot, Any]:
    """Every slot that the policy sets, with its value in canonical form; `Disabled` ends inheritance."""
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec)
    slots: dict[Slot, object] = {}
    for name in spec.given((*REQUEST_FIELDS, *CONNECTION_FIELDS)):
        value = canonical(getattr(spec, name))
        if name == "headers" and isinstance(value, Headers):
            slots |= _header_slots(value)
        else:
            slots[ROUTING if name in ROUTING_FIELDS else (name,)] = value
    return slots


def _header_slots(headers: Headers) -> dict[Slot, object]:
    slots: dict[Slot, object] = {}
    for side in ("request", "response"):
        ops: HeaderOps | None = getattr(headers, side)
        if ops is None:
            continue
        for name in {*(ops.set or ()), *(ops.add or ()), *(ops.remove or ())}:
            # A slot for each header: two policies that change different headers do not contradict each
            # other.
            slots["headers", side, name] = (
                (ops.set or {}).get(name),
                (ops.add or {}).get(name),
                name in (ops.remove or ()),
            )
    return slots


def parts_of(policy: Policy) -> Parts:
    """Where the policy's values and the parts of compound ones stand."""
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec)
    given = {
        name: getattr(spec, name)
        for name in spec.given((*REQUEST_FIELDS, *CONNECTION_FIELDS))
        if name != "headers"
    }
    values = {
        ROUTING if name in ROUTING_FIELDS else (name,): _places(policy, name, value)
        for name, value in given.items()
    }
    rules = {
        (*MATCHES, str(number)): {"": policy.origin(*MATCHES, number)}
        for number in range(len(spec.matches or ()))
    }
    return {**values, **rules, WHOLE: {"": policy.origin()}}


def _places(policy: Policy, name: str, value: object) -> Mapping[str, Origin]:
    leaves = _leaves(value, ()) if isinstance(value, Model) and not is_disabled(value) else ()
    return {
        "": policy.origin(name),
        **{".".join(map(camel, path)): policy.origin(name, *path) for path in leaves},
    }


def _leaves(value: Model, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths of the parts that are given."""
    for name in sorted(value.model_fields_set):
        part = getattr(value, name)
        if isinstance(part, Model):
            yield from _leaves(part, (*path, name))
        else:
            yield (*path, name)


def slot_path(policy: Policy, slot: Slot) -> tuple[str, ...]:
    """The field of the slot below spec, by its Python names."""
    if slot == ROUTING:
        return next((name,) for name in ROUTING_FIELDS if getattr(policy.spec, name) is not None)
    # ("headers", side, name): names of headers are users' keys, not fields of the policy.
    return slot[:2]


def covers(slots: Mapping[Slot, Any], slot: Slot) -> bool:
    """Whether the slot is decided by them: set, or ended by `headers: {disabled: true}`."""
    return slot in slots or (slot[0] == "headers" and NO_MORE_HEADERS in slots)


def is_disabled(value: Any) -> bool:
    """Whether the value ends inheritance."""
    return isinstance(value, Disabled)


def canonical(value: Any, name: str = "") -> Any:
    """The same value with set-like lists and mappings sorted, so that their order in a file changes
    nothing.
    """
    if isinstance(value, Model):
        return value.model_copy(
            update={field: canonical(getattr(value, field), field) for field in type(value).model_fields}
        )
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        items = tuple(canonical(item) for item in value)
        # By their text, as items of different types have no order of their own.
        return items if name in _ORDERED else tuple(sorted(items, key=repr))
    return value


class Items(Struct, frozen=True, kw_only=True):
    """In canonical order: the place of each item in the policy, and where its parts stand, "" = the item."""

    places: Sequence[int]
    parts: tuple[Mapping[str, Origin], ...]


def items_of(policy: Policy, name: str, value: Sequence[SplitTarget | Mirror]) -> Items:
    """The items of the policy's field, of which `value` is the canonical form."""
    order = _order(policy, name)
    return Items(
        places=order,
        parts=tuple(_item_parts(policy, name, place, item) for place, item in zip(order, value, strict=True)),
    )


def _order(policy: Policy, name: str) -> list[int]:
    """As `canonical` sorts."""
    keys = [repr(canonical(item)) for item in getattr(policy.spec, name)]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _item_parts(policy: Policy, name: str, place: int, item: SplitTarget | Mirror) -> Mapping[str, Origin]:
    given = [part for part in ("weight", "percent", "headers") if part in item.model_fields_set]
    inside = [part for part in ("name", "subset", "port") if getattr(item.destination, part) is not None]
    return {
        "": policy.origin(name, place),
        **{part: policy.origin(name, place, part) for part in given},
        **{f"destination.{part}": policy.origin(name, place, "destination", part) for part in inside},
    }
