"""`gitmesh check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitmesh.cli import configuration, console, options, wiring
from gitmesh.cli.output import dumped
from gitmesh.cli.session import translators

if TYPE_CHECKING:
    from gitmesh.render.checks import Check

HELP = """Check the configuration, git, every repository and every cluster: reachable, mesh found, kinds
served, rights held. Reads only.

\b
Examples:
  gitmesh check
  gitmesh check --config prod.yaml -o json
  gitmesh check --fail-on warning

Exit codes: 0 all is well, 2 something is missing, 3 wrong usage, or a repository or cluster that did not
answer.
"""


@click.command(help=HELP)
@options.config
@options.fail_on
@options.output("text", "json", "yaml")
@options.store
@options.color
def command(config_path: Path | None, fail_on: str, form: str, store: Path | None, color: bool | None) -> int:
    """Run every check, print a line each."""
    from gitmesh.render.checks import checks_document, checks_text

    setup = configuration.require(config_path)
    with console.progress() as progress:
        checks = tuple(_checks(setup, store, progress))
    if form == "text":
        paint = console.paint_for(color)
        console.data(checks_text(checks, paint), paint)
    else:
        console.document(dumped(checks_document(checks), form))
    return _exit_code(checks, fail_on)


def _checks(
    setup: configuration.Setup, store: Path | None, progress: Callable[[str], None]
) -> Iterator[Check]:
    from gitmesh.adapters.begun import side_by_side
    from gitmesh.cli.checks import cluster_checks, git_check, source_check
    from gitmesh.render.checks import Check, Level
    from gitmesh.render.values import counted

    config = setup.config
    text = (
        f"{setup.file}: {counted(len(config.sources), 'source')}, {counted(len(config.clusters), 'cluster')}"
    )
    yield Check(level=Level.OK, subject="configuration", message=text)
    # Before the sources: without git none of them can be read, and each would say so.
    yield git_check()
    plugins = translators()
    # All at the same time: a host that says nothing takes its time once, and no cluster waits for it.
    with side_by_side(wiring.sources(setup, store)) as sources:
        progress("reading the clusters")
        clusters = tuple(cluster_checks(wiring.fleet(setup, plugins), plugins, config.instance))
        for source, configured in zip(sources, config.sources, strict=True):
            progress(f"reading {source.name}")
            where = f"folder {configured.path}" if configured.path is not None else configured.branch
            yield source_check(source, where, frozenset(config.ignore))
    yield from clusters


def _exit_code(checks: Sequence[Check], fail_on: str) -> int:
    from gitmesh.render.checks import Level

    levels = {check.level for check in checks}
    # First: what did not answer may lack something that nobody knows of.
    if Level.DOWN in levels:
        return 3
    return 2 if Level.FAIL in levels or (fail_on == "warning" and Level.WARN in levels) else 0
