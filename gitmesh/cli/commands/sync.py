"""`gitmesh sync`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from gitmesh.cli import configuration, console, options, runs, wiring
from gitmesh.cli.session import View, answer, execute, shown_clusters, whole_job
from gitmesh.model.report import Report, Stage

HELP = """Make the clusters what the policies in the repository say, once; write the status branch.

Only objects that GitMesh made are changed or deleted. A bad commit is refused as a whole: the last good
one stays in force. Deletions beyond the guard wait until they are approved for that commit.

\b
Examples:
  gitmesh sync
  gitmesh sync --dry-run                       the plan only, as the sync would carry it out
  gitmesh sync --cluster east
  gitmesh sync --approve-prune 4f1c2ab         deletions of this commit are meant

A change that needs several steps in a safe order is finished by the next sync, and an object that is not
GitMesh's is left alone: both are named.

Exit codes: 0 done, with no error finding (also of a --dry-run that found differences), 2 error findings, 3
wrong usage, a failure, or a cluster that did not answer.
"""

_SHA = re.compile(r"[0-9a-f]{7,64}\Z")


def _sha(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _SHA.match(value):
            raise click.BadParameter(f"{value!r} is not a commit: 7 to 64 hexadecimal digits")
    return values


@click.command(help=HELP)
@options.config
@click.option(
    "--approve-prune",
    "approve",
    multiple=True,
    metavar="SHA",
    callback=_sha,
    help="Approve the deletions of this commit.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the plan and write nothing, neither to clusters nor to the status branch.",
)
@options.clusters
@options.fail_on
@options.output("text", "json", "yaml", "markdown")
@options.store
@options.color
def command(
    config_path: Path | None,
    approve: tuple[str, ...],
    dry_run: bool,
    cluster_globs: tuple[str, ...],
    fail_on: str,
    form: str,
    store: Path | None,
    color: bool | None,
) -> int:
    """Run to the end, and print what was done."""
    setup = configuration.require(config_path)
    only = runs.chosen_clusters(tuple(setup.clusters), cluster_globs)
    if not dry_run and (nowhere := wiring.status_nowhere(setup)):
        console.note(nowhere)
    job = whole_job(setup, store, approve=approve, only=only)
    stage = Stage.PLAN if dry_run else Stage.APPLY
    # The status tells of all clusters, and with --cluster only some of them are planned.
    report = shown_clusters(execute(replace(job, publishers=()) if dry_run or only else job, stage), only)
    code = answer(report, View(form=form, color=color, fail_on=fail_on))
    _next(report, approve)
    return code


def _next(report: Report, approved: Sequence[str]) -> None:
    """What to do about deletions and later steps that wait. `approved` commits are approved in this run
    alone.
    """
    waiting = sum(len(result.plan.prune_held) for result in report.clusters.values() if result.plan)
    commits = [source.accepted for source in report.sources.values() if source.accepted]
    if waiting:
        meant = (
            f"if the {waiting} deletions are meant: gitmesh sync --approve-prune {commits[0]}"
            if commits
            else ""
        )
        console.note(
            "next: read the plan;"
            f" {meant or 'where its deletions are meant, `gitmesh approve` lists what to approve'}"
        )
    if report.until is Stage.APPLY and any(one.code == "GM406" for one in report.diagnostics):
        step = "next: some changes take another step in a safe order:"
        meant = " --approve-prune ".join(approved)
        console.note(f"{step} gitmesh sync --approve-prune {meant}" if meant else f"{step} gitmesh sync")
