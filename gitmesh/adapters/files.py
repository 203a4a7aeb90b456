"""Files inside one folder, never outside of it: guarded names, atomic writes, a lock between processes."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitmesh.errors import ClusterError
from gitmesh.model.objects import ObjectKey

STATE = ".gitmesh"
"""The folder inside a directory cluster that holds what is not an object."""

# Bytes of a file that is read: far more than a ledger of ten thousand objects.
_MAX_BYTES = 64 * 1024 * 1024

_SEGMENT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
"""DNS-1123 subdomain, at most 253 characters (Kubernetes, 'Object Names')."""
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}\Z")


def path_of(key: ObjectKey) -> str:
    """`<namespace|_cluster>/<kind>.<group>/<name>.yaml`. Raises ClusterError, before any I/O, for a part that
    could leave its folder (docs/reliability.md P09)."""
    segments = {"name": key.name, "namespace": key.namespace or "cluster", "group": key.group or "core"}
    for what, segment in segments.items():
        if not _SEGMENT.match(segment) or ".." in segment:
            raise ClusterError(
                f"the {what} {segment[:64]!r} of a {key.kind[:64]} is not a DNS name",
                retryable=False,
                code="GM505",
            )
    if not _KIND.match(key.kind):
        raise ClusterError(f"{key.kind[:64]!r} is not the name of a kind", retryable=False, code="GM505")
    folder = f"{key.kind.lower()}.{key.group}" if key.group else key.kind.lower()
    return f"{key.namespace or '_cluster'}/{folder}/{key.name}.yaml"


def read_inside(root: Path, path: str) -> bytes:
    """The content of a file below `root`, of a pipe nothing. Raises OSError, also for a symbolic link on the
    way out of `root` and for a file that nobody would have written."""
    with open(
        os.open(_inside(root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
    ) as file:
        # Asked of the open file, so that nobody can put another one there in between.
        if os.fstat(file.fileno()).st_size > _MAX_BYTES:
            raise OSError(f"{path} is larger than {_MAX_BYTES} bytes")
        return file.read()


def write_inside(root: Path, path: str, content: bytes, *, sync: bool = False) -> None:
    """Make or replace a file below `root`, whole or not at all. Raises OSError and leaves the old content
    then.

    `sync` waits for the disk. Without it a power cut may leave an empty file, which holds no object and is
    made again.
    """
    target = _inside(root, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = _inside(root, f"{STATE}/draft")
    draft.unlink(missing_ok=True)
    try:
        _write(draft, content, sync)
        # A rename is whole or not at all; the draft lies in the same folder tree, so it crosses no file
        # system.
        os.replace(draft, target)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if sync:
        # A rename is durable only when its folder is on the disk, too (fsync(2)).
        _sync_folder(target.parent)


def _write(path: Path, content: bytes, sync: bool) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "wb") as file:
        file.write(content)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_inside(root: Path, path: str) -> None:
    """Remove a file below `root`, and its folders where they are empty now. Raises OSError."""
    target = _inside(root, path)
    target.unlink()
    with suppress(OSError):
        for folder in target.parents:
            if folder == root:
                break
            folder.rmdir()


def _inside(root: Path, path: str) -> Path:
    """The path of a file below `root`. Raises OSError where a symbolic link leads out of it."""
    target = root / path
    real = os.path.realpath(target.parent)
    top = os.path.realpath(root)
    # With the separator: `/data-old` begins with `/data` and is not inside of it.
    if real != top and not real.startswith(top + os.sep):
        raise OSError(f"{path} leads out of the directory")
    return target


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the folder's lock: one writer at a time, between processes and threads. Raises OSError, also where
    a link leads out.
    """
    (root / STATE).mkdir(exist_ok=True)
    descriptor = os.open(
        _inside(root, f"{STATE}/lock"),
        os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
        0o644,
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
