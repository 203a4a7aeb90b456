"""RE2 expressions: what each costs before it is compiled, and each compiled once.

The cost must be known first: nine characters can ask for a program of megabytes.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from msgspec import Struct

MAX_LENGTH = 256
MAX_PROGRAM = 32_768
"""Instructions. Istio's proxies refuse larger programs, and with one the whole route table (its bootstrap
sets Envoy's `re2.max_program_size.error_level`; istio/istio pull request 36143)."""
# Bytes that RE2 may use for one expression. It stops at twice MAX_PROGRAM, before optimisation, and so fails
# in some 30 ms, whatever was asked for.
_MAX_MEMORY = 3 << 20
# Instructions of all remembered programs: some 16 MB.
_REMEMBERED = 1 << 20

# What the smallest one costs, in instructions: some 40 microseconds.
_EACH = 100
_UNICODE, _NEGATED, _ESCAPED, _GROUP = 1_400, 14, 6, 3
"""Instructions, at most about, of a class such as `\\pL`, of `.` or `[^a]`, of another escape, and of a
group.
"""
_TOKEN = re.compile(
    r"(?P<quoted>\\Q.*?(?:\\E|\Z))"
    r"|(?P<unicode>\\[pP](?:\{[^}]*\}|.))"
    r"|(?P<escape>\\x\{[0-9A-Fa-f]*\}|\\.)"
    r"|(?P<set>\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\])"
    r"|(?P<flags>\(\?[A-Za-z-]*\))"
    r"|(?P<open>\((?:\?(?:P?<\w*>|[A-Za-z-]*:))?)"
    r"|(?P<close>\))"
    r"|\{(?P<least>\d+)(?P<more>,(?P<most>\d*))?\}"
    r"|(?P<any>\.)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_FOLDED = re.compile(r"\(\?[a-zA-Z]*i")
_UNICODE_CLASS = re.compile(r"\\[pP]")
_NEGATION = re.compile(r"\[\^|\[:\^|\\[DSW]")


class TooLarge(Struct, frozen=True):
    """The expression is well-formed, and larger than proxies accept."""


class Malformed(Struct, frozen=True):
    """The expression is no RE2."""

    reason: str


Expression: TypeAlias = Any
"""A compiled expression; re2 has no types."""


def weight(pattern: str) -> int:
    """What compiling costs, in instructions: rather too much than too little."""
    folded = 3 if _FOLDED.search(pattern) else 1
    read = folded * _UNICODE * len(_UNICODE_CLASS.findall(pattern))
    # Told by the syntax alone, and at most what an expression costs at which RE2 gives up.
    return _EACH + read + min(folded * instructions(pattern), 2 * MAX_PROGRAM)


def instructions(pattern: str) -> int:
    """The size of the program as the syntax tells it, where each repetition multiplies what stands before
    it.
    """
    groups, last = [_GROUP], 0
    for token in _TOKEN.finditer(pattern):
        kind = token.lastgroup
        if kind == "open":
            groups.append(_GROUP)
            last = 0
        elif kind == "close" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif kind in ("least", "more", "most"):
            # One more than is asked for: an open end (`{2,}`) is a loop behind the least number.
            times = max(int(token["least"]), int(token["most"] or 0)) + 1
            groups[-1] += (last + 1) * times
            last = (last + 1) * times
        else:
            last = _atom(kind or "", token[0])
            groups[-1] += last
    return sum(groups)


def _atom(kind: str, text: str) -> int:
    if kind == "unicode":
        return _UNICODE
    if kind == "set":
        classes = len(_UNICODE_CLASS.findall(text))
        return _UNICODE * classes + (_NEGATED if _NEGATION.search(text) else 0) + len(text.encode())
    if kind == "any":
        return _NEGATED
    if kind == "escape":
        return _NEGATED if _NEGATION.match(text) else _ESCAPED
    return 0 if kind == "flags" else len(text.encode())


class _Compiled(dict[tuple[str, bool], "Expression | TooLarge | Malformed"]):
    """Answers that were asked for before, bounded by the instructions in them."""

    held = 0

    def __missing__(self, key: tuple[str, bool]) -> Expression | TooLarge | Malformed:
        found = _compiled(*key)
        size = 1 if isinstance(found, TooLarge | Malformed) else found.programsize
        if self.held + size > _REMEMBERED:
            self.clear()
            self.held = 0
        self.held += size + 50
        self[key] = found
        return found


_COMPILED = _Compiled()


def compiled(pattern: str, *, ignore_case: bool = False) -> Expression | TooLarge | Malformed:
    """The expression, compiled once; bounded in time and memory for any text of at most MAX_LENGTH
    characters.
    """
    return _COMPILED[pattern, ignore_case]


def fullmatch(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Whether an expression that was accepted means the whole text."""
    found = compiled(pattern, ignore_case=ignore_case)
    assert not isinstance(found, TooLarge | Malformed)
    return found.fullmatch(text) is not None


def _compiled(pattern: str, ignore_case: bool) -> Expression | TooLarge | Malformed:
    import re2  # imported late: only policies with expressions pay for it

    options = re2.Options()
    # RE2 would print a pattern that it refuses, and whatever stands in it, on stderr; ours becomes a finding.
    options.log_errors = False
    options.case_sensitive = not ignore_case
    options.max_mem = _MAX_MEMORY
    try:
        expression = re2.compile(pattern, options)
    except re2.error as error:
        reason = (
            error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error.args[0])
        )
        # Nothing but this text tells a program over `max_mem` from a syntax error.
        return TooLarge() if "too large" in reason else Malformed(reason)
    # RE2 allows twice as much as proxies do, so that what it compiled may still be too large for them.
    return TooLarge() if expression.programsize > MAX_PROGRAM else expression
