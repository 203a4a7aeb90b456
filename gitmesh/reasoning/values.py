"""Text of a request cut by the conditions that rules set on it: values that no condition tells apart, and
words for sets of them.

A text that equals no exact condition is decided by the longest beginning and the longest ending that it
meets, and by nothing else: so each exact text, and each beginning with each ending and something unheard of
between them, stand for every text there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from msgspec import Struct

__all__ = ["MOST", "Terms", "UntoldError", "Value", "cut", "samples", "spoken", "strange", "terms"]

MOST = 20_000
"""Classes of one destination that are looked at; there is no telling what lies beyond."""

MOST_TRIED = 4_000_000
"""Texts times conditions on them, of one part of a request; a second or two."""


class UntoldError(Exception):
    """There are more classes than can be looked at, or a condition of which it is not known what it tells
    apart; the text says which.
    """


class Value(Struct, frozen=True):
    """Values that no condition tells apart: one of them (None: the request has none), and the conditions that
    they meet.
    """

    sample: str | None
    meets: frozenset[str]


Terms = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
"""A set of values in people's words, OR between items: (conditions of which all hold, none = any value;
conditions that do not).
"""


def strange(texts: Iterable[str]) -> str:
    """A character that is in none of the texts, whatever their case."""
    used = set("".join(texts).lower())
    return next(
        one for code in chain(b"zqxjkvw0123456789", range(0x4E00, 0x10000)) if (one := chr(code)) not in used
    )


def samples(exact: Iterable[str], begin: Iterable[str], end: Iterable[str], other: str) -> Iterator[str]:
    """Texts among which each text has one that meets the same conditions; `other` is in none of them."""
    beginnings, endings = sorted({"", *begin}), sorted({"", *end})
    # Refused before they are made: beginnings and endings multiply.
    if len(beginnings) * len(endings) > MOST:
        raise UntoldError(f"{len(beginnings)} beginnings and {len(endings)} endings of a text are told apart")
    yield from sorted(set(exact))
    yield from (f"{first}{other}{last}" for first in beginnings for last in endings)


def cut(texts: Iterable[str | None], conditions: Mapping[str, Callable[[str], bool]]) -> tuple[Value, ...]:
    """The kinds of values among the texts; conditions that all of them meet, or none, are not worth a
    word.
    """
    tried = list(texts)
    # Refused before it is tried, as each pair is a comparison.
    if len(tried) * len(conditions) > MOST_TRIED:
        raise UntoldError(f"its rules name {len(conditions)} values of one part of a request")
    found = {
        text: frozenset(name for name, holds in conditions.items() if text is not None and holds(text))
        for text in tried
    }
    always = frozenset(conditions).intersection(*found.values())
    kinds: dict[frozenset[str], str | None] = {}
    for text, meets in found.items():
        kinds.setdefault(meets - always, text)
    return tuple(Value(sample=text, meets=meets) for meets, text in kinds.items())


def terms(chosen: Collection[Value], among: Sequence[Value]) -> Terms:
    """The chosen ones of all kinds of values, broadest first: together they mean exactly those."""
    wanted, found = set(chosen), []
    said: set[Value] = set()
    having = _having(among)
    for broadest in sorted(wanted, key=_breadth):
        if broadest not in said:
            nearest = min((having[name] for name in broadest.meets), key=len, default=among)
            within = [one for one in nearest if one.meets >= broadest.meets]
            edges = _edges([one.meets for one in within if one not in wanted], broadest.meets)
            said |= {one for one in within if not _beyond(one.meets, edges)}
            refused = sorted(
                {
                    " and ".join(_narrowest(edge - broadest.meets, having))
                    for edge in chain.from_iterable(edges.values())
                }
            )
            found.append((_narrowest(broadest.meets, having), tuple(refused)))
    return tuple(found)


def _having(among: Iterable[Value]) -> dict[str, list[Value]]:
    """Of each condition the values that meet it."""
    found: dict[str, list[Value]] = {}
    for value in among:
        for name in value.meets:
            found.setdefault(name, []).append(value)
    return found


_Edges = dict[frozenset[str], list[frozenset[str]]]
"""By one condition alone where that is all that they add, else all under none."""


def _edges(outside: Iterable[frozenset[str]], inner: frozenset[str]) -> _Edges:
    """The broadest of those that are left out."""
    found: _Edges = {}
    for meets in sorted(outside, key=len):
        if not _beyond(meets, found):
            more = meets - inner
            found.setdefault(more if len(more) == 1 else frozenset(), []).append(meets)
    return found


def _beyond(meets: frozenset[str], edges: _Edges) -> bool:
    """Whether they lie within something that is left out."""
    return any(frozenset((name,)) in edges for name in meets) or any(
        meets >= edge for edge in edges.get(frozenset(), ())
    )


def spoken(found: Terms, anything: str) -> str:
    """`a, b or c but not d`; `anything` is what all values are called."""
    plain = [" and ".join(conditions) or anything for conditions, refused in found if not refused]
    cornered = [
        (
            f"{' and '.join(conditions)} but not {', '.join(refused)}"
            if conditions
            else f"{anything} but {', '.join(refused)}"
        )
        for conditions, refused in found
        if refused
    ]
    return " or ".join(text for text in (", ".join(plain), *cornered) if text)


def _breadth(value: Value) -> tuple[int, list[str]]:
    return len(value.meets), sorted(value.meets)


def _narrowest(conditions: Collection[str], having: Mapping[str, Sequence[Value]]) -> tuple[str, ...]:
    """Those that say all: without those that others of them imply, of equals one."""
    if len(conditions) == 1:
        return tuple(conditions)
    extents = {name: frozenset(having[name]) for name in conditions}
    kept: list[str] = []
    for name in sorted(conditions, key=lambda name: (len(extents[name]), name)):
        if not any(extents[other] <= extents[name] for other in kept):
            kept.append(name)
    return tuple(sorted(kept))
