"""Items of a split or a mirror: lists whose order has no meaning, so that each must find its way back to its
place in the policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gitmesh.model.policies import Origin, Policy
from gitmesh.model.traffic import Mirror, SplitTarget
from gitmesh.resolution.rules import canonical


class Items(Struct, frozen=True, kw_only=True):
    """In canonical order: the place of each item in the policy, and where its parts stand, "" = the item."""

    places: Sequence[int]
    parts: tuple[Mapping[str, Origin], ...]


def items_of(policy: Policy, name: str, value: Sequence[SplitTarget | Mirror]) -> Items:
    """The items of the policy's field, of which `value` is the canonical form."""
    order = _places(policy, name)
    return Items(
        places=order,
        parts=tuple(_parts(policy, name, place, item) for place, item in zip(order, value, strict=True)),
    )


def _places(policy: Policy, name: str) -> list[int]:
    """As `canonical` sorts."""
    keys = [repr(canonical(item)) for item in getattr(policy.spec, name)]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _parts(policy: Policy, name: str, place: int, item: SplitTarget | Mirror) -> Mapping[str, Origin]:
    given = [part for part in ("weight", "percent", "headers") if part in item.model_fields_set]
    inside = [part for part in ("name", "subset", "port") if getattr(item.destination, part) is not None]
    return {
        "": policy.origin(name, place),
        **{part: policy.origin(name, place, part) for part in given},
        **{f"destination.{part}": policy.origin(name, place, "destination", part) for part in inside},
    }
