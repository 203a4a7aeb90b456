"""`gitmesh render`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from gitmesh.cli import console, options, runs
from gitmesh.cli.exits import exit_code
from gitmesh.cli.output import as_yaml, dumped
from gitmesh.cli.session import Job, execute, shown_clusters, translators
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import decode
from gitmesh.model.report import Report, Stage
from gitmesh.render.document import object_origins, objects_document
from gitmesh.render.escape import printable
from gitmesh.render.findings import findings_text
from gitmesh.render.narrow import narrowed
from gitmesh.render.plans import origins_text
from gitmesh.render.summary import findings_total, summarise
from gitmesh.render.values import counted

HELP = """Print the objects that each cluster would get, and where each comes from.

The answer is a stream of YAML documents, sorted, that can be committed or applied as it is. Findings go to
stderr. With --facts no cluster is asked, and no configuration is needed.

\b
Examples:
  gitmesh render policies --facts facts.yaml
  gitmesh render --cluster 'ea*' --policy reviews
  gitmesh render policies --facts facts.yaml -o json | jq '.clusters[].objects[].object.kind'

Exit codes: 0 clean, 2 error findings, 3 wrong usage, a failure, or a cluster that did not answer.
"""


@click.command(help=HELP)
@options.stand_in
@options.config
@options.facts
@options.clusters
@options.policies
@options.fail_on
@options.output("yaml", "json", default="yaml")
@options.store
@options.color
def command(
    path: Path | None,
    source_name: str | None,
    config_path: Path | None,
    facts_path: Path | None,
    cluster_globs: tuple[str, ...],
    policy_globs: tuple[str, ...],
    fail_on: str,
    form: str,
    store: Path | None,
    color: bool | None,
) -> int:
    """Build, and print the manifests."""
    plugins = translators()
    review = runs.review(config_path, facts_path, path, source_name, cluster_globs, store, plugins)
    job = Job(sources=review.sources, fleet=review.fleet, options=review.options, translators=plugins)
    report = shown_clusters(execute(job, Stage.BUILD), review.only)
    part = narrowed(report, policy_globs)
    _say(part.report, part.hidden, color)
    console.document(
        "".join(_stream(part.report)) if form == "yaml" else dumped(objects_document(part.report), form)
    )
    return exit_code(part.report, fail_on=fail_on)


def _say(report: Report, hidden: str, color: bool | None) -> None:
    """Tell findings and totals."""
    # All of this goes to stderr: stdout holds objects only, so that it can be applied as it is.
    paint = console.paint_for(color, error=True)
    found = findings_text(report.diagnostics, paint=paint)
    if found or hidden:
        console.note((found + hidden).rstrip("\n"), paint)
    objects = sum(len(result.build.manifests) for result in report.clusters.values() if result.build)
    total = f"{counted(objects, 'object')} in {counted(len(report.clusters), 'cluster')}"
    console.note(f"rendered {total}: {findings_total(summarise(report).findings)}")


def _stream(report: Report) -> Iterator[str]:
    for name, result in report.clusters.items():
        for _, manifest in sorted(result.build.manifests.items()) if result.build else ():
            yield f"---\n# {_title(name, manifest)}\n{as_yaml(decode(manifest.body))}"


def _title(cluster: str, manifest: Manifest) -> str:
    origins = origins_text(object_origins(manifest.fields)) or ", ".join(manifest.policies)
    # Applied as it is, it must come by server-side apply: the rest of the object is somebody else's.
    part = "" if manifest.ownership.is_object else "  (these fields of it alone)"
    return printable(f"{cluster}  {manifest.key}{part}  <- {origins}")
