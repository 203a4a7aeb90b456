"""Values that may hold what nobody should read in a log."""

from __future__ import annotations

from msgspec import Struct


class Confidential(Struct, frozen=True):
    """A value whose text is its type alone: no traceback, log or pretty-printer shows a field of it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

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
    lower = name.lower().replace("_", "-")
    return lower in _NAMES or lower.endswith(_ENDINGS)
