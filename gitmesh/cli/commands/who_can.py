"""`gitmesh who-can`."""

from __future__ import annotations

import click

from gitmesh.cli import differing, options, request_options, tables

HELP = f"""Say who can call a destination: every kind of callers and requests, and the lines that decide.

DST is a Service, `name` or `namespace/name`, with `:port` to ask about that port alone; '*' (in quotes) is
every Service. POLICIES is a folder to read in place of the repository. With --facts no cluster is asked,
and no configuration is needed.

Callers are those that are known from the facts of all clusters, by their ServiceAccounts, then `anybody
else` with an identity, and `without identity`: clients without a proxy. {tables.WORDS} Nothing is sampled:
what cannot be told is Unknown.

\b
Examples:
  gitmesh who-can reviews
  gitmesh who-can bookshop/ratings:80 --denied
  gitmesh who-can reviews --method DELETE --path /reviews/0
  gitmesh who-can ratings --method POST --expect denied
  gitmesh who-can reviews policies --facts facts.yaml -o json | jq '.clusters[].rows[].callers'
  gitmesh who-can reviews --base main      who gains and who loses by this branch

{differing.WORDS}

Exit codes: 0 answered; 1 with --expect, where somebody is answered otherwise, or with --base, where
anything differs; 2 error findings, 3 wrong usage, a failure, or a cluster that did not answer.
"""


@click.command(help=HELP)
@request_options.arguments_of_destination
@click.option(
    "--denied",
    is_flag=True,
    help="Show those who are not simply admitted, in place of those who are not simply refused.",
)
@request_options.expect
@options.revisions
@options.facts_from
def command(denied: bool, base: str | None, **given: object) -> int:
    """Decide, and make the table; or tell what two revisions decide otherwise."""
    if base is not None:
        if denied:
            raise click.UsageError("--base tells what differs: --denied is about one revision")
        return differing.answer(given, base)
    differing.only_with_base(given)
    return tables.answer(given, denied=denied)
