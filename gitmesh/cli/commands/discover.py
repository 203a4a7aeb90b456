"""`gitmesh discover`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitmesh.cli import configuration, console, options, runs, wiring
from gitmesh.cli.output import dumped
from gitmesh.cli.session import translators
from gitmesh.model.facts import NOTHING_REMEMBERED
from gitmesh.planning.observing import kinds_of
from gitmesh.planning.strangers import told_apart, whose
from gitmesh.render.escape import printable

if TYPE_CHECKING:
    from gitmesh.errors import ClusterError
    from gitmesh.model.facts import ClusterFacts
    from gitmesh.ports import Cluster

HELP = """Show what runs in the clusters: meshes, Services, the workloads behind them. Reads only.

Saved as YAML, the facts let `validate`, `render` and `diff` run with no cluster at hand. They hold no
secrets, annotations, environment or addresses.

\b
Examples:
  gitmesh discover
  gitmesh discover -o yaml > facts.yaml
  gitmesh discover --cluster east

Exit codes: 0 clean, 3 wrong usage, a failure, or a cluster that did not answer.
"""


@click.command(help=HELP)
@options.config
@options.clusters
@options.output("text", "yaml", "json")
@options.color
def command(config_path: Path | None, cluster_globs: tuple[str, ...], form: str, color: bool | None) -> int:
    """Read the facts of every cluster at once, and print them."""
    setup = configuration.require(config_path)
    only = runs.chosen_clusters(tuple(setup.clusters), cluster_globs)
    plugins = translators()

    def read(cluster: Cluster) -> ClusterFacts:
        facts = cluster.facts()
        stored = whose(cluster, setup.config.instance)
        observed = cluster.observe(kinds_of(facts, plugins, stored.ledger))
        return told_apart(cluster, NOTHING_REMEMBERED, facts, observed, stored, plugins, {})

    with console.progress() as progress:
        progress("reading the clusters")
        found = wiring.fleet(setup, plugins).each(read, only or None)
    facts, failures = _sorted(found)
    for name, error in failures.items():
        console.note(printable(f"{name}: {error.in_full}"))
    _print(facts, form, color)
    return 3 if failures else 0


def _sorted(found: object) -> tuple[dict[str, ClusterFacts], dict[str, ClusterError]]:
    from collections.abc import Mapping

    from gitmesh.errors import ClusterError

    results = found if isinstance(found, Mapping) else {}
    failures = {name: result for name, result in results.items() if isinstance(result, ClusterError)}
    return {name: result for name, result in sorted(results.items()) if name not in failures}, failures


def _print(facts: dict[str, ClusterFacts], form: str, color: bool | None) -> None:
    if form == "text":
        from gitmesh.render.text import facts_text

        paint = console.paint_for(color)
        console.data(facts_text(facts.values(), paint=paint), paint)
        return
    from gitmesh.discovery.facts_codec import dump_facts

    console.document(dumped(dump_facts(facts), form))
