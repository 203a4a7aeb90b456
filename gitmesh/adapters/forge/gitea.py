"""Gitea and Forgejo (API v1 of both)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.adapters.forge.shapes import Nothing, commit_of, cut, newest, only, with_head
from gitmesh.adapters.forge.site import Purpose
from gitmesh.adapters.forge.transport import ApiCall, Exchange, Transport
from gitmesh.model.forge import Comment, CommitState, CommitStatus, PullRequest, PullState

if TYPE_CHECKING:
    from collections.abc import Mapping

RIGHTS: Mapping[Purpose, str] = {
    Purpose.ACCOUNT: "the scope read:user",
    Purpose.READ: "the scopes read:repository and read:issue, and an account that may read the repository",
    Purpose.COMMENT: "the scope write:issue, and an account that may read the repository",
    Purpose.READ_STATUS: "the scope read:repository, and an account that may read the repository",
    Purpose.STATUS: "the scope write:repository, and an account that may write to the repository",
}
# Our own limit: it takes any length, and shows it in one line.
_TEXT_LIMIT = 255
_MOST = {"limit": "50"}
_STATES: Mapping[str, CommitState] = {"warning": CommitState.FAILURE, "skipped": CommitState.SUCCESS}
"""States that only others set."""


class _GiteaUser(Struct, frozen=True):
    id: int
    login: str


class _GiteaSide(Struct, frozen=True):
    ref: str
    sha: str = ""
    repo_id: int = 0


class _GiteaPull(Struct, frozen=True, kw_only=True):
    number: int
    title: str
    html_url: str
    state: str
    head: _GiteaSide
    base: _GiteaSide
    user: _GiteaUser | None = None
    merged: bool = False
    merge_commit_sha: str | None = None

    def value(self) -> PullRequest:
        """It, in our words. A fork that is gone has another repository's id, too: -1."""
        return PullRequest(
            number=self.number,
            title=self.title,
            url=self.html_url,
            author=self.user.login if self.user else "",
            head=commit_of(self.head.sha),
            head_ref=f"refs/pull/{self.number}/head",
            base=self.base.ref,
            state=(
                PullState.MERGED
                if self.merged
                else PullState.OPEN
                if self.state == "open"
                else PullState.CLOSED
            ),
            # By the ids: a fork that was deleted has -1, and stays one.
            fork=self.head.repo_id != self.base.repo_id,
            merged=commit_of(self.merge_commit_sha) if self.merged else "",
        )


class _GiteaComment(Struct, frozen=True):
    id: int
    body: str = ""
    user: _GiteaUser | None = None

    def value(self, me: int) -> Comment:
        """It, given the id of our account."""
        return Comment(id=self.id, body=self.body, own=self.user is not None and self.user.id == me)


class _GiteaStatus(Struct, frozen=True):
    id: int
    context: str
    status: str
    description: str = ""
    target_url: str = ""

    def value(self) -> tuple[int, CommitStatus]:
        """It, with its id. A state of a later Gitea is nothing that we wrote."""
        # What we cannot name counts as an error: whoever reads it must not take it for a success.
        state = _STATES.get(self.status) or (
            CommitState(self.status) if self.status in set(CommitState) else CommitState.ERROR
        )
        return self.id, CommitStatus(
            context=self.context, state=state, text=self.description, url=self.target_url
        )


