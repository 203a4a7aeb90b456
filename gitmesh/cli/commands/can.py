"""`gitmesh can`."""

from __future__ import annotations

from typing import Any

import click

from gitmesh.cli import asking, differing, options, request_options, tables
from gitmesh.reasoning.serving import served
from gitmesh.render.admissions import admissions_document, admissions_text

HELP = f"""Say whether the policies admit a request, and which lines decide.

{request_options.WORDS}

The answer is what the policies mean: Allowed, Denied, Depends (on who answers) or Unknown. What a
mesh cannot express of them is a finding, on stderr. A split, a redirect and a rewrite are followed to
whoever serves the request.

With '*' (in quotes) for SRC the answer is a table of everybody who can call DST, as of `gitmesh who-can`;
with '*' for DST, of every destination in the cluster. {tables.WORDS}

{differing.WORDS}

\b
Examples:
  gitmesh can productpage reviews
  gitmesh can bookshop/productpage ratings:80 --method POST --path /ratings/0
  gitmesh can anonymous reviews --from-ip 10.1.2.3
  gitmesh can '*' reviews --method DELETE
  gitmesh can productpage '*'
  gitmesh can '*' '*' --base main              who gains and who loses by this branch
  gitmesh can anonymous ratings --expect denied && echo closed
  gitmesh can productpage reviews policies --facts facts.yaml -o json | jq '.clusters[].answer'

Exit codes: 0 answered, whatever the answer; 1 with --expect, where some answer is another one, or with
--base, where anything differs; 2 error findings, 3 wrong usage, a failure, or a cluster that did not
answer.
"""


@click.command(help=HELP)
@request_options.arguments
@request_options.expect
@options.revisions
@options.facts_from
def command(base: str | None, **given: Any) -> int:
    """Decide, and look the request up, or make a table of all requests; or tell what two revisions decide
    otherwise.
    """
    if base is not None:
        return differing.answer(given, base, source=given["source"])
    differing.only_with_base(given)
    if tables.ANY in (given["source"], given["destination"]):
        return tables.answer(given)
    expected = given["expect"]
    met = None if expected is None else lambda found: tables.meets(found.answer, expected)
    return asking.answer(given, served, admissions_text, admissions_document, met=met)
