"""pydantic's errors in plain words: code, message and hint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from gitmesh.confidential import MASK, is_credential
from gitmesh.diagnostics import suggest
from gitmesh.model.kinds import FUTURE_FIELDS, FUTURE_VALUES
from gitmesh.model.policies import YamlPath, dotted
from gitmesh.parsing.locating import Spot, fields_of, parts_of

_MAX_ECHO = 40
_ECHOES: Mapping[type, str] = {dict: "a mapping", list: "a list", str: "this text"}

PydanticError = Mapping[str, Any]


def echo(value: object) -> str:
    """A value fit for a message: short, and never a whole structure."""
    # Before numbers, as True is one to Python.
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str) and len(value) <= _MAX_ECHO:
        return repr(value)
    # Never the value itself: it may be a whole document, or a secret.
    return _ECHOES.get(type(value), "this value")


def words_for(error: PydanticError, spot: Spot) -> tuple[str, str, str]:
    """Code, message and hint."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(spot)
    if kind == "missing":
        return "GM204", f"{spot.path[-1]} is required here", ""
    if kind == "literal_error":
        return _not_one_of(error["input"], spot)
    if kind == "value_error":
        return "GM203", str(context["error"]), ""
    say = _MESSAGES.get(kind)
    message, hint = say(error["input"], context) if say else (str(error["msg"]), "")
    if is_credential(spot.name) and isinstance(error["input"], (str, int, float)):
        message = message.replace(echo(error["input"]), MASK)
    return "GM203", f"{spot.name or 'the document'} {message}", hint


def _unknown(spot: Spot) -> tuple[str, str, str]:
    name, model = str(spot.path[-1]), spot.model
    if model is not None and name in FUTURE_FIELDS.get(model.__name__, ()):
        return (
            "GM205",
            f"{name} is not supported by this version",
            "remove it: GitMesh refuses what it would have to ignore",
        )
    known = fields_of(model) if model else {}
    # Cut, since the name is whatever the file says.
    where = f"{_spoken(spot.path[:-1])} has no field {name[:64]!r}"
    return "GM202", where, suggest(name, known) or f"it has {', '.join(sorted(known))}"


def _not_one_of(value: object, spot: Spot) -> tuple[str, str, str]:
    model, name = spot.model, spot.name
    if (
        model is not None
        and isinstance(value, str)
        and value in FUTURE_VALUES.get((model.__name__, name), ())
    ):
        return (
            "GM205",
            f"{name}: {value} is not supported by this version",
            "GitMesh refuses what it would have to ignore",
        )
    allowed = [_literal(choice) for choice in _choices(model, name)]
    message = (
        f"{name} must be"
        f" {' or '.join([', '.join(allowed[:-1]), allowed[-1]] if len(allowed) > 1 else allowed)}, not"
        f" {echo(value)}"
    )
    return "GM203", message, suggest(value, allowed) if isinstance(value, str) else ""


def _choices(model: type[BaseModel] | None, alias: str) -> list[object]:
    field = fields_of(model).get(alias) if model else None
    parts = parts_of(field.annotation) if field else ()
    return [part for part in parts if isinstance(part, (str, int)) and not isinstance(part, type)]


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _spoken(path: YamlPath) -> str:
    return dotted(path) or "the document"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_PATTERNS: tuple[tuple[str, str], ...] = (
    (
        r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        "be a DNS label: at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
    ),
    (
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.",
        "be a DNS name: a-z, 0-9, - and ., beginning and ending with a letter or digit",
    ),
    (r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:", "be a host name, optionally with a port"),
    (r"^[a-z0-9]([-a-z0-9]{0,13}", "be the name of a port: at most 15 of a-z, 0-9 and -"),
    (r"^([a-z0-9]([-a-z0-9.]{0,251}", "be a label key, such as app or example.com/app"),
    (r"^([A-Za-z0-9]([-A-Za-z0-9_.]", "be a label value: at most 63 letters, digits, -, _ and ."),
    (r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "be a header name"),
    (r"^[^\r\n\x00]*$", "be one line"),
    (r"^/[^\s", "begin with / and hold no blanks"),
    (r"^[A-Z]{1,16}$", "be an HTTP method in capitals"),
    (
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9.-]*/[A-Z]",
        "be an object id: cluster/group/Kind/namespace/name",
    ),
    (r"^[a-z0-9.-]*/[A-Z]", "be group/Kind, or /Kind for core kinds"),
    (r"^[0-9a-f]{7,64}$", "be a commit: 7 to 64 hexadecimal digits"),
    (r"^[0-9A-Za-z.\[\]:-]*:[0-9]{1,5}$", "be host:port or :port"),
    (r"^[A-Za-z0-9_][A-Za-z0-9_./-]", "be a branch name"),
    (r"^(https?|socks5h?)://", "be an http, https or socks5 URL without credentials"),
)
"""Beginning of a pattern -> its meaning; first match counts."""


def _pattern(value: object, context: Mapping[str, Any]) -> tuple[str, str]:
    pattern = str(context["pattern"])
    meaning = next(
        (words for beginning, words in _PATTERNS if pattern.startswith(beginning)), f"match {pattern}"
    )
    return f"must {meaning}; found {echo(value)}", ""


def _kind(wanted: str, hint: str = "") -> Callable[[object, Mapping[str, object]], tuple[str, str]]:
    return lambda value, _: (f"must be {wanted}, not {echo(value)}", hint)


def _bound(words: str, key: str) -> Callable[[object, Mapping[str, object]], tuple[str, str]]:
    return lambda value, context: (f"must be {words} {context[key]:.15g}; found {echo(value)}", "")


def _text(value: object, _: Mapping[str, Any]) -> tuple[str, str]:
    quotable = isinstance(value, (bool, int, float))
    return f"must be text, not {echo(value)}", "put the value in quotes, exactly as meant" if quotable else ""


def _list(value: object, _: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be a list, not {echo(value)}", "begin each item with `- `"


_MESSAGES: Mapping[str, Callable[[object, Mapping[str, Any]], tuple[str, str]]] = {
    "string_type": _text,
    "int_type": _kind("a whole number"),
    "int_from_float": _kind("a whole number"),
    "float_type": _kind("a number"),
    "finite_number": _kind("a finite number"),
    "bool_type": _kind("true or false"),
    "model_type": _kind("a mapping of fields"),
    "model_attributes_type": _kind("a mapping of fields"),
    "dict_type": _kind("a mapping"),
    # Lists are tuples in our models, which nobody who writes YAML need know.
    "tuple_type": _list,
    "list_type": _list,
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
    "greater_than": _bound("above", "gt"),
    "less_than": _bound("below", "lt"),
    "too_short": lambda _, context: (
        f"must have at least {_plural(context['min_length'], 'item')}; empty never means all",
        "",
    ),
    "too_long": lambda _, context: (f"must have at most {_plural(context['max_length'], 'item')}", ""),
    "string_too_short": lambda _, context: (
        f"must have at least {_plural(context['min_length'], 'character')}",
        "",
    ),
    "string_too_long": lambda _, context: (
        f"must have at most {_plural(context['max_length'], 'character')}",
        "",
    ),
    # Nobody reads a regular expression: what it means is told.
    "string_pattern_mismatch": _pattern,
}
"""pydantic's type of error -> (value, context) -> message after the field's name, and a hint."""
