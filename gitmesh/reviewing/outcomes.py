"""What became of a commit in each cluster, told from a report: as statuses of the commit, and as lines below
its review.

No text holds a time or anything else that differs from cycle to cycle while the same is true, so that nothing
is told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.forge import CommitState, CommitStatus
from gitmesh.model.report import ClusterResult, Report, SourceResult, State, Verdict, verdict_counts
from gitmesh.render.escape import markdown, printable
from gitmesh.render.values import counted, listed, shortened
from gitmesh.reviewing.publishing import context_of
from gitmesh.status.bearing import state_of
from gitmesh.status.states import standing_changes

_REASON = 300
"""Characters of a reason; forges cut the text of a status further."""
_UNSAID = "the findings on the status branch say why"
_REFUSAL = "GM605"
"""That a revision is refused: the other errors say why."""
_FINAL = frozenset({CommitState.SUCCESS, CommitState.FAILURE})


class Fate(Struct, frozen=True, kw_only=True):
    """What became of a commit in one cluster. `text` is one line of untrusted words; it stays the same while
    the same holds.
    """

    cluster: str
    state: CommitState
    text: str

    @property
    def is_final(self) -> bool:
        """Whether it stays so until somebody does something: applied, or held for errors of the policies."""
        return self.state in _FINAL


def fates(report: Report) -> tuple[Fate, ...]:
    """The fates of the commit in force, by cluster."""
    refused = {source.name for source in report.sources.values() if source.refused}
    said = [
        one for one in report.diagnostics if one.cluster or one.at is None or one.at.source not in refused
    ]  # not of what is in force
    return tuple(_fate(result, _said_of(name, said)) for name, result in sorted(report.clusters.items()))


def refusals(report: Report, source: SourceResult) -> tuple[Fate, ...]:
    """The fates of a tip that was read and is not in force; none where the tip is in force."""
    if not source.refused or source.unavailable or source.seen == source.accepted:
        return ()
    said = [
        one
        for one in report.diagnostics
        if one.is_error and not one.cluster and one.at and one.at.source == source.name
    ]
    errors = [one for one in said if one.code != _REFUSAL] or said
    more = f" (and {counted(len(errors) - 1, 'more error')})" if len(errors) > 1 else ""
    text = f"refused: {_words(errors)}{more}"
    return tuple(Fate(cluster=name, state=CommitState.FAILURE, text=text) for name in sorted(report.clusters))


def outcome_statuses(report: Report, name: str) -> Mapping[tuple[str, str], CommitStatus]:
    """(commit, context) -> status: of the commit of the source that is in force, and of a tip that is
    refused.
    """
    source = report.sources.get(name)
    if source is None:
        return {}
    told = [(source.accepted, fate) for fate in fates(report)] if source.accepted else []
    told += [(source.seen, fate) for fate in refusals(report, source)]
    contexts = [(commit, context_of(report.instance, fate.cluster), fate) for commit, fate in told]
    return {
        (commit, context): CommitStatus(context=context, state=fate.state, text=fate.text)
        for commit, context, fate in contexts
    }


def outcome_markdown(commit: str, told: Sequence[Fate], *, limit: int, minutes: int = 0) -> str:
    """The lines below a review, of at most `limit` characters; clusters of which the same is said share one.
    `minutes`: for so long what is not final has been waited for."""
    same: dict[tuple[CommitState, str], list[str]] = {}
    for fate in told:
        note = (
            f" (still so {minutes} minutes after it came into force)" if minutes and not fate.is_final else ""
        )
        same.setdefault((fate.state, f"{fate.text}{note}"), []).append(fate.cluster)
    head = f"---\n**After the merge**, commit {commit[:12]}:\n\n"
    rows = [f"- **{markdown(listed(names, 8))}**: {markdown(text)}\n" for (_, text), names in same.items()]
    return head + _within(rows, limit - len(head))


def superseded_markdown(commit: str, by: str) -> str:
    """The line below a review where the next commit came before the last word on this one."""
    return (
        f"---\n**After the merge**, commit {commit[:12]}: {by[:12]} came into force before it was applied"
        " everywhere.\n"
    )


def _within(rows: Sequence[str], room: int) -> str:
    """Whole rows, and how many are left out."""
    kept, rest = "", f"- and {len(rows)} rows more\n"
    for number, row in enumerate(rows):
        if len(kept) + len(row) > room - len(rest):
            return f"{kept}- and {counted(len(rows) - number, 'more row')}\n"
        kept += row
    return kept


def _fate(result: ClusterResult, said: Sequence[Diagnostic]) -> Fate:
    state, text = _told(result, said)
    return Fate(cluster=result.name, state=state, text=text)


def _told(result: ClusterResult, said: Sequence[Diagnostic]) -> tuple[CommitState, str]:
    errors = [one for one in said if one.is_error]
    match result.state:
        case State.UNREACHABLE:
            return CommitState.ERROR, f"not known: {_words(errors, 'the cluster did not answer')}"
        case State.FAILED:
            return (
                CommitState.ERROR,
                f"failed: {_words([one for one in errors if state_of(one) is State.FAILED] or errors)}",
            )
        case State.HELD | State.INVALID:
            return _held(said)
    if result.observe_only:
        differing = len({change.key for change in result.plan.writes}) if result.plan else 0
        return (
            CommitState.SUCCESS,
            f"only observed: {counted(differing, 'object') if differing else 'nothing'} would be written",
        )
    if result.state is State.SYNCED:
        return CommitState.SUCCESS, _applied(result)
    return CommitState.PENDING, f"waiting: {'; '.join(_awaited(result, said)) or _UNSAID}"


def _held(said: Sequence[Diagnostic]) -> tuple[CommitState, str]:
    """Errors of the policies are theirs to mend; a doubt and a consent that is missing are waited for."""
    faults = [one for one in said if one.is_error and one.policy]
    if faults:
        more = f" (and {counted(len(faults) - 1, 'more error')})" if len(faults) > 1 else ""
        return CommitState.FAILURE, f"held: {_words(faults)}{more}"
    doubts = [one for one in said if one.is_error or state_of(one) is State.HELD or one.code in _CONSENTS]
    return CommitState.PENDING, f"held: {_words(doubts)}"


_CONSENTS = frozenset({"GM402"})
"""What waits for somebody's consent."""


