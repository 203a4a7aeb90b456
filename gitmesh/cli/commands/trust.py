"""`gitmesh trust`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from gitmesh.cli import configuration, console, trust
from gitmesh.render.escape import printable

HELP = """Agree to a gitmesh.yaml that is found by itself, with its path and content as they are now.

A configuration that was named (--config, GITMESH_CONFIG) always counts. One that is found, in a checkout
or above, may have come with the branch under review: until you agree it may use what lies below its
folder, and runs no program, reads no credential and talks to no network. A change of the file ends the
agreement, and where CI is set there is none. Kubeconfigs and files of credentials that it names are not
part of it.

PATH is a file or a folder with a gitmesh.yaml; default the nearest one, from here upwards.

\b
Examples:
  gitmesh trust
  gitmesh trust shop/gitmesh.yaml
  gitmesh trust --list
  gitmesh trust --revoke

Exit codes: 0 done, 2 the configuration is not valid, 3 wrong usage or a failure.
"""


@click.command(help=HELP)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--revoke", is_flag=True, help="Take the agreement back.")
@click.option(
    "--list",
    "listing",
    is_flag=True,
    help="Print what was agreed to: the path, and whether the file is still the same.",
)
def command(path: Path | None, revoke: bool, listing: bool) -> int:
    """Record, take back or list."""
    if listing:
        if revoke or path:
            raise click.UsageError("--list takes neither a PATH nor --revoke")
        console.data("".join(f"{printable(line)}\n" for line in _lines()))
        return 0
    file = _file(path)
    try:
        _revoke(file) if revoke else _trust(file)
    except OSError as error:
        raise click.ClickException(f"cannot write {trust.state_file(os.environ)}: {error.strerror}") from None
    return 0


def _file(path: Path | None) -> Path:
    if path is not None:
        return path / configuration.FILE if path.is_dir() else path
    found = configuration.find(Path.cwd())
    if found is None:
        raise click.UsageError(
            f"there is no {configuration.FILE}, here or above; give its PATH, or {configuration.BEGIN}"
        )
    return found


def _trust(file: Path) -> None:
    content = configuration.content_of(file)
    # What is not valid is refused here: nobody can agree to what no command can read.
    configuration.parsed(file, content)
    trust.record(file, content, os.environ)
    console.data(printable(f"trusted: {file.resolve()}") + "\n")
    if trust.in_ci(os.environ):
        console.note("CI is set: here only a configuration that is named with --config counts")


def _revoke(file: Path) -> None:
    if not trust.forget(file, os.environ):
        raise click.UsageError(f"{file} was not trusted")
    console.data(printable(f"not trusted any more: {file.resolve()}") + "\n")


def _lines() -> Iterator[str]:
    for name in trust.known(os.environ):
        file = Path(name)
        # As if CI were not set: the list tells whether a file is still the same, and in CI every line would
        # say that it is not.
        same = file.is_file() and trust.is_trusted(
            file, configuration.content_of(file), {**os.environ, "CI": ""}
        )
        yield f"{name}{'' if same else '   (changed or gone: not trusted)'}"
