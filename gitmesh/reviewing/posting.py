"""The one comment of a pull request, and the status of a commit: found, kept up to date, never doubled.

A hidden marker says whose review a comment is, of which commit, and from when. Only comments that our own
account wrote are looked at: anybody can type a marker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

from msgspec import Struct

from gitmesh.errors import ForgeError
from gitmesh.model.forge import Comment, CommitState, CommitStatus
from gitmesh.ports import Forge

T = TypeVar("T")

TRIES = 6
"""No adapter writes a new comment again by itself: where three of ten calls end badly, six tries leave one of
a thousand unwritten.
"""
AHEAD = 3600
"""Seconds by which another machine's clock may be before ours; a marker from further on was written by a
clock that is wrong.
"""
_MARKER = re.compile(r"<!-- gitmesh:review key=([a-z0-9-]+) head=([0-9a-f]{7,64}) at=([0-9]{1,12}) -->\n")
MARKER_ROOM = 200
"""Characters that a marker may take of a comment."""
OUTCOME_ROOM = 4_000
"""Characters that are kept free of a comment, for what becomes of the commit after the merge."""
_OUTCOME = re.compile(r"^<!-- gitmesh:outcome commit=([0-9a-f]{7,64}) final=(yes|no) -->\n", re.MULTILINE)
"""At the beginning of a line: there nothing of a review is anybody's but ours."""


class ReviewComment(Struct, frozen=True, kw_only=True):
    """What is to be posted: the review of commit `head` by the instance `key`, begun `at` seconds since the
    epoch.
    """

    key: str
    head: str
    at: int
    body: str

    @property
    def text(self) -> str:
        """The body with its marker."""
        return f"<!-- gitmesh:review key={self.key} head={self.head} at={self.at} -->\n{self.body}"


class MarkedComment(Struct, frozen=True, kw_only=True):
    """A comment that carries a marker of ours."""

    id: int
    head: str
    at: int
    body: str


class Posted(StrEnum):
    """What became of a comment."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    NEWER = "left: a newer review is there"
    STALE = "left: the pull request is closed, or has a newer head"
    ABSENT = "left: there is no review of ours"
    FULL = "left: somebody made the comment so long that nothing more fits"


class Epilogue(Struct, frozen=True, kw_only=True):
    """What stands below a review after the merge: what became of `commit`. `final`: it is the last word."""

    commit: str
    final: bool
    text: str

    def below(self, review: str) -> str:
        """The review with it."""
        return (
            f"{review.rstrip()}\n\n<!-- gitmesh:outcome commit={self.commit}"
            f" final={'yes' if self.final else 'no'} -->\n\n{self.text}"
        )


def post(forge: Forge, number: int, review: ReviewComment) -> Posted:
    """Make the pull request show the review, in one comment. Raises ForgeError where the forge does not let
    it, tried several times.

    After a new comment all are listed again: of two reviews that began at once the comment with the lowest id
    stays, with the newer text. No forge changes a comment only if nobody else did: of two that change it in
    the same moment the later write is what stays.
    """
    return repeated(lambda: _posted(forge, number, review))


def repeated(work: Callable[[], T]) -> T:
    """Do it again after a failure that may pass; what was done already is then found by listing. Raises
    ForgeError.
    """
    for _ in range(TRIES - 1):
        try:
            return work()
        except ForgeError as error:
            if not error.retryable:
                raise
    return work()


def _posted(forge: Forge, number: int, review: ReviewComment) -> Posted:
    found = marked(forge.comments(number), review.key)
    if found:
        return _settled(forge, number, review, found)
    return _created(forge, number, review)


def _created(forge: Forge, number: int, review: ReviewComment) -> Posted:
    forge.add_comment(number, review.text)
    # Listed again: another instance, or a first try whose answer was lost, may have written one meanwhile.
    found = marked(forge.comments(number), review.key)
    done = _settled(forge, number, review, found) if found else Posted.CREATED
    return Posted.CREATED if done is Posted.UNCHANGED else done


def _settled(forge: Forge, number: int, review: ReviewComment, found: Sequence[MarkedComment]) -> Posted:
    """Exactly one, with the newest text in it."""
    first, *others = found
    newest = max(
        # A marker from the far future would be the newest for ever, and no review be shown any more.
        (one for one in found if one.at <= review.at + AHEAD),
        key=lambda one: (one.at, one.id),
        default=first,
    )
    newer = review.at < newest.at <= review.at + AHEAD
    meant = (
        ReviewComment(key=review.key, head=newest.head, at=newest.at, body=newest.body) if newer else review
    )
    if first.body.rstrip() == meant.body.rstrip():  # forges trim what ends a comment
        done = Posted.UNCHANGED
    elif _edited(forge, number, first.id, meant):
        done = Posted.UPDATED
    else:
        return _created(forge, number, meant)
    # After the text is in place: were they deleted first, a failure between would leave no review at all.
    for one in others:
        forge.delete_comment(number, one.id)
    return Posted.NEWER if newer else done


def _edited(forge: Forge, number: int, comment: int, review: ReviewComment) -> bool:
    """Replace the comment's text; False where somebody deleted it meanwhile."""
    try:
        forge.edit_comment(number, comment, review.text)
    except ForgeError as error:
        # A refusal may be a missing right as well: only where the comment is gone another is made.
        if not error.refused or any(one.id == comment for one in forge.comments(number)):
            raise
        return False
    return True


