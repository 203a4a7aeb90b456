"""GitHub's REST API (version 2022-11-28), as a GitHub Enterprise: below /api/v3, with GraphQL at
/api/graphql.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.forges.server import NOW, ForgeAnswer, ForgeRequest, ForgeServer
from tests.forges.state import HostedComment, HostedPull, HostedStatus, Person

DOCUMENTS = "https://docs.github.com/rest"
MOST_CHARACTERS = 65_536
_STATES = ("error", "failure", "pending", "success")


class GitHubServer(ForgeServer):
    """`integration`: the token is that of Actions or of an App, which is no user to REST."""

    kind = "github"
    prefix = "/api"
    routes: ClassVar = (
        ("GET", r"/v3/user", "user"),
        ("POST", r"/graphql", "graphql"),
        ("GET", r"/v3/repos/([^/]+/[^/]+)/pulls", "list_pulls"),
        ("GET", r"/v3/repos/([^/]+/[^/]+)/pulls/(\d+)", "one_pull"),
        ("GET", r"/v3/repos/([^/]+/[^/]+)/commits/(\w+)/pulls", "pulls_of_commit"),
        ("GET", r"/v3/repos/([^/]+/[^/]+)/commits/(\w+)/status", "combined"),
        ("GET", r"/v3/repos/([^/]+/[^/]+)/issues/(\d+)/comments", "list_comments"),
        ("POST", r"/v3/repos/([^/]+/[^/]+)/issues/(\d+)/comments", "create_comment"),
        ("PATCH", r"/v3/repos/([^/]+/[^/]+)/issues/comments/(\d+)", "update_comment"),
        ("DELETE", r"/v3/repos/([^/]+/[^/]+)/issues/comments/(\d+)", "remove_comment"),
        ("POST", r"/v3/repos/([^/]+/[^/]+)/statuses/(\w+)", "create_status"),
    )

    integration = False

    def become_actions(self) -> None:
        """The token is Actions' from now on."""
        self.integration = True
        self.me = Person(41_898_282, "github-actions[bot]", bot=True)

    # -- the rules of the house --------------------------------------------------------------------------

    def authenticated(self, asked: ForgeRequest) -> bool:
        return asked.headers.get("authorization") in (f"Bearer {self.token}", f"token {self.token}")

    def refused(self, status: int) -> ForgeAnswer:
        words = {401: "Bad credentials", 403: "Resource not accessible by integration", 404: "Not Found"}
        return ForgeAnswer(
            status=status,
            data={"message": words[status], "documentation_url": DOCUMENTS, "status": str(status)},
        )

    def limited(self) -> ForgeAnswer:
        data = {"message": "API rate limit exceeded for user ID 7.", "documentation_url": DOCUMENTS}
        return ForgeAnswer(status=403, data=data, headers=self.common())

    def secondary(self, after: int | None = 60) -> ForgeAnswer:
        """The limit on doing too much at once."""
        data = {
            "message": (
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            )
        }
        return ForgeAnswer(
            status=403, data=data, headers={} if after is None else {"Retry-After": str(after)}
        )

    def common(self) -> Mapping[str, str]:
        left = 5000 if self.budget is None else self.budget
        return {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": str(NOW + 7),
        }

    def _routed(self, asked: ForgeRequest) -> ForgeAnswer:
        if "user-agent" not in asked.headers:
            return ForgeAnswer(status=403, data={"message": "Request forbidden by administrative rules."})
        return super()._routed(asked)

    def _barred(self, asked: ForgeRequest, right: str) -> ForgeAnswer | None:
        if asked.match[0] != self.repository or "read" not in self.rights:
            return self.refused(404)
        return None if right in self.rights else self.refused(403)

    # -- endpoints ---------------------------------------------------------------------------------------

    def user(self, asked: ForgeRequest) -> ForgeAnswer:
        return self.refused(403) if self.integration else ForgeAnswer(data=_person(self.me))

    def graphql(self, asked: ForgeRequest) -> ForgeAnswer:
        if "viewer" not in asked.body["query"]:
            return ForgeAnswer(data={"errors": [{"message": "Parse error"}]})
        return ForgeAnswer(data={"data": {"viewer": {"login": self.me.login}}})

    def list_pulls(self, asked: ForgeRequest) -> ForgeAnswer:
        state, base = asked.query.get("state", "open"), asked.query.get("base")
        found = [
            pull
            for pull in self.pulls.values()
            if (state == "all" or (pull.state == "open") == (state == "open")) and base in (None, pull.base)
        ]
        if asked.query.get("direction", "desc") == "desc":
            found.reverse()
        page, headers = self.paged(asked, found)
        return self._barred(asked, "read") or ForgeAnswer(
            data=[self._pull(pull) for pull in page], headers=headers
        )

    def one_pull(self, asked: ForgeRequest) -> ForgeAnswer:
        barred = self._barred(asked, "read")
        if barred or asked.number not in self.pulls:
            return barred or self.refused(404)
        return ForgeAnswer(
            data={
                **self._pull(self.pulls[asked.number]),
                "merged": self.pulls[asked.number].state == "merged",
            }
        )

    def pulls_of_commit(self, asked: ForgeRequest) -> ForgeAnswer:
        if barred := self._barred(asked, "read"):
            return barred
        if asked.match[1] not in self.commits:
            return ForgeAnswer(
                status=422,
                data={
                    "message": f"No commit found for SHA: {asked.match[1]}",
                    "documentation_url": DOCUMENTS,
                },
            )
        page, headers = self.paged(asked, self.landed(asked.match[1]))
        return ForgeAnswer(data=[self._pull(pull) for pull in page], headers=headers)

    def list_comments(self, asked: ForgeRequest) -> ForgeAnswer:
        if barred := self._barred(asked, "read"):
            return barred
        if asked.number not in self.pulls:
            return self.refused(404)
        page, headers = self.paged(asked, self.comments_of(asked.number))
        return ForgeAnswer(data=[_comment(one) for one in page], headers=headers)

    def create_comment(self, asked: ForgeRequest) -> ForgeAnswer:
        wrong = self._barred(asked, "comment") or self._wrong_body(asked)
        if wrong or asked.number not in self.pulls:
            return wrong or self.refused(404)
        made = self.found(self.comment(asked.number, asked.body["body"], self.me.login))
        return ForgeAnswer(status=201, data=_comment(made))

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

    def combined(self, asked: ForgeRequest) -> ForgeAnswer:
        if barred := self._barred(asked, "read"):
            return barred
        newest = {one.context: one for one in self.statuses if one.commit == asked.match[1]}
        page, headers = self.paged(asked, list(newest.values()))
        data = {
            "state": "pending",
            "sha": asked.match[1],
            "total_count": len(newest),
            "statuses": [_status(one) for one in page],
        }
        return ForgeAnswer(data=data, headers=headers)

    def create_status(self, asked: ForgeRequest) -> ForgeAnswer:
        commit, body = asked.match[1], asked.body
        if barred := self._barred(asked, "status"):
            return barred
        if commit not in self.commits:
            return ForgeAnswer(
                status=422,
                data={"message": f"No commit found for SHA: {commit}", "documentation_url": DOCUMENTS},
            )
        context = body.get("context", "default")
        if body.get("state") not in _STATES:
            return _invalid("Status", "state", "state is not included in the list")
        if len(body.get("description") or "") > 140:
            return _invalid("Status", "description", "description is too long (maximum is 140 characters)")
        if sum(one.commit == commit and one.context == context for one in self.statuses) >= 1000:
            return _invalid(
                "Status", "context", "This SHA and context has reached the maximum number of statuses."
            )
        text, url = body.get("description") or "", body.get("target_url") or ""
        made = HostedStatus(self.next_id(), commit, context, body["state"], text, url)
        self.statuses.append(made)
        return ForgeAnswer(status=201, data=_status(made))

    def _wrong_body(self, asked: ForgeRequest) -> ForgeAnswer | None:
        text = (asked.body or {}).get("body")
        if not text:
            return _invalid("IssueComment", "body", "body cannot be blank")
        if len(text) > MOST_CHARACTERS:
            return _invalid(
                "IssueComment", "data", f"Body is too long (maximum is {MOST_CHARACTERS} characters)"
            )
        return None

    def _pull(self, pull: HostedPull) -> dict[str, Any]:
        merged = pull.merge_commit or pull.squash_commit or pull.head
        return {
            "id": 50_000 + pull.number,
            "number": pull.number,
            "title": pull.title,
            "html_url": f"{self.url}/{self.repository}/pull/{pull.number}",
            "state": "open" if pull.state == "open" else "closed",
            "user": _person(pull.author),
            "head": {"sha": pull.head, "ref": "change", "repo": {"id": 2 if pull.fork else 1}},
            "base": {"sha": "b" * 40, "ref": pull.base, "repo": {"id": 1}},
            "merged_at": "2026-01-02T03:04:05Z" if pull.state == "merged" else None,
            "merge_commit_sha": merged if pull.state == "merged" else "e" * 40,
        }


def _invalid(resource: str, field: str, message: str) -> ForgeAnswer:
    errors = [{"resource": resource, "code": "custom", "field": field, "message": message}]
    return ForgeAnswer(
        status=422,
        data={
            "message": "Validation Failed",
            "errors": errors,
            "documentation_url": DOCUMENTS,
            "status": "422",
        },
    )


def _person(person: Person) -> dict[str, Any]:
    return {"login": person.login, "id": person.id, "type": "Bot" if person.bot else "User"}


def _comment(one: HostedComment) -> dict[str, Any]:
    return {"id": one.id, "body": one.body, "user": _person(one.author), "created_at": "2026-01-02T03:04:05Z"}


def _status(one: HostedStatus) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": one.state,
        "context": one.context,
        "description": one.text or None,
        "target_url": one.url or None,
    }
