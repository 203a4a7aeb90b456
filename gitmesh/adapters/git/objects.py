"""The objects and refs of a repository on this disk, read by git without ever talking to a remote."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from gitmesh.adapters.git.errors import GitError, Reason, failure
from gitmesh.adapters.git.names import is_object_id
from gitmesh.adapters.git.process import Done, Limits, run

# A partial clone would ask its remote for what it lacks, by whatever program its configuration names.
_NO_TRANSPORT = {"GIT_ALLOW_PROTOCOL": "none"}


class Objects(ABC):
    """What both a bare copy and a checkout can be asked. `timeout` is in seconds, for each run of git."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout

    @property
    @abstractmethod
    def store(self) -> Path:
        """The folder of git's own files."""

    def local(self, arguments: Sequence[str], *, stdin: bytes = b"") -> bytes:
        """The output of a command on the store alone. Raises as `local_done`."""
        return self.local_done(arguments, stdin=stdin).out

    def local_done(
        self, arguments: Sequence[str], *, stdin: bytes = b"", limits: Limits | None = None
    ) -> Done:
        """Run a command on the store alone. Raises GitError with Reason.DISK or Reason.STORE."""
        done = self.local_call(arguments, stdin=stdin, limits=limits)
        if done.status != 0 and not done.cut:
            error = failure(done.err, (), store=self.store)
            raise (
                error
                # No remote takes part in it, so that the store is to blame for everything else.
                if error.reason is Reason.DISK
                else GitError(str(error), Reason.STORE, detail=error.detail)
            )
        return done

    def local_call(
        self, arguments: Sequence[str], *, stdin: bytes = b"", limits: Limits | None = None
    ) -> Done:
        """Run a command on the store alone, which may fail."""
        given = limits or Limits(seconds=self.timeout)
        return run([f"--git-dir={self.store}", *arguments], given, stdin=stdin, env=_NO_TRANSPORT)

    def has(self, commit: str) -> bool:
        """Whether the store holds this commit."""
        return (
            is_object_id(commit) and self.local_call(["cat-file", "-e", f"{commit}^{{commit}}"]).status == 0
        )

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` comes after `ancestor`; one that the store lacks is no ancestor. Raises GitError if
        it lacks the tip.
        """
        if not is_object_id(ancestor):
            return False
        status = self.local_call(["merge-base", "--is-ancestor", "--end-of-options", ancestor, tip]).status
        # 1 says that it is none; more, that git could not tell.
        if status > 1 and not self.has(tip):
            raise GitError(f"commit {tip[:12]} is not in the local copy of the repository", Reason.STORE)
        return status == 0

    def merge_base(self, one: str, other: str) -> str:
        """The commit from which both came apart; "" where they have none in common, as far as the history
        here goes.
        """
        done = self.local_call(["merge-base", "--end-of-options", one, other])
        return done.out.decode().split("\n")[0].strip() if done.status == 0 else ""

    def resolve(self, ref: str) -> str:
        """The commit behind a ref, or whatever else names one, or "" (also where the store is damaged or
        missing).
        """
        done = self.local_call(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"])
        return done.out.decode().strip() if done.status == 0 else ""
