"""Our own record of the commit that came into force last: one small file beside the store, which may itself
be replaced.

Only acceptance writes it. It tells a rewritten branch from a ledger that somebody changed, also after a
restart.
"""

from __future__ import annotations

import os
from pathlib import Path

from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.names import is_object_id

_LONGEST = 128


class Acceptance:
    """The record of one source, at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: str | None = None

    def read(self) -> str:
        """The full id of the commit, "" where there is no record or where what is there is none."""
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> str:
        try:
            with open(
                os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
            ) as file:
                text = file.read(_LONGEST).decode(errors="replace").strip()
        except OSError:
            return ""
        return text if is_object_id(text) else ""

    def write(self, commit: str) -> None:
        """Record a commit, on disk when this returns. Raises GitError where it cannot be written; it is then
        known to this process.
        """
        if commit == self.read() or not is_object_id(commit):
            return
        # Known to this process before the disk is asked: a full disk must not make it forget what is in
        # force.
        self._known = commit
        draft = self._path.with_name(f"{self._path.name}.new")
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            with open(draft, "w", encoding="ascii") as file:
                file.write(f"{commit}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
        except OSError as error:
            raise GitError(
                f"{self._path} cannot be written: {error.strerror or error}", Reason.DISK
            ) from error
