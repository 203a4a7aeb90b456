"""A comparison brought to its pull request: one comment, and one status of its head."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct

from gitmesh.errors import ForgeError
from gitmesh.model.comparison import Comparison
from gitmesh.model.forge import CommitState, CommitStatus, PullRequest, PullState
from gitmesh.model.report import Report
from gitmesh.ports import Forge
from gitmesh.render.comment import comparison_markdown, status_text
from gitmesh.reviewing.posting import (
    MARKER_ROOM,
    OUTCOME_ROOM,
    Posted,
    ReviewComment,
    marked,
    post,
    repeated,
    set_status,
    settle_superseded,
)

_PUBLIC = "default"


class Publication(Struct, frozen=True, kw_only=True):
    """What is to be said of a pull request. `at` is when the review began, in seconds since the epoch;
    `whole` says where all of it stands; `url` is where that can be opened ("" = nowhere)."""

    comparison: Comparison
    instance: str
    head: str
    at: int
    whole: str
    url: str = ""
    drift: Report | None = None


def context_of(instance: str, what: str) -> str:
    """The context of a commit status: `gitmesh/review`, `gitmesh/shop/east`."""
    return f"gitmesh/{what}" if instance == _PUBLIC else f"gitmesh/{instance}/{what}"


def comment_of(publication: Publication, limit: int) -> str:
    """The comment, without its marker, of as many characters as the forge takes with it and with what is said
    after the merge.
    """
    room = limit - MARKER_ROOM - OUTCOME_ROOM
    return comparison_markdown(
        publication.comparison, limit=room, whole=publication.whole, drift=publication.drift
    )


def status_of(publication: Publication) -> CommitStatus:
    """Failure is for errors of the policies, error for what could not be told; what is as before is nobody's
    fault here.
    """
    found = publication.comparison
    state = CommitState.SUCCESS
    if any(one.unknown for one in found.clusters.values()):
        state = CommitState.ERROR
    # Failure counts before error: errors of the policies are the author's to mend, whatever else is unknown.
    if any(one.is_error for one in found.appeared) or not found.clusters:
        state = CommitState.FAILURE
    return CommitStatus(
        context=context_of(publication.instance, "review"),
        state=state,
        text=status_text(found),
        url=publication.url,
    )


def begin(forge: Forge, pull: PullRequest, instance: str, head: str) -> None:
    """Say that the head is being reviewed, and end the waiting status of the head that was announced before.
    Of a pull request that is closed, or has another head, nothing is announced. What keeps no review back is
    said by `publish` after it: a right that is lacking, and that its comments cannot be listed, as somebody
    wrote too many. Raises ForgeError for what may pass.
    """
    if pull.state is not PullState.OPEN or pull.head != head:
        return
    context = context_of(instance, "review")
    try:
        repeated(lambda: _announce(forge, head, context))
    except ForgeError as error:
        if error.retryable:
            raise
    with suppress(ForgeError):
        repeated(lambda: _settle_former(forge, pull.number, instance, head))


def _announce(forge: Forge, head: str, context: str) -> None:
    known = next((one for one in forge.statuses(head) if one.context == context), None)
    if known is None:  # a review that is repeated does not take back what the last one said
        set_status(
            forge, head, CommitStatus(context=context, state=CommitState.PENDING, text="being reviewed")
        )


def _settle_former(forge: Forge, number: int, instance: str, head: str) -> None:
    for former in marked(forge.comments(number), instance):
        settle_superseded(forge, former.head, head, context_of(instance, "review"))


def publish(forge: Forge, pull: PullRequest, publication: Publication) -> Posted:
    """Comment and status; the status alone where the pull request was closed, or has another head by now. A
    comment that fails keeps no status back. Raises ForgeError.
    """
    status = status_of(publication)
    try:
        posted = _commented(forge, pull.number, publication)
    except ForgeError:
        # What is raised is why the comment failed, and not what may go wrong with the status after it.
        with suppress(ForgeError):
            set_status(forge, publication.head, status)
        raise
    try:
        set_status(forge, publication.head, status)
    except ForgeError:
        if (
            posted is not Posted.STALE
        ):  # else nobody waits for it, and the forge may not have the commit at all
            raise
    return posted


def _commented(forge: Forge, number: int, publication: Publication) -> Posted:
    # Asked for once more: it may have been closed, or pushed to, while it was being reviewed.
    now = repeated(lambda: forge.pull(number))
    if now.state is not PullState.OPEN or now.head != publication.head:
        return Posted.STALE
    body = comment_of(publication, forge.comment_limit)
    return post(
        forge,
        number,
        ReviewComment(key=publication.instance, head=publication.head, at=publication.at, body=body),
    )


def find_pull(forge: Forge, number: int | None, branch: str, head: str) -> PullRequest | None:
    """The pull request of that number, or without one the open one into the branch whose newest commit is
    `head`; None where there is none, any more or yet. Raises ForgeError."""
    if number is not None:
        return repeated(lambda: forge.pull(number))
    return next((one for one in repeated(lambda: forge.pulls(branch)) if one.head == head), None)
