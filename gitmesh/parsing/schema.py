"""JSON Schema (draft 2020-12) of every kind and of the configuration, and the documentation of single
fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from gitmesh.model.base import format_duration
from gitmesh.model.config import Config
from gitmesh.model.envelope import ENVELOPES

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: Mapping[str, type[BaseModel]] = {**ENVELOPES, "Config": Config}
_SCHEMA_MAPS = ("properties", "$defs")

Schema = dict[str, Any]


class Field(Struct, frozen=True):
    """One field as people read about it: `type` in words, `required` within its parent, `default` as written
    in YAML.
    """

    path: str
    type: str
    description: str
    required: bool
    default: str = ""


def schema(kind: str) -> Schema:
    """The schema of a whole document of a kind, or of `Config`. Raises KeyError for other names."""
    return {"$schema": DRAFT, **_clean(_MODELS[kind].model_json_schema(by_alias=True))}


def combined() -> Schema:
    """One schema for every kind of policy: an editor picks the branch by `kind`."""
    branches, definitions = [], {}
    for kind in sorted(ENVELOPES):
        branch = schema(kind)
        definitions.update(branch.pop("$defs", {}))
        branch.pop("$schema")
        definitions[kind] = branch
        # Not oneOf: an editor would then say only that none of the kinds fits, and not what is wrong in this
        # one.
        condition = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        branches.append({"if": condition, "then": {"$ref": f"#/$defs/{kind}"}})
    kinds = {"kind": {"enum": sorted(ENVELOPES), "description": "Kind of the policy."}}
    return {
        "$schema": DRAFT,
        "title": "GitMesh policy",
        "type": "object",
        "properties": kinds,
        "required": ["kind"],
        "allOf": branches,
        "$defs": dict(sorted(definitions.items())),
    }


def fields(kind: str) -> Mapping[str, Field]:
    """Dotted path -> field, for `gitmesh explain TrafficPolicy.spec.retries.attempts`; items of lists have
    their list's path.
    """
    document = schema(kind)
    return {field.path: field for field in _walk(document, "", document.get("$defs", {}))}


def _clean(node: Any) -> Any:
    """pydantic's schema without titles of fields and without null, which policies never hold; durations as
    written.
    """
    if isinstance(node, list):
        return [_clean(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = _not_null(node)
    cleaned = {}
    for key, value in sorted(node.items()):
        if key in _SCHEMA_MAPS:
            cleaned[key] = {name: _property(item) for name, item in sorted(value.items())}
        # These hold values and no schemas, so that nothing in them is to be left out.
        elif key not in ("default", "const", "enum", "examples"):
            cleaned[key] = _clean(value)
        elif value is not None:
            cleaned[key] = value
    return cleaned


def _property(item: Schema) -> Schema:
    cleaned: Schema = _clean(item)
    if "properties" not in cleaned:
        cleaned.pop("title", None)
    # pydantic gives the default as it is in memory, in milliseconds, while documents say it as text.
    if cleaned.get("type") == "string" and isinstance(cleaned.get("default"), int):
        cleaned["default"] = format_duration(cleaned["default"])
    return cleaned


def _not_null(node: Schema) -> Schema:
    """`anyOf: [X, null]` -> X; beside X the description stays."""
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices or len(choices) == len(node["anyOf"]):
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**(choices[0] if len(choices) == 1 else {"anyOf": choices}), **rest}


def _walk(node: Schema, path: str, definitions: Mapping[str, Schema]) -> Iterator[Field]:
    """The fields below a schema, depth first. The models hold no cycle."""
    for shape in _shapes(node, definitions):
        for name, item in shape.get("properties", {}).items():
            below = f"{path}.{name}" if path else name
            yield _field(below, name, item, shape, definitions)
            yield from _walk(item, below, definitions)


def _field(path: str, name: str, item: Schema, parent: Schema, definitions: Mapping[str, Schema]) -> Field:
    default = item.get("default")
    shown = "" if default is None or isinstance(default, (dict, list)) else _scalar(default)
    shapes = list(_shapes(item, definitions, lists=False))
    # pydantic leaves out a description that equals the one of the model referred to
    description = item.get("description") or shapes[0].get("description", "")
    words = dict.fromkeys(_type(shape) for shape in shapes)
    # `{disabled: true}` is a form that its field may have, and asks nothing of the other forms.
    form = "const" in item and len(parent["properties"]) == 1
    required = name in parent.get("required", ()) and not form
    return Field(path, " or ".join(words), description, required, shown)


def _shapes(node: Schema, definitions: Mapping[str, Schema], *, lists: bool = True) -> Iterator[Schema]:
    """The alternatives of a schema, references followed; with `lists`, those of a list's items."""
    if "$ref" in node:
        yield from _shapes(definitions[node["$ref"].rpartition("/")[2]], definitions, lists=lists)
    elif alternatives := node.get("oneOf") or node.get("anyOf"):
        for alternative in alternatives:
            yield from _shapes(alternative, definitions, lists=lists)
    elif lists and node.get("type") == "array":
        yield from _shapes(node.get("items", {}), definitions)
    else:
        yield node


def _type(node: Schema) -> str:
    if "enum" in node:
        return " | ".join(_scalar(value) for value in node["enum"])
    if "const" in node:
        return _scalar(node["const"])
    kind = str(node.get("type", "any"))
    return {"array": "list", "object": "mapping"}.get(kind, kind)


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
