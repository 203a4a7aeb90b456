"""Tells the forge what became of a commit: one status per cluster, and a few lines below the review of its
pull request.

Satisfies ports.Publisher. What is shown is compared with what is there, so that a restart says nothing twice;
while nothing changes, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from structlog.typing import FilteringBoundLogger

from gitmesh.agent.patience import Patience
from gitmesh.errors import ForgeError
from gitmesh.model.forge import CommitState, CommitStatus, PullState
from gitmesh.model.report import Report
from gitmesh.ports import Forge
from gitmesh.reviewing.outcomes import fates, outcome_markdown, outcome_statuses, superseded_markdown
from gitmesh.reviewing.posting import OUTCOME_ROOM, Epilogue, append, set_statuses, settle_superseded

_WAITED_MINUTES = 10
"""After so long a pull request is told, too, what is still waited for."""
_MARKER_ROOM = 200
_MOST_FORMER = 20
"""Commits that others followed too soon, of which that is still to be told."""


class OutcomePublisher:
    """Of the commits of one source. `branch` is the one that pull requests go into; `clock` gives monotonic
    seconds.
    """

    def __init__(
        self, forge: Forge, source: str, branch: str, *, clock: Callable[[], float], log: FilteringBoundLogger
    ) -> None:
        self._forge, self._source, self._branch, self._clock, self._log = forge, source, branch, clock, log
        self._patience = Patience(log, "the forge was not told what became of a commit", clock)
        self._shown: Mapping[tuple[str, str], CommitStatus] = {}
        self._commit, self._since = "", 0.0
        self._noted: bool | None = None
        self._former: tuple[str, ...] = ()

    def publish(self, report: Report) -> Report:
        """Bring the forge up to date. What goes wrong is logged, and tried again with a later report."""
        source = report.sources.get(self._source)
        if source is not None and source.accepted != self._commit:
            self._go_on(source.accepted)
        if self._patience.left:
            return report
        try:
            self._set_statuses(outcome_statuses(report, self._source))
            self._end_former(report)
            self._tell_pulls(report)
        except ForgeError as error:
            self._patience.failed(error)
        else:
            self._patience.worked()
        return report

    def _go_on(self, commit: str) -> None:
        """Another commit is in force; of one that was not told to its end, that is the end."""
        if self._commit and not self._noted:
            # Bounded: while the forge does not answer, commits may follow each other for days.
            self._former = (*self._former, self._commit)[-_MOST_FORMER:]
        self._commit, self._since, self._noted = commit, self._clock(), None

    def _set_statuses(self, wanted: Mapping[tuple[str, str], CommitStatus]) -> None:
        """Those that were not shown yet. Raises ForgeError; what was set until then is remembered."""
        for (commit, context), status in self._shown.items():
            # A commit that another one followed would stay pending for ever, and hold up whoever waits for
            # its statuses.
            if (commit, context) not in wanted and status.state is CommitState.PENDING:
                settle_superseded(self._forge, commit, self._commit, context, "applied")
        self._shown = {key: status for key, status in self._shown.items() if key in wanted}
        news: dict[str, list[CommitStatus]] = {}
        for (commit, context), status in wanted.items():
            if self._shown.get((commit, context)) != status:
                news.setdefault(commit, []).append(status)
        for commit, statuses in news.items():
            for status in set_statuses(self._forge, commit, statuses):
                self._log.info(
                    "commit status", commit=commit, context=status.context, state=status.state.value
                )
            self._shown = {**self._shown, **{(commit, status.context): status for status in statuses}}

    def _end_former(self, report: Report) -> None:
        """The last word on commits that others followed too soon. Raises ForgeError."""
        while self._former:
            commit, *others = self._former
            self._append(
                report, Epilogue(commit=commit, final=True, text=superseded_markdown(commit, self._commit))
            )
            self._former = tuple(others)

    def _tell_pulls(self, report: Report) -> None:
        """Below the review: when the last word can be said, and before that where it takes long. Raises
        ForgeError.
        """
        told = fates(report)
        is_final = all(fate.is_final for fate in told)
        is_late = self._clock() - self._since >= 60 * _WAITED_MINUTES
        if (
            not self._commit
            or not told
            or self._noted
            or self._noted is is_final
            or not (is_final or is_late)
        ):
            return
        room = min(OUTCOME_ROOM, self._forge.comment_limit) - _MARKER_ROOM
        text = outcome_markdown(self._commit, told, limit=room, minutes=0 if is_final else _WAITED_MINUTES)
        self._append(report, Epilogue(commit=self._commit, final=is_final, text=text))
        self._noted = is_final

    def _append(self, report: Report, epilogue: Epilogue) -> None:
        for pull in self._forge.pulls_of(epilogue.commit):
            if pull.base == self._branch and pull.state is PullState.MERGED:
                done = append(self._forge, pull.number, report.instance, epilogue)
                self._log.info("outcome", pull=pull.number, commit=epilogue.commit, comment=done.value)
