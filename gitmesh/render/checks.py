"""The lines of `gitmesh check`: one per check, the word before the colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from gitmesh.render.document import Document, document
from gitmesh.render.escape import printable
from gitmesh.render.paint import Paint, Role, plain
from gitmesh.render.values import counted


class Level(StrEnum):
    """How a check ended. `down`: what was to be checked did not answer, so nothing is known of it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    DOWN = "down"


_ROLES: Mapping[Level, Role] = {
    Level.OK: "good",
    Level.WARN: "warning",
    Level.FAIL: "error",
    Level.DOWN: "error",
}


class Check(Struct, frozen=True, kw_only=True):
    """One check: what was looked at, what was found, and what to do about it."""

    level: Level
    subject: str
    message: str
    hint: str = ""


def checks_text(checks: Sequence[Check], paint: Paint = plain) -> str:
    """One line per check, hints below, and the totals."""
    size = max((len(check.subject) for check in checks), default=0)
    lines: list[str] = []
    for check in checks:
        word = paint(_ROLES[check.level], check.level.value) + " " * (4 - len(check.level.value))
        lines.append(f"{word}  {printable(check.subject):<{size}}  {printable(check.message)}")
        if check.hint:
            lines.append(f"      {paint('faint', 'hint:')} {printable(check.hint)}")
    return "".join(f"{line}\n" for line in [*lines, checks_total(checks)])


def checks_total(checks: Iterable[Check]) -> str:
    """`5 ok, 1 warning, 1 failed`."""
    levels = [check.level for check in checks]
    bad = levels.count(Level.FAIL) + levels.count(Level.DOWN)
    return f"{levels.count(Level.OK)} ok, {counted(levels.count(Level.WARN), 'warning')}, {bad} failed"


def checks_document(checks: Sequence[Check]) -> Document:
    """The checks for programs."""
    summary = {level.value: sum(check.level is level for check in checks) for level in Level}
    items = [
        {"level": c.level.value, "subject": c.subject, "message": c.message, "hint": c.hint} for c in checks
    ]
    return document("Check", summary=summary, checks=items)
