"""Names of fields: snake case in Python, camel case in YAML."""

from __future__ import annotations

from functools import lru_cache

_INITIALS = {"http": "HTTP"}
"""Words that keep their capitals inside a name."""


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`per_try_timeout` -> `perTryTimeout`, `non_http` -> `nonHTTP`; a trailing underscore, which keeps clear
    of keywords, goes.
    """
    head, *rest = name.strip("_").split("_")
    return head + "".join(_INITIALS.get(part) or part.capitalize() for part in rest)
