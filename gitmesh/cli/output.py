"""Documents as JSON or YAML text."""

from __future__ import annotations

from typing import Any

import orjson

from gitmesh.render.document import Document


def dumped(document: Document, form: str) -> str:
    """A document in the format `json` or `yaml`."""
    return as_json(document) if form == "json" else as_yaml(document)


def as_json(document: Any) -> str:
    """Indented JSON, keys in the order of the document."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"


def as_yaml(document: Any) -> str:
    """YAML, keys in the order of the document."""
    from gitmesh.yaml_text import dump

    return dump(document)
