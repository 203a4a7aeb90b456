"""Gitea's API v1."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.forges.server import ForgeAnswer, ForgeRequest, ForgeServer
from tests.forges.state import HostedComment, HostedPull, HostedStatus, Person

_STATES = ("pending", "success", "error", "failure", "warning")
_SCOPES = {"read": "read:repository", "comment": "write:issue", "status": "write:repository"}


class GiteaServer(ForgeServer):
    """`account`: whether the token may read the account, read:user. `link_root` is the address that it has
    for itself.
    """

    kind = "gitea"
    prefix = "/api/v1"
    size = "limit"
    routes: ClassVar = (
        ("GET", r"/user", "user"),
        ("GET", r"/repos/([^/]+/[^/]+)", "repo"),
        ("GET", r"/repos/([^/]+/[^/]+)/pulls", "list_pulls"),
        ("GET", r"/repos/([^/]+/[^/]+)/pulls/(\d+)", "one_pull"),
        ("GET", r"/repos/([^/]+/[^/]+)/commits/(\w+)/pull", "pull_of_commit"),
        ("GET", r"/repos/([^/]+/[^/]+)/statuses/(\w+)", "list_statuses"),
        ("POST", r"/repos/([^/]+/[^/]+)/statuses/(\w+)", "create_status"),
        ("GET", r"/repos/([^/]+/[^/]+)/issues/(\d+)/comments", "list_comments"),
        ("POST", r"/repos/([^/]+/[^/]+)/issues/(\d+)/comments", "create_comment"),
        ("PATCH", r"/repos/([^/]+/[^/]+)/issues/comments/(\d+)", "update_comment"),
        ("DELETE", r"/repos/([^/]+/[^/]+)/issues/comments/(\d+)", "remove_comment"),
    )
    account = True

    def __init__(self, repository: str = "shop/policies", **more: Any) -> None:
        super().__init__(repository, **more)
        self.most = 50

    # -- the rules of the house --------------------------------------------------------------------------

    def authenticated(self, asked: ForgeRequest) -> bool:
        return asked.headers.get("authorization") in (f"token {self.token}", f"Bearer {self.token}")

    def refused(self, status: int) -> ForgeAnswer:
        words = {
            401: "user does not exist [uid: 0, name: ]",
            403: "Forbidden",
            404: "The target couldn't be found.",
        }
        return ForgeAnswer(status=status, data={"message": words[status], "url": f"{self.url}/api/swagger"})

    def limited(self) -> ForgeAnswer:
        return ForgeAnswer(status=429, data={"message": "Too Many Requests"}, headers={"Retry-After": "7"})

    def _barred(self, asked: ForgeRequest, right: str) -> ForgeAnswer | None:
        if asked.match[0] != self.repository:
            return self.refused(404)
        return None if right in self.rights else self._no_scope(_SCOPES[right])

    def _no_scope(self, scope: str) -> ForgeAnswer:
        text = f"token does not have at least one of required scope(s), required=[{scope}], token scope=misc"
        return ForgeAnswer(status=403, data={"message": text, "url": f"{self.url}/api/swagger"})

    # -- endpoints ---------------------------------------------------------------------------------------

    def user(self, asked: ForgeRequest) -> ForgeAnswer:
        return ForgeAnswer(data=_person(self.me)) if self.account else self._no_scope("read:user")

    def repo(self, asked: ForgeRequest) -> ForgeAnswer:
        return self._barred(asked, "read") or ForgeAnswer(data={"id": 1, "full_name": self.repository})

    def list_pulls(self, asked: ForgeRequest) -> ForgeAnswer:
        state, base = asked.query.get("state", "open"), asked.query.get("base_branch")
        found = [
            pull
            for pull in self.pulls.values()
            if (state == "all" or (pull.state == "open") == (state == "open")) and base in (None, pull.base)
        ]
        page, headers = self.paged(asked, found)
        return self._barred(asked, "read") or ForgeAnswer(
            data=[self._pull(pull) for pull in page], headers=headers
        )

    def one_pull(self, asked: ForgeRequest) -> ForgeAnswer:
        barred = self._barred(asked, "read")
        if barred or asked.number not in self.pulls:
            return barred or self.refused(404)
        return ForgeAnswer(data=self._pull(self.pulls[asked.number]))

    def pull_of_commit(self, asked: ForgeRequest) -> ForgeAnswer:
        if barred := self._barred(asked, "read"):
            return barred
        for pull in self.pulls.values():
            if pull.state == "merged" and asked.match[1] == (
                pull.merge_commit or pull.squash_commit or pull.head
            ):
                return ForgeAnswer(data=self._pull(pull))
        return ForgeAnswer(
            status=404, data={"message": "pull request does not exist", "url": f"{self.url}/api/swagger"}
        )

    def list_comments(self, asked: ForgeRequest) -> ForgeAnswer:
        """All at once: this list has no pages. Version 1.26 fails where there is no pull request."""
        if barred := self._barred(asked, "read"):
            return barred
        if asked.number not in self.pulls:
            return ForgeAnswer(status=500, data={"message": "", "url": f"{self.url}/api/swagger"})
        return ForgeAnswer(data=[_comment(one) for one in self.comments_of(asked.number)])

    def create_comment(self, asked: ForgeRequest) -> ForgeAnswer:
        wrong = self._barred(asked, "comment") or self._wrong_body(asked)
        if wrong or asked.number not in self.pulls:
            return wrong or self.refused(404)
        return ForgeAnswer(
            status=201,
            data=_comment(self.found(self.comment(asked.number, asked.body["body"], self.me.login))),
        )

    def update_comment(self, asked: ForgeRequest) -> ForgeAnswer:
        wrong = self._barred(asked, "comment") or self._wrong_body(asked)
        if wrong or not any(one.id == asked.number for one in self.comments):
            return wrong or self.refused(404)
        self.edit(asked.number, asked.body["body"])
        return ForgeAnswer(data=_comment(self.found(asked.number)))

    def remove_comment(self, asked: ForgeRequest) -> ForgeAnswer:
        barred = self._barred(asked, "comment")
        if barred or not any(one.id == asked.number for one in self.comments):
            return barred or self.refused(404)
        self.delete(asked.number)
        return ForgeAnswer(status=204)

    def list_statuses(self, asked: ForgeRequest) -> ForgeAnswer:
        """All, the newest first."""
        found = [one for one in reversed(self.statuses) if one.commit == asked.match[1]]
        page, headers = self.paged(asked, found)
        return self._barred(asked, "read") or ForgeAnswer(
            data=[_status(one) for one in page], headers=headers
        )

    def create_status(self, asked: ForgeRequest) -> ForgeAnswer:
        """A commit that is not there is a failure of its own, as version 1.26 answers."""
        barred, body = self._barred(asked, "status"), asked.body
        if barred or asked.match[1] not in self.commits:
            return barred or ForgeAnswer(status=500, data={"message": "", "url": f"{self.url}/api/swagger"})
        if body.get("state") not in _STATES:
            return ForgeAnswer(
                status=422, data={"message": "[State]: unknown", "url": f"{self.url}/api/swagger"}
            )
        context = body.get("context") or "default"
        made = HostedStatus(
            self.next_id(),
            asked.match[1],
            context,
            body["state"],
            body.get("description", ""),
            body.get("target_url", ""),
        )
        self.statuses.append(made)
        return ForgeAnswer(status=201, data=_status(made))

    def _wrong_body(self, asked: ForgeRequest) -> ForgeAnswer | None:
        if not (asked.body or {}).get("body"):
            return ForgeAnswer(
                status=422, data={"message": "[Body]: Required", "url": f"{self.url}/api/swagger"}
            )
        return None

    def _pull(self, pull: HostedPull) -> dict[str, Any]:
        merged = pull.state == "merged"
        return {
            "id": 50_000 + pull.number,
            "number": pull.number,
            "title": pull.title,
            "html_url": f"{self.url}/{self.repository}/pulls/{pull.number}",
            "state": "open" if pull.state == "open" else "closed",
            "user": _person(pull.author),
            "head": {"sha": pull.head, "ref": "change", "repo_id": 2 if pull.fork else 1, "repo": None},
            "base": {"sha": "b" * 40, "ref": pull.base, "repo_id": 1, "repo": {"id": 1}},
            "merged": merged,
            "merge_commit_sha": (pull.merge_commit or pull.squash_commit or pull.head) if merged else None,
        }


def _person(person: Person) -> dict[str, Any]:
    return {"id": person.id, "login": person.login, "full_name": ""}


def _comment(one: HostedComment) -> dict[str, Any]:
    return {"id": one.id, "body": one.body, "user": _person(one.author), "created_at": "2026-01-02T03:04:05Z"}


def _status(one: HostedStatus) -> dict[str, Any]:
    return {
        "id": one.id,
        "status": one.state,
        "context": one.context,
        "description": one.text,
        "target_url": one.url,
    }
