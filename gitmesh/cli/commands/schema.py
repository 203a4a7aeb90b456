"""`gitmesh schema`."""

from __future__ import annotations

import difflib

import click

from gitmesh.cli import console, options
from gitmesh.cli.output import dumped

HELP = """Print the JSON Schema of the policy kinds, for editors and linters.

Without KIND: one schema for every kind. In an editor with the YAML language server, put
`# yaml-language-server: $schema=gitmesh.schema.json` at the top of a policy file.

\b
Examples:
  gitmesh schema > gitmesh.schema.json
  gitmesh schema TrafficPolicy
  gitmesh schema Config -o yaml

Exit codes: 0 clean, 3 unknown kind.
"""


@click.command(help=HELP)
@click.argument("kind", required=False)
@options.output("json", "yaml", default="json")
def command(kind: str | None, form: str) -> int:
    """The schema of one kind, or of all."""
    from gitmesh.model.kinds import KINDS
    from gitmesh.parsing.schema import combined, schema

    kinds = (*KINDS, "Config")
    if kind is not None and kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]}?" if near else f"kinds: {', '.join(kinds)}"
        raise click.UsageError(f"there is no kind {kind!r}; {advice}")
    console.data(dumped(schema(kind) if kind else combined(), form))
    return 0
