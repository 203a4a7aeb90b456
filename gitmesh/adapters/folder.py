"""A folder (or one file) of policies as a Source, and the bytes of gitmesh.yaml. Links are never followed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.errors import SourceError
from gitmesh.model.snapshot import File, Snapshot
from gitmesh.parsing.characters import HIDDEN, visible
from gitmesh.parsing.nodes import MAX_FILE_BYTES
from gitmesh.parsing.parse import MAX_FILES, MAX_REVISION_BYTES, SUFFIXES

_SKIPPED = frozenset({".git"})


class FolderSource(Struct, frozen=True):
    """The policy files below `path`, read when asked. `commit` names the state; a plain folder has none.

    `prefix` is put before the paths of files, so that findings can be opened from where the user stands.
    """

    name: str
    path: str
    commit: str = ""
    prefix: str = ""

    def fetch(self) -> Snapshot:
        """All YAML files, sorted by path. Raises SourceError where the folder or a file cannot be read."""
        files: list[File] = []
        problems: list[Diagnostic] = []
        size = 0
        for path, entry in self._entries():
            problem = self._problem(path, entry)
            if problem:
                problems.append(problem)
            elif path.lower().endswith(SUFFIXES):
                files.append(_file(self.prefix + path, entry))
                size += len(files[-1].content)
            if len(files) > MAX_FILES or size > MAX_REVISION_BYTES:
                break  # parse reports the limit
        files.sort(key=lambda file: file.path)
        return Snapshot(source=self.name, commit=self.commit, files=tuple(files), diagnostics=tuple(problems))

    def read(self, commit: str) -> Snapshot:
        """The folder as it is, if that is the commit. Raises SourceError: a folder has no history."""
        if commit != self.commit:
            raise SourceError(f"{self.path} is a folder and has no history")
        return self.fetch()

    def descends(self, tip: str, ancestor: str) -> bool:  # noqa: ARG002 the port names them
        """True: a folder is never rewound."""
        return True

    def _entries(self) -> Iterator[tuple[str, str]]:
        """(path inside the folder, path on disk) of everything that is no folder, depth first in order."""
        root = os.path.realpath(self.path)
        if os.path.isfile(root):
            yield os.path.basename(self.path), root
            return
        for folder, folders, names in os.walk(root, onerror=_fail, followlinks=False):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            folders[:] = sorted(name for name in folders if name not in _SKIPPED and name not in links)
            for name in sorted([*names, *links]):
                entry = os.path.join(folder, name)
                yield os.path.relpath(entry, root), entry

    def _problem(self, path: str, entry: str) -> Diagnostic | None:
        shown = visible(path.encode(errors="backslashreplace").decode()).replace("\n", "\ufffd")
        at = Location(source=self.name, path=self.prefix + shown)
        if shown != path or HIDDEN.search(path):
            return finding("GM108", "the name of the file holds characters that are not allowed", at=at)
        mode = _mode(entry)
        if stat.S_ISLNK(mode):
            return finding("GM108", "a symbolic link is not followed", at=at)
        return None if stat.S_ISREG(mode) else finding("GM108", "not a plain file", at=at)


def read_config(path: str) -> bytes:
    """The bytes of a configuration file, of a very large one only so many that it is refused. Raises SourceError."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error


def _file(path: str, entry: str) -> File:
    """Read a file without following a link that replaced it, and of a large one only so much that it is refused."""
    try:
        with open(os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _failure(error, entry) from error
    return File(path=path, blob=blob_id(content), content=content)


def blob_id(content: bytes) -> str:
    """The id that git gives to such a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _mode(entry: str) -> int:
    try:
        return os.lstat(entry).st_mode
    except OSError as error:
        raise _failure(error, entry) from error


def _fail(error: OSError) -> None:
    raise _failure(error, str(error.filename)) from error


def _failure(error: OSError, path: str) -> SourceError:
    return SourceError(f"cannot read {path}: {error.strerror}")
