"""`gitmesh diff`."""

from __future__ import annotations

from pathlib import Path

import click

from gitmesh.cli import comparing, comparison_answer, console, options, runs
from gitmesh.cli.session import Job, View, answer, execute, shown_clusters, translators
from gitmesh.model.report import Stage

HELP = """Show what differs between the policies and the live clusters, field by field. Writes nothing.

PATH is an edited folder that is read in place of a source's commit: what would this edit change? In a
checkout all paths of the source are read, as a commit of it would be; files that Git does not know of, or
is told to ignore, are read as well, and named. Any other folder is read as it is. With --facts no cluster
is asked; every object then counts as new.

With --base two commits of a checkout are compared, with the same facts of every cluster: who may call whom
after HEAD and could not at BASE, how requests go, what protects, and which objects differ. What live
clusters differ in already is told apart. The configuration is that of BASE, unless --config names one;
PATH is a folder of the checkout.

\b
Examples:
  gitmesh diff                                 the repository against the clusters
  gitmesh diff --base main                     what this branch changes, against live clusters
  gitmesh diff --base main --facts-from status   the same without the credentials of any cluster
  gitmesh diff policies                        an edit that is not committed yet
  gitmesh diff policies --cluster east --policy reviews
  gitmesh diff --base main -o markdown > comment.md
  gitmesh diff --base main -o sarif > new.sarif

-o github, gitlab and sarif print findings as annotations of the files of the checkout: with PATH those of
the edit, with --base those that are new. A finding at no line of the checkout is told on stderr.

Exit codes (as kubectl's diff): 0 nothing differs, 1 differences, 2 error findings, 3 wrong usage, a
failure, or a cluster that did not answer.
"""


@click.command(help=HELP)
@options.stand_in
@options.revisions
@options.full
@options.config
@options.facts
@options.facts_from
@options.clusters
@options.policies
@options.fail_on
@options.output("text", "json", "yaml", "markdown", *options.ANNOTATIONS)
@options.store
@options.color
def command(
    path: Path | None,
    source_name: str | None,
    base: str | None,
    head: str,
    full: bool,
    config_path: Path | None,
    facts_path: Path | None,
    facts_from: str | None,
    cluster_globs: tuple[str, ...],
    policy_globs: tuple[str, ...],
    fail_on: str,
    form: str,
    store: Path | None,
    color: bool | None,
) -> int:
    """Plan, and print the plan; or compare two commits, and print that."""
    plugins = translators()
    if base is not None:
        if policy_globs:
            raise click.UsageError(
                "--policy is no option of a comparison: it would hide what else a change means"
            )
        asked = comparing.ComparisonWanted(
            base=base,
            head=head,
            path=path,
            config=config_path,
            source=source_name,
            facts=facts_path,
            facts_from=facts_from,
            clusters=cluster_globs,
            store=store,
        )
        return comparison_answer.answer(
            comparing.compared(asked, plugins), form, color=color, fail_on=fail_on, full=full
        )
    if facts_from is not None or full:
        raise click.UsageError("--facts-from and --full go with --base")
    review = runs.review(config_path, facts_path, path, source_name, cluster_globs, store, plugins)
    job = Job(sources=review.sources, fleet=review.fleet, options=review.options, translators=plugins)
    report = shown_clusters(execute(job, Stage.PLAN), review.only)
    if facts_path is not None:
        console.note("no live objects at hand (--facts): every object counts as new")
    view = View(form=form, color=color, policies=policy_globs, fail_on=fail_on, sources=review.sources)
    return answer(report, view, differences=True)
