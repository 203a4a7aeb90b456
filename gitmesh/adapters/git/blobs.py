"""Reading objects of a commit out of the store: one `git cat-file --batch` for all that is not known yet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.objects import Objects
from gitmesh.adapters.git.process import Limits

# Bytes of a commit object that are read: what its message says beyond them is of no interest.
_COMMIT_ROOM = 1 << 20
_HEADER_ROOM = 128
_SUBJECT = 200
_TIME_DIGITS = 12


class CommitInfo(Struct, frozen=True):
    """Author's name and first line of the message, each one printable line; committed at `seconds` since the
    epoch (0 = not told).
    """

    author: str
    subject: str
    seconds: int = 0


def read_objects(
    repository: Objects, commit: str, blobs: Mapping[str, int]
) -> tuple[CommitInfo, dict[str, bytes]]:
    """Read a commit's description and the blobs (id -> size in bytes, as listed).

    Raises GitError with Reason.STORE for an object that is missing or that does not have the content its id
    stands for.
    """
    wanted = [commit, *sorted(blobs)]
    room = _COMMIT_ROOM + sum(blobs.values()) + _HEADER_ROOM * len(wanted)
    done = repository.local_done(
        ["cat-file", "--batch"],
        stdin="".join(f"{name}\n" for name in wanted).encode(),
        limits=Limits(seconds=repository.timeout, stdout=room),
    )
    if done.cut:
        raise GitError(
            f"the message of commit {commit[:12]} is larger than {_COMMIT_ROOM:,} bytes", Reason.TOO_LARGE
        )
    found = dict(_verified(done.out, wanted))
    return describe(found.pop(commit)), found


def object_id(kind: str, content: bytes, like: str) -> str:
    """The id that git gives an object, in the hash that `like` is made with."""
    algorithm = "sha256" if len(like) == 64 else "sha1"
    return hashlib.new(
        # SHA-1 as git's identity of an object, not as protection: `usedforsecurity` lets it be there also
        # where OpenSSL is told to refuse it (FIPS).
        algorithm,
        b"%s %d\0%s" % (kind.encode(), len(content), content),
        usedforsecurity=False,
    ).hexdigest()


def _verified(output: bytes, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Split the answer into objects; git does not compare packed content with its id, so a flipped bit is
    found here (G23).
    """
    position = 0
    for name in wanted:
        end = output.find(b"\n", position)
        header = output[position:end].split()
        # A missing object is answered with "ID missing": two words where an object has three.
        if end < 0 or len(header) != 3:
            raise GitError(f"object {name[:12]} is missing in the local copy of the repository", Reason.STORE)
        kind, size = header[1].decode(), int(header[2])
        content = output[end + 1 : end + 1 + size]
        if object_id(kind, content, name) != name:
            raise GitError(f"object {name[:12]} is damaged in the local copy of the repository", Reason.STORE)
        yield name, content
        # The content is followed by a line end that is not counted in its size.
        position = end + 1 + size + 1


def describe(content: bytes) -> CommitInfo:
    """What a commit object says of itself."""
    headers, _, message = content.decode("utf-8", "replace").partition("\n\n")
    author, committer = (_header(headers, name) for name in ("author", "committer"))
    # From the right: a name may itself hold "> ".
    time = committer.rpartition("> ")[2].partition(" ")[0]
    return CommitInfo(
        author=_line(author.rpartition(" <")[0]),
        subject=_line(message.lstrip("\n").partition("\n")[0]),
        seconds=int(time) if time.isascii() and time.isdecimal() and len(time) <= _TIME_DIGITS else 0,
    )


def _header(headers: str, name: str) -> str:
    """The value of the first header of a name; "" where there is none."""
    return next(
        (line.removeprefix(f"{name} ") for line in headers.split("\n") if line.startswith(f"{name} ")), ""
    )


def _line(text: str) -> str:
    # Anybody who may push chooses name and subject, and they come to terminals and logs.
    return "".join(char for char in text if char.isprintable())[:_SUBJECT]
