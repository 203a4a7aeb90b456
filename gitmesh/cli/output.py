"""Documents as JSON or YAML text."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from gitmesh.render.document import Document

# What JSON allows in text, and a terminal obeys or a reader would not see, is written as an escape.
_HIDDEN = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\U000e0000-\U000e0fff]"
)


def dumped(document: Document, form: str) -> str:
    """A document in the format `json` or `yaml`."""
    return as_json(document) if form == "json" else as_yaml(document)


def as_json(document: Any) -> str:
    """Indented JSON, keys in the order of the document."""
    return _escaped(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)) + "\n"


def _escaped(text: bytes) -> str:
    return _HIDDEN.sub(lambda found: json.dumps(found.group())[1:-1], text.decode())


def as_line(document: Any) -> str:
    """The document as JSON on one line."""
    return _escaped(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)) + "\n"


def as_yaml(document: Any) -> str:
    """YAML, keys in the order of the document."""
    from gitmesh.yaml_text import dump

    return dump(document)
