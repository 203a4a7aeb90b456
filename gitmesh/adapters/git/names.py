"""Names that are safe to hand to git (docs/reliability.md G02, G03); URLs are checked by
gitmesh.parsing.settings.url_problem.
"""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(r"\.\.|@\{|//|/\.|\.lock(?:/|\Z)|[./]\Z")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,250}\Z")
_OBJECT_ID = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


def branch_problem(branch: str) -> str:
    """What is wrong with a branch name (git-check-ref-format, and no leading dash); "" if nothing is."""
    if not _BRANCH.match(branch) or _FORBIDDEN.search(branch):
        return f"{branch[:64]!r} is not a valid branch name"
    return ""


def is_object_id(text: str) -> bool:
    """Whether this is a full object id, SHA-1 or SHA-256."""
    return bool(_OBJECT_ID.match(text))


def is_abbreviation(text: str) -> bool:
    """Whether this may be the beginning of an object id, as git shows it."""
    return bool(re.fullmatch(r"[0-9a-f]{7,63}", text))


def url_host(url: str) -> str:
    """Host and port as the URL has them, without a user; "" for a file."""
    rest = url.partition("://")[2] or url.partition(":")[0]
    return rest.partition("/")[0].rpartition("@")[2]


def url_scheme(url: str) -> str:
    """The transport of a URL in git's words; `user@host:path` is ssh."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else "ssh"
