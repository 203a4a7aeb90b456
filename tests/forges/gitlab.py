"""GitLab's REST API v4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from tests.forges.server import NOW, ForgeAnswer, ForgeRequest, ForgeServer
from tests.forges.state import HostedComment, HostedPull, HostedStatus, Person

MOST_CHARACTERS = 1_000_000
_PROJECT = r"/projects/([^/]+)"
_STATES = ("pending", "running", "success", "failed", "canceled", "skipped")
_EVENTS = {
    "pending": "enqueue",
    "running": "run",
    "success": "success",
    "failed": "drop",
    "canceled": "cancel",
    "skipped": "skip",
}


class GitLabServer(ForgeServer):
    """`strict`: one of the older ones, which refuse the state that a status has already."""

    kind = "gitlab"
    prefix = "/api/v4"
    routes: ClassVar = (
        ("GET", r"/user", "user"),
        ("GET", _PROJECT + r"/merge_requests", "list_merges"),
        ("GET", _PROJECT + r"/merge_requests/(\d+)", "one_merge"),
        ("GET", _PROJECT + r"/repository/commits/(\w+)/merge_requests", "merges_of_commit"),
        ("GET", _PROJECT + r"/repository/commits/(\w+)/statuses", "list_statuses"),
        ("POST", _PROJECT + r"/statuses/(\w+)", "create_status"),
        ("GET", _PROJECT + r"/merge_requests/(\d+)/notes", "list_notes"),
        ("POST", _PROJECT + r"/merge_requests/(\d+)/notes", "create_note"),
        ("PUT", _PROJECT + r"/merge_requests/(\d+)/notes/(\d+)", "update_note"),
        ("DELETE", _PROJECT + r"/merge_requests/(\d+)/notes/(\d+)", "remove_note"),
    )
    strict = True
    links = True
    """Whether pages lead on by Link headers as well as by X-Next-Page."""

    def __init__(self, repository: str = "shop/platform/policies", **more: Any) -> None:
        super().__init__(repository, **more)

    # -- the rules of the house --------------------------------------------------------------------------

    def authenticated(self, asked: ForgeRequest) -> bool:
        return (
            asked.headers.get("private-token") == self.token
            or asked.headers.get("authorization") == f"Bearer {self.token}"
        )

    def refused(self, status: int, what: str = "Project ") -> ForgeAnswer:
        words = {401: "401 Unauthorized", 403: "403 Forbidden", 404: f"404 {what}Not Found"}
        return ForgeAnswer(status=status, data={"message": words[status]})

    def limited(self) -> ForgeAnswer:
        headers = {"Retry-After": "7", "RateLimit-Remaining": "0", "RateLimit-Reset": str(NOW + 7)}
        return ForgeAnswer(status=429, data={"message": "Retry later"}, headers=headers)

    def leading_on(self, asked: ForgeRequest, page: int, pages: int) -> Mapping[str, str]:
        headers = {
            "X-Page": str(page),
            "X-Next-Page": str(page + 1) if page < pages else "",
            "X-Total-Pages": str(pages),
        }
        return {**headers, **(super().leading_on(asked, page, pages) if self.links else {})}

    def _barred(self, asked: ForgeRequest, right: str) -> ForgeAnswer | None:
        if asked.match[0] != quote(self.repository, safe="") or "read" not in self.rights:
            return self.refused(404)
        if right in self.rights:
            return None
        text = "The request requires higher privileges than provided by the access token."
        return ForgeAnswer(
            status=403, data={"error": "insufficient_scope", "error_description": text, "scope": "api"}
        )

    # -- endpoints ---------------------------------------------------------------------------------------

    def user(self, asked: ForgeRequest) -> ForgeAnswer:
        return ForgeAnswer(data=_person(self.me))

    def list_merges(self, asked: ForgeRequest) -> ForgeAnswer:
        state, target = asked.query.get("state", "all"), asked.query.get("target_branch")
        found = [
            pull
            for pull in self.pulls.values()
            if state in ("all", {"open": "opened"}.get(pull.state, pull.state))
            and target in (None, pull.base)
        ]
        if asked.query.get("sort", "desc") == "desc":
            found.reverse()
        page, headers = self.paged(asked, found, 20)
        return self._barred(asked, "read") or ForgeAnswer(
            data=[self._pull(pull) for pull in page], headers=headers
        )

    def one_merge(self, asked: ForgeRequest) -> ForgeAnswer:
        barred = self._barred(asked, "read")
        if barred or asked.number not in self.pulls:
            return barred or self.refused(404, "")
        return ForgeAnswer(data=self._pull(self.pulls[asked.number]))

    def merges_of_commit(self, asked: ForgeRequest) -> ForgeAnswer:
        barred = self._barred(asked, "read")
        if barred or asked.match[1] not in self.commits:
            return barred or self.refused(404, "Commit ")
        going_in = [
            pull for pull in self.pulls.values() if pull.state == "open" and asked.match[1] in pull.heads
        ]
        page, headers = self.paged(asked, [*going_in, *self.landed(asked.match[1])], 20)
        return ForgeAnswer(data=[self._pull(pull) for pull in page], headers=headers)

    def list_notes(self, asked: ForgeRequest) -> ForgeAnswer:
        if barred := self._barred(asked, "read"):
            return barred
        if asked.number not in self.pulls:
            return self.refused(404, "")
        found = self.comments_of(asked.number)
        if asked.query.get("sort", "desc") == "desc":
            found.reverse()
        page, headers = self.paged(asked, found, 20)
        return ForgeAnswer(data=[_note(one) for one in page], headers=headers)

    def create_note(self, asked: ForgeRequest) -> ForgeAnswer:
        wrong = self._barred(asked, "comment") or self._wrong_body(asked)
        if wrong or asked.number not in self.pulls:
            return wrong or self.refused(404, "")
        return ForgeAnswer(
            status=201, data=_note(self.found(self.comment(asked.number, asked.body["body"], self.me.login)))
        )

    def update_note(self, asked: ForgeRequest) -> ForgeAnswer:
        wrong = self._barred(asked, "comment") or self._wrong_body(asked)
        if wrong or not self._has_note(asked):
            return wrong or self.refused(404, "")
        if self.found(asked.number).author.id != self.me.id:
            return self.refused(403)
        self.edit(asked.number, asked.body["body"])
        return ForgeAnswer(data=_note(self.found(asked.number)))

    def remove_note(self, asked: ForgeRequest) -> ForgeAnswer:
        barred = self._barred(asked, "comment")
        if barred or not self._has_note(asked):
            return barred or self.refused(404, "Note ")
        self.delete(asked.number)
        return ForgeAnswer(status=204)

    def list_statuses(self, asked: ForgeRequest) -> ForgeAnswer:
        newest = {one.context: one for one in self.statuses if one.commit == asked.match[1]}
        page, headers = self.paged(asked, list(newest.values()), 20)
        return self._barred(asked, "read") or ForgeAnswer(
            data=[_status(one) for one in page], headers=headers
        )

    def create_status(self, asked: ForgeRequest) -> ForgeAnswer:
        barred, body = self._barred(asked, "status"), asked.body
        if barred or asked.match[1] not in self.commits:
            return barred or self.refused(404, "Commit ")
        if "ref" not in body and self._is_on_no_branch(asked.match[1]):
            return self.refused(404, "References for commit ")
        if body.get("state") not in _STATES:
            return ForgeAnswer(status=400, data={"error": "state does not have a valid value"})
        if len(body.get("description") or "") > 255:
            return ForgeAnswer(
                status=400, data={"message": {"description": ["is too long (maximum is 255 characters)"]}}
            )
        return self._transition(asked.match[1], body)

    def _is_on_no_branch(self, commit: str) -> bool:
        """The head of a fork's merge request is known by `refs/merge-requests` alone, and GitLab looks for
        branches.
        """
        return any(
            pull.fork and commit in pull.heads and pull.state != "merged" for pull in self.pulls.values()
        )

    def _transition(self, commit: str, body: Mapping[str, str]) -> ForgeAnswer:
        """A status that is under way changes; one that has ended is followed by another."""
        name, state = body.get("name", "default"), body["state"]
        going = [
            one
            for one in self.statuses
            if one.commit == commit and one.context == name and one.state in ("pending", "running")
        ]
        if not going:
            going = [HostedStatus(self.next_id(), commit, name, "created", "", "")]
            self.statuses += going
        status = going[-1]
        status.text, status.url = body.get("description", ""), body.get("target_url", "")
        if status.state == state and self.strict:
            event = _EVENTS[state]
            text = (
                f"Cannot transition status via :{event} from :{state} (Reason(s): Status cannot transition"
                f' via "{event}")'
            )
            return ForgeAnswer(status=400, data={"message": text})
        status.state = state
        return ForgeAnswer(status=201, data=_status(status))

    def _has_note(self, asked: ForgeRequest) -> bool:
        return any(one.id == asked.number and one.pull == int(asked.match[1]) for one in self.comments)

    def _wrong_body(self, asked: ForgeRequest) -> ForgeAnswer | None:
        text = (asked.body or {}).get("body")
        if text is None:
            return ForgeAnswer(status=400, data={"error": "body is missing"})
        if not text:
            return ForgeAnswer(
                status=400, data={"message": '400 Bad request - Note {:note=>["can\'t be blank"]}'}
            )
        if len(text) > MOST_CHARACTERS:
            return ForgeAnswer(
                status=400,
                data={
                    "message": (
                        '400 Bad request - Note {:note=>["is too long (maximum is 1000000 characters)"]}'
                    )
                },
            )
        return None

    def _pull(self, pull: HostedPull) -> dict[str, Any]:
        return {
            "id": 50_000 + pull.number,
            "iid": pull.number,
            "title": pull.title,
            "web_url": f"{self.url}/{self.repository}/-/merge_requests/{pull.number}",
            "state": {"open": "opened"}.get(pull.state, pull.state),
            "author": _person(pull.author),
            "sha": pull.head,
            "source_project_id": 2 if pull.fork else 1,
            "target_project_id": 1,
            "target_branch": pull.base,
            "merge_commit_sha": pull.merge_commit or None,
            "squash_commit_sha": pull.squash_commit or None,
        }


def _person(person: Person) -> dict[str, Any]:
    return {"id": person.id, "username": person.login, "name": person.login}


def _note(one: HostedComment) -> dict[str, Any]:
    return {
        "id": one.id,
        "body": one.body,
        "author": _person(one.author),
        "system": one.system,
        "noteable_type": "MergeRequest",
    }


def _status(one: HostedStatus) -> dict[str, Any]:
    return {
        "id": one.id,
        "status": one.state,
        "name": one.context,
        "description": one.text or None,
        "target_url": one.url or None,
    }
