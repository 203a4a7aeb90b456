"""YAML of Kubernetes objects as other tools write it, read leniently but safely, several documents to a file.

Built on the parser's events: nesting, nodes and aliases are counted before anything is built, as libyaml's
own composer overruns its stack on deep nesting and expands aliases without bound. Policies have a stricter
reader of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import yaml
from msgspec import Struct

MAX_DEPTH = 100
MAX_NODES = 200_000
"""Nodes of one text."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    spelling: value
    for value, words in ((True, ("yes", "true", "on")), (False, ("no", "false", "off")))
    for word in words
    for spelling in (word, word.title(), word.upper())
}
_INT = re.compile(
    r"[-+]?(?:0b_*[01][01_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|0o_*[0-7][0-7_]*|0[0-7_]*|[1-9][0-9_]*)\Z"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_PLAIN_TAGS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class DocumentError(ValueError):
    """A text that is not YAML, or that uses what no Kubernetes object needs. The message names the line,
    never the content.
    """

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class PlacedDocument(Struct, frozen=True):
    """A document with its place in the text: characters `start` to the start of the next document; `marked`
    by `---`.
    """

    value: Any
    start: int
    marked: bool


class _Frame(Struct):
    """An open mapping or list. `height` is how many levels are below it so far, `key` the mapping's key that
    waits for its value.
    """

    value: Any
    anchor: str | None
    first: int
    height: int = 0
    key: str | None = None
    merging: bool = False
    merged: list[Any] = []


class _ValueBuilder:
    """Builds values from events; one per text."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.documents: list[PlacedDocument] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[object, int, int]] = {}
        self._nodes = 0
        self._root: object = None
        self._start = (0, False)

    def document_start(self, event: Any) -> None:
        self._start = (event.start_mark.index, bool(event.explicit))
        self._anchors, self._root = {}, None

    def document_end(self, _: Any) -> None:
        self.documents.append(PlacedDocument(self._root, *self._start))

    def mapping_start(self, event: Any) -> None:
        self._open({}, event)

    def sequence_start(self, event: Any) -> None:
        self._open([], event)

    def _open(self, value: Any, event: Any) -> None:
        if event.tag is not None and event.tag not in _PLAIN_TAGS:
            raise DocumentError("a tag is not supported", event.start_mark.line + 1)
        self._descend(1, event)
        self._stack.append(_Frame(value, event.anchor, self._nodes))

    def end(self, event: Any) -> None:
        frame = self._stack.pop()
        for merged in frame.merged:
            for key, value in merged.items():
                # At the end of the mapping: its own keys win over merged ones, also those that stand behind
                # `<<` (yaml.org/type/merge.html).
                frame.value.setdefault(key, value)
        if frame.anchor is not None:
            # Once it is closed: an alias inside of its own anchor would be a value without end.
            self._anchors[frame.anchor] = (frame.value, self._nodes - frame.first + 1, frame.height + 1)
        self._add(frame.value, event, 1, frame.height + 1)

    def scalar(self, event: Any) -> None:
        text = event.value
        if self._stack and self._stack[-1].key is None and type(self._stack[-1].value) is dict:
            self._set_key(text, event)
            return
        if event.implicit[0]:
            value = plain(text)
        elif event.implicit[1] or event.tag in _TEXT_TAGS:
            value = text
        else:
            raise DocumentError("a tag is not supported", event.start_mark.line + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1, 0)
        self._add(value, event, 1, 0)

    def _set_key(self, text: str, event: Any) -> None:
        frame = self._stack[-1]
        frame.merging = text == "<<" and event.implicit[0]
        if text in frame.value:
            raise DocumentError("a key stands twice in one mapping", event.start_mark.line + 1)
        frame.key = text

    def alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise DocumentError("an alias without its anchor", event.start_mark.line + 1)
        value, weight, height = self._anchors[event.anchor]
        self._descend(height, event)
        self._add(value, event, weight, height)

    def _descend(self, levels: int, event: Any) -> None:
        if len(self._stack) + levels > MAX_DEPTH:
            raise DocumentError(f"more than {MAX_DEPTH} levels", event.start_mark.line + 1)

    def _add(self, value: Any, event: Any, weight: int, height: int) -> None:
        # An alias weighs what it stands for: nine lines of aliases of aliases are a billion nodes.
        self._nodes += weight
        if self._nodes > self._most:
            raise DocumentError(f"more than {self._most:,} nodes", event.start_mark.line + 1)
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height)
        if type(frame.value) is list:
            frame.value.append(value)
        elif frame.key is None:
            raise DocumentError("a key that is not text", event.start_mark.line + 1)
        elif frame.merging:
            self._merge(frame, value, event)
        else:
            frame.value[frame.key] = value
            frame.key = None

    def _merge(self, frame: _Frame, value: Any, event: Any) -> None:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise DocumentError("a merge key needs mappings", event.start_mark.line + 1)
        frame.merged += sources
        frame.key = None


def read_documents(text: str | bytes, most: int = MAX_NODES) -> tuple[PlacedDocument, ...]:
    """The documents of a text, or of its bytes in UTF-8 or UTF-16, empty ones included as None. Raises
    DocumentError.

    `most` is how many nodes there may be, each alias counted with all that it stands for.
    """
    builder = _ValueBuilder(most)
    steps: dict[type, Callable[[object], None]] = {
        yaml.ScalarEvent: builder.scalar,
        yaml.MappingStartEvent: builder.mapping_start,
        yaml.MappingEndEvent: builder.end,
        yaml.SequenceStartEvent: builder.sequence_start,
        yaml.SequenceEndEvent: builder.end,
        yaml.AliasEvent: builder.alias,
        yaml.DocumentStartEvent: builder.document_start,
        yaml.DocumentEndEvent: builder.document_end,
    }
    try:
        parser = yaml.CSafeLoader(text)
        next_event = parser.get_event
        while (event := next_event()) is not None:
            step = steps.get(type(event))
            if step is not None:
                step(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError("not well-formed YAML", mark.line + 1 if mark else 1) from None
    except yaml.YAMLError:
        raise DocumentError("a character that YAML does not allow") from None
    return tuple(builder.documents)


@lru_cache(maxsize=16_384)
def plain(text: str) -> bool | int | float | str | None:
    """What an unquoted scalar means: YAML 1.1 as Kubernetes' tools read it, where dates and times are
    text.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text):
        return _whole(text)
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    special = _SPECIAL.match(text)
    return float(text.replace(".", "").lower()) if special else text


def _whole(text: str) -> int | float:
    """An integer; as a float beyond the 64 bits that JSON readers of Kubernetes keep."""
    digits = text.replace("_", "")
    bare = digits.lstrip("+-")
    # 64 bits have as many digits at most in binary; Python takes long to convert thousands, or refuses.
    if len(digits) > 70:
        return float(digits) if bare.isdecimal() else float("inf")
    # A leading 0 is octal in YAML 1.1, and no number to Python.
    octal = len(bare) > 1 and bare[0] == "0" and bare[1].isdecimal()
    number = int(digits, 8) if octal else int(digits, 0)
    return number if -(2**63) <= number < 2**64 else float(number)
