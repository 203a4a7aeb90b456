"""The events of a YAML parser -> JSON-typed documents with the place of every key and value.

One pass over the parser's events, never its composer: 60 KB of nested brackets crash that one
(docs/reliability.md Y05).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace
from yaml._yaml import CParser
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.model.policies import Positions, YamlPath
from gitmesh.parsing.characters import HIDDEN, describe
from gitmesh.parsing.scalars import ALIAS, Refusal, decorated, resolve

MAX_DEPTH = 64
MAX_DOCUMENTS = 100
MAX_FINDINGS = 100
"""Findings shown of one file; the rest would only repeat them."""
COLUMN_BITS = 20
"""A place is one number: line << COLUMN_BITS | column, both from 0. A line is shorter than a file, 256 KiB.
"""
_COLUMN_MASK = (1 << COLUMN_BITS) - 1
_Rows: TypeAlias = dict[YamlPath, int]


class Document(Struct, frozen=True):
    """One document: dict, list, str, bool, int, float; a `Refusal` where a value must not be read.

    `findings` tell of its single values; a document that another tool owns may have any.
    """

    data: Any
    positions: Positions
    findings: tuple[Diagnostic, ...] = ()


class StopError(Exception):
    """The file cannot be read beyond this finding."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


class Builder:
    """Builds documents from events. Places are kept as bare numbers and become tables only when somebody
    asks.
    """

    __slots__ = ("_depth", "_escapes", "_keys", "_next", "_places", "_seen", "_where", "findings")

    def __init__(self, text: str, where: Location) -> None:
        self._next: Callable[[], Any] = CParser(text).get_event
        self._where = where
        self._escapes = "\\" in text
        self._depth = 0
        self._seen = 0
        self.findings: list[Diagnostic] = []
        """Of the document that is being built."""
        self._places: list[int] = []
        self._keys: list[dict[str, int]] = []

    def documents(self) -> Iterator[Document]:
        """The documents of the stream, empty ones left out. Raises StopError and YAMLError."""
        count = 0
        self._next()  # the stream's start
        while type(event := self._next()) is not StreamEndEvent:
            count += 1
            if count > MAX_DOCUMENTS:
                raise self._stop("GM103", f"more than {MAX_DOCUMENTS} documents in one file", event)
            assert isinstance(event, DocumentStartEvent)
            # %YAML 1.1 changes what plain words mean, and %TAG what a tag does.
            if event.version or event.tags:
                raise self._stop("GM102", "YAML directives (lines that begin with %) are not allowed", event)
            document = self._document(self._next())
            if document:
                yield document

    def _document(self, event: Any) -> Document | None:
        self._places, self._keys = [], []
        empty = (
            type(event) is ScalarEvent
            and not event.value
            and event.implicit[0]
            and event.tag is None
            and event.anchor is None
        )
        data = None if empty else self._value(event)
        self._next()  # the document's end
        if empty:
            return None
        findings, self.findings = tuple(self.findings), []
        places = Places(data, self._places, self._keys)
        positions = Positions(
            source=self._where.source,
            path=self._where.path,
            keys=places.table("keys"),
            values=places.table("values"),
        )
        return Document(data, positions, findings)

    def _value(self, event: Any) -> object:
        mark = event.start_mark
        self._places.append(mark.line << COLUMN_BITS | mark.column)
        if type(event) is ScalarEvent:
            if event.implicit[0] and event.tag is None and event.anchor is None:
                value = resolve(event.value)
                return self._refuse(event, value) if type(value) is Refusal else value
            return self._unusual(event)
        if type(event) is AliasEvent:
            return self._refuse(event, ALIAS)
        self._collection(event)
        value = self._mapping() if type(event) is MappingStartEvent else self._sequence()
        self._depth -= 1
        return value

    def _unusual(self, event: ScalarEvent) -> object:
        """A quoted or block scalar, or one that carries a tag or an anchor."""
        if event.tag is not None or event.anchor is not None:
            return self._refuse(event, decorated(event.tag))
        if self._escapes and (hidden := HIDDEN.search(event.value)):
            return self._refuse(
                event, Refusal("GM107", f"{describe(hidden.group())} is not allowed, not even as an escape")
            )
        return event.value

    def _mapping(self) -> dict[str, object]:
        result: dict[str, object] = {}
        keys: dict[str, int] = {}
        self._keys.append(keys)
        next_event = self._next
        while type(event := next_event()) is ScalarEvent:
            mark: Any = event.start_mark
            key = resolve(event.value) if event.implicit[0] else event.value
            if (
                type(key) is not str
                or key in keys
                or event.tag is not None
                or event.anchor is not None
                or self._escapes
            ):
                key = self._unusual_key(event, key, keys)
            keys[key] = mark.line << COLUMN_BITS | mark.column
            result[key] = self._value(next_event())
        if type(event) is not MappingEndEvent:
            raise self._stop("GM106", "a key must be plain text, not a list, a mapping or an alias", event)
        return result

    def _sequence(self) -> list[object]:
        result = []
        next_event = self._next
        while type(event := next_event()) is not SequenceEndEvent:
            result.append(self._value(event))
        return result

    def _collection(self, event: Any) -> None:
        """Check the beginning of a mapping or list."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._stop("GM103", f"more than {MAX_DEPTH} levels of nesting", event)
        if event.tag is not None or event.anchor is not None:
            self._refuse(event, decorated(event.tag))

    def _unusual_key(self, event: ScalarEvent, key: object, keys: Mapping[str, int]) -> str:
        """Report a key that must not be used; it stays in the document under a name that nothing else has."""
        text = event.value
        if event.tag is not None or event.anchor is not None:
            self._refuse(event, decorated(event.tag))
        elif text == "<<" and event.implicit[0]:
            self._refuse(event, Refusal("GM102", "merge keys (<<) are not allowed", "write the fields out"))
        elif type(key) is not str:
            self._refuse(
                event,
                Refusal(
                    "GM106",
                    f"the key `{text[:40]}` is not text to every YAML parser",
                    f'quote it: "{text[:40]}"',
                ),
            )
        elif hidden := HIDDEN.search(text):
            self._refuse(event, Refusal("GM107", f"{describe(hidden.group())} is not allowed in a key"))
        elif text in keys:
            self._refuse(
                event,
                Refusal(
                    "GM104",
                    f"the key `{text[:40]}` is here a second time; the first is in line"
                    f" {unpack(keys[text])[0]}",
                ),
            )
        name = text if text not in keys else f"{text}\0{len(keys)}"
        while name in keys:
            name += "\0"
        return name

    def _refuse(self, event: Any, refusal: Refusal) -> Refusal:
        self._seen += 1
        if self._seen > MAX_FINDINGS:
            raise self._stop(
                "GM103", f"more than {MAX_FINDINGS} findings in one file; the rest is not shown", event
            )
        self.findings.append(finding(refusal.code, refusal.message, at=self._at(event), hint=refusal.hint))
        return refusal

    def _stop(self, code: str, message: str, event: Any) -> StopError:
        return StopError(finding(code, message, at=self._at(event)))

    def _at(self, event: Any) -> Location:
        mark = event.start_mark
        return replace(self._where, line=mark.line + 1, column=mark.column + 1)


def unpack(place: int) -> tuple[int, int]:
    """1-based line and column."""
    return (place >> COLUMN_BITS) + 1, (place & _COLUMN_MASK) + 1


class Places:
    """What a builder recorded of a document, in the order of its events: a number per value, a table of keys
    per mapping.
    """

    __slots__ = ("_data", "_keys", "_rows", "_values")

    def __init__(self, data: object, values: list[int], keys: list[dict[str, int]]) -> None:
        self._data, self._values, self._keys = data, values, keys
        self._rows: dict[str, _Rows] = {}

    def table(self, which: str) -> Mapping[YamlPath, tuple[int, int]]:
        """`keys` or `values` of Positions."""
        return _Table(self, which)

    def rows(self, which: str) -> _Rows:
        """The same, made now."""
        if not self._rows:
            keys: _Rows = {}
            values: _Rows = {}
            _spread(self._data, (), iter(self._values), iter(self._keys), keys, values)
            self._rows = {"keys": keys, "values": values}
            self._data, self._values, self._keys = None, [], []  # the tables say it all now
        return self._rows[which]


class _Table(Mapping[YamlPath, tuple[int, int]]):
    """One table of a document's places, made when it is first read."""

    __slots__ = ("_places", "_which")

    def __init__(self, places: Places, which: str) -> None:
        self._places, self._which = places, which

    def __getitem__(self, path: YamlPath) -> tuple[int, int]:
        return unpack(self._places.rows(self._which)[path])

    def __iter__(self) -> Iterator[YamlPath]:
        return iter(self._places.rows(self._which))

    def __len__(self) -> int:
        return len(self._places.rows(self._which))

    def __contains__(self, path: object) -> bool:
        return path in self._places.rows(self._which)


def _spread(
    value: object,
    path: YamlPath,
    places: Iterator[int],
    mappings: Iterator[dict[str, int]],
    keys: _Rows,
    values: _Rows,
) -> None:
    """Walk a document in the order in which it was read, and give each key and value its recorded place."""
    values[path] = next(places)
    if isinstance(value, dict):
        own = next(mappings)
        for key, item in value.items():
            inner = (*path, key)
            keys[inner] = own[key]
            _spread(item, inner, places, mappings, keys, values)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            inner = (*path, index)
            _spread(item, inner, places, mappings, keys, values)
            keys[inner] = values[inner]
