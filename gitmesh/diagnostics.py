"""What a user should read: a coded finding at a place in a file. The register of codes is `codes/`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.codes import CODES


class Severity(StrEnum):
    """How bad a finding is; only errors decide exit code 2."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


_WORST = (Severity.ERROR, Severity.WARNING, Severity.INFO)


class Location(Struct, frozen=True, kw_only=True, order=True):
    """A place in a source: file path inside it, 1-based line and column. Line 0 means the source as a
    whole.
    """

    source: str = ""
    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else f"source {self.source}"


class Diagnostic(Struct, frozen=True, kw_only=True):
    """One finding. `code` is a key of the register; `excerpt` is the source line, for a terminal's caret
    only.

    `policy` is `Kind/namespace/name`; `field` a dotted path such as `spec.retries.attempts`. `detail` is what
    somebody else said, which may differ each time: it is shown and logged, but makes no finding another one
    (`sort_key`), and is never committed. `pending`: what it tells of was asked for and is not finished.
    """

    code: str
    message: str
    severity: Severity
    at: Location | None = None
    policy: str = ""
    field: str = ""
    cluster: str = ""
    mesh: str = ""
    hint: str = ""
    excerpt: str = ""
    detail: str = ""
    hold: str = ""
    pending: bool = False

    @property
    def name(self) -> str:
        """The register's short name, e.g. `UnknownField`."""
        return CODES[self.code].name

    @property
    def is_error(self) -> bool:
        """Whether this finding holds something back."""
        return self.severity is Severity.ERROR

    def sort_key(self) -> tuple[object, ...]:
        """Order by place, then code, then the rest: equal sets print equal bytes."""
        at = self.at
        place = (at.source, at.path, at.line, at.column) if at else ("", "", 0, 0)
        return (*place, self.code, self.cluster, self.mesh, self.policy, self.field, self.message)


def first_of(names: Iterable[str], most: int, joint: str = ", ") -> str:
    """`a, b, c and 3 more`: the first of some names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return joint.join(every[:most]) + more


def finding(
    code: str,
    message: str,
    *,
    at: Location | None = None,
    policy: str = "",
    field: str = "",
    cluster: str = "",
    mesh: str = "",
    hint: str = "",
    severity: Severity | None = None,
    detail: str = "",
    hold: str = "",
    pending: bool = False,
) -> Diagnostic:
    """Make a diagnostic; severity and hint default to what the register says of the code. `hold` is the id of
    the hold that it stands for, which the hint then says how to end."""
    info = CODES[code]
    return Diagnostic(
        code=code,
        message=message,
        severity=severity or Severity(info.severity),
        at=at,
        policy=policy,
        field=field,
        cluster=cluster,
        mesh=mesh,
        hint=_consent(hint or info.hint, hold) if hold else hint or info.hint,
        detail=detail,
        hold=hold,
        pending=pending,
    )


def _consent(hint: str, hold: str) -> str:
    """A hint, and the command that ends the hold; a hint that ends in a comma leads up to it."""
    lead = hint or "Where it is meant,"
    return f"{lead}{'' if lead.endswith(',') else '; or'} approve it: gitmesh approve {hold}"


def hold_id(*about: object) -> str:
    """The id of a hold: the same for the same facts, in every process."""
    return sha256(repr(about).encode()).hexdigest()[:12]


def in_order(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted and without repeats, so that the same findings always print the same."""
    unique = {d.sort_key(): d for d in diagnostics}
    return tuple(unique[key] for key in sorted(unique, key=repr_key))


def foremost(diagnostics: Sequence[Diagnostic], most: int) -> Sequence[Diagnostic]:
    """At most so many of them, errors before warnings where some are left out; all in their order
    otherwise.
    """
    return (
        diagnostics
        if len(diagnostics) <= most
        else sorted(diagnostics, key=lambda one: _WORST.index(one.severity))[:most]
    )


def repr_key(key: tuple[object, ...]) -> tuple[tuple[int, str], ...]:
    """A total order over mixed ints and strings."""
    return tuple((part, "") if isinstance(part, int) else (0, str(part)) for part in key)


def without_excerpt(diagnostic: Diagnostic) -> Diagnostic:
    """The same finding fit to leave the machine: no line of the user's file in it."""
    return replace(diagnostic, excerpt="")


def suggest(word: str, known: Iterable[str]) -> str:
    """`did you mean X?`, or `X or Y?` where both are equally near, or "" where nothing is. Names that differ
    by case, `_` or `-` alone are always near.
    """
    import difflib  # imported late: only mistakes ask

    names = sorted(known)
    same = [name for name in names if _letters(name) == _letters(word)]
    # Cut, as comparing costs as much as both lengths multiplied.
    near = same[:1] or difflib.get_close_matches(word[:64], names, n=3, cutoff=0.6)
    nearness = [difflib.SequenceMatcher(None, name, word[:64]).ratio() for name in near]
    equal = [name for name, ratio in zip(near, nearness, strict=True) if ratio == nearness[0]]
    return f"did you mean {' or '.join(sorted(equal))}?" if near else ""


def _letters(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
