"""Plain folders in place of a repository: what `validate PATH`, `render PATH` and `diff PATH` read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitmesh.adapters.folder import FolderSource, blob_id, read_file
from gitmesh.adapters.gitindex import read_index
from gitmesh.adapters.revision import lies_below
from gitmesh.diagnostics import suggest
from gitmesh.errors import SourceError
from gitmesh.model.envelope import ENVELOPES
from gitmesh.model.snapshot import File
from gitmesh.parsing.parse import GROUP
from gitmesh.parsing.reading import read

if TYPE_CHECKING:
    from gitmesh.adapters.git.snapshots import CommitSource
    from gitmesh.cli.configuration import Setup
    from gitmesh.ports import Source

_KEPT_BESIDE = frozenset({"Config", "Ledger"})
"""Documents of ours that lie beside policies: the configuration, and in directory clusters the ledger."""


def folder(
    path: Path, name: str, setup: Setup | None = None, inside: Sequence[str] = (), *, root: bool = False
) -> FolderSource:
    """A folder or a file as a source. `inside` are the paths of the configuration; `root` says that they are
    meant from here.

    The paths are those of a repository's root, so they are asked for where PATH is one for sure: it is a
    checkout, or the folder of the configuration. Above one of them in a checkout, what of them lies in PATH
    is meant; anywhere else, and inside of one, all of PATH. Files are named as they can be opened from the
    current directory. A configuration that is not trusted hides no policy.
    """
    top = checkout(path)
    if link := _link(path, top):
        return FolderSource(name, str(link.parent), prefix=_prefix(link.parent), paths=(link.name,))
    if not path.is_dir():
        index, within = read_index(top) if top else None, _within(path.parent, top)
        return FolderSource(
            name,
            str(path.parent),
            prefix=_prefix(path.parent),
            paths=(path.name,),
            index=index,
            inside=within,
        )
    # A configuration that is not trusted may have come with the change that is checked, and its paths would
    # keep policies out of sight.
    beyond = partial(_claims, prefix=_prefix(path)) if setup is not None and setup.confined else None
    asked = tuple(inside) if root and inside else _asked(path, top, inside, setup.base if setup else None)
    within = _within(path, top)
    return FolderSource(
        name,
        str(path),
        prefix=_prefix(path),
        paths=asked,
        beyond=beyond,
        index=read_index(top) if top else None,
        inside=within,
    )


def stand_in(path: Path, name: str, setup: Setup, inside: Sequence[str]) -> Source:
    """What stands in for a source: as `folder`, but a PATH in a checkout that has to do with the source's
    paths means all of them. One file stands in for the committed one of its path; it is a usage error where
    there is none.
    """
    top = checkout(path)
    if not path.is_dir() and _link(path, top) is None:
        return _edited(path, top, name, inside)
    if top is None or not any(_related(_within(path, top), place) for place in inside):
        return folder(path, name, setup, inside)
    # All of them: a part would read as if all the rest were deleted, and a path that is missing beside it
    # would not be seen.
    return folder(top if path.is_absolute() else Path(os.path.relpath(top)), name, setup, inside)


def in_place_of(own: FolderSource, path: Path) -> FolderSource:
    """What PATH means for a source that is a plain folder: that folder itself where PATH is a part of it or
    holds it; else PATH as it is, in its place.
    """
    mine, other = Path(os.path.realpath(own.path)), Path(os.path.realpath(path))
    # A part alone would read as if all the rest were deleted.
    if mine == other or mine in other.parents or other in mine.parents:
        return own
    if not path.is_dir():
        text = (
            f"{path} is one file outside of {own.path}, and in place of source {own.name} everything else"
            " would read as deleted"
        )
        raise click.UsageError(f"{text}; give a file of that folder, or a whole folder")
    inside = own.paths if any((path / place).exists() for place in own.paths) else ()
    return folder(path, own.name, inside=inside, root=True)


def _edited(path: Path, top: Path | None, name: str, inside: Sequence[str]) -> Source:
    """The last commit of the checkout, with this file in place of the committed one."""
    from gitmesh.adapters.git.checkout import Checkout
    from gitmesh.adapters.git.snapshots import CommitSource

    within = _within(path, top)
    if top is None or not any(lies_below(os.fsencode(within), place) for place in inside):
        text = f"{path} is one file, and in place of source {name} everything else would read as deleted"
        raise click.UsageError(
            f"{text}; give the whole folder, or a file of a checkout below its paths ({', '.join(inside)})"
        )
    checkout = Checkout(top)
    try:
        commit = checkout.commit("HEAD")
    except SourceError as error:
        raise click.UsageError(f"{path}: {error}; commit first, or give the whole folder") from None
    # Among the committed files: by itself it would read as if all others were deleted.
    return CommitSource(name, checkout, commit, tuple(inside), edited=read_file(str(top), within))


def uncommitted(head: CommitSource, top: Path) -> list[str]:
    """The policy files of the checkout `top` that are not as the commit has them: edited, new, or deleted.
    Empty where that cannot be told. A comparison of commits does not look at them, and names them.
    """
    from gitmesh.adapters.git.tree import list_policies

    index = read_index(top)
    try:
        there = FolderSource(head.name, str(top), paths=head.paths, index=index).fetch().files
        committed = {
            os.fsdecode(one.path): one.blob
            for one in list_policies(head.objects, head.commit, head.paths, head.name).files
        }
    except SourceError:
        return []
    if any(len(blob) != len(blob_id(b"")) for blob in committed.values()):
        return []  # a repository of SHA-256
    same = {
        file.path
        for file in there
        # Git may write CRLF into a checkout where the commit has LF; that is no edit.
        if committed.get(file.path) in (file.blob, blob_id(file.content.replace(b"\r\n", b"\n")))
    }
    # What a sparse checkout leaves out is not there, and is not deleted either.
    absent = index.skipped if index else ()
    return sorted({file.path for file in there}.union(committed).difference(same, absent))


def _related(here: str, place: str) -> bool:
    return lies_below(os.fsencode(here), place) or lies_below(os.fsencode(place), here)


def _claims(file: File, prefix: str) -> bool:
    """Whether a file may be meant as policies: anything but the objects of other tools, and what GitMesh
    keeps beside. What a name that begins with a dot sets apart (`.github`) must look like one."""
    parsed = read(file.content, file.path)
    documents = [document.data for document in parsed.documents if document.data is not None]
    # What a dot sets apart (`.github`) belongs to other tools, unless it looks like a policy.
    if any(part.startswith(".") for part in file.path.removeprefix(prefix).split("/")):
        return any(isinstance(data, dict) and str(data.get("kind")) in ENVELOPES for data in documents)
    return bool(parsed.findings) or not all(map(_is_of_others, documents))


def _is_of_others(data: object) -> bool:
    version, kind = (data.get("apiVersion"), data.get("kind")) if isinstance(data, dict) else (None, None)
    if not isinstance(version, str) or not isinstance(kind, str):
        return False
    group = version.rpartition("/")[0]
    return kind in _KEPT_BESIDE if group == GROUP else kind not in ENVELOPES and not suggest(group, [GROUP])


def checkout(path: Path) -> Path | None:
    """The root of the checkout that a path lies in, if it does."""
    absolute = Path(os.path.abspath(path))
    # Not a folder only: in a worktree and in a submodule `.git` is a file.
    return next((one for one in (absolute, *absolute.parents) if os.path.lexists(one / ".git")), None)


def _asked(path: Path, top: Path | None, inside: Sequence[str], root: Path | None) -> tuple[str, ...]:
    """Which of the configuration's paths PATH holds, as seen from it; ("",) is all of it."""
    absolute = Path(os.path.abspath(path))
    if inside and (absolute == top or (root is not None and path.resolve() == root)):
        return tuple(inside)
    here = _within(path, top)
    return tuple(
        place.removeprefix(f"{here}/")
        for place in inside
        if here and place != here and lies_below(place.encode(), here)
    ) or ("",)


def _within(path: Path, top: Path | None) -> str:
    """Where in its checkout a folder lies; "" at the root of it, and outside of any."""
    here = Path(os.path.abspath(path)).relative_to(top).as_posix() if top else ""
    return "" if here == "." else here


def _link(path: Path, top: Path | None) -> Path | None:
    """The first part of a path inside a checkout that is a symbolic link."""
    absolute = Path(os.path.abspath(path))
    inner = [one for one in (absolute, *absolute.parents) if top is not None and top in one.parents]
    # Git holds the link itself, not what it leads to.
    return next((_seen(one) for one in reversed(inner) if one.is_symlink()), None)


def _seen(absolute: Path) -> Path:
    """A path as it can be opened from here."""
    try:
        return absolute.relative_to(Path.cwd())
    except ValueError:
        return absolute


def _prefix(place: Path) -> str:
    return "" if str(place) in ("", ".") else f"{str(place).rstrip('/')}/"
