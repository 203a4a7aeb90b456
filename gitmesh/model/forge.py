"""What a forge (Gitea, GitHub, GitLab) holds of a repository: pull requests, their comments, and the statuses
of commits.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class PullState(StrEnum):
    """Whether a pull request can still change."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


class PullRequest(Struct, frozen=True, kw_only=True):
    """A pull request (GitLab: a merge request), as the forge describes it: all of it is somebody's input.

    `head` is the full id of the newest commit under review, `head_ref` the ref of the *target* repository by
    which it can be fetched (`refs/pull/7/head`, `refs/merge-requests/7/head`), also where it comes from a
    fork; `base` is the branch that it is to go into. `merged` is the commit by which it went in, "" where it
    did not, or the forge does not say.
    """

    number: int
    title: str
    url: str
    author: str
    head: str
    head_ref: str
    base: str
    state: PullState
    fork: bool = False
    merged: str = ""


class Comment(Struct, frozen=True, kw_only=True):
    """One comment on a pull request. `id` grows with time; `own`: our own account wrote it, so that its
    marker is ours.
    """

    id: int
    body: str
    own: bool


class CommitState(StrEnum):
    """What a commit status says: `failure` is the policies' fault, `error` ours or the world's."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


class CommitStatus(Struct, frozen=True, kw_only=True):
    """The newest status of a commit in one context (`gitmesh/review`, `gitmesh/east`). `text` is cut to what
    the forge takes.
    """

    context: str
    state: CommitState
    text: str
    url: str = ""
