"""A checkout that somebody works in, as a repository to read commits from. Nothing is fetched, and nothing is
written.

Commands that only read objects and refs run no program that the checkout's own settings name (see `process`).
"""

from __future__ import annotations

import re
from pathlib import Path

from gitmesh.adapters.git.blobs import read_objects
from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.names import branch_problem, is_object_id
from gitmesh.adapters.git.objects import Objects
from gitmesh.adapters.git.process import Limits
from gitmesh.errors import SourceError
from gitmesh.parsing.reading import MAX_FILE_BYTES

_FETCH_HINT = "In CI, check out with the whole history (fetch-depth: 0), or fetch the revision first."
_MAX_REVISION = 512
_PLACES = ("refs/", "refs/tags/", "refs/heads/", "refs/remotes/")
"""Where git looks for a short name (gitrevisions)."""
_SUFFIX = re.compile(r"[~^@:]")


class Checkout(Objects):
    """The repository of the work tree `top`; `timeout` is in seconds, for each run of git."""

    def __init__(self, top: Path, *, timeout: float = 60.0) -> None:
        super().__init__(timeout)
        self.top = top

    @property
    def store(self) -> Path:
        """Git's own folder, or the file that leads to it in a further work tree."""
        return self.top / ".git"

    def commit(self, revision: str) -> str:
        """The full id of what a revision names; a branch that is only known from a remote counts, too. Raises
        SourceError.
        """
        if len(revision) <= _MAX_REVISION and revision.isprintable() and revision:
            tried = (
                # CI checks out a commit: branches it knows only as those of the remote.
                (revision, f"refs/remotes/origin/{revision}") if not branch_problem(revision) else (revision,)
            )
            found = next((commit for name in tried if (commit := self._meant(name))), "")
            if found:
                return found
        raise SourceError(f"{revision[:64]!r} is no commit, branch or tag of {self.top}", hint=_FETCH_HINT)

    def _meant(self, name: str) -> str:
        """The commit that a name stands for, "" if none. Raises SourceError."""
        plain = _SUFFIX.split(name, maxsplit=1)[0]
        # Git takes a tag `origin/main` for the branch of that name, with no more than a warning, and whoever
        # may push tags would say what is compared.
        known = (
            [ref for place in _PLACES if (ref := f"{place}{plain}") and self.resolve(ref)]
            if plain and not is_object_id(plain)
            else []
        )
        # Only where they differ: a tag and a branch on one commit mean the same.
        if len({self.resolve(ref) for ref in known}) > 1:
            raise SourceError(f"{plain} may be {' or '.join(known)}", hint="Say which: write it in full.")
        return self.resolve(name)

    def commits_between(self, old: str, new: str) -> int:
        """How many commits lead from one to the other. Raises GitError."""
        return int(self.local(["rev-list", "--count", "--end-of-options", f"{old}..{new}"]).decode() or 0)

    def file(self, commit: str, path: str, most: int = MAX_FILE_BYTES) -> bytes | None:
        """A file's content at a commit, of one with more than `most` bytes only so much that it is refused;
        None where there is none.
        """
        limits = Limits(seconds=self.timeout, stdout=most + 1)
        done = self.local_call(["cat-file", "blob", "--end-of-options", f"{commit}:{path}"], limits=limits)
        return done.out if done.status == 0 or done.cut else None

    def known_branch(self, branch: str) -> str:
        """The tip of a branch, as the checkout last saw it on its remote, else its own. Raises
        SourceError.
        """
        # The remote's first: the checkout's own branch of that name may be behind it, or ahead with what
        # nobody accepted.
        for ref in (f"refs/remotes/origin/{branch}", f"refs/heads/{branch}"):
            if found := self.resolve(ref):
                return found
        raise SourceError(
            f"the checkout has no branch {branch}",
            hint=f"Fetch it first: git fetch origin {branch}:refs/remotes/origin/{branch}",
        )

    def seconds(self, commit: str) -> int:
        """When a commit was made, in seconds since the epoch; 0 where it does not tell. Raises GitError."""
        return read_objects(self, commit, {})[0].seconds

    def names(self, commit: str, folder: str) -> tuple[str, ...]:
        """The names of the plain files right below a folder of a commit. Raises GitError."""
        limits = Limits(seconds=self.timeout, stdout=1 << 20)
        done = self.local_done(
            ["ls-tree", "-z", "--name-only", "--full-tree", "--end-of-options", commit, f"{folder}/"],
            limits=limits,
        )
        if done.cut:
            raise GitError(f"{folder} of commit {commit[:12]} holds too many files", Reason.TOO_LARGE)
        return tuple(
            sorted(name.decode(errors="replace").rpartition("/")[2] for name in done.out.split(b"\0") if name)
        )
