"""`gitmesh route`."""

from __future__ import annotations

import click

from gitmesh.cli import asking, request_options
from gitmesh.reasoning.routing import route
from gitmesh.render.routings import routings_document, routings_text

HELP = f"""Say how a request is treated on its way, and which lines decide: every field with its value.

{request_options.WORDS}

A field that no policy sets keeps the mesh's own behaviour.

\b
Examples:
  gitmesh route productpage reviews
  gitmesh route productpage reviews --header end-user=jason --path '/reviews/0?lang=en'
  gitmesh route productpage reviews policies --facts facts.yaml -o json | jq '.clusters[].fields.timeout'

Exit codes: 0 answered; 2 error findings, 3 wrong usage, a failure, or a cluster that did not answer.
"""


@click.command(help=HELP)
@request_options.arguments
def command(**given: object) -> int:
    """Decide, and look the request up."""
    return asking.answer(given, route, routings_text, routings_document)
