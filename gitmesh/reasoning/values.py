"""Text of a request cut by the conditions that rules set on it: values that no condition tells apart, and words for sets of them.

A text that equals no exact condition is decided by the longest beginning and the longest ending that it meets, and by nothing else: so
each exact text, and each beginning with each ending and something unheard of between them, stand for every text there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from msgspec import Struct

__all__ = ["MOST", "Terms", "UntoldError", "Value", "cut", "samples", "spoken", "strange", "terms"]

MOST = 20_000
"""Classes of one destination that are looked at; there is no telling what lies beyond."""


class UntoldError(Exception):
    """There are more classes than can be looked at, or a condition of which it is not known what it tells apart; the text says which."""


class Value(Struct, frozen=True):
    """Values that no condition tells apart: one of them (None: the request has none), and the conditions that they meet."""

    sample: str | None
    meets: frozenset[str]


Terms = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
"""A set of values in people's words, OR between items: (conditions of which all hold, none = any value; conditions that do not)."""


def strange(texts: Iterable[str]) -> str:
    """A character that is in none of the texts, whatever their case."""
    used = set("".join(texts).lower())
    return next(one for code in chain(b"zqxjkvw0123456789", range(0x4E00, 0x10000)) if (one := chr(code)) not in used)


def samples(exact: Iterable[str], begin: Iterable[str], end: Iterable[str], other: str) -> Iterator[str]:
    """Texts among which each text has one that meets the same conditions; `other` is in none of them."""
    beginnings, endings = sorted({"", *begin}), sorted({"", *end})
    if len(beginnings) * len(endings) > MOST:
        raise UntoldError(f"{len(beginnings)} beginnings and {len(endings)} endings of a text are told apart")
    yield from sorted(set(exact))
    yield from (f"{first}{other}{last}" for first in beginnings for last in endings)


def cut(texts: Iterable[str | None], conditions: Mapping[str, Callable[[str], bool]]) -> tuple[Value, ...]:
    """The kinds of values among the texts; conditions that all of them meet, or none, are not worth a word."""
    found = {text: frozenset(name for name, holds in conditions.items() if text is not None and holds(text)) for text in texts}
    always = frozenset(conditions).intersection(*found.values())
    kinds: dict[frozenset[str], str | None] = {}
    for text, meets in found.items():
        kinds.setdefault(meets - always, text)
    return tuple(Value(sample=text, meets=meets) for meets, text in kinds.items())


def terms(chosen: Collection[Value], among: Sequence[Value]) -> Terms:
    """The chosen ones of all kinds of values, broadest first: together they mean exactly those."""
    wanted, left, found = set(chosen), set(chosen), []
    while left:
        broadest = min(left, key=_breadth)
        within = [one for one in among if one.meets >= broadest.meets]
        outside = [one for one in within if one not in wanted]
        edges = [one for one in outside if not any(other.meets < one.meets for other in outside)]
        left -= {one for one in within if not any(one.meets >= edge.meets for edge in edges)}
        refused = sorted({" and ".join(_narrowest(edge.meets - broadest.meets, among)) for edge in edges})
        found.append((_narrowest(broadest.meets, among), tuple(refused)))
    return tuple(found)


def spoken(found: Terms, anything: str) -> str:
    """`a, b or c but not d`; `anything` is what all values are called."""
    plain = [" and ".join(conditions) or anything for conditions, refused in found if not refused]
    cornered = [
        f"{' and '.join(conditions)} but not {', '.join(refused)}" if conditions else f"{anything} but {', '.join(refused)}"
        for conditions, refused in found
        if refused
    ]
    return " or ".join(text for text in (", ".join(plain), *cornered) if text)


def _breadth(value: Value) -> tuple[int, list[str]]:
    return len(value.meets), sorted(value.meets)


def _narrowest(conditions: Collection[str], among: Sequence[Value]) -> tuple[str, ...]:
    """Those that say all: without those that others of them imply, of equals one."""
    extents = {name: frozenset(one.meets for one in among if name in one.meets) for name in conditions}
    ordered = sorted(conditions, key=lambda name: (len(extents[name]), name))
    kept: list[str] = []
    for name in ordered:
        if not any(extents[other] <= extents[name] for other in kept):
            kept.append(name)
    return tuple(sorted(kept))
