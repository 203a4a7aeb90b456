"""Frozen values <-> plain documents, driven by their types: field names in camelCase, defaults left out,
nothing unknown let in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields


class CodecError(ValueError):
    """A document that does not have the shape it should; `path` says where, e.g.
    `clusters[0].services[2].ports`.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


def encode(value: Any) -> Any:
    """A value as plain data; sets and mappings sorted, fields equal to their defaults left out."""
    if isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {key: encode(value[key]) for key in sorted(value)}
    if isinstance(value, frozenset):
        return sorted(encode(item) for item in value)
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    record: Any = type(value)
    return {
        key: encode(item)
        for name, key, default in _shown(record)
        if (item := getattr(value, name)) != default
    }


def decode(kind: Any, data: object, path: str) -> Any:
    """The value of a type (Struct, scalar, union of scalars, Literal of texts, tuple, frozenset, Mapping) in
    plain data. Raises CodecError.
    """
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _decode_record(kind, data, path)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _one_of(arguments, data, path)
    if origin in (tuple, frozenset):
        return origin(
            decode(arguments[0], item, f"{path}[{index}]")
            for index, item in enumerate(_checked(list, data, path))
        )
    if origin is not None and origin is not UnionType:
        items = _checked(dict, data, path).items()
        return {_checked(str, key, path): decode(arguments[1], item, f"{path}.{key}") for key, item in items}
    return _checked(arguments or kind, data, path)


def closed(data: object, known: Collection[str], path: str) -> dict[str, Any]:
    """A mapping with no other keys than the known ones. Raises CodecError."""
    body: dict[str, Any] = _checked(dict, data, path)
    for key in body:
        if key not in known:
            raise CodecError(path, f"unknown field {str(key)[:64]!r}")
    return body


def _decode_record(kind: type, data: object, path: str) -> Any:
    table = _table(kind)
    body = closed(data, table.keys(), path)
    for key, (_, _, required) in table.items():
        if required and key not in body:
            raise CodecError(path, f"the field {key!r} is missing")
    return kind(**{table[key][0]: decode(table[key][1], item, f"{path}.{key}") for key, item in body.items()})


_BITS = 63
"""What JSON writers agree on, sign aside."""

_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}


def _one_of(values: tuple[str, ...], data: object, path: str) -> str:
    given: str = _checked(str, data, path)
    if given not in values:
        raise CodecError(path, f"expected {' or '.join(values)}")
    return given


def _checked(kind: Any, data: object, path: str) -> Any:
    kinds: tuple[type, ...] = kind if isinstance(kind, tuple) else (kind,)
    # By its type: `isinstance` takes True for a number.
    if type(data) not in kinds:
        raise CodecError(path, f"expected {' or '.join(_WORDS[one] for one in kinds)}")
    if isinstance(data, int) and data.bit_length() > _BITS:
        raise CodecError(path, f"a whole number of more than {_BITS} bits")
    return data


@cache
def _table(kind: type) -> dict[str, tuple[str, Any, bool]]:
    """key -> (field name, type, required)."""
    hints = get_type_hints(kind)
    return {_camel(f.name): (f.name, hints[f.name], f.required) for f in fields(kind)}


@cache
def _shown(kind: Any) -> tuple[tuple[str, str, Any], ...]:
    """(field name, key, default), in order of keys."""
    return tuple(sorted((f.name, _camel(f.name), _default(f)) for f in fields(kind)))


def _default(item: FieldInfo) -> Any:
    return item.default if item.default_factory is NODEFAULT else item.default_factory()


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)
