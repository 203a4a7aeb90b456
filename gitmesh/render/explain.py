"""What a finding's code or a policy's field means: from the register of codes and the schemas, offline."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitmesh.codes import CODES, Code
from gitmesh.render.paint import Paint, plain
from gitmesh.render.values import counted

_INDEX = re.compile(r"\[\d*\]")
_BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("pattern", "matches {}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDoc:
    """One field of a kind. `path` is `TrafficPolicy.spec.retries.attempts`, lists elided; `type` is for people."""

    path: str
    type: str
    description: str
    required: bool
    details: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


def find_code(topic: str) -> Code | None:
    """The code `GM203`, in any case, or the name `BadValue`."""
    wanted = topic.lower()
    return next((code for code in CODES.values() if wanted in (code.code.lower(), code.name.lower())), None)


def code_text(code: Code, paint: Paint = plain) -> str:
    """Everything that the register says of a code."""
    parts = [("Cause", code.cause), ("Fix", code.fix), ("Bad", code.bad), ("Good", code.good)]
    body = "".join(f"\n{paint('strong', title)}\n{_indented(text)}\n" for title, text in parts if text)
    return f"{paint('strong', f'{code.code} {code.name}')} ({code.severity}): {code.summary}\n{body}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def field_docs(schemas: Mapping[str, Mapping[str, Any]]) -> Mapping[str, FieldDoc]:
    """Every field of every kind by its path. `schemas` maps a kind to the JSON Schema of its documents."""
    return {doc.path: doc for kind in sorted(schemas) for doc in _walk(kind, schemas[kind], schemas[kind], required=True)}


def find_fields(topic: str, docs: Mapping[str, FieldDoc]) -> tuple[FieldDoc, ...]:
    """The fields whose path ends in `topic`, without regard to case and indexes; the shortest paths only."""
    wanted = _INDEX.sub("", topic).strip(".").lower()
    found = [doc for path, doc in docs.items() if path.lower() == wanted or path.lower().endswith(f".{wanted}")]
    shortest = min((doc.path.count(".") for doc in found), default=0)
    return tuple(doc for doc in found if doc.path.count(".") == shortest)


def similar(topic: str, docs: Mapping[str, FieldDoc]) -> tuple[str, ...]:
    """Codes and fields whose names look like the topic, nearest first."""
    names: dict[str, str] = {code.name.lower(): code.code for code in CODES.values()} | {code.lower(): code for code in CODES}
    for path in docs:
        names.setdefault(path.rsplit(".", 1)[-1].lower(), path)
        names.setdefault(path.lower(), path)
    last = _INDEX.sub("", topic).lower()
    near = [*difflib.get_close_matches(last, names, n=3, cutoff=0.7), *difflib.get_close_matches(last.rsplit(".", 1)[-1], names, n=3)]
    return tuple(dict.fromkeys(names[name] for name in near))[:3]


def field_text(doc: FieldDoc, paint: Paint = plain) -> str:
    """A field's type, meaning, limits and the fields below it."""
    head = f"{paint('strong', doc.path)} ({doc.type}{', required' if doc.required else ''})"
    children = [f"\n{paint('strong', f'{counted(len(doc.children), "field")} below')}", f"  {', '.join(doc.children)}"] if doc.children else []
    lines = [head, f"  {doc.description}" if doc.description else "", *(f"  {detail}" for detail in doc.details), *children]
    return "".join(line + "\n" for line in lines if line)


def _walk(path: str, node: Mapping[str, Any], root: Mapping[str, Any], *, required: bool) -> Iterator[FieldDoc]:
    seen = _resolved(node, root)
    below = _properties(seen, root)
    yield FieldDoc(
        path=path,
        type=_type(seen, root),
        description=str(node.get("description") or seen.get("description", "")).strip(),
        required=required,
        details=tuple(_details(seen, root)),
        children=tuple(below),
    )
    for name, (child, needed) in below.items():
        yield from _walk(f"{path}.{name}", child, root, required=needed)


def _resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node behind a reference, with the node's own description."""
    target: Any = node
    while "$ref" in target:
        found: Any = root
        for part in str(target["$ref"]).removeprefix("#/").split("/"):
            found = found[part]
        target = found
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _variants(node: Mapping[str, Any], root: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The alternatives of a node: null and `{disabled: true}` aside, as those may stand for every optional field."""
    options = node.get("anyOf") or node.get("oneOf")
    if not options:
        return [node]
    found = [leaf for option in options for leaf in _variants(_resolved(option, root), root)]
    return [leaf for leaf in found if leaf.get("type") != "null" and set(leaf.get("properties", {})) != {"disabled"}]


def _properties(node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], bool]]:
    """The fields below a node, through lists and alternatives."""
    found: dict[str, tuple[Mapping[str, Any], bool]] = {}
    for leaf in _variants(node, root):
        if "items" in leaf:
            found |= _properties(_resolved(leaf["items"], root), root)
        needed = set(leaf.get("required", ()))
        found |= {name: (child, name in needed) for name, child in leaf.get("properties", {}).items()}
    return found


def _type(node: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    names = []
    for leaf in _variants(node, root):
        if "items" in leaf:
            names.append(f"list of {_type(_resolved(leaf['items'], root), root)}")
        else:
            names.append(str(leaf.get("type", "value")))
    return " or ".join(dict.fromkeys(names)) or "value"


def _details(node: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[str]:
    for leaf in _variants(node, root):
        values = leaf.get("enum") or ([leaf["const"]] if "const" in leaf else [])
        if values:
            yield f"one of: {', '.join(map(str, values))}"
        yield from (said.format(leaf[key]) for key, said in _BOUNDS if key in leaf)
        if leaf.get("examples"):
            yield f"for example: {', '.join(map(str, leaf['examples']))}"
    if node.get("default") is not None:
        yield f"default: {node['default']}"
