"""One revision of one source: the policy files as bytes."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gitmesh.confidential import Confidential
from gitmesh.diagnostics import Diagnostic


class File(Confidential, frozen=True, kw_only=True):
    """A file: path inside the source, content, and an id that changes with the content (git's blob id, or a
    hash).
    """

    path: str
    blob: str
    content: bytes


class Snapshot(Struct, frozen=True, kw_only=True):
    """The policy files of one commit, sorted by path. `commit` is 40 or 64 hex digits, or "" for a plain
    folder.

    `diagnostics` are findings on entries that cannot be policy files. `paths` are the places that were asked
    for ("" = all of it), each with the paths of the policy files below it, refused ones too: none where the
    place is not there, or holds no such file. `author` and `subject` describe the commit.
    """

    source: str
    commit: str
    files: tuple[File, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    paths: Mapping[str, tuple[str, ...]] = {}
    author: str = ""
    subject: str = ""
