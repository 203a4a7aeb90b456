"""`gitmesh completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gitmesh.cli import console

HELP = """Print the completion script of a shell.

\b
Examples:
  source <(gitmesh completion bash)                                  this shell only
  gitmesh completion zsh > ~/.zfunc/_gitmesh                         zsh, every shell
  gitmesh completion fish > ~/.config/fish/completions/gitmesh.fish

Exit code: 0.
"""


@click.command(help=HELP)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Click writes the script; it calls `gitmesh` itself for the answers."""
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}")
    console.document(made(ctx.find_root().command, {}, "gitmesh", "_GITMESH_COMPLETE").source())
    return 0
