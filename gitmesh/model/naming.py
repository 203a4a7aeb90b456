"""Names of fields: snake case in Python, camel case in YAML."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`per_try_timeout` -> `perTryTimeout`; a trailing underscore, which keeps clear of keywords, goes."""
    head, *rest = name.strip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)
