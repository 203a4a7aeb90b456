"""What is decided alike in many clusters, held once."""

from __future__ import annotations

from collections.abc import Hashable
from hashlib import sha256
from typing import Any, TypeVar

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


def digest(value: object) -> str:
    """Equal only for values that print the same."""
    return sha256(repr(value).encode()).hexdigest()[:_DIGITS]


_DIGITS = 40
"""Of a digest, in hexadecimal: 160 bits."""


class SharedDecisions:
    """The decisions of one run by what they print: clusters that are alike hold one value, and not a copy
    each.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, Any] = {}

    def share(self, value: T, *unprinted: object) -> tuple[T, str]:
        """An equal value that was decided before in this run, or this one; and its digest. `unprinted` is
        what has to be equal, too, though it is no part of how the value prints."""
        found = digest((value, unprinted))
        shared: T = self._seen.setdefault(found, value)
        return shared, found

    def one(self, value: H) -> H:
        """The same for what can be looked up by itself, and is part of no digest."""
        shared: H = self._seen.setdefault(value, value)
        return shared
