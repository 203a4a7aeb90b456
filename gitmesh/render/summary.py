"""Counts of a report: what every format says in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.plan import Action
from gitmesh.model.report import ClusterResult, Report, SourceResult, Stage, Verdict, verdict_counts
from gitmesh.render.changes import failed, tally
from gitmesh.render.findings import folded
from gitmesh.render.values import counted, listed

WORDS: Mapping[Action, tuple[str, str]] = {
    Action.CREATE: ("to create", "created"),
    Action.UPDATE: ("to change", "changed"),
    Action.DELETE: ("to delete", "deleted"),
    Action.RELEASE: ("to release", "released"),
    Action.ADOPT: ("to adopt", "adopted"),
    Action.CONFLICT: ("in conflict", "in conflict"),
    Action.HELD: ("held", "held"),
    Action.KEEP: ("unchanged", "unchanged"),
}
"""Action -> what is said of it before and after it was carried out, in the order in which it is said."""

_ALWAYS = frozenset({Action.CREATE, Action.UPDATE, Action.DELETE, Action.KEEP})


class Summary(Struct, frozen=True, kw_only=True):
    """Numbers of one report. `policies` counts those that could not be read as well, as far as they have a
    name; `files` those that policies or findings are in; `findings` counts one that several clusters share
    once, as it is told.

    `unread` are the sources of which no revision could be read, `objects` counts objects by action over all
    clusters: of the plan, and after a run that writes what was really done. `failed` are writes that failed
    then, `observing` the clusters that it only looked at, and `observed` what it would have done there.
    `verdicts` counts objects by what the meshes say of them (empty = nobody was asked).
    """

    policies: int
    files: int
    findings: Mapping[Severity, int]
    unread: tuple[str, ...] = ()
    objects: Mapping[Action, int] = {}
    failed: int = 0
    observed: Mapping[Action, int] = {}
    observing: tuple[str, ...] = ()
    clusters: int = 0
    unreachable: tuple[str, ...] = ()
    verdicts: Mapping[Verdict, int] = {}

    @property
    def differs(self) -> bool:
        """Whether anything would be written, or waits for somebody."""
        counts = (*self.objects.items(), *self.observed.items())
        return self.failed > 0 or any(number for action, number in counts if action is not Action.KEEP)


def summarise(report: Report) -> Summary:
    """The numbers of a report."""
    done = report.until is Stage.APPLY
    written = [result for result in report.clusters.values() if not (done and result.observe_only)]
    # Of clusters that are only observed nothing was done: their numbers are what would be done there.
    observing = [result for result in report.clusters.values() if done and result.observe_only]
    places = (
        (policy.location for policy in report.policies),
        (one.at for one in report.diagnostics if one.at and one.at.source and one.at.line),
    )
    return Summary(
        policies=len(
            # Policies that could not be read count too, as far as a finding has their name.
            {policy.id for policy in report.policies}
            | {one.policy for one in report.diagnostics if one.policy}
        ),
        files=len({(at.source, at.path) for found in places for at in found}),
        # As they are told: one that several clusters share counts once.
        findings=by_severity(folded(report.diagnostics)),
        unread=tuple(one.name for one in report.sources.values() if one.unavailable and not one.accepted),
        objects=_objects(written, done=done),
        observed=_objects(observing, done=False) if observing else {},
        observing=tuple(result.name for result in observing if result.plan is not None),
        failed=sum(len(failed(result.outcomes)) for result in report.clusters.values()),
        clusters=len(report.clusters),
        unreachable=report.unreachable,
        verdicts=_verdicts(report.clusters.values()),
    )


def by_severity(diagnostics: Iterable[Diagnostic]) -> Mapping[Severity, int]:
    """Findings by severity, every severity present."""
    return dict.fromkeys(Severity, 0) | Counter(d.severity for d in diagnostics)


def _objects(results: Iterable[ClusterResult], *, done: bool) -> Mapping[Action, int]:
    total: Counter[Action] = Counter()
    for result in results:
        total.update(tally(result, done=done))
    return dict.fromkeys(Action, 0) | total


def _verdicts(results: Iterable[ClusterResult]) -> Mapping[Verdict, int]:
    total: Counter[Verdict] = Counter()
    for result in results:
        total.update(verdict_counts(result))
    return total


def verdicts_total(verdicts: Mapping[Verdict, int]) -> str:
    """`verdicts of the meshes: 26 accepted, 1 rejected, 1 unknown`; "" where all are accepted, or nobody was
    asked.
    """
    said = [f"{number} {verdict.lower()}" for verdict in Verdict if (number := verdicts.get(verdict, 0))]
    quiet = not any(number for verdict, number in verdicts.items() if verdict is not Verdict.ACCEPTED)
    return "" if quiet else f"verdicts of the meshes: {', '.join(said)}"


def findings_total(findings: Mapping[Severity, int]) -> str:
    """`1 error, 2 warnings`."""
    return f"{counted(findings[Severity.ERROR], 'error')}, {counted(findings[Severity.WARNING], 'warning')}"


def checked_total(summary: Summary) -> str:
    """`checked 42 policies in 9 files: 0 errors, 0 warnings`; what could not be read was not checked."""
    if summary.unread and not summary.files:
        sources = f"{'source' if len(summary.unread) == 1 else 'sources'} {listed(summary.unread, 8)}"
        what = f"checked nothing, as {sources} could not be read"
    else:
        what = f"checked {counted(summary.policies, 'policy')} in {counted(summary.files, 'file')}"
    return f"{what}: {findings_total(summary.findings)}"


def objects_total(objects: Mapping[Action, int], *, done: bool = False) -> str:
    """`2 to create, 1 to change, 0 to delete, 3 unchanged`; rarer actions only where there are any."""
    said = ((action, words[done]) for action, words in WORDS.items())
    return ", ".join(
        f"{objects[action]} {word}" for action, word in said if objects[action] or action in _ALWAYS
    )


def plan_total(summary: Summary, *, done: bool = False) -> str:
    """The last line of a plan, clusters that were only looked at or did not answer included."""
    # Silence is never green: what was only looked at, and what did not answer, is told apart.
    written = summary.clusters - len(summary.unreachable) - len(summary.observing)
    text = f"{objects_total(summary.objects, done=done)} in {counted(written, 'cluster')}"
    if summary.failed:
        text += f"; {counted(summary.failed, 'write')} failed"
    if summary.observing:
        watched = (
            f"only observed: {objects_total(summary.observed)} in"
            f" {counted(len(summary.observing), 'cluster')}"
        )
        text = f"{text}; {watched}" if written else watched
    if summary.unreachable:
        text += (
            f"; {counted(len(summary.unreachable), 'cluster')} did not answer:"
            f" {listed(summary.unreachable, 10)}"
        )
    return text


def revision(source: str, commit: str) -> str:
    """`policies@1a2b3c4d5e6f`; a plain folder has no commit."""
    return f"{source}@{commit[:12]}" if commit else source


def revisions_line(report: Report) -> str:
    """`revision: policies@1a2b3c4d5e6f`: what the answer is about, and what is in force where that is another
    one; "" where only files were checked."""
    if report.until < Stage.PLAN or not report.sources:
        return ""
    return (
        f"{'revision' if len(report.sources) == 1 else 'revisions'}:"
        f" {', '.join(map(_revision, report.sources.values()))}"
    )


def _revision(source: SourceResult) -> str:
    if source.unavailable:
        return (
            f"{revision(source.name, source.accepted)} (not"
            f" read{', the last known one' if source.accepted else ''})"
        )
    if not source.seen:
        return f"{source.name} (a folder{', refused' if source.refused else ''})"
    # A review looks at the tip alone, and what a tip has in paths that are there is no older revision.
    force = f"; {source.accepted[:12]} in force" if source.accepted not in ("", source.seen) else ""
    return f"{revision(source.name, source.seen)}{f' (refused{force})' if source.refused else ''}"
