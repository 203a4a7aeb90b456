"""YAML text -> JSON-typed documents with the place of every key and value.

One pass over the parser's events, never its composer: 60 KB of nested brackets crash that one (reliability.md
Y05).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
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
from gitmesh.model.policies import Positions
from gitmesh.parsing.characters import HIDDEN, decode, describe, place, visible
from gitmesh.parsing.places import COLUMN_BITS, Places, unpack
from gitmesh.parsing.scalars import Refusal, resolve

MAX_DEPTH = 64
MAX_DOCUMENTS = 100
MAX_FILE_BYTES = 256 * 1024
MAX_FINDINGS = 100
"""Findings shown of one file; the rest would only repeat them."""

_SHOWN_WIDTH = 240

_SYNTAX: tuple[tuple[str, str, str], ...] = (
    ("tab", "a tab cannot indent YAML", "indent with spaces"),
    ("scanning an alias", "a value cannot begin with *", 'quote the wildcard: "*.example.com"'),
    ("scanning an anchor", "a value cannot begin with &", "quote the value"),
    (
        "mapping values are not allowed",
        "a `:` where no key can stand",
        "quote a value that contains `: `, or check the indentation",
    ),
    ("cannot start any token", "a value cannot begin with this character", "quote the value"),
    ("could not find expected ':'", "a key without `:`", "write `key: value`"),
    ("unexpected end of stream", "this quote is never closed", "close it"),
    ("did not find expected ',' or", "this bracket is not closed, or a comma is missing in it", "close it"),
    (
        "did not find expected node content",
        "a value is missing, or a bracket is not closed",
        "write the value, or close the bracket",
    ),
    (
        "unknown escape character",
        "an unknown escape in double quotes",
        "use single quotes, or write the backslash twice",
    ),
    ("Unicode character escape", "an escape that is no character", "remove it"),
    (
        "did not find expected key",
        "the indentation or a bracket is wrong here",
        "align the key with its siblings",
    ),
    (
        "did not find expected '-'",
        "the indentation of the list is wrong here",
        "align the item with its siblings",
    ),
)
"""What the scanner says -> what to tell the user, and a hint."""


class Document(Struct, frozen=True):
    """One document: dict, list, str, bool, int, float; a `Refusal` where a value must not be read.

    `findings` tell of its single values; a document that another tool owns may have any.
    """

    data: Any
    positions: Positions
    findings: tuple[Diagnostic, ...] = ()


class Parsed(Struct, frozen=True):
    """The documents of a file, and the findings that end its reading."""

    documents: tuple[Document, ...]
    findings: tuple[Diagnostic, ...]
    text: str = ""

    def excerpt(self, diagnostic: Diagnostic) -> Diagnostic:
        """The same finding with its source line."""
        return with_excerpt(diagnostic, self.text)


def read(content: bytes, path: str, source: str = "") -> Parsed:
    """Parse a file. Never raises for any bytes; documents before a syntax error are returned with it."""
    where = Location(source=source, path=path)
    if len(content) > MAX_FILE_BYTES:
        return Parsed(
            (), (finding("GM103", f"the file is larger than {MAX_FILE_BYTES // 1024} KiB", at=where),)
        )
    text, faults = decode(content)
    if faults:
        found = [finding("GM107", f.message, at=replace(where, line=f.line, column=f.column)) for f in faults]
        return Parsed((), tuple(with_excerpt(f, text) for f in found), text)
    builder = _Builder(text, where)
    documents: list[Document] = []
    end: tuple[Diagnostic, ...] = ()
    try:
        for document in builder.documents():
            documents.append(document)  # noqa: PERF402 one by one: those before a syntax error are kept
    except _StopError as stop:
        end = (*builder.findings, stop.diagnostic)
    except YAMLError as error:
        end = (*builder.findings, _syntax(error, where, text))
    return Parsed(tuple(documents), tuple(with_excerpt(d, text) for d in end), text)


def with_excerpt(diagnostic: Diagnostic, text: str) -> Diagnostic:
    """The finding with the line that it points to, hidden characters made visible."""
    if diagnostic.at is None or diagnostic.excerpt:
        return diagnostic
    lines = text.split("\n", diagnostic.at.line)
    line = lines[diagnostic.at.line - 1] if len(lines) >= diagnostic.at.line else ""
    return replace(diagnostic, excerpt=visible(line.rstrip("\r"))[:_SHOWN_WIDTH])


class _StopError(Exception):
    """The file cannot be read beyond this finding."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


