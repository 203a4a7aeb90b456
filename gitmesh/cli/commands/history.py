"""`gitmesh history`."""

from __future__ import annotations

from pathlib import Path

import click

from gitmesh.cli import configuration, console, options
from gitmesh.errors import SourceError

HELP = """Show what became of the policies' commits: when, by whom, what each cluster held then, and what
was put right there.

Read from the status branch, as `gitmesh status` does: no cluster is asked. Each commit of that branch is
one row, with the revision it is about; author, subject and pull request are known where the repository's
history is at hand (a checkout of it, or a copy that GitMesh made). KIND/NAME or KIND/NAMESPACE/NAME: only
where that policy's state changed.

\b
Examples:
  gitmesh history
  gitmesh history --limit 3
  gitmesh history TrafficPolicy/reviews -o yaml

Exit codes: 0 done, 3 wrong usage or a failure.
"""


@click.command(help=HELP)
@click.argument("policy", required=False, metavar="[KIND/NAME]")
@options.config
@click.option(
    "--limit",
    type=click.IntRange(1, 500),
    default=20,
    show_default=True,
    metavar="NUMBER",
    help="So many commits at most.",
)
@options.output("table", "text", "json", "yaml", default="table")
@options.store
@options.color
def command(
    policy: str | None,
    config_path: Path | None,
    limit: int,
    form: str,
    store: Path | None,
    color: bool | None,
) -> int:
    """Read the branch's commits, print them."""
    from gitmesh.adapters.statusreading import depth_for, policy_problem
    from gitmesh.cli.output import dumped
    from gitmesh.cli.standing import branch_reader, failed, nowhere
    from gitmesh.render.past import history_document, history_text

    if policy and (problem := policy_problem(policy)):
        raise click.UsageError(problem)
    reader = branch_reader(configuration.load(config_path), store, depth_for(limit + 1, policy or ""))
    if reader is None:
        raise nowhere()
    try:
        moments = reader().moments(limit + 1, policy or "")  # one more, to compare the oldest with
    except SourceError as error:
        raise failed(error) from None
    if form in ("table", "text"):
        paint = console.paint_for(color)
        console.data(history_text(moments, limit, paint=paint), paint)
    else:
        console.document(dumped(history_document(moments, limit, policy or ""), form))
    return 0
