"""Findings as text: one line each, the source line with a caret, what others said, a hint, and where to read
more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Location, Severity, foremost
from gitmesh.model.overview import Complaint
from gitmesh.render.escape import printable, width
from gitmesh.render.paint import Paint, plain
from gitmesh.render.values import masked_line

_TOKEN = re.compile(r"[^\s,:\]})'\"]+")
_WINDOW = 120
MOST_FINDINGS = 200
"""Findings that a person is shown. Nobody reads more, and their lines would take longer than the run."""


Told = TypeVar("Told", Diagnostic, Complaint)


def folded(diagnostics: Iterable[Told]) -> tuple[Told, ...]:
    """Findings that differ in cluster and mesh only, told once: `cluster` then names all of them, and so does
    `mesh`, where the findings speak of more than one; nobody has to be told apart from nothing."""
    groups: dict[Told, list[Told]] = {}
    for one in diagnostics:
        groups.setdefault(replace(one, cluster="", mesh=""), []).append(one)
    several = len({one.mesh for those in groups.values() for one in those if one.mesh}) > 1
    return tuple(
        replace(
            one,
            cluster=_joined(each.cluster for each in those),
            mesh=_joined(each.mesh for each in those) if several else "",
        )
        for one, those in groups.items()
    )


def _joined(names: Iterable[str]) -> str:
    """Each name once, in their order; of several in one text, too."""
    every = (part for name in names for part in name.split(", ") if part)
    return ", ".join(dict.fromkeys(every))


def place_of(one: Diagnostic | Complaint, *, beside: str = "") -> str:
    """`clusters east, west` or `mesh istio, cluster east`: where a finding holds; no cluster that stands
    `beside` it anyway."""
    parts = (("mesh", "es", one.mesh), ("cluster", "s", one.cluster if one.cluster != beside else ""))
    return ", ".join(f"{word}{more if ',' in names else ''} {names}" for word, more, names in parts if names)


def findings_text(diagnostics: Sequence[Diagnostic], *, paint: Paint = plain) -> str:
    """The findings, each code with a pointer to `gitmesh explain` once; of very many the foremost, and how
    many more there are.
    """
    seen: set[str] = set()
    lines: list[str] = []
    told = folded(diagnostics)
    for one in foremost(told, MOST_FINDINGS):
        lines += _finding(one, paint, explain=one.code not in seen)
        seen.add(one.code)
    if len(told) > MOST_FINDINGS:
        lines.append(f"and {len(told) - MOST_FINDINGS:,} more; -o json has them all")
    return "".join(line + "\n" for line in lines)


def headline(one: Diagnostic) -> str:
    """`path:line:col: error GM203 BadValue: message (cluster east)`, without colour."""
    return _headline(one, plain)


def _finding(one: Diagnostic, paint: Paint, *, explain: bool) -> Iterator[str]:
    yield _headline(one, paint)
    if one.at is not None and one.excerpt:
        yield from _excerpt(one.excerpt, one.at, paint)
    if one.detail:
        yield f"  {paint('faint', 'detail:')} {printable(one.detail)}"
    if one.hint:
        yield f"  {paint('faint', 'hint:')} {printable(one.hint)}"
    if explain and one.severity is not Severity.INFO:
        yield f"  {paint('faint', 'see:')} gitmesh explain {one.code}"


def _headline(one: Diagnostic, paint: Paint) -> str:
    where = printable(str(one.at)) if one.at else printable(one.policy or one.cluster or "gitmesh")
    place = place_of(one, beside=where)
    level: Mapping[Severity, str] = {
        Severity.ERROR: paint("error", "error"),
        Severity.WARNING: paint("warning", "warning"),
        Severity.INFO: paint("info", "info"),
    }
    return (
        f"{where}: {level[one.severity]} {one.code} {one.name}:"
        f" {printable(one.message)}{f' ({printable(place)})' if place else ''}"
    )


def _excerpt(line: str, at: Location, paint: Paint) -> Iterator[str]:
    """The line and a caret under the value; of a long line the part around it."""
    line = masked_line(line.rstrip("\r\n"))
    start = max(0, at.column - _WINDOW // 2) if len(line) > _WINDOW else 0
    before, after = line[start : at.column - 1], line[at.column - 1 : start + _WINDOW]
    token = _TOKEN.match(after)
    caret = "^" * max(1, width(printable(token.group())) if token else 1)
    yield f" {at.line:>4} | {printable(before)}{printable(after)}"
    yield f"      | {' ' * width(printable(before))}{paint('error', caret)}"
