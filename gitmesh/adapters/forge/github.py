"""GitHub, and GitHub Enterprise (REST API, version 2022-11-28)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from gitmesh.adapters.forge.answers import words_of
from gitmesh.adapters.forge.shapes import Nothing, commit_of, cut, newest, only, with_head
from gitmesh.adapters.forge.site import Purpose
from gitmesh.adapters.forge.transport import ApiCall, Exchange, Transport
from gitmesh.errors import ForgeError
from gitmesh.model.forge import Comment, CommitState, CommitStatus, PullRequest, PullState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.adapters.forge.answers import HttpAnswer

RIGHTS: Mapping[Purpose, str] = {
    Purpose.ACCOUNT: "no right at all; but it must be valid",
    Purpose.READ: (
        "Pull requests: read (in Actions `pull-requests: read`; a classic token: the scope repo, or"
        " public_repo)"
    ),
    Purpose.COMMENT: (
        "Pull requests: read and write (in Actions `pull-requests: write`; a classic token: the scope repo,"
        " or public_repo)"
    ),
    Purpose.READ_STATUS: (
        "Commit statuses: read (in Actions `statuses: read`; a classic token: the scope repo:status)"
    ),
    Purpose.STATUS: (
        "Commit statuses: read and write (in Actions `statuses: write`; a classic token: the scope"
        " repo:status)"
    ),
}
HEADERS: Mapping[str, str] = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_TEXT_LIMIT = 140
_MOST = {"per_page": "100"}
# As many as an answer has room for, if each were as long as it can be, in characters that JSON escapes.
_COMMENTS = {"per_page": "50"}
_VIEWER = {"query": "{ viewer { login } }"}


def api_of(url: str) -> tuple[str, str]:
    """Where the API of a GitHub is, and where REST is below it; GraphQL is beside that. github.com and
    ghe.com have a host for it.
    """
    parts = urlsplit(url)
    if parts.netloc == "github.com" or parts.netloc.endswith(".ghe.com"):
        return f"https://api.{parts.netloc}", ""
    return f"{url}/api", "v3/"


class _GitHubUser(Struct, frozen=True):
    login: str


class _GitHubViewer(Struct, frozen=True):
    viewer: _GitHubUser


class _GitHubGraph(Struct, frozen=True):
    data: _GitHubViewer | None = None


class _GitHubRepo(Struct, frozen=True):
    id: int


class _GitHubSide(Struct, frozen=True):
    sha: str
    ref: str
    repo: _GitHubRepo | None = None


class _GitHubPull(Struct, frozen=True, kw_only=True):
    number: int
    title: str
    html_url: str
    state: str
    head: _GitHubSide
    base: _GitHubSide
    user: _GitHubUser | None = None
    merged_at: str | None = None
    merge_commit_sha: str | None = None

    def value(self) -> PullRequest:
        """It, in our words. Before the merge merge_commit_sha is a trial of GitHub's, which is in no
        branch.
        """
        merged = self.merged_at is not None
        return PullRequest(
            number=self.number,
            title=self.title,
            url=self.html_url,
            author=self.user.login if self.user else "",
            head=commit_of(self.head.sha),
            head_ref=f"refs/pull/{self.number}/head",
            base=self.base.ref,
            state=(
                PullState.MERGED if merged else PullState.OPEN if self.state == "open" else PullState.CLOSED
            ),
            # A deleted fork has no repository at all (null), which is not the base either: it stays a fork.
            fork=self.head.repo != self.base.repo,
            # GitHub writes the id of its trial merge here before the merge; as the commit that went in it
            # would be looked for in the branch for ever.
            merged=commit_of(self.merge_commit_sha) if merged else "",
        )


class _GitHubComment(Struct, frozen=True):
    id: int
    body: str | None = None
    user: _GitHubUser | None = None

    def value(self, me: str) -> Comment:
        """It, given the login of our account."""
        return Comment(id=self.id, body=self.body or "", own=self.user is not None and self.user.login == me)


class _GitHubStatus(Struct, frozen=True):
    id: int
    context: str
    state: CommitState
    description: str | None = None
    target_url: str | None = None

    def value(self) -> tuple[int, CommitStatus]:
        """It, with its id."""
        return self.id, CommitStatus(
            context=self.context, state=self.state, text=self.description or "", url=self.target_url or ""
        )


class _GitHubCombined(Struct, frozen=True):
    statuses: list[_GitHubStatus]


class GitHubForge:
    """One repository of a GitHub, `repository` being owner/name; `rest` is what REST's paths begin with."""

    comment_limit = 65_536

    def __init__(self, transport: Transport, repository: str, rest: str = "") -> None:
        self._transport = transport
        self._rest = rest
        self._repo = f"{rest}repos/{repository}"
        self._login = ""

    def pulls(self, branch: str) -> tuple[PullRequest, ...]:
        """As the port says."""
        query = {"state": "open", "base": branch, "sort": "created", "direction": "asc", **_MOST}
        with self._transport.call() as exchange:
            pages = exchange.pages(
                ApiCall(purpose=Purpose.READ, path=f"{self._repo}/pulls", query=query), list[_GitHubPull]
            )
            found = with_head(pull.value() for page in pages for pull in page)
        return tuple(pull for pull in found if pull.base == branch)

    def pull(self, number: int) -> PullRequest:
        """As the port says."""
        with self._transport.call() as exchange:
            found = exchange.ask(
                ApiCall(purpose=Purpose.READ, path=f"{self._repo}/pulls/{number}"), _GitHubPull
            )
        return only(found.value(), self._transport.site.host)

    def pulls_of(self, commit: str) -> tuple[PullRequest, ...]:
        """As the port says. A commit that GitHub does not have is 422."""
        ask = ApiCall(purpose=Purpose.READ, path=f"{self._repo}/commits/{commit}/pulls", query=_MOST)
        with self._transport.call() as exchange:
            answer = exchange.answer(ask, list[_GitHubPull], lambda answer: answer.status == 422)
        found = with_head(pull.value() for pull in answer.value or ())
        # Of a commit that is not in the default branch open ones are listed (REST API, 'List pull requests
        # associated with a commit').
        return tuple(pull for pull in found if pull.state is PullState.MERGED)

    def comments(self, number: int) -> tuple[Comment, ...]:
        """As the port says."""
        ask = ApiCall(purpose=Purpose.READ, path=f"{self._repo}/issues/{number}/comments", query=_COMMENTS)
        with self._transport.call() as exchange:
            me = self._me(exchange)
            found = [
                comment.value(me) for page in exchange.pages(ask, list[_GitHubComment]) for comment in page
            ]
        return tuple(sorted(found, key=lambda comment: comment.id))

    def add_comment(self, number: int, body: str) -> Comment:
        """As the port says."""
        path = f"{self._repo}/issues/{number}/comments"
        # Not twice: see GiteaForge.add_comment.
        ask = ApiCall(purpose=Purpose.COMMENT, method="POST", path=path, body={"body": body}, repeats=False)
        with self._transport.call() as exchange:
            made = exchange.ask(ask, _GitHubComment)
        return Comment(id=made.id, body=made.body or "", own=True)

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
            exchange.answer(ask, Nothing, lambda answer: answer.status in (404, 410))

    def statuses(self, commit: str) -> tuple[CommitStatus, ...]:
        """As the port says: GitHub itself has the newest of each context."""
        ask = ApiCall(purpose=Purpose.READ_STATUS, path=f"{self._repo}/commits/{commit}/status", query=_MOST)
        with self._transport.call() as exchange:
            return newest(
                status.value() for page in exchange.pages(ask, _GitHubCombined) for status in page.statuses
            )

    def set_status(self, commit: str, status: CommitStatus) -> None:
        """As the port says. Set twice, it counts once, but GitHub takes 1,000 of a commit and context."""
        body = {
            "state": status.state.value,
            "context": status.context,
            "description": cut(status.text, _TEXT_LIMIT),
        }
        body |= {"target_url": status.url} if status.url else {}
        ask = ApiCall(
            purpose=Purpose.STATUS, method="POST", path=f"{self._repo}/statuses/{commit}", body=body
        )
        with self._transport.call() as exchange:
            # The same 422 as for a body that GitHub does not like: only its words tell that the commit is
            # full, which trying again cannot change.
            answer = exchange.answer(ask, Nothing, _is_full)
        if not answer.is_good:
            text = (
                f"{self._transport.site.host} takes no more than 1,000 statuses of one commit in the context"
                f" {status.context}"
            )
            raise ForgeError(
                text, retryable=False, detail=words_of(answer.body), hint="The next commit begins anew."
            )

    def _comment(self, comment: int) -> str:
        return f"{self._repo}/issues/comments/{comment}"

    def _me(self, exchange: Exchange) -> str:
        """The login of our account, asked for once."""
        if not self._login:
            ask = ApiCall(purpose=Purpose.ACCOUNT, path=f"{self._rest}user")
            # What Actions and Apps have is no user: only GraphQL says who that is.
            user = exchange.answer(ask, _GitHubUser, lambda answer: answer.status in (403, 404)).value
            self._login = user.login if user else _viewer(exchange)
        return self._login


def _viewer(exchange: Exchange) -> str:
    ask = ApiCall(purpose=Purpose.ACCOUNT, method="POST", path="graphql", body=_VIEWER)
    found = exchange.ask(ask, _GitHubGraph).data
    if found is None:
        raise ForgeError("the forge says of no account whose the token is", retryable=False, refused=True)
    login = found.viewer.login
    # REST writes the author of an App's comments with the suffix and GraphQL its login without: unless they
    # are made alike, we would not know our own comments again, and write a new one each time.
    return login if login.endswith("[bot]") else f"{login}[bot]"


def _is_full(answer: HttpAnswer[Nothing]) -> bool:
    return answer.status == 422 and "maximum number of statuses" in words_of(answer.body)
