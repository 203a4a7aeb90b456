"""A command group that imports a command only when it is used: help and completion stay under 150 ms."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem


class CommandEntry(NamedTuple):
    """Where a command lives (`module`, attribute `command`) and its line in the group's help."""

    module: str
    help: str


class LazyGroup(click.Group):
    """A group over a table of entries."""

    entries: Mapping[str, CommandEntry]

    def __init__(self, *, entries: Mapping[str, CommandEntry], name: str, help: str, epilog: str) -> None:
        super().__init__(name=name, help=help, epilog=epilog)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Every command, in the order of the table: the order in which a user meets them."""
        return list(self.entries)

    # Click's signature.
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module and return the command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(entry.module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but a misspelt command is answered with the nearest ones."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.entries:
            near = difflib.get_close_matches(name, self.entries, n=2, cutoff=0.5)
            advice = f"did you mean {' or '.join(near)}?" if near else f"commands: {', '.join(self.entries)}"
            raise click.UsageError(f"there is no command {name!r}; {advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Command names from the table, then the group's own options."""
        found = [
            CompletionItem(name, help=entry.help)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        # Not the group's: to leave out hidden commands it would import them all.
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
