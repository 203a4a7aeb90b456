"""A tree of YAML files as rows and live objects, each file read once and then only when it changed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path

from msgspec import Struct

from gitmesh.adapters.contents import Content, Reader
from gitmesh.adapters.files import read_inside
from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.discovery.rows import Reduced
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Live

MAX_FILE = 1_048_576
"""Bytes of a file that is read: more than a Kubernetes object may have (etcd takes 1.5 MiB with all its
wrapping).
"""

_SUFFIXES = (".yaml", ".yml", ".json")
# A file written this shortly before it was read may change again under the same time stamp: it is read once
# more.
_RACY_NS = 50_000_000


class FileEntry(Struct):
    """A file as read: what tells that it changed, and what is in it. `hides`: it could hold objects that were
    not read.
    """

    changed_ns: int
    size: int
    inode: int
    content: Content
    problem: str = ""
    line: int = 1
    hides: bool = False

    def told(self) -> tuple[Content, str, bool]:
        """What the file says, whenever it was written."""
        return self.content, self.problem, self.hides

    def facts(self) -> tuple[tuple[Reduced, ...], bool]:
        """What of it facts are made of."""
        return self.content.rows, self.hides


_Folder = dict[str, FileEntry]


class _Walk(Struct):
    """One walk: files by folder, and those of them that must be read, as (folder, name, stat)."""

    folders: dict[str, _Folder] = {}
    stale: list[tuple[str, str, os.stat_result]] = []


class Tree:
    """The files below `root` as `reader` reads them.

    `generation` grows with each change of any content, `facts_generation` with each change of rows. `homes`
    tells where an object stands, as (path, the object as that file has it) in order of paths: in one place,
    as a rule.
    """

    def __init__(self, root: Path, reader: Reader) -> None:
        self._root = root
        self.reader = reader
        self._folders: dict[str, _Folder] = {}
        self._noted: list[FileEntry] = []
        self.homes: dict[ObjectKey, tuple[tuple[str, Live], ...]] = {}
        self.generation = 0
        self.facts_generation = 0

    def read_with(self, reader: Reader) -> None:
        """Read everything again at the next refresh, with another reader."""
        self.reader = reader
        self._folders, self.homes = {}, {}
        self.generation += 1

    def refresh(self) -> None:
        """Notice what changed on disk. Raises OSError where the root cannot be read."""
        started = time.time_ns()
        walk = _Walk()
        self._walk(str(self._root), walk)
        for item in walk.stale:
            self._load(walk, *item, started)
        before, self._folders = self._folders, walk.folders
        # A count tells of files that went: they are not stale, they are not there.
        if walk.stale or sum(map(len, before.values())) != sum(map(len, walk.folders.values())):
            self._count_changes(before)

    def _count_changes(self, before: dict[str, _Folder]) -> None:
        changed = [row for row in _differences(before, self._folders) if row[1].told() != row[2].told()]
        for path, old, new in changed:
            self._rehouse(path[len(str(self._root)) + 1 :], old.content, new.content)
        if changed:
            self.generation += 1
        if any(old.facts() != new.facts() for _, old, new in changed):
            self.facts_generation += 1

    def _rehouse(self, path: str, old: Content, new: Content) -> None:
        """Follow in `homes` what one file held and holds now."""
        for key in {live.key for live, _ in old.live}:
            self.homes[key] = tuple(home for home in self.homes[key] if home[0] != path)
            if not self.homes[key]:
                del self.homes[key]
        for live, _ in new.live:
            self.homes[live.key] = tuple(
                sorted((*self.homes.get(live.key, ()), (path, live)), key=itemgetter(0))
            )

    def entries(self, wanted: Callable[[FileEntry], bool] | None = None) -> Iterator[tuple[str, FileEntry]]:
        """(path inside the root, entry) of those that are wanted (all, if nothing is said), in order of
        paths.
        """
        prefix = len(str(self._root)) + 1
        for folder, files in sorted(self._folders.items()):
            for name, entry in sorted(item for item in files.items() if wanted is None or wanted(item[1])):
                yield f"{folder[prefix:]}/{name}"[len(folder) < prefix :], entry

    def entry(self, path: str) -> FileEntry | None:
        """What is known of one file."""
        folder, _, name = f"{self._root}/{path}".rpartition("/")
        return self._folders.get(folder, {}).get(name)

    def note(self, path: str, content: Content | None) -> None:
        """Remember what was just written to a file, or that it was removed (None), so that it is not read
        again.
        """
        folder, _, name = f"{self._root}/{path}".rpartition("/")
        self.generation += 1
        before = self._folders.setdefault(folder, {}).pop(name, _NOTHING)
        self._rehouse(path, before.content, content or Content())
        if content is None:
            return
        found = os.stat(f"{folder}/{name}", follow_symlinks=False)
        entry = self._folders[folder][name] = FileEntry(
            found.st_ctime_ns, found.st_size, found.st_ino, content
        )
        self._noted.append(entry)

    def settle(self) -> None:
        """End of writing: what was written a moment ago is read once more."""
        recent = time.time_ns() - _RACY_NS
        for entry in self._noted:
            # No time stamp is -1, so the file is read again at the next walk.
            if entry.changed_ns > recent:
                entry.changed_ns = -1
        self._noted = []

    def diagnostics(self, cluster: str) -> tuple[Diagnostic, ...]:
        """A finding for each file that could not be read as objects."""
        troubled = list(self.entries(_is_troubled))
        found = [(path, entry.line, entry.problem) for path, entry in troubled if entry.problem]
        found += [(path, 1, problem) for path, entry in troubled for problem in entry.content.problems]
        return tuple(
            finding("GM508", f"{path}: {problem}", at=Location(path=path, line=line), cluster=cluster)
            for path, line, problem in found
        )

    def _walk(self, top: str, walk: _Walk) -> None:
        pending = [top]
        while pending:
            folder = pending.pop()
            kept = walk.folders.setdefault(folder, {})
            try:
                with os.scandir(folder) as entries:
                    self._scan(entries, folder, kept, walk, pending)
            except OSError as error:
                # Without its root a tree would read as an empty cluster; below, one folder hides what is in
                # it and nothing else.
                if folder == top:
                    raise
                kept["."] = FileEntry(
                    0, 0, 0, Content(), f"the folder cannot be read: {error.strerror}", hides=True
                )

    def _scan(
        self, entries: Iterable[os.DirEntry[str]], folder: str, kept: _Folder, walk: _Walk, pending: list[str]
    ) -> None:
        """One folder. This loop is the price of a tick in which nothing changed."""
        known = self._folders.get(folder, {})
        for entry in entries:
            name = entry.name
            # Our own state lies in such a folder, and editors' drafts in such files.
            if name[0] == ".":
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif name.endswith(_SUFFIXES) or entry.is_symlink():
                found, seen = entry.stat(follow_symlinks=False), known.get(name)
                if (
                    seen
                    and seen.changed_ns == found.st_ctime_ns
                    and seen.size == found.st_size
                    and seen.inode == found.st_ino
                ):
                    kept[name] = seen
                else:
                    walk.stale.append((folder, name, found))

    def _load(self, walk: _Walk, folder: str, name: str, found: os.stat_result, started: int) -> None:
        entry = self._entry(os.path.join(folder, name), found)
        if entry is None:
            return
        if found.st_ctime_ns > started - _RACY_NS:
            entry.changed_ns = -1
        walk.folders[folder][name] = entry

    def _entry(self, path: str, found: os.stat_result) -> FileEntry | None:
        """The file's entry; None for what is of no interest: a link to a place inside the tree, a file that
        went away.
        """
        entry = FileEntry(found.st_ctime_ns, found.st_size, found.st_ino, Content())
        relative = os.path.relpath(path, self._root)
        if stat.S_ISLNK(found.st_mode):
            return self._link(path, entry)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE:
            reason = f"larger than {MAX_FILE} bytes" if stat.S_ISREG(found.st_mode) else "not a plain file"
            entry.problem, entry.hides = reason, True
            return entry
        try:
            entry.content = self.reader.read(relative, read_inside(self._root, relative))
        except FileNotFoundError:
            return None
        except OSError as error:
            entry.problem, entry.hides = f"cannot be read: {error.strerror or error}", True
        except ValueError as error:
            entry.problem, entry.line, entry.hides = str(error), getattr(error, "line", 1), True
        return entry

    def _link(self, path: str, entry: FileEntry) -> FileEntry | None:
        """Links to what is read anyway say nothing new; what another one leads to is not ours to read."""
        target, top = os.path.realpath(path), os.path.realpath(self._root) + os.sep
        if target.startswith(top) and not any(
            part.startswith(".") for part in target[len(top) :].split(os.sep)
        ):
            return None
        if not os.path.isdir(target) and not path.endswith(_SUFFIXES):
            return None
        entry.problem, entry.hides = "a symbolic link to a place that is not read", True
        return entry


def _is_troubled(entry: FileEntry) -> bool:
    return bool(entry.problem or entry.content.problems)


_NOTHING = FileEntry(0, 0, 0, Content())


def _differences(
    before: dict[str, _Folder], after: dict[str, _Folder]
) -> Iterator[tuple[str, FileEntry, FileEntry]]:
    """(path, entry then, entry now) of every file whose entry is another object now; what is absent is
    `_NOTHING`.
    """
    for folder in before.keys() | after.keys():
        old, new = before.get(folder, {}), after.get(folder, {})
        for name in old.keys() | new.keys():
            then, now = old.get(name, _NOTHING), new.get(name, _NOTHING)
            if then is not now:
                yield f"{folder}/{name}", then, now
