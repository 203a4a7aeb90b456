"""Writing a commit straight into a store, and pushing it. Never by force, never through a work tree or an index."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from msgspec import Struct

from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.names import is_object_id
from gitmesh.adapters.git.process import Limits
from gitmesh.adapters.git.repository import Repository
from gitmesh.model.config import Author

_PUSH = ("push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--end-of-options")
_MOVED = ("(fetch first)", "(non-fast-forward)", "(stale info)", "(needs force)", "cannot lock ref", "incorrect old value")
"""What git says of a branch that got another commit meanwhile."""


class Pushed(Enum):
    """What the remote did with a push."""

    TAKEN = auto()
    MOVED = auto()
    REFUSED = auto()


class Draft(Struct, frozen=True, kw_only=True):
    """A commit to make: paths to write (None deletes), on top of `parent` ("" = none). `seconds` since the epoch, in UTC."""

    parent: str
    changes: Mapping[str, bytes | None]
    message: str
    author: Author
    seconds: int


def write_commit(repository: Repository, draft: Draft) -> str:
    """Store the commit and return its id. The message is taken as it is."""
    done = repository.local_done(["fast-import", "--quiet", "--force"], stdin=_stream(draft, repository.outgoing))
    commit = done.out.decode().strip()
    if not is_object_id(commit):
        raise GitError("git did not tell the id of the commit that it made", Reason.STORE)
    return commit


def push(repository: Repository, commit: str, branch: str) -> tuple[Pushed, str]:
    """Push the commit as the branch's new tip, if that is a step forward; with git's words where it was refused.

    Raises GitError where the remote could not be reached or refused to talk.
    """
    done = repository.remote_call([*_PUSH, repository.url, f"{commit}:refs/heads/{branch}"])
    if done.status == 0:
        return Pushed.TAKEN, ""
    lines = [line for line in done.out.decode(errors="replace").splitlines() if line.startswith("!\t")]
    if not lines:
        raise repository.explain(done.err)
    if any(sign in lines[0] for sign in _MOVED):
        return Pushed.MOVED, ""
    return Pushed.REFUSED, lines[0].rpartition("\t")[2]


def list_files(repository: Repository, commit: str, most: int) -> dict[str, tuple[str, str]]:
    """Path -> (mode, blob id) of a commit's files. Raises GitError where there are more than `most`."""
    limits = Limits(seconds=repository.timeout, stdout=most * 512, entries=most)
    done = repository.local_done(["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit], limits=limits)
    if done.cut:
        raise GitError(f"the branch has more than {most:,} files", Reason.TOO_LARGE)
    files = {}
    for line in done.out.decode(errors="surrogateescape").split("\0"):
        head, separator, path = line.partition("\t")
        if separator:
            mode, _, blob = head.split()
            files[path] = (mode, blob)
    return files


def _stream(draft: Draft, ref: str) -> bytes:
    """The input of git-fast-import. Deletions first: a file may have become a folder."""
    who = f"{draft.author.name} <{draft.author.email}> {draft.seconds} +0000"
    head = f"reset {ref}\n\ncommit {ref}\nmark :1\nauthor {who}\ncommitter {who}\n"
    parts = [head.encode(), _data(draft.message.encode())]
    if draft.parent:
        parts.append(f"from {draft.parent}\n".encode())
    for path, content in sorted(draft.changes.items(), key=lambda change: (change[1] is not None, change[0])):
        parts.append(b"D %s\n" % _quoted(path) if content is None else b"M 100644 inline %s\n%s" % (_quoted(path), _data(content)))
    return b"".join([*parts, b"get-mark :1\n"])


def _quoted(path: str) -> bytes:
    """A path as git-fast-import reads it, whatever it holds: other people's files may be called anything."""
    return b'"%s"' % b"".join(
        b"\\%03o" % byte if byte < 0x20 or byte in b'"\\' else bytes([byte]) for byte in path.encode(errors="surrogateescape")
    )


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
