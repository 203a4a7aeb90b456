"""Where in the document an error of pydantic's stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import get_args

from msgspec import Struct
from pydantic import BaseModel, Discriminator
from pydantic.fields import FieldInfo

from gitmesh.model.base import UNION_TAGS, Disabled
from gitmesh.model.policies import YamlPath


class Spot(Struct, frozen=True):
    """Where an error stands: the path in the document, and the model that owns its last field."""

    path: YamlPath
    model: type[BaseModel] | None
    is_key: bool = False

    @property
    def name(self) -> str:
        """The last field's name; that of the list, for an item."""
        return next((part for part in reversed(self.path) if isinstance(part, str)), "")


def located(loc: tuple[str | int, ...], model: type[BaseModel]) -> Spot:
    """The path of an error without the elements that pydantic adds for unions and keys of free mappings."""
    path: list[str | int] = []
    owner: type[BaseModel] | None = None
    current: type[BaseModel] | None = model
    tag_due = is_key = False
    for part in loc:
        if part == "[key]":
            is_key = True
        # Only the model tells whether an element is the tag of a union: a field may have the same name.
        elif tag_due and part in UNION_TAGS:
            tag_due = False
            current = Disabled if part == "disabled" else current
        else:
            path.append(part)
            if isinstance(part, str):
                owner, shape = current, _shape(current, part)
                current, tag_due = shape.model, shape.tagged
    return Spot(tuple(path), owner, is_key)


class _Shape(Struct, frozen=True):
    """What a field holds: the model of its value or items, and whether pydantic adds a tag to locations below
    it.
    """

    model: type[BaseModel] | None = None
    tagged: bool = False


@cache
def _shape(model: type[BaseModel] | None, alias: str) -> _Shape:
    field = fields_of(model).get(alias) if model else None
    if field is None:
        return _Shape()
    parts = list(parts_of(field.annotation)) + list(field.metadata)
    models = [
        part
        for part in parts
        if isinstance(part, type) and issubclass(part, BaseModel) and part is not Disabled
    ]
    tagged = field.discriminator is not None or any(isinstance(part, Discriminator) for part in parts)
    return _Shape(models[0] if models else None, tagged)


@cache
def fields_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def parts_of(annotation: object) -> Iterable[object]:
    """An annotation, everything inside it, and the metadata of Annotated and of the fields in it."""
    yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)
    yield from getattr(annotation, "metadata", ())
    if isinstance(annotation, FieldInfo) and annotation.discriminator is not None:
        yield annotation.discriminator
