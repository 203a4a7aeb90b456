"""Values that hold nothing, one for all fields that do: most fields of tens of thousands of values hold
nothing, and each empty dict of its own takes 64 bytes, each empty frozenset 216.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from msgspec import field

T = TypeVar("T")

NOBODY: frozenset[Any] = frozenset()
EMPTY: Mapping[Any, Any] = {}
"""A dict, as it must print and encode like those that hold something; nothing writes to a Mapping."""


def no_items() -> Any:
    """The default of a Struct's field that is a Mapping."""
    # Always the same `EMPTY`: with `= {}` msgspec would make a new dict for each value.
    return field(default_factory=lambda: EMPTY)


def sealed(items: Iterable[T]) -> frozenset[T]:
    """The items as a set; one and the same set where there are none."""
    return frozenset(items) or NOBODY
