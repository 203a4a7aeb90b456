"""A folder of policies as a Source, and the bytes of gitmesh.yaml. Links are never followed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from gitmesh.adapters.gitindex import CheckoutIndex
from gitmesh.adapters.revision import (
    LINK,
    PLAIN,
    SPECIAL,
    SUBMODULE,
    Listing,
    TreeEntry,
    held,
    is_called_policy,
    is_policy_name,
    lies_below,
)
from gitmesh.diagnostics import Diagnostic, Location, Severity, finding
from gitmesh.errors import SourceError
from gitmesh.model.snapshot import File, Snapshot
from gitmesh.parsing.reading import MAX_FILE_BYTES
from gitmesh.render.values import counted, listed

_GIT = ".git"


class FolderSource(Struct, frozen=True):
    """The policy files below `paths` of the folder `path`, read when asked; "" is all of it. `commit` names
    the state; a plain folder has none.

    What lies there is read as a commit of it would be (`gitmesh.adapters.revision`), files among it that Git
    was never told of. `prefix` is put before the paths of files, so that findings can be opened from where
    the user stands. `beyond` says of a policy file elsewhere in the folder whether it is read all the same:
    for paths that nobody vouches for. `index` is what Git knows of the checkout that the folder is in, and
    `inside` where in it the folder lies.
    """

    name: str
    path: str
    commit: str = ""
    prefix: str = ""
    paths: tuple[str, ...] = ("",)
    beyond: Callable[[File], bool] | None = None
    index: CheckoutIndex | None = None
    inside: str = ""

    def fetch(self) -> Snapshot:
        """All YAML files, sorted by path. Raises SourceError where the folder or a file cannot be read."""
        listing = held(self._entries(), self.paths, self.name, prefix=self.prefix)
        more = held(self._elsewhere(), ("",), self.name, prefix=self.prefix) if self.beyond else Listing()
        files = [
            *self._files(listing),
            *(file for file in self._files(more) if self.beyond and self.beyond(file)),
        ]
        return Snapshot(
            source=self.name,
            commit=self.commit,
            files=tuple(sorted(files, key=lambda file: file.path)),
            diagnostics=(*listing.diagnostics, *more.diagnostics, *self._told(files)),
            paths=listing.paths,
        )

    def _files(self, listing: Listing) -> list[File]:
        return [_file(self.prefix, os.fsdecode(entry.path), self.path) for entry in listing.files]

    def read(self, commit: str) -> Snapshot:
        """The folder as it is, if that is the commit. Raises SourceError: a folder has no history."""
        # A folder has no history: what it was before cannot be had any more.
        if commit != self.commit:
            raise SourceError(f"{self.path} is a folder and has no history")
        return self.fetch()

    def recall(self, commit: str) -> Snapshot | None:
        """As `read`: there is no copy of a folder."""
        return self.read(commit)

    def descends(self, tip: str, ancestor: str) -> bool:  # noqa: ARG002 the port names them
        """True: a folder is never rewound."""
        return True

    def follows(self, tip: str, ancestor: str) -> bool | None:
        """As `descends`."""
        return self.descends(tip, ancestor)

    def abandon(self) -> None:
        """Nobody else is asked."""

    def leads_to(self, commit: str) -> bool:
        """Whether the commit is the state that the folder is in."""
        return commit == self.commit

    def accept(self, commit: str) -> None:
        """A folder keeps no record."""

    def accepted(self) -> str:
        """None: a folder keeps no record."""
        return ""

    def _entries(self) -> Iterator[TreeEntry]:
        """Everything below the paths that is no folder, once each."""
        seen: set[bytes] = set()
        for place in self.paths:
            for entry in _walk(self.path, place):
                if entry.path not in seen:
                    seen.add(entry.path)
                    yield entry
        # A submodule that is not checked out is an empty folder, which only the index tells from one that
        # is none.
        for path in map(self._from_here, self.index.submodules if self.index else ()):
            if path and os.fsencode(path) not in seen and os.path.lexists(os.path.join(self.path, path)):
                yield TreeEntry(SUBMODULE, "", 0, os.fsencode(path))

    def _told(self, files: Iterable[File]) -> Iterator[Diagnostic]:
        """In what the folder is not what a commit of it as it stands would be."""
        if self.index is None:
            return
        new = [file.path for file in files if self._in_checkout(file.path) not in self.index.known]
        if new:
            text = (
                f"{counted(len(new), 'file')} that Git does not know of: {listed(new)}; a commit without them"
                " holds nothing of them"
            )
            yield finding("GM111", text, at=Location(source=self.name, path=new[0]))
        absent = [
            path
            for path in map(self._from_here, self.index.skipped)
            if path and self._is_asked(path) and is_policy_name(path)
        ]
        if absent:
            text = (
                f"{counted(len(absent), 'file')} of the checkout not on this disk (sparse), and not read:"
                f" {listed(absent)}"
            )
            yield finding(
                "GM111",
                text,
                at=Location(source=self.name, path=self.prefix + absent[0]),
                severity=Severity.WARNING,
            )

    def _in_checkout(self, shown: str) -> str:
        """A file's path from the root of the checkout."""
        path = shown.removeprefix(self.prefix)
        return f"{self.inside}/{path}" if self.inside else path

    def _from_here(self, path: str) -> str:
        """A path of the checkout as seen from this folder; "" outside of it."""
        if not self.inside:
            return path
        return path[len(self.inside) + 1 :] if path.startswith(f"{self.inside}/") else ""

    def _is_asked(self, path: str) -> bool:
        return any(lies_below(os.fsencode(path), place) for place in self.paths)

    def _elsewhere(self) -> Iterator[TreeEntry]:
        """What is called as policy files are, and lies below none of the paths."""
        for entry in _walk(self.path, ""):
            if is_called_policy(entry) and not any(lies_below(entry.path, place) for place in self.paths):
                yield entry


