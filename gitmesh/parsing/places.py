"""Where the keys and values of a document stand: recorded as bare numbers while it is read, and made
into tables only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from gitmesh.model.policies import YamlPath

COLUMN_BITS = 20
"""A place is one number: line << COLUMN_BITS | column, both from 0. A line is shorter than a file, 256 KiB.
"""
_COLUMN_MASK = (1 << COLUMN_BITS) - 1
_Rows: TypeAlias = dict[YamlPath, int]


def unpack(place: int) -> tuple[int, int]:
    """1-based line and column."""
    return (place >> COLUMN_BITS) + 1, (place & _COLUMN_MASK) + 1


class Places:
    """What a builder recorded of a document, in the order of its events: a number per value, a table of keys
    per mapping.
    """

    __slots__ = ("_data", "_keys", "_rows", "_values")

    def __init__(self, data: object, values: list[int], keys: list[dict[str, int]]) -> None:
        self._data, self._values, self._keys = data, values, keys
        self._rows: dict[str, _Rows] = {}

    def table(self, which: str) -> Mapping[YamlPath, tuple[int, int]]:
        """`keys` or `values` of Positions."""
        return _Table(self, which)

    def rows(self, which: str) -> _Rows:
        """The same, made now."""
        if not self._rows:
            keys: _Rows = {}
            values: _Rows = {}
            _spread(self._data, (), iter(self._values), iter(self._keys), keys, values)
            self._rows = {"keys": keys, "values": values}
            self._data, self._values, self._keys = None, [], []  # the tables say it all now
        return self._rows[which]


class _Table(Mapping[YamlPath, tuple[int, int]]):
    """One table of a document's places, made when it is first read."""

    __slots__ = ("_places", "_which")

    def __init__(self, places: Places, which: str) -> None:
        self._places, self._which = places, which

    def __getitem__(self, path: YamlPath) -> tuple[int, int]:
        return unpack(self._places.rows(self._which)[path])

    def __iter__(self) -> Iterator[YamlPath]:
        return iter(self._places.rows(self._which))

    def __len__(self) -> int:
        return len(self._places.rows(self._which))

    def __contains__(self, path: object) -> bool:
        return path in self._places.rows(self._which)


def _spread(
    value: object,
    path: YamlPath,
    places: Iterator[int],
    mappings: Iterator[dict[str, int]],
    keys: _Rows,
    values: _Rows,
) -> None:
    """Walk a document in the order in which it was read, and give each key and value its recorded place."""
    values[path] = next(places)
    if isinstance(value, dict):
        own = next(mappings)
        for key, item in value.items():
            inner = (*path, key)
            keys[inner] = own[key]
            _spread(item, inner, places, mappings, keys, values)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            inner = (*path, index)
            _spread(item, inner, places, mappings, keys, values)
            keys[inner] = values[inner]
