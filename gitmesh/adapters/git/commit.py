"""Writing a commit straight into a store, and pushing it. Never by force, never through a work tree or an
index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.names import is_object_id
from gitmesh.adapters.git.process import Limits
from gitmesh.adapters.git.repository import Repository
from gitmesh.model.config import Author

_PUSH = (
    "push",
    "--porcelain",
    "--no-verify",
    "--no-follow-tags",
    "--recurse-submodules=no",
    "--end-of-options",
)
# What git's own server says when it refuses a push: the same words each time, so that they may be compared.
_DECLINED = re.compile(
    r"(?:[a-z-]+ )*hook declined|failed to update ref|unpacker error|hidden ref|shallow update not allowed"
)


class Draft(Struct, frozen=True, kw_only=True):
    """A commit to make: paths to write (None deletes), on top of `parent` ("" = none). `seconds` since the
    epoch, in UTC.
    """

    parent: str
    changes: Mapping[str, bytes | None]
    message: str
    author: Author
    seconds: int


class Listed(Struct, frozen=True):
    """A file of a commit: its mode in git's words, its blob, and the size in bytes."""

    mode: str
    blob: str
    size: int

    @property
    def plain(self) -> bool:
        """Whether it is an ordinary file, no link and no submodule."""
        return self.mode in ("100644", "100755")


def write_commit(repository: Repository, draft: Draft) -> str:
    """Store the commit and return its id. The message is taken as it is."""
    done = repository.local_done(
        # `--force`, as the ref may still stand at a commit of a push that failed, which the new one does
        # not follow from.
        ["fast-import", "--quiet", "--force"],
        stdin=_stream(draft, repository.outgoing),
    )
    commit = done.out.decode().strip()
    if not is_object_id(commit):
        raise GitError("git did not tell the id of the commit that it made", Reason.STORE)
    return commit


def push(repository: Repository, commit: str, branch: str) -> GitError | None:
    """Push the commit as the branch's new tip, if that is a step forward; the refusal where the remote does
    not take it.

    Why it does not is told in many ways, and one of them is that the branch moved meanwhile: the caller looks
    at the branch. Raises GitError where the remote could not be reached or refused to talk.
    """
    done = repository.remote_call([*_PUSH, repository.url, f"{commit}:refs/heads/{branch}"])
    if done.status == 0:
        return None
    lines = [line for line in done.out.decode(errors="replace").splitlines() if line.startswith("!\t")]
    # Without a line of --porcelain about the ref nothing was decided about it: the talk itself failed.
    if not lines:
        raise repository.explain(done.err)
    # A server's own words differ from push to push; only git's fixed ones become part of the finding.
    words = lines[0].rpartition("\t")[2]
    why = _DECLINED.search(words)
    return GitError(
        f"the server refused it{f': {why[0]}' if why else ''}",
        Reason.REFUSED,
        detail=repository.shown(f"{words} {done.err}"),
    )


def list_files(repository: Repository, commit: str, most: int) -> dict[str, Listed]:
    """Path -> file of a commit. Raises GitError where there are more than `most`."""
    limits = Limits(seconds=repository.timeout, stdout=most * 512, entries=most)
    done = repository.local_done(
        ["ls-tree", "-r", "-z", "-l", "--full-tree", "--end-of-options", commit], limits=limits
    )
    if done.cut:
        raise GitError(f"the branch has more than {most:,} files", Reason.TOO_LARGE)
    files = {}
    for line in done.out.decode(errors="surrogateescape").split("\0"):
        head, separator, path = line.partition("\t")
        if separator:
            mode, _, blob, size = head.split()
            # A submodule has "-" for its size.
            files[path] = Listed(mode, blob, int(size) if size != "-" else 0)
    return files


def _stream(draft: Draft, ref: str) -> bytes:
    """The input of git-fast-import."""
    # In UTC: the same commit made on two machines has one id.
    who = f"{draft.author.name} <{draft.author.email}> {draft.seconds} +0000"
    head = f"reset {ref}\n\ncommit {ref}\nmark :1\nauthor {who}\ncommitter {who}\n"
    parts = [head.encode(), _data(draft.message.encode())]
    if draft.parent:
        parts.append(f"from {draft.parent}\n".encode())
    # Deletions first: a file may have become a folder.
    for path, content in sorted(draft.changes.items(), key=lambda change: (change[1] is not None, change[0])):
        parts.append(
            b"D %s\n" % _quoted(path)
            if content is None
            else b"M 100644 inline %s\n%s" % (_quoted(path), _data(content))
        )
    return b"".join([*parts, b"get-mark :1\n"])


def _quoted(path: str) -> bytes:
    """A path as git-fast-import reads it."""
    # Whatever it holds: other people's files may be called anything.
    return b'"%s"' % b"".join(
        b"\\%03o" % byte if byte < 0x20 or byte in b'"\\' else bytes([byte])
        for byte in path.encode(errors="surrogateescape")
    )


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
