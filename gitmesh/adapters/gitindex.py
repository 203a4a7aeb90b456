"""What the index of a checkout says of its files: which are known to Git, which are submodules, which are not
checked out.

Read without running git, whose own settings in a checkout may start programs. The format is git's
Documentation/gitformat-index.txt; what is not of version 2 or 3 with SHA-1, and whole in one file, is not
known.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from msgspec import Struct

_MAX_BYTES = 64 * 1024 * 1024
_FIXED = 62
"""Bytes of an entry before its path."""
_SUBMODULE = 0o160000
_FOLDER = 0o040000
_EXTENDED = 0x4000
_SKIPPED = 0x4000
_SPLIT = b"link"


class CheckoutIndex(Struct, frozen=True):
    """Paths from the root of the checkout: all that Git knows, and of these the submodules and those that are
    not checked out.
    """

    known: frozenset[str]
    submodules: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def read_index(top: Path) -> CheckoutIndex | None:
    """The index of the checkout `top`; None where there is none, or none that can be read."""
    try:
        with open(
            # A checkout is somebody else's: a pipe in the index's place would block for ever, and a link
            # lead out of it.
            os.open(_place(top) / "index", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC),
            "rb",
        ) as file:
            content = file.read(_MAX_BYTES)
        return parse_index(content)
    except (OSError, ValueError, struct.error):
        return None


def _place(top: Path) -> Path:
    """The folder of git's own files: `.git`, or what the file `.git` of a worktree or submodule names."""
    entry = top / ".git"
    if entry.is_dir():
        return entry
    with open(os.open(entry, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as file:
        return top / file.read(4096).removeprefix("gitdir:").strip()


def parse_index(content: bytes) -> CheckoutIndex:
    """Read an index. Raises ValueError or struct.error for what is none, or of another form."""
    signature, version, count = struct.unpack_from(">4sII", content)
    if signature != b"DIRC" or version not in (2, 3):
        raise ValueError("not an index of version 2 or 3")
    known: list[str] = []
    submodules: list[str] = []
    skipped: list[str] = []
    at = 12
    for _ in range(count):
        path, mode, hidden, at = _entry(content, at)
        # A sparse index names a whole folder in one entry, so which files are known cannot be told from it.
        if mode & 0o170000 == _FOLDER:
            raise ValueError("a sparse index")
        known.append(path)
        submodules += [path] if mode & 0o170000 == _SUBMODULE else []
        skipped += [path] if hidden else []
    # A split index holds only what differs from a shared file beside it.
    if content[at : at + 4] == _SPLIT:
        raise ValueError("a split index")
    return CheckoutIndex(frozenset(known), tuple(submodules), tuple(skipped))


def _entry(content: bytes, start: int) -> tuple[str, int, bool, int]:
    """Path, mode, whether it is left out of the checkout, and where the next entry begins: at a multiple of 8
    bytes from this one.
    """
    (mode,) = struct.unpack_from(">I", content, start + 24)
    (flags,) = struct.unpack_from(">H", content, start + _FIXED - 2)
    begin = start + _FIXED
    (more,) = struct.unpack_from(">H", content, begin) if flags & _EXTENDED else (0,)
    begin += 2 if flags & _EXTENDED else 0
    end = content.index(b"\0", begin)
    # The next entry begins at a multiple of 8 bytes from this one.
    return os.fsdecode(content[begin:end]), mode, bool(more & _SKIPPED), start + (end - start + 8) // 8 * 8
