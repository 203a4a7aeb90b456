"""One account's way to the lab's Gitea: its HTTP API, by a small client of the lab's own, so that tests do
not judge GitMesh by its own.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, urlencode

from tests.lab.apiclient import JSON, LabApiError, LabResponse
from tests.lab.process import LOOPBACK, wait_until

_SECONDS = 60.0
PULL_EVENTS = ("push", "pull_request", "pull_request_sync", "pull_request_comment")


@dataclass(frozen=True)
class Account:
    """Who acts. Without a token requests are made with the password."""

    name: str
    password: str
    token: str = ""


@dataclass(frozen=True)
class GiteaPull:
    """A pull request. `head` and `base` are the tips of its branches, `state` is open or closed, `merged` the
    commit of its merge or "".
    """

    number: int
    state: str
    head: str
    base: str
    url: str
    merged: str


@dataclass(frozen=True)
class GiteaComment:
    """One comment of a pull request."""

    id: int
    author: str
    body: str


@dataclass(frozen=True)
class GiteaStatus:
    """The newest status of a commit in one context."""

    context: str
    state: str
    text: str
    url: str
    author: str


class GiteaClient:
    """Requests as one account; a new connection for each. Repositories are named `owner/name`."""

    def __init__(self, port: int, account: Account) -> None:
        self._port = port
        self.account = account

    @property
    def name(self) -> str:
        """The account's name."""
        return self.account.name

    def request(self, method: str, path: str, body: Any = None) -> LabResponse:
        """Send one request to a path below /api/v1; any status is an answer."""
        headers = {"Accept": JSON, "Content-Type": JSON, "Authorization": self._authorization()}
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_SECONDS)
        try:
            connection.request(
                method, f"/api/v1{path}", body=None if body is None else json.dumps(body), headers=headers
            )
            answer = connection.getresponse()
            return LabResponse(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return its object; a refusal raises ApiError."""
        response = self.request(method, path, body)
        if not response.ok:
            raise LabApiError(method, path, response.status, response.message)
        return response.json() if response.body else None

    def new_token(self, scopes: Sequence[str]) -> str:
        """A new token of this account; Gitea wants its password for that."""
        form = {"name": f"token-{secrets.token_hex(4)}", "scopes": list(scopes)}
        return str(self.call("POST", f"/users/{self.name}/tokens", form)["sha1"])

    def web_session(self) -> dict[str, str]:
        """The cookies of a browser in which this account has logged in."""
        form = urlencode({"user_name": self.name, "password": self.account.password})
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_SECONDS)
        try:
            connection.request(
                "POST", "/user/login", form, {"Content-Type": "application/x-www-form-urlencoded"}
            )
            answer = connection.getresponse()
            if answer.status != 303:
                raise LabApiError(
                    "POST", "/user/login", answer.status, answer.read().decode(errors="replace")[:200]
                )
            cookies = SimpleCookie(
                "; ".join(one.partition(";")[0] for one in answer.headers.get_all("Set-Cookie", []))
            )
        finally:
            connection.close()
        return {name: morsel.value for name, morsel in cookies.items() if morsel.value}

    def _authorization(self) -> str:
        if self.account.token:
            return f"token {self.account.token}"
        return "Basic " + base64.b64encode(f"{self.account.name}:{self.account.password}".encode()).decode()

    # -- repositories -----------------------------------------------------------------------------------

    def create_repository(self, name: str = "", *, private: bool = False, readme: bool = False) -> str:
        """Make a repository without protected branches; empty, or with a first commit on `main`. Without a
        name one that no other has.
        """
        form = {
            "name": name or f"policies-{secrets.token_hex(4)}",
            "private": private,
            "auto_init": readme,
            "default_branch": "main",
        }
        return str(self.call("POST", "/user/repos", form)["full_name"])

    def fork(self, repository: str) -> str:
        """Make a fork of another's repository."""
        return str(self.call("POST", f"/repos/{repository}/forks", {})["full_name"])

    def add_collaborator(self, repository: str, who: str, permission: str = "write") -> None:
        """Let another account in: `read`, `write` or `admin`."""
        self.call("PUT", f"/repos/{repository}/collaborators/{quote(who)}", {"permission": permission})

    def clone_url(self, repository: str, *, credentials: bool = True) -> str:
        """Where Git finds a repository, with this account's login in it."""
        secret = quote(self.account.token or self.account.password, safe="")
        login = f"{quote(self.name, safe='')}:{secret}@" if credentials else ""
        return f"http://{login}{LOOPBACK}:{self._port}/{repository}.git"

    def write_file(
        self, repository: str, path: str, text: str, *, branch: str = "main", new_branch: str = ""
    ) -> str:
        """Commit one file to a branch, or to a new one that starts there; returns the commit."""
        at = f"/repos/{repository}/contents/{quote(path)}"
        there = self.request("GET", f"{at}?ref={quote(branch, safe='')}")
        form = {
            "content": base64.b64encode(text.encode()).decode(),
            "branch": branch,
            "message": f"Change {path}",
        }
        form |= {"new_branch": new_branch} if new_branch else {}
        form |= {"sha": there.json()["sha"]} if there.ok else {}
        return str(self.call("PUT" if there.ok else "POST", at, form)["commit"]["sha"])

    def wait_for_push(self, repository: str, branch: str, commit: str) -> None:
        """Wait until the API knows of a push: Gitea takes its branches, and that a repository is not empty,
        from a queue of its own.
        """

        def known() -> bool:
            found = self.request("GET", f"/repos/{repository}/branches/{quote(branch, safe='')}")
            return (
                found.ok
                and found.json()["commit"]["id"] == commit
                and not self.call("GET", f"/repos/{repository}")["empty"]
            )

        wait_until(known, f"{commit} on {branch} of {repository}", _SECONDS)

    def require_status(self, repository: str, context: str, branch: str = "main") -> None:
        """Protect a branch: nobody merges into it before this context's status is `success`."""
        form = {
            "rule_name": branch,
            "enable_push": True,
            "enable_status_check": True,
            "status_check_contexts": [context],
        }
        self.call("POST", f"/repos/{repository}/branch_protections", form)

    def add_hook(self, repository: str, url: str, secret: str, events: Sequence[str] = PULL_EVENTS) -> int:
        """Let Gitea tell a loopback URL of what happens, signed with the secret; returns the hook's id."""
        config = {"url": url, "content_type": "json", "secret": secret}
        form = {"type": "gitea", "config": config, "events": list(events), "active": True}
        return int(self.call("POST", f"/repos/{repository}/hooks", form)["id"])

    # -- pull requests ----------------------------------------------------------------------------------

    def open_pull(
        self, repository: str, head: str, *, base: str = "main", title: str = "A change", body: str = ""
    ) -> GiteaPull:
        """Open a pull request; `head` is a branch, or `owner:branch` of a fork."""
        form = {"head": head, "base": base, "title": title, "body": body}
        return _pull(self.call("POST", f"/repos/{repository}/pulls", form))

    def pull(self, repository: str, number: int) -> GiteaPull:
        """One pull request."""
        return _pull(self.call("GET", f"/repos/{repository}/pulls/{number}"))

    def set_pull_open(self, repository: str, number: int, *, is_open: bool) -> GiteaPull:
        """Close a pull request, or open it again."""
        return _pull(
            self.call(
                "PATCH", f"/repos/{repository}/pulls/{number}", {"state": "open" if is_open else "closed"}
            )
        )

    def approve(self, repository: str, number: int) -> None:
        """Approve a pull request of somebody else, as it is now."""
        self.call(
            "POST", f"/repos/{repository}/pulls/{number}/reviews", {"event": "APPROVED", "body": "Good."}
        )

    def merge_pull(self, repository: str, number: int, style: str = "merge") -> GiteaPull:
        """Merge it by `merge`, `rebase`, `rebase-merge`, `squash` or `fast-forward-only`, once Gitea has
        found that it has no conflicts.
        """
        path = f"/repos/{repository}/pulls/{number}"
        wait_until(
            lambda: bool(self.call("GET", path)["mergeable"]),
            f"{repository}#{number} without conflicts",
            _SECONDS,
        )
        self.call("POST", f"{path}/merge", {"Do": style})
        return self.pull(repository, number)

    # -- comments and statuses --------------------------------------------------------------------------

    def comments(self, repository: str, number: int) -> tuple[GiteaComment, ...]:
        """The comments of a pull request, oldest first."""
        found = self.call("GET", f"/repos/{repository}/issues/{number}/comments")
        return tuple(
            GiteaComment(int(one["id"]), str(one["user"]["login"]), str(one["body"])) for one in found
        )

    def comment(self, repository: str, number: int, body: str) -> GiteaComment:
        """Write a comment."""
        made = self.call("POST", f"/repos/{repository}/issues/{number}/comments", {"body": body})
        return GiteaComment(int(made["id"]), str(made["user"]["login"]), str(made["body"]))

    def edit_comment(self, repository: str, comment: int, body: str) -> None:
        """Replace the text of a comment, also of another's where this account may."""
        self.call("PATCH", f"/repos/{repository}/issues/comments/{comment}", {"body": body})

    def delete_comment(self, repository: str, comment: int) -> None:
        """Delete a comment, also another's where this account may."""
        self.call("DELETE", f"/repos/{repository}/issues/comments/{comment}")

    def set_status(
        self, repository: str, commit: str, context: str, state: str, text: str = "", url: str = ""
    ) -> None:
        """Set one context's status of a commit: pending, success, failure, error or warning."""
        form = {"context": context, "state": state, "description": text, "target_url": url}
        self.call("POST", f"/repos/{repository}/statuses/{commit}", form)

    def statuses(self, repository: str, commit: str) -> dict[str, GiteaStatus]:
        """The newest status of each context."""
        found = self.call("GET", f"/repos/{repository}/commits/{commit}/status")["statuses"] or []
        return {str(one["context"]): _status(one) for one in found}


def _pull(found: Mapping[str, Any]) -> GiteaPull:
    return GiteaPull(
        number=int(found["number"]),
        state=str(found["state"]),
        head=str(found["head"]["sha"]),
        base=str(found["base"]["sha"]),
        url=str(found["html_url"]),
        merged=str(found["merge_commit_sha"] or "") if found["merged"] else "",
    )


def _status(found: Mapping[str, Any]) -> GiteaStatus:
    return GiteaStatus(
        context=str(found["context"]),
        state=str(found["status"]),
        text=str(found["description"]),
        url=str(found["target_url"]),
        author=str((found["creator"] or {}).get("login", "")),
    )
