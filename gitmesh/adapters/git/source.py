"""A branch of a git repository as a source of policies. Satisfies gitmesh.ports.Source."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from msgspec.structs import replace

from gitmesh.adapters.git.acceptance import Acceptance
from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.names import is_abbreviation, is_object_id
from gitmesh.adapters.git.repository import Repository
from gitmesh.adapters.git.snapshots import read_snapshot
from gitmesh.diagnostics import Location, Severity, finding
from gitmesh.errors import GoneError, SourceError
from gitmesh.model.config_sources import SourceAuth
from gitmesh.model.snapshot import Snapshot

DISK_HINT = "Make room on the disk, or make the store's folder writable."
_BRANCH_HINT = "Name a branch: its tip is what is in force, and a tag or a commit never moves on."
_KEPT = 2
"""Snapshots in memory: the tip and the last good one."""


class GitSource:
    """Reads the policy files of a branch's tip, and of older commits, into memory. There is never a work
    tree.

    `store` is a folder of this source's own, for the bare copy; it may be deleted at any time. `paths` are
    folders in the repository ("" = all of it). File names in `auth` are relative to `base`. `timeout` is in
    seconds, for each run of git. Raises SourceError for a URL or branch that is not allowed.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        branch: str = "main",
        paths: Sequence[str] = ("",),
        store: Path,
        auth: SourceAuth | None = None,
        base: Path | None = None,
        allow_insecure: bool = False,
        timeout: float = 60.0,
    ) -> None:
        self.name = name
        self.branch = branch
        self.paths = tuple(paths)
        self.repository = Repository(
            url,
            store=store,
            auth=auth or SourceAuth(),
            base=base or Path(),
            allow_insecure=allow_insecure,
            timeout=timeout,
        )
        self.repository.watch(branch)
        self._acceptance = Acceptance(store.absolute().with_name(f"{store.name}.accepted"))
        self._snapshots: dict[str, Snapshot] = {}
        self._ancestry: dict[tuple[str, str], bool] = {}
        self._guard = threading.Lock()
        self._asking = threading.RLock()

    def fetch(self) -> Snapshot:
        """The tip of the branch; the same object again while the branch did not move (one process). Raises
        SourceError.
        """
        with self._asking:
            tip = self.repository.poll().get(self.branch) or self._without_branch()
            # While the store is a temporary one each poll tries whether it may go home.
            if tip not in self._snapshots or self.repository.trouble:
                tip = self._fetch_tip(tip)
            return self._troubled(self._healed(tip))

    def _fetch_tip(self, tip: str) -> str:
        try:
            return self.repository.fetch_branch(self.branch, tip)
        except GitError as error:
            if error.reason is not Reason.DISK:
                raise
            raise GitError(
                f"{error}; commit {tip[:12]} waits", Reason.DISK, detail=error.detail, hint=DISK_HINT
            ) from error

    def _troubled(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot, with a warning while the store is a temporary one."""
        if not self.repository.trouble:
            return snapshot
        text = f"{self.repository.trouble}; a temporary one is used"
        here = Location(source=self.name, path="", line=0, column=0)
        said = finding("GM601", text, at=here, hint=DISK_HINT, severity=Severity.WARNING)
        return replace(snapshot, diagnostics=(*snapshot.diagnostics, said))

    def recall(self, commit: str) -> Snapshot | None:
        """`read` from memory or the store; None where they lack it. The remote is not asked, nor who asks it
        waited for.

        Raises SourceError for one that may not be read, or is too large.
        """
        if not is_object_id(commit):
            raise SourceError(f"{commit[:64]!r} is not the full id of a commit")
        # The store holds what was once fetched, also from a branch that was rewritten since: having a
        # commit is no proof.
        if commit != self._acceptance.read() and not self.leads_to(commit):
            raise SourceError(
                f"branch {self.branch} does not lead to commit {commit[:12]}, as far as it is known here"
            )
        try:
            return (
                self._snapshot(commit) if commit in self._snapshots or self.repository.has(commit) else None
            )
        except GitError as error:
            if error.reason is not Reason.STORE:
                raise
            return None

    def read(self, commit: str) -> Snapshot:
        """A commit by its full id, from memory or the store: one that the branch leads to, or that was
        accepted here. Raises GoneError where the commit is not to be had any more, SourceError where the
        branch could not be read.
        """
        found = self.recall(commit)
        if found is not None:
            return found
        if not self.repository.has(commit):
            # The remote is never asked for a commit by its id: it would give away what nobody merged.
            if not self.repository.last_seen(self.branch):
                raise SourceError(f"commit {commit[:12]} is not in the local copy of the repository")
            raise GoneError(f"commit {commit[:12]} is not in the repository any more")
        with self._asking:
            return self._healed(commit)

    def follows(self, tip: str, ancestor: str) -> bool | None:
        """Whether `tip` is `ancestor` or comes after it, by the store alone; None where the store cannot
        tell.
        """
        if tip == ancestor:
            return True
        known = self._ancestry.get((tip, ancestor))
        if known is None:
            try:
                known = self.repository.descends(tip, ancestor)
            except GitError:
                return None
            # Only the last question: it is asked in each cycle, for as long as the tip stays.
            self._ancestry = {(tip, ancestor): known}
        return known

    def leads_to(self, commit: str) -> bool:
        """Whether the branch, as it was last seen, is that commit or comes after it."""
        tip = self.repository.last_seen(self.branch)
        return bool(tip) and bool(self.follows(tip, commit))

    def accept(self, commit: str) -> None:
        """Record that this commit came into force. Raises SourceError."""
        self._acceptance.write(commit)

    def accepted(self) -> str:
        """The commit that was recorded last, "" if none is."""
        return self._acceptance.read()

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` is `ancestor` or comes after it. What cannot be found out, even by fetching, is
        answered with no.
        """
        known = self.follows(tip, ancestor)
        if known is None:
            with self._asking:
                try:
                    known = self.repository.healed(
                        lambda: self.repository.descends(tip, ancestor), self.branch, tip
                    )
                except SourceError:
                    return False
        return known

    def abandon(self) -> None:
        """End what asks the remote now, in whatever thread: it fails there."""
        self.repository.running.end()

    def _healed(self, commit: str) -> Snapshot:
        return self.repository.healed(lambda: self._snapshot(commit), self.branch, commit)

    def _snapshot(self, commit: str) -> Snapshot:
        """From memory, else the store. What was asked for last is kept longest."""
        snapshot = self._snapshots.get(commit) or self._load(commit)
        with self._guard:
            others = (kept for kept in self._snapshots.values() if kept.commit != commit)
            newest = [*others, self._snapshots.get(commit, snapshot)][-_KEPT:]
            self._snapshots = {kept.commit: kept for kept in newest}
            return newest[-1]

    def _load(self, commit: str) -> Snapshot:
        """Read a commit that is in the store; only blobs that no snapshot in memory has are read."""
        known = {file.blob: file.content for snapshot in self._snapshots.values() for file in snapshot.files}
        return read_snapshot(self.repository, commit, self.paths, self.name, known)

    def _without_branch(self) -> NoReturn:
        """Say why the branch has no tip."""
        # An error in any case: a branch that is not there must never read as one without policies.
        name = self.branch
        tag = f"refs/tags/{name.removeprefix('refs/').removeprefix('tags/')}"
        refs = self.repository.refs("refs/heads/*", tag)
        others = sorted(ref.removeprefix("refs/heads/") for ref in refs if ref.startswith("refs/heads/"))
        if tag in refs:
            raise GitError(f"{name} is a tag, not a branch", Reason.NOT_FOUND, hint=_BRANCH_HINT)
        if is_object_id(name.lower()) or (
            is_abbreviation(name.lower()) and any(commit.startswith(name.lower()) for commit in refs.values())
        ):
            raise GitError(f"{name} is the id of a commit, not a branch", Reason.NOT_FOUND, hint=_BRANCH_HINT)
        if not others:
            raise GitError("the repository is empty: it has no branch yet", Reason.NOT_FOUND)
        if self.repository.last_seen(name):
            raise GitError(f"branch {name} was deleted from the repository", Reason.NOT_FOUND)
        near = [
            other for other in others if name in (f"refs/heads/{other}", f"heads/{other}", f"origin/{other}")
        ]
        close = near or get_close_matches(name, others, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise GitError(
            f"the repository has no branch {name}{hint}",
            Reason.NOT_FOUND,
            detail=f"it has {', '.join(others[:5])}",
        )