class _Builder:
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
        """The documents of the stream, empty ones left out. Raises _StopError and YAMLError."""
        count = 0
        self._next()  # the stream's start
        while type(event := self._next()) is not StreamEndEvent:
            count += 1
            if count > MAX_DOCUMENTS:
                raise self._stop("GM103", f"more than {MAX_DOCUMENTS} documents in one file", event)
            assert isinstance(event, DocumentStartEvent)
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

    def _value(self, event: Any) -> Any:
        mark = event.start_mark
        self._places.append(mark.line << COLUMN_BITS | mark.column)
        if type(event) is ScalarEvent:
            if event.implicit[0] and event.tag is None and event.anchor is None:
                value = resolve(event.value)
                return self._refuse(event, value) if type(value) is Refusal else value
            return self._unusual(event)
        if type(event) is AliasEvent:
            return self._refuse(
                event,
                Refusal(
                    "GM102",
                    "aliases (*name) are not allowed",
                    "write the value out; quote text that begins with *",
                ),
            )
        self._collection(event)
        value = self._mapping() if type(event) is MappingStartEvent else self._sequence()
        self._depth -= 1
        return value

    def _unusual(self, event: ScalarEvent) -> object:
        """A quoted or block scalar, or one that carries a tag or an anchor."""
        if event.tag is not None or event.anchor is not None:
            return self._refuse(event, _decorated(event))
        if self._escapes and (hidden := HIDDEN.search(event.value)):
            return self._refuse(
                event, Refusal("GM107", f"{describe(hidden.group())} is not allowed, not even as an escape")
            )
        return event.value

    def _mapping(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
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

    def _sequence(self) -> list[Any]:
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
            self._refuse(event, _decorated(event))

    def _unusual_key(self, event: ScalarEvent, key: object, keys: Mapping[str, int]) -> str:
        """Report a key that must not be used; it stays in the document under a name that nothing else has."""
        text = event.value
        if event.tag is not None or event.anchor is not None:
            self._refuse(event, _decorated(event))
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

    def _stop(self, code: str, message: str, event: Any) -> _StopError:
        return _StopError(finding(code, message, at=self._at(event)))

    def _at(self, event: Any) -> Location:
        return _location(self._where, event.start_mark)


def _location(where: Location, mark: Any) -> Location:
    return Location(source=where.source, path=where.path, line=mark.line + 1, column=mark.column + 1)


def _decorated(event: Any) -> Refusal:
    if event.tag is not None:
        return Refusal(
            "GM102", "YAML tags (!...) are not allowed", "remove the tag; quote text that begins with !"
        )
    return Refusal(
        "GM102", "anchors (&name) are not allowed", "write the value out; quote text that begins with &"
    )


def _syntax(error: YAMLError, where: Location, text: str) -> Diagnostic:
    """A scanner's or parser's error in plain words, at the place where the mistake begins."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return finding("GM101", "not well-formed YAML", at=where)
    mark, said = error.problem_mark, f"{error.context or ''}: {error.problem or ''}"
    opened, last = error.context_mark, max(len(text.rstrip()) - 1, 0)
    if opened is not None and ("scanning a" in said or mark.index > last):
        mark = opened
    if text[mark.index : mark.index + 1] == "\t":
        said = "tab"
    line, column = place(text, min(mark.index, last))
    at = Location(source=where.source, path=where.path, line=line, column=column)
    code = "GM107" if "Unicode character escape" in said else "GM101"
    for sign, message, hint in _SYNTAX:
        if sign in said:
            return finding(code, message, at=at, hint=hint)
    return finding(code, f"not well-formed YAML: {error.problem}", at=at)
