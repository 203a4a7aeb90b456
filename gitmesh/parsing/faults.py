"""pydantic's errors -> findings in plain words at the exact place of the document."""

from __future__ import annotations

from msgspec import Struct
from pydantic import BaseModel, ValidationError

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.model.policies import Positions, dotted
from gitmesh.parsing.locating import Spot, located
from gitmesh.parsing.wording import PydanticError, words_for

MAX_SHOWN = 100
"""Findings shown of one document."""


class _Placed(Struct, frozen=True):
    """An error of pydantic's with its spot in the document and its place in the file."""

    error: PydanticError
    spot: Spot
    at: Location


def findings_of(
    error: ValidationError, model: type[BaseModel], positions: Positions, *, policy: str = ""
) -> tuple[Diagnostic, ...]:
    """One finding per error, in the order of the file; of very many the first 100."""
    errors = [e for e in error.errors(include_url=False) if not _is_echo(e)]
    placed = sorted(
        (_placed(e, model, positions) for e in errors),
        key=lambda p: (p.at, dotted(p.spot.path), p.error["type"]),
    )
    found = tuple(
        _finding(p, policy) for p in placed[:MAX_SHOWN]
    )  # words are dear: only for those that are shown
    if len(placed) <= MAX_SHOWN:
        return found
    more = finding(
        "GM103",
        f"{len(placed) - MAX_SHOWN} more findings in this document are not shown",
        at=positions.at(()),
        policy=policy,
    )
    return (*found, more)


def _is_echo(error: PydanticError) -> bool:
    """Whether an error only repeats others."""
    # pydantic counts only good items: a list whose items all fail is no short list.
    return error["type"] == "too_short" and bool(len(error["input"]) >= error["ctx"]["min_length"])


def _placed(error: PydanticError, model: type[BaseModel], positions: Positions) -> _Placed:
    spot = located(error["loc"], model)
    missing = error["type"] == "missing"
    by_key = missing or spot.is_key or error["type"] == "extra_forbidden"
    # What is missing has no place of its own, so that its parent's is shown.
    return _Placed(error, spot, positions.at(spot.path[:-1] if missing else spot.path, key=by_key))


def _finding(placed: _Placed, policy: str) -> Diagnostic:
    code, message, hint = words_for(placed.error, placed.spot)
    return finding(code, message, at=placed.at, policy=policy, field=dotted(placed.spot.path), hint=hint)
