"""Values that may hold what nobody should read in a log."""

from __future__ import annotations

from msgspec import Struct


class Confidential(Struct, frozen=True):
    """A value whose text is its type alone: no traceback, log or pretty-printer shows a field of it."""

    # A traceback with local variables, and a test's failure, print values by this.
    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    # rich asks for the fields by itself, whatever `repr` says.
    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


MASK = "***"
"""What stands for a value that is not shown."""
_NAMES = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "apikey",
        "password",
        "passwd",
        "secret",
        "token",
    }
)
_ENDINGS = ("-token", "-key", "-secret", "-password", "-auth", "-cookie", "-credential", "-credentials")


def is_credential(name: str) -> bool:
    """Whether a header of this name usually carries a credential."""
    # Environment variables and YAML keys spell with _ what headers spell with -.
    lower = name.lower().replace("_", "-")
    return lower in _NAMES or lower.endswith(_ENDINGS)