def _walk(root: str, place: str) -> Iterator[TreeEntry]:
    """What lies below one place. Nothing where it is not there, or where a link or a repository of its own is
    on the way.
    """
    at, steps = root, [step for step in place.split("/") if step]
    for index, step in enumerate(steps):
        if step not in _names(at):
            return
        at = os.path.join(at, step)
        if not _is_tree(at):
            if index == len(steps) - 1:
                yield _entry(root, at)
            return
    yield from _inside(root, at)


def _inside(root: str, folder: str) -> Iterator[TreeEntry]:
    """Every entry below a folder that is none itself; the tree's own `.git` is no part of it."""
    pending = [folder]
    while pending:
        at = pending.pop()
        for path in (os.path.join(at, name) for name in _names(at) if name != _GIT):
            if _is_tree(path):
                pending.append(path)
            else:
                yield _entry(root, path)


def _is_tree(path: str) -> bool:
    """Whether this is a folder of this tree."""
    # One with a `.git` is a repository of its own, which git would not look into either.
    return stat.S_ISDIR(_stat(path).st_mode) and not os.path.lexists(os.path.join(path, _GIT))


def _entry(root: str, path: str) -> TreeEntry:
    found = _stat(path)
    size = found.st_size if stat.S_ISREG(found.st_mode) else 0
    return TreeEntry(_mode(found.st_mode), "", size, os.fsencode(os.path.relpath(path, root)))


def _mode(mode: int) -> str:
    """As git writes it; a folder comes here only where it is a repository of its own."""
    if stat.S_ISREG(mode):
        return PLAIN
    return LINK if stat.S_ISLNK(mode) else SUBMODULE if stat.S_ISDIR(mode) else SPECIAL


def _names(folder: str) -> list[str]:
    """The names in a folder, spelt as they are."""
    try:
        # Not asked for one by one: a disk that does not tell `A` from `a` must not decide what a path means.
        return os.listdir(folder)
    except OSError as error:
        raise _failure(error, folder) from error


def read_config(path: str) -> bytes:
    """The bytes of a configuration file, of a very large one only so many that it is refused. Raises
    SourceError.
    """
    try:
        with open(path, "rb") as file:
            # One byte more than is allowed: so the parser sees that it is too large, and memory does not.
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error


def _file(prefix: str, path: str, root: str) -> File:
    """Read a file without following a link that replaced it, and of a large one only so much that it is
    refused.
    """
    entry = os.path.join(root, path)
    try:
        # Between the listing and now a link or a pipe may stand there: the one is not followed, the other
        # not waited for.
        with open(os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _failure(error, entry) from error
    return File(path=prefix + path, blob=blob_id(content), content=content)


def read_file(root: str, path: str) -> File:
    """One file of a folder, named by its path there. Raises SourceError."""
    return _file("", path, root)


def blob_id(content: bytes) -> str:
    """The id that git gives to such a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _stat(entry: str) -> os.stat_result:
    try:
        return os.lstat(entry)
    except OSError as error:
        raise _failure(error, entry) from error


def _failure(error: OSError, path: str) -> SourceError:
    return SourceError(f"cannot read {path}: {error.strerror}")
