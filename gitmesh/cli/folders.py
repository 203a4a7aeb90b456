"""Plain folders in place of a repository: what `validate PATH`, `render PATH` and `diff PATH` read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from gitmesh.adapters.folder import FolderSource
from gitmesh.errors import SourceError
from gitmesh.model.snapshot import Snapshot
from gitmesh.ports import Source


class Folders(Struct, frozen=True):
    """Several folders as one source, as a source of a repository may have several paths."""

    name: str
    parts: tuple[FolderSource, ...]

    def fetch(self) -> Snapshot:
        """The files of all of them. Raises SourceError."""
        found = [part.fetch() for part in self.parts]
        files = {file.path: file for snapshot in found for file in snapshot.files}
        return Snapshot(
            source=self.name,
            commit="",
            files=tuple(files[path] for path in sorted(files)),
            diagnostics=tuple(one for snapshot in found for one in snapshot.diagnostics),
        )

    def read(self, commit: str) -> Snapshot:
        """Raises SourceError: folders have no history."""
        if commit:
            raise SourceError(f"{self.name} is a folder and has no history")
        return self.fetch()

    def descends(self, tip: str, ancestor: str) -> bool:  # noqa: ARG002  the port names them
        """True: a folder is never rewound."""
        return True


def folder(path: Path, name: str, inside: Sequence[str] = ()) -> Source:
    """A folder or a file as a source: those paths `inside` that exist below it, else all of it.

    Files are named as they can be opened from the current directory.
    """
    present = sorted({place for place in inside if place and (path / place).exists()})
    places = [path / place for place in present] or [path]
    return Folders(name, tuple(FolderSource(name, str(place), prefix=_prefix(place)) for place in places))


def _prefix(place: Path) -> str:
    parent = os.path.dirname(place) if place.is_file() else str(place)
    return "" if parent in ("", ".") else f"{parent.rstrip('/')}/"