def _applied(result: ClusterResult) -> str:
    rejected = verdict_counts(result).get(Verdict.REJECTED, 0)
    objects = len(result.build.manifests) if result.build else 0
    return (
        "applied:"
        f" {counted(objects, 'object')}{f', {rejected} of them rejected by the mesh' if rejected else ''}"
    )


def _awaited(result: ClusterResult, said: Iterable[Diagnostic]) -> Iterator[str]:
    """What has to come first."""
    staged = {change.key for change in result.plan.changes if change.staged} if result.plan else set()
    leaving = {outcome.key for outcome in result.outcomes if outcome.pending}
    differing = {change.key for change in standing_changes(result)} - staged - leaving
    if staged:
        yield f"{counted(len(staged), 'object')} until every proxy has learnt of what was written first"
    if leaving:
        yield f"{counted(len(leaving), 'object')} until what is being deleted is gone"
    if differing and not staged and not leaving:
        yield f"{counted(len(differing), 'object')} to be written"
    yield from (_words([one]) for one in list(said)[:20] if state_of(one) is State.PENDING)


def _said_of(cluster: str, diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings on a cluster; those that concern none in particular come last."""
    own = (one for one in diagnostics if one.cluster == cluster)
    return (*own, *(one for one in diagnostics if not one.cluster))


def _words(said: Sequence[Diagnostic], otherwise: str = _UNSAID) -> str:
    """The first of some findings, without what differs each time."""
    if not said:
        return otherwise
    one = said[0]
    place = f" {one.at}" if one.at else ""
    return shortened(printable(f"{one.code}{place}: {one.message}"), _REASON)
