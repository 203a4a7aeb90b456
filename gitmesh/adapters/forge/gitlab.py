"""GitLab, also a server of one's own (REST API v4). Its merge requests are our pull requests, its notes our
comments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

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
    Purpose.ACCOUNT: "the scope api",
    Purpose.READ: "the scope api, and the role Reporter",
    Purpose.COMMENT: "the scope api, and the role Reporter",
    Purpose.READ_STATUS: "the scope api, and the role Reporter",
    Purpose.STATUS: "the scope api, and the role Developer (Maintainer where the branch is protected)",
}
_TEXT_LIMIT = 255
_MOST = {"per_page": "100"}
# Few on a page, since each may have a million characters.
_NOTES = {"sort": "asc", "order_by": "created_at", "per_page": "20"}
# GitLab has no state for an error. What came to no result is `canceled`, which holds the merge as well.
_STATE_NAMES: Mapping[CommitState, str] = {
    CommitState.PENDING: "pending",
    CommitState.SUCCESS: "success",
    CommitState.FAILURE: "failed",
    CommitState.ERROR: "canceled",
}
_STATES: Mapping[str, CommitState] = {name: state for state, name in _STATE_NAMES.items()} | {
    "skipped": CommitState.SUCCESS
}
# Any other is open: `locked` is one whose merge is under way.
_PULL_STATES: Mapping[str, PullState] = {"merged": PullState.MERGED, "closed": PullState.CLOSED}


class _GitLabUser(Struct, frozen=True):
    id: int
    username: str


class _GitLabMerge(Struct, frozen=True, kw_only=True):
    iid: int
    title: str
    web_url: str
    state: str
    target_branch: str
    target_project_id: int
    source_project_id: int | None = None
    author: _GitLabUser | None = None
    sha: str | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None

    def value(self) -> PullRequest:
        """It, in our words. What was merged by fast-forward went in as it was."""
        state = _PULL_STATES.get(self.state, PullState.OPEN)
        # In this order: a squash that is then merged has both, and the merge commit is what the branch has;
        # a fast-forward has neither.
        went_in = self.merge_commit_sha or self.squash_commit_sha or self.sha
        return PullRequest(
            number=self.iid,
            title=self.title,
            url=self.web_url,
            author=self.author.username if self.author else "",
            head=commit_of(self.sha),
            head_ref=f"refs/merge-requests/{self.iid}/head",
            base=self.target_branch,
            state=state,
            # The source's id is null where the fork was deleted, which differs from the target's: it stays
            # a fork.
            fork=self.source_project_id != self.target_project_id,
            merged=commit_of(went_in) if state is PullState.MERGED else "",
        )


class _GitLabNote(Struct, frozen=True):
    id: int
    body: str
    author: _GitLabUser | None = None
    system: bool = False

    def value(self, me: int) -> Comment:
        """It, given the id of our account."""
        return Comment(id=self.id, body=self.body, own=self.author is not None and self.author.id == me)


class _GitLabStatus(Struct, frozen=True):
    id: int
    name: str
    status: str
    description: str | None = None
    target_url: str | None = None

    def value(self) -> tuple[int, CommitStatus]:
        """It, with its id. The other states are on their way: created, running, manual."""
        # All others are on their way: created, running, manual.
        state = _STATES.get(self.status, CommitState.PENDING)
        return self.id, CommitStatus(
            context=self.name, state=state, text=self.description or "", url=self.target_url or ""
        )


class GitLabForge:
    """One project of a GitLab, `repository` being its path with all groups, which the API wants as one
    segment.
    """

    comment_limit = 1_000_000

    def __init__(self, transport: Transport, repository: str) -> None:
        self._transport = transport
        # Slashes, too (GitLab REST API, "Namespaced paths"): unescaped they would be read as further
        # segments.
        self._project = f"projects/{quote(repository, safe='')}"
        self._account: int | None = None

    def pulls(self, branch: str) -> tuple[PullRequest, ...]:
        """As the port says."""
        query = {"state": "opened", "target_branch": branch, "order_by": "created_at", "sort": "asc", **_MOST}
        ask = ApiCall(purpose=Purpose.READ, path=f"{self._project}/merge_requests", query=query)
        with self._transport.call() as exchange:
            found = with_head(
                merge.value() for page in exchange.pages(ask, list[_GitLabMerge]) for merge in page
            )
        return tuple(pull for pull in found if pull.base == branch)

    def pull(self, number: int) -> PullRequest:
        """As the port says."""
        with self._transport.call() as exchange:
            found = exchange.ask(ApiCall(purpose=Purpose.READ, path=self._merge(number)), _GitLabMerge)
        return only(found.value(), self._transport.site.host)

    def pulls_of(self, commit: str) -> tuple[PullRequest, ...]:
        """As the port says."""
        ask = ApiCall(purpose=Purpose.READ, path=self._merges_of(commit), query=_MOST)
        with self._transport.call() as exchange:
            answer = exchange.answer(
                ask,
                list[_GitLabMerge],
                # A commit that GitLab does not have is 404, and so is a project: the words tell.
                lambda answer: answer.status == 404 and "Commit" in words_of(answer.body),
            )
        found = with_head(merge.value() for merge in answer.value or ())
        # It lists open and closed ones that hold the commit, too.
        return tuple(pull for pull in found if pull.state is PullState.MERGED)

    def comments(self, number: int) -> tuple[Comment, ...]:
        """As the port says; what GitLab itself notes of events is none."""
        ask = ApiCall(purpose=Purpose.READ, path=f"{self._merge(number)}/notes", query=_NOTES)
        with self._transport.call() as exchange:
            me = self._me(exchange)
            found = [
                note.value(me)
                for page in exchange.pages(ask, list[_GitLabNote])
                for note in page
                # GitLab writes "mentioned in commit" and the like as notes by whoever caused them, us
                # included.
                if not note.system
            ]
        return tuple(sorted(found, key=lambda comment: comment.id))

    def add_comment(self, number: int, body: str) -> Comment:
        """As the port says."""
        path = f"{self._merge(number)}/notes"
        # Not twice: see GiteaForge.add_comment.
        ask = ApiCall(purpose=Purpose.COMMENT, method="POST", path=path, body={"body": body}, repeats=False)
        with self._transport.call() as exchange:
            made = exchange.ask(ask, _GitLabNote)
        return Comment(id=made.id, body=made.body, own=True)

    def edit_comment(self, number: int, comment: int, body: str) -> None:
        """As the port says."""
        ask = ApiCall(
            purpose=Purpose.COMMENT,
            method="PUT",
            path=f"{self._merge(number)}/notes/{comment}",
            body={"body": body},
        )
        with self._transport.call() as exchange:
            exchange.ask(ask, Nothing)

    def delete_comment(self, number: int, comment: int) -> None:
        """As the port says."""
        ask = ApiCall(purpose=Purpose.COMMENT, method="DELETE", path=f"{self._merge(number)}/notes/{comment}")
        with self._transport.call() as exchange:
            # Gone is what was asked for, whoever deleted it.
            exchange.answer(ask, Nothing, lambda answer: answer.status == 404)

    def statuses(self, commit: str) -> tuple[CommitStatus, ...]:
        """As the port says: GitLab lists the newest of each name and ref."""
        ask = ApiCall(
            purpose=Purpose.READ_STATUS,
            path=f"{self._project}/repository/commits/{commit}/statuses",
            query=_MOST,
        )
        with self._transport.call() as exchange:
            return newest(
                status.value() for page in exchange.pages(ask, list[_GitLabStatus]) for status in page
            )

    def set_status(self, commit: str, status: CommitStatus) -> None:
        """As the port says. The state that it has already is refused by older ones, after the text was taken.
        The head of a merge request from a fork lies on no branch of the project, so GitLab wants to be told
        the ref.
        """
        name = _STATE_NAMES[status.state]
        body = {"state": name, "name": status.context, "description": cut(status.text, _TEXT_LIMIT)}
        body |= {"target_url": status.url} if status.url else {}
        ask = ApiCall(
            purpose=Purpose.STATUS, method="POST", path=f"{self._project}/statuses/{commit}", body=body
        )
        with self._transport.call() as exchange:
            answer = exchange.answer(
                ask, Nothing, lambda answer: _is_already(answer, name) or _lacks_ref(answer)
            )
            if _lacks_ref(answer):
                # Only after the refusal: GitLab keeps a status for each name and ref, so a ref of ours each
                # time could leave two that contradict each other.
                named = replace(ask, body=body | {"ref": self._ref_of(exchange, commit)})
                exchange.answer(named, Nothing, lambda answer: _is_already(answer, name))

    def _ref_of(self, exchange: Exchange, commit: str) -> str:
        """The ref of the merge request whose head the commit is. Raises ForgeError where it is of none."""
        ask = ApiCall(purpose=Purpose.READ, path=self._merges_of(commit), query=_MOST)
        found = next((merge for merge in exchange.ask(ask, list[_GitLabMerge]) if merge.sha == commit), None)
        if found is None:
            raise ForgeError(
                f"commit {commit[:12]} lies on no branch, and is the head of no merge request",
                retryable=False,
            )
        return found.value().head_ref

    def _merges_of(self, commit: str) -> str:
        return f"{self._project}/repository/commits/{commit}/merge_requests"

    def _merge(self, number: int) -> str:
        return f"{self._project}/merge_requests/{number}"

    def _me(self, exchange: Exchange) -> int:
        """The id of our account, asked for once. Tokens of projects and groups have one of their own."""
        if self._account is None:
            self._account = exchange.ask(ApiCall(purpose=Purpose.ACCOUNT, path="user"), _GitLabUser).id
        return self._account


def _is_already(answer: HttpAnswer[Nothing], name: str) -> bool:
    """Whether GitLab says that it will not go from the state to the same one."""
    said = words_of(answer.body)
    return answer.status == 400 and "Cannot transition status via" in said and f"from :{name}" in said


def _lacks_ref(answer: HttpAnswer[Nothing]) -> bool:
    """Whether GitLab finds the commit, but no branch with it."""
    return answer.status == 404 and "References for commit" in words_of(answer.body)
