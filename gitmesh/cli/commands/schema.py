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


def _kinds() -> tuple[str, ...]:
    from gitmesh.model.kinds import KINDS

    return (*KINDS, "Config")


def _offered(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """For the shell's completion."""
    return [kind for kind in _kinds() if kind.lower().startswith(incomplete.lower())]


@click.command(help=HELP)
@click.argument("kind", required=False, shell_complete=_offered)
@options.output("json", "yaml", default="json")
def command(kind: str | None, form: str) -> int:
    """The schema of one kind, or of all."""
    from gitmesh.parsing.schema import combined, schema

    console.document(dumped(schema(_named(kind)) if kind else combined(), form))
    return 0


def _named(kind: str) -> str:
    """The kind, however its letters are cased."""
    kinds = {name.lower(): name for name in _kinds()}
    if kind.lower() in kinds:
        return kinds[kind.lower()]
    near = difflib.get_close_matches(kind.lower(), kinds, n=1, cutoff=0.5)
    advice = f"did you mean {kinds[near[0]]}?" if near else f"kinds: {', '.join(kinds.values())}"
    raise click.UsageError(f"there is no kind {kind!r}; {advice}")
