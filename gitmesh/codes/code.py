"""What a row of the register of findings says."""

from __future__ import annotations

from msgspec import Struct


class Code(Struct, frozen=True, kw_only=True):
    """What a code means: `cause` and `fix` are a sentence or two, `hint` is what a finding without one of its
    own advises."""

    code: str
    name: str
    severity: str
    summary: str
    cause: str
    fix: str
    hint: str = ""
