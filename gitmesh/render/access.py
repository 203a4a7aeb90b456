"""Tables of who may call what, as text and as documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest

from msgspec import Struct

from gitmesh.reasoning.table import AccessRow
from gitmesh.render.answers import ROLES, Answers, answers_document, blocks, place
from gitmesh.render.document import Document, origins
from gitmesh.render.escape import printable
from gitmesh.render.paint import Paint, plain
from gitmesh.render.text import table

_WIDEST = 44
"""Columns that names may take before they go on in the next line."""


class AccessTable(Struct, frozen=True, kw_only=True):
    """The rows of one cluster, about one destination or one client: its name, "" where the rows are about
    several.
    """

    rows: tuple[AccessRow, ...]
    destination: str = ""
    caller: str = ""


def access_text(asked: Answers[AccessTable], paint: Paint = plain) -> str:
    """A table for each cluster; clusters of which the same is told share one."""
    return blocks(
        {name: tuple(_block(found, paint)) for name, found in asked.answers.items()}, asked.silent, paint
    )


def _block(found: AccessTable, paint: Paint) -> Iterator[str]:
    yield printable(f"{found.caller or '*'} -> {found.destination or '*'}")
    if not found.rows:
        yield f"  {paint('faint', 'none')}"
    columns = _columns(found)
    rows = [row for one in found.rows for row in _lines(one, columns)]
    lines = table(tuple(columns), rows, indent=2)
    # Only the first line of a row holds its answer. It is painted when the columns are laid out: a sequence
    # takes no column, but has a length.
    answers = {index for index, row in enumerate(rows, start=1) if row[0]}
    yield from (
        _painted(line, rows[index - 1][0], paint) if index in answers else line
        for index, line in enumerate(lines)
    )


def _painted(line: str, answer: str, paint: Paint) -> str:
    role = next(role for one, role in ROLES.items() if one.value == answer)
    return f"  {paint(role, answer)}{line[2 + len(answer) :]}"


_Column = Callable[[AccessRow], Sequence[str]]


def _columns(found: AccessTable) -> Mapping[str, _Column]:
    """Those of which the rows say different things."""
    columns: dict[str, _Column] = {"ANSWER": lambda row: (row.answer.value,)}
    if not found.caller:
        columns["CALLERS"] = lambda row: _wrapped(row.callers)
    if not found.destination:
        columns["DESTINATION"] = lambda row: ("/".join(row.service),)
    columns["PORTS"] = lambda row: (",".join(map(str, row.ports)),)
    columns["REQUESTS"] = lambda row: row.requests or ("all",)
    # Where no line of a policy decides, the reason stands in its place.
    columns["BY"] = lambda row: tuple(map(place, row.deciding)) or row.why
    return columns


def _lines(row: AccessRow, columns: Mapping[str, _Column]) -> Iterator[tuple[str, ...]]:
    """As many lines as the longest cell needs."""
    yield from zip_longest(*(cells(row) for cells in columns.values()), fillvalue="")


def _wrapped(names: Sequence[str]) -> tuple[str, ...]:
    """All of them, several in a line as far as they are short."""
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + len(name) + 2 <= _WIDEST:
            lines[-1] += f", {name}"
        else:
            # The comma stays at the end of the line, so that a reader sees that the list goes on.
            lines[-1:] = [f"{lines[-1]},"] if lines else []
            lines.append(name)
    return tuple(lines)


def access_document(asked: Answers[AccessTable]) -> Document:
    """What `who-can` answers, and `can` of everybody or of every destination."""
    clusters = [
        {"name": name, "rows": [_row(row) for row in found.rows]} for name, found in asked.answers.items()
    ]
    return answers_document(asked, "Access", clusters, "answer")


def _row(row: AccessRow) -> Document:
    namespace, name = row.service
    return {
        "answer": row.answer.value,
        "destination": {"namespace": namespace, "name": name, "ports": list(row.ports)},
        "callers": list(row.callers),
        "requests": list(row.requests),
        "message": "; ".join(row.why),
        "deciding": origins(row.deciding),
        "tried": origins(row.tried),
    }
