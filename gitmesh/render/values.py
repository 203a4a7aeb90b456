"""Field values as a reader should see them: short, on one line, credentials masked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from gitmesh.confidential import MASK, is_credential
from gitmesh.diagnostics import first_of
from gitmesh.render.escape import printable

LONGEST = 120
_PARTS = re.compile(r"[^.\[\]]+")
_CONDITION = re.compile(r"request\.headers\[(.+)\]\Z")
_PLAIN = re.compile(r"(?!(?:true|false|null)\Z|[0-9.eE+-]*\Z)[A-Za-z0-9/*][A-Za-z0-9 ._/:*+=-]*\Z")
"""Text that needs no quotes to be told from numbers, booleans and null."""
_KEY = re.compile(r"""(?<![A-Za-z0-9_-])(?P<key>[A-Za-z0-9_-]+)["']?\s*:\s*""")
_TO_VALUE = re.compile(r"""(?:\[\s*|\{\s*(?:["']?[A-Za-z0-9_-]+["']?\s*:\s+)?)*(?=[^\s\[{])""")
"""What stands between a key and the first value below it: brackets, and the keys that begin a mapping."""
_NAMED = re.compile(r"""["']?(?:request\.headers\[)?(?P<name>[A-Za-z0-9_-]+)""")


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def ago(seconds: float) -> str:
    """How long ago something was, in its greatest unit: `40s`, `3m`, `2h`, `5d`."""
    whole = max(0, int(seconds))
    return next((f"{whole // size}{unit}" for size, unit in _UNITS if whole >= size), f"{whole}s")


def masked(path: str, value: Any) -> Any:
    """The value at this dotted path, with what looks like a credential replaced by `***`."""
    return _hide(value) if any(map(is_credential, _PARTS.findall(path))) else _walk(value)


def _walk(value: Any) -> object:
    if isinstance(value, dict):
        # The name of the credential stands beside its value here, and not above it.
        secret = _is_condition(value)
        return {
            key: _hide(item) if is_credential(key) or (secret and key != "key") else _walk(item)
            for key, item in value.items()
        }
    return [_walk(item) for item in value] if isinstance(value, list | tuple) else value


def _is_condition(value: dict[str, Any]) -> bool:
    """Istio's `{key: "request.headers[x-api-key]", values: [...]}`, and our own `{name: x-api-key, exact:
    ...}`.
    """
    found = _CONDITION.match(str(value.get("key", "")))
    return is_credential(found.group(1) if found else str(value.get("name", "")))


def _hide(value: Any) -> object:
    if isinstance(value, dict):
        return {key: _hide(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hide(item) for item in value]
    # Whether something is set, or switched on, is no secret, and a reader needs it.
    return value if value is None or isinstance(value, bool) else MASK


def masked_line(line: str) -> str:
    """A line of a YAML file up to the first value that looks like a credential."""
    keys = list(_KEY.finditer(line))
    secret = next((key for key in keys if is_credential(key["key"])), None)
    values = (_TO_VALUE.match(line, key.end()) for key in (secret, _beside_name(line, keys)) if key)
    ends = [value.end() for value in values if value]
    # The rest of the line goes with it: a value may hold blanks, and a comment may repeat it.
    return line[: min(ends)] + MASK if ends else line


def _beside_name(line: str, keys: Sequence[re.Match[str]]) -> re.Match[str] | None:
    """The first other key of a mapping that names a credential: `exact` of `{name: x-key, exact: ...}`."""
    named = next((key for key in keys if key["key"] in ("name", "key") and _is_named(line, key)), None)
    if named is None:
        return None
    start = line.rfind("{", 0, named.start())
    return next((key for key in keys if key.start() > start and key is not named), None)


def _is_named(line: str, key: re.Match[str]) -> bool:
    name = _NAMED.match(line, key.end())
    return name is not None and is_credential(name["name"])


def shown(path: str, value: Any) -> str:
    """A field's value on one line; `(none)` where the field is absent."""
    if value is None:
        return "(none)"
    return shortened(_text(masked(path, value)))


def _text(value: Any) -> str:
    # Blanks at an end could not be seen without quotes.
    if isinstance(value, str) and _PLAIN.match(value) and value == value.strip():
        return value
    return printable(orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode())


def shortened(text: str, limit: int = LONGEST) -> str:
    """At most `limit` characters, saying how many were left out."""
    # 20 characters are room enough for how many were left out.
    return text if len(text) <= limit else f"{text[: limit - 20]}... ({len(text) - limit + 20} more)"


def listed(names: Iterable[str], limit: int = 4) -> str:
    """`a, b, c, d and 3 more`."""
    return first_of(names, limit)


def counted(number: int, noun: str) -> str:
    """`1 cluster`, `2 clusters`, `3 policies`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