def append(forge: Forge, number: int, key: str, epilogue: Epilogue) -> Posted:
    """Write what became of a pull request below its review, which stays as it is. The last word on a commit
    is never said again. Raises ForgeError as `post`."""
    return repeated(lambda: _appended(forge, number, key, epilogue))


def _appended(forge: Forge, number: int, key: str, epilogue: Epilogue) -> Posted:
    found = marked(forge.comments(number), key)
    if not found:
        return Posted.ABSENT
    one = found[0]
    there = _OUTCOME.search(one.body)
    body = epilogue.below(one.body[: there.start()] if there else one.body)
    is_said = there is not None and there[1] == epilogue.commit and there[2] == "yes"
    if is_said or one.body.rstrip() == body.rstrip():
        return Posted.UNCHANGED
    text = ReviewComment(key=key, head=one.head, at=one.at, body=body).text
    if len(text) > forge.comment_limit:
        return Posted.FULL
    forge.edit_comment(number, one.id, text)
    return Posted.UPDATED


def marked(comments: tuple[Comment, ...], key: str) -> list[MarkedComment]:
    """Our own comments with a marker of this instance, oldest first."""
    # Only our account's: a marker is text that anybody can copy into a comment of their own.
    found = (
        (one, _MARKER.match(one.body.replace("\r\n", "\n")))
        for one in sorted(comments, key=lambda one: one.id)
        if one.own
    )
    return [
        MarkedComment(
            id=one.id, head=match[2], at=int(match[3]), body=one.body.replace("\r\n", "\n")[match.end() :]
        )
        for one, match in found
        if match and match[1] == key
    ]


def set_status(forge: Forge, commit: str, status: CommitStatus) -> bool:
    """Set a commit's status unless it says so already; whether it was set. Raises ForgeError as `post`."""
    return bool(set_statuses(forge, commit, (status,)))


def set_statuses(forge: Forge, commit: str, statuses: Sequence[CommitStatus]) -> tuple[CommitStatus, ...]:
    """Set those statuses of a commit that do not say so already, and return them. Raises ForgeError as
    `post`.
    """
    done: dict[str, CommitStatus] = {}

    def work() -> None:
        known = {one.context: one for one in forge.statuses(commit)}
        for status in statuses:
            # A forge keeps each status that is set, and GitHub only so many of a commit: what is said
            # already is not said again.
            there = known.get(status.context)
            if there is None or (there.state, there.text, there.url) != (
                status.state,
                status.text,
                status.url,
            ):
                forge.set_status(commit, status)
                done[status.context] = status

    repeated(work)
    return tuple(done.values())


def settle_superseded(forge: Forge, former: str, head: str, context: str, what: str = "reviewed") -> bool:
    """End the status of a commit that waits to be reviewed, or whatever `what` is, and never will be, as a
    newer one took its place. Raises ForgeError."""
    if former == head or not any(
        one.context == context and one.state is CommitState.PENDING for one in forge.statuses(former)
    ):
        return False
    text = f"superseded by {head[:12]} before it was {what}"
    return set_status(forge, former, CommitStatus(context=context, state=CommitState.ERROR, text=text))
