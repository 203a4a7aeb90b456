"""Commits and single files of them, many at once, out of a repository on this disk. Plumbing only: what a
checkout's own configuration names (pagers, signature programs) is never run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gitmesh.adapters.git.blobs import object_id
from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.names import is_object_id
from gitmesh.adapters.git.objects import Objects
from gitmesh.adapters.git.process import Limits

_SECONDS = 60.0
_HEADER_ROOM = 256


def behind(objects: Objects, tip: str, most: int, pattern: str = "") -> list[str]:
    """The commits from the tip backwards, at most so many; with a pattern (a glob), those that changed a path
    that matches.
    """
    only = ["--", f":(glob){pattern}"] if pattern else ["--"]
    done = objects.local_call(
        ["rev-list", f"--max-count={most}", "--first-parent", "--end-of-options", tip, *only]
    )
    if done.status != 0:
        raise GitError(f"the history of commit {tip[:12]} could not be read", Reason.STORE, detail=done.err)
    return [line for line in done.out.decode(errors="replace").split("\n") if is_object_id(line)]


def contents(objects: Objects, names: Iterable[str], room: int, total: int = 1 << 27) -> Mapping[str, bytes]:
    """Name (`COMMIT`, `COMMIT:PATH`) -> content, of those that are there and have at most `room` bytes each;
    as many as `total` bytes hold. Raises GitError for an object that does not have the content its id stands
    for.
    """
    sizes, left = [], total
    # git reads one name a line: a line break in one would be two.
    for name, oid, size in _present(objects, [name for name in names if "\n" not in name]):
        left -= size
        if size <= room and left >= 0:
            sizes.append((name, oid, size))
    if not sizes:
        return {}
    limits = Limits(seconds=_SECONDS, stdout=sum(size for _, _, size in sizes) + _HEADER_ROOM * len(sizes))
    done = objects.local_call(
        ["cat-file", "--batch"], stdin="".join(f"{oid}\n" for _, oid, _ in sizes).encode(), limits=limits
    )
    return dict(_split(done.out, [(name, oid) for name, oid, _ in sizes]))


def matching(objects: Objects, commit: str, folder: str, name: str) -> list[str]:
    """The files `<folder>/<anything>/<name>` of a commit, sorted."""
    arguments = [
        "ls-tree",
        "-r",
        "-z",
        "--name-only",
        "--full-tree",
        "--end-of-options",
        commit,
        f"{folder}/",
    ]
    done = objects.local_call(arguments, limits=Limits(seconds=_SECONDS, stdout=1 << 26))
    paths = done.out.decode(errors="surrogateescape").split("\0") if done.status == 0 else []
    return sorted(
        path for path in paths if path.count("/") == folder.count("/") + 2 and path.rpartition("/")[2] == name
    )


def _present(objects: Objects, names: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Name, id and size of the commits and blobs among the names that are there."""
    limits = Limits(
        seconds=_SECONDS,
        stdout=sum(len(name.encode(errors="surrogateescape")) + _HEADER_ROOM for name in names),
    )
    done = objects.local_call(
        ["cat-file", "--batch-check"],
        stdin="".join(f"{name}\n" for name in names).encode(errors="surrogateescape"),
        limits=limits,
    )
    for name, line in zip(names, done.out.decode(errors="replace").split("\n"), strict=False):
        words = line.split(" ")
        if (
            len(words) == 3
            and is_object_id(words[0])
            and words[1] in ("commit", "blob")
            and words[2].isdecimal()
        ):
            yield name, words[0], int(words[2])


def _split(output: bytes, wanted: Sequence[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    position = 0
    for name, oid in wanted:
        end = output.find(b"\n", position)
        header = output[position:end].split()
        if end < 0 or len(header) != 3:
            raise GitError(f"object {oid[:12]} is missing in the local copy of the repository", Reason.STORE)
        content = output[end + 1 : end + 1 + int(header[2])]
        if object_id(header[1].decode(), content, oid) != oid:
            raise GitError(f"object {oid[:12]} is damaged in the local copy of the repository", Reason.STORE)
        yield name, content
        position = end + 1 + len(content) + 1
