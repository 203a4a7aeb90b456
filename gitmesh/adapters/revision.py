"""What a revision holds: the one decision about names, kinds and sizes, for a commit and for a folder alike.
Pure.

A review that accepted what the agent refuses would let a merge block every later commit. So both hand what
they list to `held`, and read what it gives back, nothing else. The limits are those of the register's GM103;
the checks are G06 to G12 of docs/reliability.md. Content is untrusted: git refuses hostile trees when
they are fetched, and what gets past that is found here.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.parsing.parse import MAX_FILES, MAX_REVISION_BYTES, SUFFIXES
from gitmesh.parsing.reading import MAX_FILE_BYTES

MAX_PATH = 1024
PLAIN = "100644"
LINK = "120000"
SUBMODULE = "160000"
SPECIAL = "0"
"""A pipe, a device or a socket: only a folder can have one."""

_RESERVED = frozenset({"", ".", "..", ".git", "git~1"})
_WHAT = {LINK: "a symbolic link", SUBMODULE: "a submodule"}
# Old versions of git wrote group-writable files.
_PLAIN_MODES = frozenset({PLAIN, "100755", "100664"})


class TreeEntry(Struct, frozen=True):
    """One entry that is no folder: mode as git writes it, path from the root of the revision in bytes, size 0
    for what is no blob.
    """

    mode: str
    blob: str
    size: int
    path: bytes


class Listing(Struct, frozen=True):
    """The policy files that may be read, sorted by path; findings on everything else; each path asked for ->
    its policy files.
    """

    files: tuple[TreeEntry, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    paths: Mapping[str, tuple[str, ...]] = {}


def held(entries: Iterable[TreeEntry], paths: Sequence[str], source: str, *, prefix: str = "") -> Listing:
    """Separate the policy files below `paths` ("" = everywhere) from what must be refused.

    A revision that is too large has no files at all. Findings name an entry by `prefix` and its path.
    """
    # One more than is allowed tells that there are too many, and a tree of millions is not listed to its
    # end.
    found = sorted(islice(_below(entries, paths), MAX_FILES + 1), key=lambda entry: entry.path)
    if len(found) > MAX_FILES:
        return too_many(paths, source)
    files = [entry for entry in found if _is_policy(entry)]
    said = [diagnostic for entry in found for diagnostic in _problems(entry, source, prefix)]
    said += _clashes(found, source, prefix)
    # A file that is too large is refused by itself: counted here, it would take all others with it.
    total = sum(entry.size for entry in files if entry.size <= MAX_FILE_BYTES)
    if total > MAX_REVISION_BYTES:
        limit = _limit(
            source, f"the policies of the revision have {total:,} bytes, more than {MAX_REVISION_BYTES:,}"
        )
        return Listing((), (*said, limit), _shares(files, paths, prefix))
    # Both of two that clash: which one is meant nobody can tell.
    refused = {diagnostic.at.path for diagnostic in said if diagnostic.at}
    good = tuple(entry for entry in files if prefix + show(entry.path) not in refused)
    return Listing(good, tuple(said), _shares(files, paths, prefix))


def too_many(paths: Sequence[str], source: str) -> Listing:
    """The listing of a revision that nobody lists to its end."""
    return Listing(
        (), (_limit(source, f"the revision has more than {MAX_FILES:,} files"),), dict.fromkeys(paths, ())
    )


def show(path: bytes) -> str:
    """A path as people can read it: what is not printable UTF-8 is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    shown = (
        text
        if text.isprintable()
        else "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    )
    return shown if len(shown) <= MAX_PATH else shown[:MAX_PATH] + "…"


def lies_below(path: bytes, place: str) -> bool:
    """Whether a path is that place or inside it; "" is everywhere."""
    name = place.encode(errors="surrogateescape")
    return not place or path == name or path.startswith(name + b"/")


def _below(entries: Iterable[TreeEntry], paths: Sequence[str]) -> Iterator[TreeEntry]:
    return (entry for entry in entries if any(lies_below(entry.path, place) for place in paths))


def _shares(files: Iterable[TreeEntry], paths: Sequence[str], prefix: str) -> Mapping[str, tuple[str, ...]]:
    listed = tuple(files)
    return {
        place: tuple(prefix + show(one.path) for one in listed if lies_below(one.path, place))
        for place in paths
    }


def is_called_policy(entry: TreeEntry) -> bool:
    """Whether the name is one of a policy file, whatever the entry is."""
    return is_policy_name(os.fsdecode(entry.path))


def is_policy_name(path: str) -> bool:
    """Whether a path is called as policy files are."""
    return path.lower().endswith(SUFFIXES)


def _is_policy(entry: TreeEntry) -> bool:
    return entry.mode in _PLAIN_MODES and is_called_policy(entry)


def _problems(entry: TreeEntry, source: str, prefix: str) -> Iterator[Diagnostic]:
    """What is wrong with one entry by itself."""
    at = Location(source=source, path=prefix + show(entry.path))
    if entry.mode not in _PLAIN_MODES:
        yield finding("GM108", f"{at.path} is {_WHAT.get(entry.mode, 'not a plain file')}", at=at)
    if problem := _name_problem(entry.path):
        yield finding(*problem, at=at)
    elif _is_policy(entry) and entry.size > MAX_FILE_BYTES:
        yield finding("GM103", f"{at.path} has {entry.size:,} bytes, more than {MAX_FILE_BYTES:,}", at=at)


def _name_problem(path: bytes) -> tuple[str, str] | None:
    """Code and message for a path that is unsafe to use or to show."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return "GM107", f"the name {show(path)} is not UTF-8"
    if len(text) > MAX_PATH:
        return "GM103", f"the path {show(path)[:80]}… is longer than {MAX_PATH} characters"
    if not text.isprintable():
        return "GM107", f"the name {show(path)} holds a character that cannot be seen"
    parts = text.split("/")
    # Without regard to case, and with the short name of Windows: there `.GIT` and `git~1` are `.git`, which
    # git itself refuses since CVE-2014-9390.
    if any(part.casefold() in _RESERVED for part in parts):
        return "GM108", f"{text} is not a path inside the repository"
    if any(part.startswith("-") for part in parts):
        return "GM107", f"a name in {text} starts with a dash, so that programs take it for an option"
    return None


def _clashes(entries: Sequence[TreeEntry], source: str, prefix: str) -> Iterator[Diagnostic]:
    """Findings on both of two paths that are one on many file systems."""
    same: dict[str, list[str]] = {}
    for entry in entries:
        shown = show(entry.path)
        # As macOS and Windows see names: of two that fall together a checkout there has one, with either
        # content, so what is reviewed is not what is applied.
        same.setdefault(unicodedata.normalize("NFC", shown).casefold(), []).append(prefix + shown)
    for names in same.values():
        for name in names if len(names) > 1 else ():
            other = next((n for n in names if n != name), name)
            text = (
                f"{name} and {other} differ only by case or Unicode form"
                if other != name
                else f"{name} is there twice"
            )
            yield finding("GM109", text, at=Location(source=source, path=name))


def _limit(source: str, text: str) -> Diagnostic:
    return finding("GM103", text, at=Location(source=source, path=source))
