"""Where others stand in the way of the status branch, or of a file on it: theirs is left where it is."""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.adapters.git.commit import Listed
from gitmesh.errors import SourceError


class NotOursError(SourceError):
    """The branch is somebody else's, or its name or a name on it is."""


def in_the_way(other: str, branch: str) -> bool:
    """Whether Git cannot have both branches."""
    # One of them would be a file where the other one needs a folder.
    return branch.startswith(f"{other}/") or other.startswith(f"{branch}/")


def check_room(there: Mapping[str, Listed], changes: Mapping[str, bytes | None], branch: str) -> None:
    """Raise NotOursError where a file that stays would be a folder as well."""
    stay = [path for path in there if changes.get(path, b"") is not None]
    folders = {path[:position] for path in stay for position, char in enumerate(path) if char == "/"}
    taken = set(stay)
    for path, content in changes.items():
        if content is None:
            continue
        above = [path[:position] for position, char in enumerate(path) if char == "/"]
        # Writing ours would delete it.
        if blocked := next((name for name in above if name in taken), path if path in folders else ""):
            text = f"{blocked} on branch {branch} is somebody else's, and a file of the status belongs there"
            raise NotOursError(text, hint="Move it away, or choose another writeBack.statusBranch.")
