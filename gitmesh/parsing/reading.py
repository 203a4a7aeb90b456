"""The bytes of one file -> its documents, and findings on what ends its reading, in plain words."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace
from yaml.error import MarkedYAMLError, YAMLError

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.parsing.characters import decode, place, visible
from gitmesh.parsing.nodes import Builder, Document, StopError

MAX_FILE_BYTES = 256 * 1024
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
    # Findings on single values stay with their documents; here is only what ends the reading.
    builder = Builder(text, where)
    documents: list[Document] = []
    end: tuple[Diagnostic, ...] = ()
    try:
        for document in builder.documents():
            documents.append(document)  # noqa: PERF402 one by one: those before a syntax error are kept
    except StopError as stop:
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


def _syntax(error: YAMLError, where: Location, text: str) -> Diagnostic:
    """A scanner's or parser's error in plain words, at the place where the mistake begins."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return finding("GM101", "not well-formed YAML", at=where)
    mark, said = error.problem_mark, f"{error.context or ''}: {error.problem or ''}"
    opened, last = error.context_mark, max(len(text.rstrip()) - 1, 0)
    # The scanner complains where it gave up, often at the end of the file; the mistake is where the quote or
    # the bracket begins.
    if opened is not None and ("scanning a" in said or mark.index > last):
        mark = opened
    # It says of a tab only that no token can start with it.
    if text[mark.index : mark.index + 1] == "\t":
        said = "tab"
    line, column = place(text, min(mark.index, last))
    at = Location(source=where.source, path=where.path, line=line, column=column)
    code = "GM107" if "Unicode character escape" in said else "GM101"
    for sign, message, hint in _SYNTAX:
        if sign in said:
            return finding(code, message, at=at, hint=hint)
    return finding(code, f"not well-formed YAML: {error.problem}", at=at)
