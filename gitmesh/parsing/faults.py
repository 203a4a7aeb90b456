"""pydantic's errors -> findings in plain words at the exact place of the document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, get_args

from msgspec import Struct
from pydantic import BaseModel, Discriminator, ValidationError
from pydantic.fields import FieldInfo

from gitmesh.diagnostics import Diagnostic, Location, finding, suggest
from gitmesh.model.base import UNION_TAGS, Disabled
from gitmesh.model.kinds import FUTURE_FIELDS, FUTURE_VALUES
from gitmesh.model.policies import Positions, YamlPath, dotted

MAX_SHOWN = 100
"""Findings shown of one document."""
_MAX_ECHO = 40
_ECHOES: Mapping[type, str] = {dict: "a mapping", list: "a list", str: "this text"}

_Error = Mapping[str, Any]


class _Spot(Struct, frozen=True):
    """Where an error stands: the path in the document, and the model that owns its last field."""

    path: YamlPath
    model: type[BaseModel] | None
    is_key: bool = False

    @property
    def name(self) -> str:
        """The last field's name; that of the list, for an item."""
        return next((part for part in reversed(self.path) if isinstance(part, str)), "")


class _Placed(Struct, frozen=True):
    """An error of pydantic's with its spot in the document and its place in the file."""

    error: _Error
    spot: _Spot
    at: Location


def findings_of(
    error: ValidationError, model: type[BaseModel], positions: Positions, *, policy: str = ""
) -> tuple[Diagnostic, ...]:
    """One finding per error, in the order of the file; of very many the first 100."""
    errors = [e for e in error.errors(include_url=False) if not _is_echo(e)]
    placed = sorted(
        (_placed(e, model, positions) for e in errors),
        key=lambda p: (p.at, dotted(p.spot.path), p.error["type"]),
    )
    found = tuple(
        _finding(p, policy) for p in placed[:MAX_SHOWN]
    )  # words are dear: only for those that are shown
    if len(placed) <= MAX_SHOWN:
        return found
    more = finding(
        "GM103",
        f"{len(placed) - MAX_SHOWN} more findings in this document are not shown",
        at=positions.at(()),
        policy=policy,
    )
    return (*found, more)


def echo(value: object) -> str:
    """A value fit for a message: short, and never a whole structure."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str) and len(value) <= _MAX_ECHO:
        return repr(value)
    return _ECHOES.get(type(value), "this value")


def _is_echo(error: _Error) -> bool:
    """pydantic counts only good items: a list whose items all fail is no short list."""
    return error["type"] == "too_short" and bool(len(error["input"]) >= error["ctx"]["min_length"])


def _placed(error: _Error, model: type[BaseModel], positions: Positions) -> _Placed:
    spot = _locate(error["loc"], model)
    missing = error["type"] == "missing"
    by_key = missing or spot.is_key or error["type"] == "extra_forbidden"
    return _Placed(error, spot, positions.at(spot.path[:-1] if missing else spot.path, key=by_key))


def _finding(placed: _Placed, policy: str) -> Diagnostic:
    code, message, hint = _words(placed.error, placed.spot)
    return finding(code, message, at=placed.at, policy=policy, field=dotted(placed.spot.path), hint=hint)


def _locate(loc: tuple[str | int, ...], model: type[BaseModel]) -> _Spot:
    """The path of an error without the elements that pydantic adds for unions and for keys of free mappings.

    Only the model knows which elements are tags: a field may be called `name` as well.
    """
    path: list[str | int] = []
    owner: type[BaseModel] | None = None
    current: type[BaseModel] | None = model
    tag_due = is_key = False
    for part in loc:
        if part == "[key]":
            is_key = True
        elif tag_due and part in UNION_TAGS:
            tag_due = False
            current = Disabled if part == "disabled" else current
        else:
            path.append(part)
            if isinstance(part, str):
                owner, shape = current, _shape(current, part)
                current, tag_due = shape.model, shape.tagged
    return _Spot(tuple(path), owner, is_key)


class _Shape(Struct, frozen=True):
    """What a field holds: the model of its value or items, and whether pydantic adds a tag to locations below
    it.
    """

    model: type[BaseModel] | None = None
    tagged: bool = False


@cache
def _shape(model: type[BaseModel] | None, alias: str) -> _Shape:
    field = _fields(model).get(alias) if model else None
    if field is None:
        return _Shape()
    parts = list(_parts(field.annotation)) + list(field.metadata)
    models = [
        part
        for part in parts
        if isinstance(part, type) and issubclass(part, BaseModel) and part is not Disabled
    ]
    tagged = field.discriminator is not None or any(isinstance(part, Discriminator) for part in parts)
    return _Shape(models[0] if models else None, tagged)


@cache
def _fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _parts(annotation: object) -> Iterable[object]:
    """An annotation, everything inside it, and the metadata of Annotated and of the fields in it."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)
    yield from getattr(annotation, "metadata", ())
    if isinstance(annotation, FieldInfo) and annotation.discriminator is not None:
        yield annotation.discriminator


def _words(error: _Error, spot: _Spot) -> tuple[str, str, str]:
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
    return "GM203", f"{spot.name or 'the document'} {message}", hint


def _unknown(spot: _Spot) -> tuple[str, str, str]:
    name, model = str(spot.path[-1]), spot.model
    if model is not None and name in FUTURE_FIELDS.get(model.__name__, ()):
        return (
            "GM205",
            f"{name} is not supported by this version",
            "remove it: GitMesh refuses what it would have to ignore",
        )
    known = _fields(model) if model else {}
    where = f"{_spoken(spot.path[:-1])} has no field {name[:64]!r}"
    return "GM202", where, suggest(name, known) or f"it has {', '.join(sorted(known))}"


def _not_one_of(value: object, spot: _Spot) -> tuple[str, str, str]:
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
    field = _fields(model).get(alias) if model else None
    parts = _parts(field.annotation) if field else ()
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
    "string_pattern_mismatch": _pattern,
}
"""pydantic's type of error -> (value, context) -> message after the field's name, and a hint."""
