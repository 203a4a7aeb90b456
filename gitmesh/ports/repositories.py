"""Where policies come from and reports go: repositories, and the services that host them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gitmesh.model.forge import Comment, CommitStatus, PullRequest
    from gitmesh.model.report import Report
    from gitmesh.model.snapshot import Snapshot


class Source(Protocol):
    """A git repository or a folder."""

    @property
    def name(self) -> str:
        """Name of the source in the configuration."""

    def fetch(self) -> Snapshot:
        """The tip of the branch. Raises SourceError."""

    def read(self, commit: str) -> Snapshot:
        """An older commit, for the last good state: one that the branch leads to or that was accepted, no
        other. Raises SourceError.
        """

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` is `ancestor` or comes after it."""

    def leads_to(self, commit: str) -> bool:
        """Whether the branch, as it was last seen, is that commit or comes after it."""

    def accept(self, commit: str) -> None:
        """Record that this commit came into force, where only this is recorded. Raises SourceError."""

    def accepted(self) -> str:
        """The commit that was recorded last, "" if none is."""


class Publisher(Protocol):
    """Somewhere a report goes: status branch, metrics, events."""

    def publish(self, report: Report) -> Report:
        """Show the report; returns it with findings of its own added. Never raises for the world's
        failures.
        """


class Forge(Protocol):
    """One repository at a hosting service. Every method has a deadline of its own, and may raise
    ForgeError.
    """

    @property
    def comment_limit(self) -> int:
        """Characters that a comment may have."""

    def pulls(self, branch: str) -> tuple[PullRequest, ...]:
        """The open pull requests that are to go into the branch, by number."""

    def pull(self, number: int) -> PullRequest:
        """One pull request, whatever its state. ForgeError(refused) where there is none."""

    def pulls_of(self, commit: str) -> tuple[PullRequest, ...]:
        """The pull requests by which a commit went into its branch, by number; none where nobody opened
        one.
        """

    def comments(self, number: int) -> tuple[Comment, ...]:
        """Every comment of a pull request, oldest first."""

    def add_comment(self, number: int, body: str) -> Comment:
        """Write a new comment. Not repeated after a failure that leaves open whether it was written: who
        calls lists again.
        """

    def edit_comment(self, number: int, comment: int, body: str) -> None:
        """Replace the body of a comment of ours. ForgeError(refused) where it is gone."""

    def delete_comment(self, number: int, comment: int) -> None:
        """Delete a comment of ours; one that is gone already is deleted."""

    def statuses(self, commit: str) -> tuple[CommitStatus, ...]:
        """The newest status of each context of a commit."""

    def set_status(self, commit: str, status: CommitStatus) -> None:
        """Set one context's status of a commit."""