class GiteaForge:
    """One repository of a Gitea, `repository` being owner/name."""

    comment_limit = 65_536
    """Ours: none is documented, and a browser is slow with more."""

    def __init__(self, transport: Transport, repository: str) -> None:
        self._transport = transport
        self._repo = f"repos/{repository}"
        self._account: int | None = None

    def pulls(self, branch: str) -> tuple[PullRequest, ...]:
        """As the port says. Older ones do not know base_branch, and list all."""
        query = {"state": "open", "sort": "oldest", "base_branch": branch, "page": "1", **_MOST}
        with self._transport.call() as exchange:
            pages = exchange.pages(
                ApiCall(purpose=Purpose.READ, path=f"{self._repo}/pulls", query=query), list[_GiteaPull]
            )
            found = with_head(pull.value() for page in pages for pull in page)
        # Once more by ourselves: an older Gitea ignores the query that it does not know, and lists all.
        return tuple(pull for pull in found if pull.base == branch)

    def pull(self, number: int) -> PullRequest:
        """As the port says."""
        with self._transport.call() as exchange:
            found = exchange.ask(
                ApiCall(purpose=Purpose.READ, path=f"{self._repo}/pulls/{number}"), _GiteaPull
            )
        return only(found.value(), self._transport.site.host)

    def pulls_of(self, commit: str) -> tuple[PullRequest, ...]:
        """As the port says: it knows the last commit of each merge. 404 is no pull request, or no
        repository.
        """
        with self._transport.call() as exchange:
            ask = ApiCall(purpose=Purpose.READ, path=f"{self._repo}/commits/{commit}/pull")
            found = exchange.answer(ask, _GiteaPull, lambda answer: answer.status == 404).value
            if found is None:
                # The same 404 says "no pull request", "no repository" and "no right": only the repository's
                # own answer tells the first from the others, and that raises.
                exchange.ask(ApiCall(purpose=Purpose.READ, path=self._repo), Nothing)
                return ()
        return with_head([found.value()])

    def comments(self, number: int) -> tuple[Comment, ...]:
        """As the port says."""
        ask = ApiCall(purpose=Purpose.READ, path=f"{self._repo}/issues/{number}/comments")
        with self._transport.call() as exchange:
            me = self._me(exchange)
            found = [
                comment.value(me) for page in exchange.pages(ask, list[_GiteaComment]) for comment in page
            ]
        return tuple(sorted(found, key=lambda comment: comment.id))

    def add_comment(self, number: int, body: str) -> Comment:
        """As the port says."""
        path = f"{self._repo}/issues/{number}/comments"
        # Not twice: an attempt whose answer was lost may have been carried out, and a second comment would
        # stand beside the first for good. The next review finds the first and edits it.
        ask = ApiCall(purpose=Purpose.COMMENT, method="POST", path=path, body={"body": body}, repeats=False)
        with self._transport.call() as exchange:
            made = exchange.ask(ask, _GiteaComment)
        return Comment(id=made.id, body=made.body, own=True)

    # Ids are the repository's.
    def edit_comment(self, number: int, comment: int, body: str) -> None:  # noqa: ARG002
        """As the port says."""
        with self._transport.call() as exchange:
            exchange.ask(
                ApiCall(
                    purpose=Purpose.COMMENT, method="PATCH", path=self._comment(comment), body={"body": body}
                ),
                Nothing,
            )

    def delete_comment(self, number: int, comment: int) -> None:  # noqa: ARG002
        """As the port says."""
        ask = ApiCall(purpose=Purpose.COMMENT, method="DELETE", path=self._comment(comment))
        with self._transport.call() as exchange:
            # Gone is what was asked for, whoever deleted it.
            exchange.answer(ask, Nothing, lambda answer: answer.status == 404)

    def statuses(self, commit: str) -> tuple[CommitStatus, ...]:
        """As the port says."""
        # Its combined status would be shorter, but counts its pages wrongly.
        ask = ApiCall(
            purpose=Purpose.READ_STATUS, path=f"{self._repo}/statuses/{commit}", query={"page": "1", **_MOST}
        )
        with self._transport.call() as exchange:
            return newest(
                status.value() for page in exchange.pages(ask, list[_GiteaStatus]) for status in page
            )

    def set_status(self, commit: str, status: CommitStatus) -> None:
        """As the port says. A commit that it does not have is answered with 500."""
        text = cut(status.text, _TEXT_LIMIT)
        body = {
            "state": status.state.value,
            "context": status.context,
            "description": text,
            "target_url": status.url,
        }
        ask = ApiCall(
            purpose=Purpose.STATUS, method="POST", path=f"{self._repo}/statuses/{commit}", body=body
        )
        with self._transport.call() as exchange:
            exchange.ask(ask, Nothing)

    def _comment(self, comment: int) -> str:
        return f"{self._repo}/issues/comments/{comment}"

    def _me(self, exchange: Exchange) -> int:
        """The id of our account, asked for once."""
        if self._account is None:
            self._account = exchange.ask(ApiCall(purpose=Purpose.ACCOUNT, path="user"), _GiteaUser).id
        return self._account
