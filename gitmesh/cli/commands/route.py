"""`gitmesh route`."""

from __future__ import annotations

from typing import Any

import click

from gitmesh.cli import asking, console
from gitmesh.cli.exits import exit_code
from gitmesh.cli.output import dumped
from gitmesh.reasoning.routing import route
from gitmesh.render.answers import Asked, routings_document, routings_text

HELP = f"""Say how a request is treated on its way, and which lines decide: every field with its value.

{asking.WORDS}

A field that no policy sets keeps the mesh's own behaviour.

\b
Examples:
  gitmesh route productpage reviews
  gitmesh route productpage reviews --header end-user=jason --path '/reviews/0?lang=en'
  gitmesh route productpage reviews policies --facts facts.yaml -o json | jq '.clusters[].request.timeout'

Exit codes: 0 answered; 2 error findings, 3 wrong usage, a failure, or a cluster that did not answer.
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
            routings={name: route(question, known[name]) for name, question in found.items()},
            silent=tuple(name for name in report.clusters if name not in known),
        )
        text = routings_text(asked, paint=console.paint_for(given["color"])) if given["form"] == "text" else ""
        console.data(text or dumped(routings_document(asked), given["form"]))
    return exit_code(report, fail_on=given["fail_on"])
