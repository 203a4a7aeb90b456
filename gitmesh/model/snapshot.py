"""One revision of one source: the policy files as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from gitmesh.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file: path inside the source, content, and an id that changes with the content (git's blob id, or a hash)."""

    path: str
    blob: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The policy files of one commit, sorted by path. `commit` is 40 or 64 hex digits, or "" for a plain folder.

    `diagnostics` are findings on entries that are no plain files. `author`, `time` and `subject` describe the commit.
    """

    source: str
    commit: str
    files: tuple[File, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    author: str = ""
    subject: str = ""
