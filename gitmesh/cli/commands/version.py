"""`gitmesh version`."""

from __future__ import annotations

import platform

import click

from gitmesh import __version__
from gitmesh.cli import console, options

HELP = """Print the version.

\b
Examples:
  gitmesh version
  gitmesh version -o json

Exit code: 0.
"""


@click.command(help=HELP)
@options.output("text", "json", "yaml")
def command(form: str) -> int:
    """The version of GitMesh and of what it runs on, ready to paste into a report of a bug."""
    if form == "text":
        console.data(
            f"gitmesh {__version__} (Python {platform.python_version()}, {platform.system()}"
            f" {platform.machine()})\n"
        )
        return 0
    from gitmesh.cli.output import dumped
    from gitmesh.render.document import document

    console.document(dumped(document("Version", version=__version__, python=platform.python_version()), form))
    return 0
