"""Objects of which one part is not what it should be, as a folder, or a schema that leaves much out, may hold
them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "*",
    "\0",
    "x" * 300,
    [],
    [None],
    [[]],
    ["a", 1],
    {},
    {"": ""},
    {"a": None},
    {"a": [1]},
)
"""What stands in place of a part."""
_GONE = object()


@st.composite
def malformed(draw: st.DrawFn, bodies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One of the objects with one to three parts below `apiVersion`, `kind` and `metadata.name` replaced or
    left out.
    """
    body: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in _places(body, ()) if place not in _KEPT]
        *above, last = draw(st.sampled_from(places))
        holder: Any = body
        for step in above:
            holder = holder[step]
        value = draw(st.sampled_from((*ODD, _GONE)))
        if value is _GONE:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(value)
    return body


_KEPT = {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name")}


def _places(value: object, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))
