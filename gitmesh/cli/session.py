"""One run of the pipeline for a command, and its answer on stdout in the format that was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from gitmesh.cli import configuration, console, options, runs, wiring
from gitmesh.cli.exits import exit_code
from gitmesh.cli.output import dumped
from gitmesh.model.report import Report, Stage
from gitmesh.render.document import Document, findings_document, plan_document
from gitmesh.render.escape import printable
from gitmesh.render.markdown import report_markdown
from gitmesh.render.narrow import narrowed, unmatched
from gitmesh.render.text import report_text

if TYPE_CHECKING:
    from gitmesh.planning.options import Options
    from gitmesh.ports import Fleet, Publisher, Source, Translator


class Job(Struct, frozen=True, kw_only=True):
    """The inputs of one run."""

    sources: Sequence[Source]
    fleet: Fleet
    options: Options
    translators: Mapping[str, Translator] = {}
    publishers: Sequence[Publisher] = ()


class View(Struct, frozen=True, kw_only=True):
    """How the answer is wanted. `sources` are those that annotations find their files in."""

    form: str = "text"
    color: bool | None = None
    policies: Sequence[str] = ()
    fail_on: str = "error"
    sources: Sequence[Source] = ()


def translators() -> Mapping[str, Translator]:
    """The installed translators. One that does not load is a failure."""
    from gitmesh.plugins import PluginError, load_translators

    try:
        return load_translators()
    # Without it the objects of its mesh would look unwanted, and be deleted.
    except PluginError as error:
        raise click.ClickException(str(error)) from None


def whole_job(
    setup: configuration.Setup,
    store: Path | None,
    *,
    approve: Sequence[str] = (),
    only: frozenset[str] = frozenset(),
) -> Job:
    """Everything that the configuration names: what `sync` runs once."""
    plugins, repositories = translators(), wiring.sources(setup, store)
    branch = wiring.status_branch(setup, repositories)
    return Job(
        sources=repositories,
        fleet=wiring.fleet(setup, plugins),
        options=runs.options(setup, approve=approve, only=only),
        translators=plugins,
        publishers=(branch,) if branch else (),
    )


def execute(job: Job, until: Stage) -> Report:
    """Run the pipeline once, with progress on a terminal."""
    from gitmesh.adapters.begun import side_by_side
    from gitmesh.pipeline import run
    from gitmesh.planning.options import Memo

    with side_by_side(job.sources) as sources, console.progress() as progress:
        return run(
            sources,
            job.fleet,
            job.translators,
            until=until,
            options=job.options,
            memo=Memo(),
            clock=time.monotonic,
            wall=time.time,
            publishers=job.publishers,
            progress=progress,
        )


def shown_clusters(report: Report, only: frozenset[str]) -> Report:
    """The report without the clusters that --cluster leaves out."""
    if not only:
        return report
    return replace(
        report, clusters={name: result for name, result in report.clusters.items() if name in only}
    )


_DOCUMENTS: Mapping[Stage, Callable[[Report], Document]] = {
    Stage.PARSE: findings_document,
    Stage.PLAN: plan_document,
    Stage.APPLY: lambda report: plan_document(report, "Report"),
}


def answer(report: Report, view: View, *, differences: bool = False) -> int:
    """Print the report; the exit code. A --policy that means none is a usage error, unless errors may have
    kept it from being read.
    """
    for glob, near in unmatched(report, view.policies).items():
        # With errors the policy may be there, in a file that could not be read.
        if not any(one.is_error for one in report.diagnostics):
            raise click.UsageError(f"--policy {glob}: no such policy{f'; {near}' if near else ''}")
        console.note(printable(f"--policy {glob}: no such policy, as far as the errors let see"))
    part = narrowed(report, view.policies)
    if part.hidden:
        console.note(part.hidden)
    if view.form == "text":
        paint = console.paint_for(view.color)
        console.data(report_text(part.report, paint=paint), paint)
    elif view.form == "markdown":
        console.data(report_markdown(part.report))
    elif view.form in options.ANNOTATIONS:
        from gitmesh.cli import annotating

        annotating.show(part.report.diagnostics, view.form, view.sources)
    else:
        console.document(dumped(_DOCUMENTS[report.until](part.report), view.form))
    return exit_code(part.report, fail_on=view.fail_on, differences=differences)
