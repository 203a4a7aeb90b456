"""The folder of a bare copy: its lock, its making, and what takes its place while the disk refuses to be
written.

The store is a cache (docs/reliability.md G14, G23): whatever becomes of it, the remote has everything, so a
disk that is full or read-only costs a warning and no cycle.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar
from weakref import finalize

from gitmesh.adapters.git.errors import GitError, Reason, failure, unwritable
from gitmesh.adapters.git.process import Limits, run

T = TypeVar("T")

_LOCK_PAUSE = 0.05
TEMPORARY_ROOM = 24 << 20
"""Bytes of one file in a temporary store: where GitMesh runs in a cluster, /tmp is small, and who fills it is
evicted.
"""
_PROBE = bytes(1 << 16)
_SPARE = 1 << 20
"""Bytes that must stay free beside what the temporary store holds, before the proper one is tried again."""


class Store:
    """`path` is where the copy lies now; `home` is where it belongs. `trouble` says why these differ ("" =
    they do not).
    """

    def __init__(self, home: Path, seconds: float) -> None:
        self.home = home.absolute()
        self.path = self.home
        self.trouble = ""
        self._seconds = seconds
        self._guard = threading.RLock()
        self._drop: Callable[[], object] | None = None

    def writing(self, tip: str, work: Callable[[], T]) -> T:
        """Do `work`, which writes to the store, while nobody else does. `tip` is a commit that the store is
        made for.

        Where the disk refuses, the work is done again in a temporary store, which borrows the objects of the
        proper one. Raises GitError; where it does not fit there either, what the disk said at home.
        """
        with self._guard:
            try:
                return self._alone(tip, work)
            except GitError as error:
                if error.reason is not Reason.DISK:
                    raise
                if self.trouble:
                    # The temporary place is full, too: what is to be mended is the disk at home.
                    raise GitError(self.trouble, Reason.DISK, detail=str(error)) from error
                return self._away(tip, work, error)

    def _alone(self, tip: str, work: Callable[[], T]) -> T:
        try:
            with self._locked():
                self._prepare(tip)
                return work()
        except OSError as error:
            raise unwritable(self.path, error.strerror or str(error)) from error

    def _away(self, tip: str, work: Callable[[], T], error: GitError) -> T:
        try:
            folder = mkdtemp(prefix="gitmesh-")
            # At the end of the process, too: the next one begins at home.
            self._drop = finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self.path, self.trouble = Path(folder) / self.home.name, str(error)
            return self._alone(tip, work)
        except (OSError, GitError) as second:
            self._return()
            if isinstance(second, GitError) and second.reason not in (Reason.DISK, Reason.TOO_LARGE):
                raise
            raise error from second

    def come_home(self) -> None:
        """Take the proper store again, where it can be written and has the room."""
        with self._guard:
            if self.trouble and _writable(self.home, _SPARE + size_of(self.path)):
                self._return()

    def _return(self) -> None:
        self.path, self.trouble = self.home, ""
        if self._drop is not None:
            self._drop()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the right to change the store, against threads and processes. Raises GitError when it cannot
        be had in time.
        """
        with _lock_file(self.path) as file:
            deadline = time.monotonic() + self._seconds
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise GitError(
                        "another process keeps the local copy of the repository busy", Reason.TIMEOUT
                    )
                time.sleep(_LOCK_PAUSE)
            yield

    def _prepare(self, tip: str) -> None:
        """A store fit to be written. We hold the lock, so git's own lock files in it are those of a process
        that was killed (G14).
        """
        if not (self.path / "HEAD").exists():
            self._clear()
            self._make(self.path, tip)
            if self.trouble and (self.home / "objects").is_dir():
                (self.path / "objects" / "info" / "alternates").write_text(f"{self.home / 'objects'}\n")
        for stale in (*self.path.glob("*.lock"), *self.path.glob("refs/**/*.lock")):
            stale.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove a store that lost its HEAD."""
        # Only what git made: a folder that holds something else is not ours to remove.
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / "objects").is_dir():
            raise GitError(f"{self.path} is not empty and no git repository", Reason.OTHER)
        _remove(self.path)

    def _make(self, path: Path, tip: str) -> None:
        """Make an empty bare repository, without hooks, for the kind of object ids that the remote has."""
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = "sha256" if len(tip) == 64 else "sha1"
        done = run(
            ["init", "--quiet", "--bare", "--template=", f"--object-format={kind}", str(path)],
            Limits(seconds=self._seconds),
        )
        if done.status != 0:
            raise failure(done.err, (), store=path)
        (path / "objects" / "info").mkdir(exist_ok=True)

    def renew(self, tip: str, fill: Callable[[Path], object]) -> None:
        """Replace the store by a new one, inside `writing`."""
        # Beside it: a rename is atomic within one file system only.
        fresh = self.path.with_name(self.path.name + ".new")
        _remove(fresh)
        self._make(fresh, tip)
        # Filled before the old one is removed, since that may hold the last good commit and the fetch may
        # fail.
        fill(fresh)
        _remove(self.path)
        fresh.rename(self.path)

    def drop(self) -> None:
        """Remove the store, inside `writing`; the next one makes it anew."""
        _remove(self.path)

    def tidy(self) -> None:
        """Remove what an interrupted fetch leaves behind."""
        for left in self.path.glob("objects/pack/tmp_*"):
            with contextlib.suppress(OSError):
                left.unlink()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def size_of(folder: Path) -> int:
    """Bytes of a store; what goes while it is counted is left out."""
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _writable(store: Path, room: int) -> bool:
    """Whether the disk takes what a store needs."""
    probe = store.with_name(store.name + ".probe")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        for folder in (store, store / "objects"):
            if folder.is_dir() and not os.access(folder, os.W_OK):
                return False
        # With something in it: on a full disk an empty file can still be made.
        probe.write_bytes(_PROBE)
        probe.unlink()
        return shutil.disk_usage(store.parent).free > room
    except OSError:
        with contextlib.suppress(OSError):
            probe.unlink()
        return False


@contextlib.contextmanager
def _lock_file(store: Path) -> Iterator[int]:
    """The open file that stands for the store."""
    store.parent.mkdir(parents=True, exist_ok=True)
    # Beside the store, as that may be replaced meanwhile.
    file = os.open(store.with_name(store.name + ".busy"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    try:
        # The operating system's lock, not a file that is there or not: it goes with the process that held
        # it, however that ended.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
