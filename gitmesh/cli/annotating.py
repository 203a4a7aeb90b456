"""Findings printed as annotations of the files of a checkout, for CI."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gitmesh.adapters.folder import FolderSource
from gitmesh.cli import console, folders
from gitmesh.cli.output import as_json
from gitmesh.diagnostics import Diagnostic, Location, foremost
from gitmesh.render.annotations import (
    annotated,
    github_commands,
    gitlab_document,
    sarif_document,
    without_commands,
)
from gitmesh.render.findings import MOST_FINDINGS, headline
from gitmesh.render.values import counted

if TYPE_CHECKING:
    from gitmesh.ports import Source


def _path_in(sources: Sequence[Source]) -> Callable[[Location], str]:
    """How the places of these sources are found in the checkout: the path from its root, "" for what lies in
    none.
    """
    known = {one.name: one for one in sources}
    return lambda at: _path(known.get(at.source), at.path)


def _path(source: Source | None, path: str) -> str:
    """A folder's file lies where it lies, and outside of a checkout the current folder is the root. A commit
    is one of the checkout; what is fetched from elsewhere has no place here."""
    from gitmesh.adapters.git.snapshots import CommitSource

    if isinstance(source, CommitSource):
        return path
    if not isinstance(source, FolderSource):
        return ""
    file = Path(os.path.abspath(Path(source.path) / path.removeprefix(source.prefix)))
    # Annotations name files from the root of the checkout.
    top = folders.checkout(file.parent) or Path.cwd()
    return file.relative_to(top).as_posix() if file.is_relative_to(top) else ""


def show(findings: Iterable[Diagnostic], form: str, sources: Sequence[Source]) -> None:
    """Print the annotations; what is at no line of the checkout is told on stderr, as the log of the job."""
    found = annotated(findings, _path_in(sources))
    if form == "github":
        console.document(github_commands(found.placed))
    else:
        console.document(as_json(sarif_document(found) if form == "sarif" else gitlab_document(found.placed)))
    tell(found.elsewhere)


def tell(findings: Sequence[Diagnostic]) -> None:
    """Findings on stderr, a line each, in which the runner of a job finds no command."""
    # Nobody reads more than these, so that errors come first.
    for one in foremost(findings, MOST_FINDINGS):
        console.note(without_commands(headline(one)))
    if len(findings) > MOST_FINDINGS:
        console.note(f"and {counted(len(findings) - MOST_FINDINGS, 'more finding')}")
