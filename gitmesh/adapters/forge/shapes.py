"""What the forges' answers have in common. All of it is untrusted: a commit that is no commit's id never gets
as far as git.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.errors import ForgeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitmesh.model.forge import CommitStatus, PullRequest

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Nothing(Struct, frozen=True):
    """An answer of which nothing is needed, also an empty one."""


def commit_of(text: str | None) -> str:
    """A full commit id, "" where it is none."""
    return text if text is not None and _COMMIT.fullmatch(text) else ""


def with_head(pulls: Iterable[PullRequest]) -> tuple[PullRequest, ...]:
    """Those that have a commit to review, by number."""
    return tuple(sorted((pull for pull in pulls if pull.head), key=lambda pull: pull.number))


def only(pull: PullRequest, host: str) -> PullRequest:
    """It, if it has a commit to review. Raises ForgeError."""
    if not pull.head:
        raise ForgeError(f"{host} tells no commit of pull request {pull.number}")
    return pull


def newest(found: Iterable[tuple[int, CommitStatus]]) -> tuple[CommitStatus, ...]:
    """The status with the greatest id of each context, by context."""
    last: dict[str, tuple[int, CommitStatus]] = {}
    for number, status in found:
        if number >= last.get(status.context, (0, status))[0]:
            last[status.context] = number, status
    return tuple(last[context][1] for context in sorted(last))


def cut(text: str, most: int) -> str:
    """A text of at most so many characters, which shows that it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"
