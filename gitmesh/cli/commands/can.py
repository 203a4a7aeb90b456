"""`gitmesh can`."""

from __future__ import annotations

from typing import Any

import click

from gitmesh.cli import asking, console
from gitmesh.cli.exits import exit_code
from gitmesh.cli.output import dumped
from gitmesh.reasoning.access import can
from gitmesh.render.answers import Asked, admissions_document, admissions_text

HELP = f"""Say whether the policies admit a request, and which lines decide.

{asking.WORDS}

The answer is what the policies mean: Allowed, Denied, Depends (on which pod answers) or Unknown. What a mesh cannot express
of them is a finding, on stderr.

\b
Examples:
  gitmesh can productpage reviews
  gitmesh can bookshop/productpage ratings:9080 --method POST --path /ratings/0
  gitmesh can anonymous reviews --from-ip 10.1.2.3
  gitmesh can productpage reviews policies --facts facts.yaml -o json | jq '.clusters[].answer'

Exit codes: 0 answered, whatever the answer; 2 error findings, 3 wrong usage, a failure, or a cluster that did not answer.
"""


@click.command(help=HELP)
@asking.arguments
def command(**given: Any) -> int:
    """Decide, and look the request up."""
    want = asking.wanted(given)
    report = asking.decided(given)
    asking.say(report, given["color"])
    known = asking.known_clusters(report)
    if known:
        found = asking.questions(want, known)
        asked = Asked(
            report=report,
            questions=found,
            admissions={name: can(question, known[name]) for name, question in found.items()},
            silent=tuple(name for name in report.clusters if name not in known),
        )
        text = admissions_text(asked, paint=console.paint_for(given["color"])) if given["form"] == "text" else ""
        console.data(text or dumped(admissions_document(asked), given["form"]))
    return exit_code(report, fail_on=given["fail_on"])
