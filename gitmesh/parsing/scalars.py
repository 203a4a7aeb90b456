"""Plain YAML scalars -> JSON values; what YAML 1.1, YAML 1.2 and JSON parsers read differently is refused
(Y06-Y12).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct


class Refusal(Struct, frozen=True):
    """Stands in a document for a value that must not be read: the code and words of the finding."""

    code: str
    message: str
    hint: str = ""


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false"})
_NULLS = frozenset({"~", "null"})
_OPERATORS = frozenset({"<<", "="})
_INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+", re.ASCII)
_AMBIGUOUS = re.compile(
    r"[-+]?0[bBoOxX][0-9a-fA-F_]+"  # binary, octal, hexadecimal
    r"|[-+]?[0-9_]+(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"  # base 60
    r"|[-+]?(?:[0-9_]+(?:\.[0-9_]*)?|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?"  # signs, underscores, exponents
    r"|[-+]?\.(?i:inf|nan)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?",  # dates
    re.ASCII,
)
_INT64 = range(-(2**63), 2**63)
# Decimal digits that a double keeps.
_MAX_DIGITS = 15
_REMEMBERED = 8192
_REMEMBERED_LENGTH = 64

QUOTE = "quote it"
"""How a hint begins that helps where text is meant, and only there."""
ALIAS = Refusal(
    "GM102",
    "aliases (*name) are not allowed",
    "write the value out; quote text that begins with *",
)
_NO_VALUE = Refusal("GM203", "there is no value here", "leave the field out, or give it a value")


def _resolve(text: str) -> object:
    word = text.lower()
    if word in _WORDS:
        # Only JSON's two: YAML 1.1 reads `no`, `on` and `y` as booleans (yaml.org/type/bool.html), YAML 1.2
        # as text.
        return text == "true" if text in ("true", "false") else _quote(text, "a boolean")
    if word in _NULLS or not text:
        return (
            _NO_VALUE
            if text in ("", "null")
            else Refusal("GM105", f"`{text}` is null to some parsers", _NO_VALUE.hint)
        )
    if text in _OPERATORS:
        return _quote(text, "an operator")
    return _number(text) if text[0] in "+-.0123456789" else text


def _number(text: str) -> object:
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _DECIMAL.fullmatch(text):
        return _decimal(text)
    return _quote(text, "a number or a date") if _AMBIGUOUS.fullmatch(text) else text


def _integer(text: str) -> object:
    if (
        len(text) <= 20 and int(text) in _INT64
    ):  # the length first: Python refuses to convert thousands of digits
        return int(text)
    return Refusal(
        "GM105",
        "a whole number of more than 64 bits, which parsers round differently",
        "quote it, or use a smaller number",
    )


def _decimal(text: str) -> object:
    if sum(map(str.isdigit, text)) > _MAX_DIGITS:
        return Refusal(
            "GM105",
            f"a decimal of more than {_MAX_DIGITS} digits, which parsers round differently",
            "quote it, or round it",
        )
    value = float(text)
    return _quote(text, "minus zero") if text.startswith("-") and not value else value


def _quote(text: str, what: str) -> Refusal:
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    return Refusal(
        "GM105", f"`{shown}` is text to some YAML parsers and {what} to others", f'{QUOTE}: "{shown}"'
    )


class _Memo(dict[str, object]):
    """Answers that were asked for before; policies use few distinct words. Bounded in number and length."""

    def __missing__(self, text: str) -> object:
        value = _resolve(text)
        if len(text) <= _REMEMBERED_LENGTH:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[text] = value
        return value


resolve: Callable[[str], object] = _Memo().__getitem__
"""A plain scalar as str, bool, int or float, or a Refusal. Only JSON's own numbers, `true` and `false` are
not text.
"""


def decorated(tag: str | None) -> Refusal:
    """The refusal of a value or key with a tag, or with an anchor."""
    if tag is not None:
        return Refusal(
            "GM102", "YAML tags (!...) are not allowed", "remove the tag; quote text that begins with !"
        )
    return Refusal(
        "GM102", "anchors (&name) are not allowed", "write the value out; quote text that begins with &"
    )
