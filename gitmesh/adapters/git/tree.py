"""The policy files of a commit, from `git ls-tree` alone: what they are called, what they are and how large, before any is read.

The limits are those of the register's GM103; the checks are G06 to G12 of reference/reliability.md. A commit's content is
untrusted: git itself refuses hostile trees when they are fetched, and whatever gets past that is found here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from gitmesh.adapters.git.process import Limits
from gitmesh.adapters.git.repository import Repository
from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.parsing.nodes import MAX_FILE_BYTES
from gitmesh.parsing.parse import MAX_FILES, MAX_REVISION_BYTES, SUFFIXES

MAX_PATH = 1024
_MAX_LISTING = MAX_FILES * 512
_RESERVED = frozenset({"", ".", "..", ".git", "git~1"})
_WHAT = {"120000": "a symbolic link", "160000": "a submodule"}
_PLAIN_MODES = frozenset({"100644", "100755", "100664"})
"""Old versions of git wrote group-writable files."""


class Entry(Struct, frozen=True):
    """One entry of a commit: `path` as git has it, in bytes; `size` is 0 for what is no blob."""

    mode: str
    blob: str
    size: int
    path: bytes


class Listing(Struct, frozen=True):
    """The policy files that may be read, sorted by path, and the findings on everything else."""

    files: tuple[Entry, ...]
    diagnostics: tuple[Diagnostic, ...]


def list_policies(repository: Repository, commit: str, paths: Sequence[str], source: str) -> Listing:
    """List the policy files below `paths` ("" = everywhere). Raises GitError if the store cannot be read."""
    limits = Limits(seconds=repository.timeout, stdout=_MAX_LISTING, entries=MAX_FILES)
    below = [] if "" in paths else list(paths)
    arguments = ["--literal-pathspecs", "ls-tree", "-r", "-z", "-l", "--full-tree", "--end-of-options", commit, *below]
    done = repository.local_done(arguments, limits=limits)
    if done.cut:
        return Listing((), (_limit(source, f"the revision has more than {MAX_FILES:,} files"),))
    return check_entries(parse_entries(done.out), source)


def parse_entries(output: bytes) -> list[Entry]:
    """Read the output of `git ls-tree -r -z -l`."""
    entries = []
    for line in output.split(b"\0"):
        head, separator, path = line.partition(b"\t")
        if separator:
            mode, _, blob, size = head.decode("ascii").split()
            entries.append(Entry(mode, blob, int(size) if size != "-" else 0, path))
    return entries


def check_entries(entries: Iterable[Entry], source: str) -> Listing:
    """Separate the policy files from what must be refused. A revision that is too large has no files at all."""
    found = sorted(entries, key=lambda entry: entry.path)
    files = [entry for entry in found if _is_policy(entry)]
    said = [diagnostic for entry in found for diagnostic in _problems(entry, source)]
    said += _clashes(found, source)
    total = sum(entry.size for entry in files if entry.size <= MAX_FILE_BYTES)
    if total > MAX_REVISION_BYTES:
        return Listing((), (*said, _limit(source, f"the policies of the revision have {total:,} bytes, more than {MAX_REVISION_BYTES:,}")))
    refused = {diagnostic.at.path for diagnostic in said if diagnostic.at}
    return Listing(tuple(entry for entry in files if show(entry.path) not in refused), tuple(said))


def show(path: bytes) -> str:
    """A path as people can read it: what is not printable UTF-8 is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    shown = text if text.isprintable() else "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return shown if len(shown) <= MAX_PATH else shown[:MAX_PATH] + "…"


def _is_policy(entry: Entry) -> bool:
    return entry.mode in _PLAIN_MODES and entry.path.lower().endswith(tuple(suffix.encode() for suffix in SUFFIXES))


def _problems(entry: Entry, source: str) -> Iterator[Diagnostic]:
    """What is wrong with one entry by itself."""
    at = Location(source=source, path=show(entry.path))
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
    if any(part.casefold() in _RESERVED for part in parts):
        return "GM108", f"{text} is not a path inside the repository"
    if any(part.startswith("-") for part in parts):
        return "GM107", f"a name in {text} starts with a dash, so that programs take it for an option"
    return None


def _clashes(entries: Sequence[Entry], source: str) -> Iterator[Diagnostic]:
    """Findings on both of two paths that are one on many file systems."""
    same: dict[str, list[str]] = {}
    for entry in entries:
        shown = show(entry.path)
        same.setdefault(unicodedata.normalize("NFC", shown).casefold(), []).append(shown)
    for paths in same.values():
        for path in paths if len(paths) > 1 else ():
            other = next((p for p in paths if p != path), path)
            text = f"{path} and {other} differ only by case or Unicode form" if other != path else f"{path} is there twice"
            yield finding("GM109", text, at=Location(source=source, path=path))


def _limit(source: str, text: str) -> Diagnostic:
    return finding("GM103", text, at=Location(source=source, path=source))
