"""What a forge holds of one repository, whatever its API, and what people do there."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class Person:
    """An account. `bot` is one that no person logs in to."""

    id: int
    login: str
    bot: bool = False


@dataclass
class HostedPull:
    """A pull request. `heads` are all the commits that were ever its newest."""

    number: int
    title: str
    author: Person
    heads: list[str]
    base: str
    fork: bool
    state: str = "open"
    merge_commit: str = ""
    squash_commit: str = ""

    @property
    def head(self) -> str:
        """The newest commit."""
        return self.heads[-1]


@dataclass
class HostedComment:
    """A comment; `system`: the forge itself noted an event."""

    id: int
    pull: int
    author: Person
    body: str
    system: bool = False


@dataclass
class HostedStatus:
    """A commit status, its state in the forge's own words."""

    id: int
    commit: str
    context: str
    state: str
    text: str
    url: str


@dataclass
class Hosted:
    """A repository. All methods are what people do; `lock` is held by the server while it answers."""

    me: Person = field(default_factory=lambda: Person(7, "gitmesh-bot"))
    branch: str = "main"
    pulls: dict[int, HostedPull] = field(default_factory=dict)
    comments: list[HostedComment] = field(default_factory=list)
    statuses: list[HostedStatus] = field(default_factory=list)
    commits: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)
    last_id: int = 1000

    def next_id(self) -> int:
        """Ids grow, over everything."""
        self.last_id += 1
        return self.last_id

    def person(self, login: str) -> Person:
        """An account of this name; always the same id for the same name."""
        return self.me if login == self.me.login else Person(100 + sum(login.encode()), login)

    def open_pull(
        self,
        head: str,
        *,
        base: str = "",
        title: str = "A change of policies",
        author: str = "alice",
        fork: bool = False,
    ) -> int:
        """Open a pull request; its number."""
        with self.lock:
            number = len(self.pulls) + 1
            self.pulls[number] = HostedPull(
                number, title, self.person(author), [head], base or self.branch, fork
            )
            self.commits.add(head)
            return number

    def push(self, number: int, head: str) -> None:
        """A new newest commit, also by force."""
        with self.lock:
            self.pulls[number].heads.append(head)
            self.commits.add(head)

    def merge(self, number: int, commit: str = "", squash: str = "") -> None:
        """Merge by a merge commit, by a squashed one, or with neither by fast-forward."""
        with self.lock:
            pull = self.pulls[number]
            pull.state, pull.merge_commit, pull.squash_commit = "merged", commit, squash
            self.commits |= {one for one in (commit, squash) if one}

    def close(self, number: int) -> None:
        """Close without a merge."""
        with self.lock:
            self.pulls[number].state = "closed"

    def comment(self, number: int, body: str, author: str = "alice", *, system: bool = False) -> int:
        """Somebody comments; the comment's id."""
        with self.lock:
            made = HostedComment(self.next_id(), number, self.person(author), body, system)
            self.comments.append(made)
            return made.id

    def edit(self, comment: int, body: str) -> None:
        """Somebody edits a comment, perhaps one of ours."""
        with self.lock:
            self.found(comment).body = body

    def delete(self, comment: int) -> None:
        """Somebody deletes a comment, perhaps one of ours."""
        with self.lock:
            self.comments.remove(self.found(comment))

    def found(self, comment: int) -> HostedComment:
        """The comment of this id."""
        return next(one for one in self.comments if one.id == comment)

    def comments_of(self, number: int) -> list[HostedComment]:
        """All of a pull request, oldest first."""
        return [one for one in self.comments if one.pull == number]

    def own_comments(self, number: int) -> list[str]:
        """The bodies of what our account wrote, oldest first."""
        with self.lock:
            return [
                one.body for one in self.comments_of(number) if one.author.id == self.me.id and not one.system
            ]

    def newest_statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        """Context -> (state in the forge's words, text)."""
        with self.lock:
            return {one.context: (one.state, one.text) for one in self.statuses if one.commit == commit}

    def landed(self, commit: str) -> list[HostedPull]:
        """The pull requests that this commit is of, or that it merged."""
        return [
            pull
            for pull in self.pulls.values()
            if commit in (*pull.heads, pull.merge_commit, pull.squash_commit)
        ]
