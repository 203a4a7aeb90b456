"""`gitmesh status`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from gitmesh.cli import configuration, console, options
from gitmesh.errors import SourceError
from gitmesh.render.escape import printable

if TYPE_CHECKING:
    from gitmesh.model.overview import Overview

HELP = """Show how everything stands: the commit in force, what is refused and why, what waits for
somebody, each cluster, and the next command.

Where the configuration has a repository with a status branch, that branch is read: no cluster is asked, no
credentials of one are needed. In a checkout without any configuration, its origin/gitmesh-status is, as it
was fetched last. With --live the sync is planned (and nothing is written), and the same is told of it.

\b
Examples:
  gitmesh status
  gitmesh status --live
  gitmesh status -o json | jq .waiting
  gitmesh status -w                    again whenever it changes

Exit codes: 0 clean (also a -w that was ended), 2 error findings, 3 wrong usage, a failure, or a repository
or cluster that did not answer.
"""


@click.command(help=HELP)
@options.config
@click.option(
    "--live/--from-branch",
    "live",
    default=None,
    help="Plan a sync, or read the status branch; default the branch, if any.",
)
@click.option(
    "-w",
    "--watch",
    is_flag=True,
    help="Go on, and print the status again whenever it changed; Ctrl-C ends it.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=1, max=3600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How often -w looks.",
)
@options.output("table", "text", "json", "yaml", default="table")
@options.store
@options.color
def command(
    config_path: Path | None,
    live: bool | None,
    watch: bool,
    interval: float,
    form: str,
    store: Path | None,
    color: bool | None,
) -> int:
    """Read, print; with -w again."""
    from gitmesh.cli.standing import failed

    look = _look(config_path, live, store)
    if watch:
        return _watch(look, interval, form, color)
    try:
        found = look()
    except SourceError as error:
        raise failed(error) from None
    _print(found, form, color)
    return _exit_code(found)


def _look(config_path: Path | None, live: bool | None, store: Path | None) -> Callable[[], Overview]:
    """What reads the status once."""
    from gitmesh.cli import standing

    setup = configuration.require(config_path) if live else configuration.load(config_path)
    branch = None if live else standing.branch_reader(setup, store, 1)
    if branch is not None:
        return lambda: branch().overview()
    if live is False:
        raise standing.nowhere()
    return standing.live_reader(setup or configuration.require(config_path), store)


def _watch(look: Callable[[], Overview], interval: float, form: str, color: bool | None) -> int:
    """Print whenever it changed, until Ctrl-C."""
    last: Overview | None = None
    trouble = ""
    try:
        while True:
            try:
                found = look()
                if last is None or _meaning(found) != _meaning(last):
                    _print(found, form, color, several=True)
                last, trouble = found, ""
            except SourceError as error:
                # Once while it lasts: the next look may do better.
                if str(error) != trouble:
                    console.note(printable(f"{error.in_full}; looking again every {interval:g} s"))
                trouble = str(error)
            time.sleep(interval)
    except KeyboardInterrupt:
        return 0


def _meaning(overview: Overview) -> Overview:
    """Without where and when it was said."""
    return replace(overview, commit="", seconds=0)


def _print(overview: Overview, form: str, color: bool | None, *, several: bool = False) -> None:
    """One status; of `several`, each JSON document is one line, and each YAML document begins with its
    mark.
    """
    from gitmesh.cli.output import as_line, dumped
    from gitmesh.render.overview import overview_document, overview_text

    if form in ("table", "text"):
        paint = console.paint_for(color)
        console.data(overview_text(overview, time.time(), paint=paint) + ("\n" if several else ""), paint)
    elif several and form == "json":
        console.document(as_line(overview_document(overview)))
    else:
        console.document(("---\n" if several else "") + dumped(overview_document(overview), form))


def _exit_code(overview: Overview) -> int:
    from gitmesh.cli.exits import CLEAN, FAILED, FINDINGS
    from gitmesh.model.report import State

    # Asked first, since a cluster that did not answer may have errors that nobody knows of.
    if State.UNREACHABLE in overview.states:
        return FAILED
    return FINDINGS if overview.findings.get("error") else CLEAN
