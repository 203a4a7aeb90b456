"""What a finding's code or a policy's field means: from the register of codes and the schemas, offline."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from gitmesh.codes import CODES
from gitmesh.codes.code import Code
from gitmesh.model.examples import EXAMPLES
from gitmesh.parsing.schema import Field
from gitmesh.render.paint import Paint, plain

_INDEX = re.compile(r"\[\d*\]")


def find_code(topic: str) -> Code | None:
    """The code `GM203`, in any case, or the name `BadValue`."""
    wanted = topic.lower()
    return next((code for code in CODES.values() if wanted in (code.code.lower(), code.name.lower())), None)


def code_text(code: Code, paint: Paint = plain) -> str:
    """Everything that the register says of a code."""
    parts = [("Cause", code.cause), ("Fix", code.fix)]
    body = "".join(f"\n{paint('strong', title)}\n{_indented(text)}\n" for title, text in parts if text)
    return f"{paint('strong', f'{code.code} {code.name}')} ({code.severity}): {code.summary}\n{body}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def find_fields(topic: str, fields: Mapping[str, Field]) -> tuple[str, ...]:
    """The paths that end in `topic`, without regard to case and indexes; the shortest of each kind only.

    `fields` maps `TrafficPolicy.spec.retries.attempts` to its documentation.
    """
    wanted = _INDEX.sub("", topic).strip(".").lower()
    found = [path for path in fields if f".{path.lower()}".endswith(f".{wanted}")]
    # A name may stand at several depths of a kind: the one that stands highest is meant.
    depth: dict[str, int] = {}
    for path in found:
        kind = path.partition(".")[0]
        depth[kind] = min(depth.get(kind, path.count(".")), path.count("."))
    return tuple(path for path in found if path.count(".") == depth[path.partition(".")[0]])


def similar(topic: str, fields: Mapping[str, Field]) -> tuple[str, ...]:
    """Codes and fields whose names look like the topic, nearest first, at most three."""
    # Codes before fields: `setdefault` below leaves them a name that both have.
    names = {code.lower(): code for code in CODES} | {code.name.lower(): code.code for code in CODES.values()}
    for path in fields:
        names.setdefault(path.rpartition(".")[2].lower(), path)
        names.setdefault(path.lower(), path)
    wanted = _INDEX.sub("", topic).lower()
    # Siblings share all of a path but its end, which would make each of them near.
    whole = difflib.get_close_matches(wanted, names, n=3, cutoff=0.9 if "." in wanted else 0.6)
    near = whole or difflib.get_close_matches(wanted.rpartition(".")[2], names, n=3, cutoff=0.6)
    return tuple(dict.fromkeys(names[name] for name in near))[:3]


def field_text(path: str, fields: Mapping[str, Field], paint: Paint = plain) -> str:
    """A field's type, meaning, default and the fields below it; of a kind, an example as well."""
    field = fields[path]
    below = [
        name.removeprefix(f"{path}.")
        for name in fields
        if name.startswith(f"{path}.") and "." not in name.removeprefix(f"{path}.")
    ]
    facts = [
        field.type,
        *(["required"] if field.required else []),
        *([f"default {field.default}"] if field.default else []),
    ]
    lines = [
        f"{paint('strong', path)} ({', '.join(facts)})",
        *([f"  {field.description}"] if field.description else []),
    ]
    if below:
        size = max(map(len, below))
        lines += ["", f"  {paint('faint', 'fields:')}"]
        lines += [
            f"    {name.ljust(size)}  {fields[f'{path}.{name}'].description}".rstrip() for name in below
        ]
    if example := EXAMPLES.get(path):
        lines += ["", f"  {paint('faint', 'example:')}", *(f"    {line}" for line in example.splitlines())]
    return "".join(f"{line}\n" for line in lines)
