"""Options that several commands share: one name, one meaning, one help text."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

C = TypeVar("C", bound=Callable[..., object])
Decorator = Callable[[C], C]

_HIGHEST = ("error", "warning")
HEAD = "HEAD"
ANNOTATIONS = ("github", "gitlab", "sarif")
"""Forms in which findings annotate files: `gitmesh.render.annotations`."""


def config(command: C) -> C:
    """--config"""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="GITMESH_CONFIG",
        metavar="FILE",
        help="Configuration; default the nearest gitmesh.yaml, from here upwards.",
    )(command)


def output(*formats: str, default: str = "text") -> Callable[[C], C]:
    """-o"""

    def decorate(command: C) -> C:
        return click.option(
            "-o",
            "--output",
            "form",
            type=click.Choice(formats),
            default=default,
            show_default=True,
            help="Format of the answer on stdout.",
        )(command)

    return decorate


def color(command: C) -> C:
    """--color / --no-color"""
    return click.option(
        "--color/--no-color",
        "color",
        default=None,
        help="Colour always or never; default only on a terminal. NO_COLOR is honoured.",
    )(command)


def _configured(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The configuration's clusters, for the shell's completion; nothing where it cannot be read."""
    from gitmesh.adapters.folder import read_config
    from gitmesh.cli.configuration import find
    from gitmesh.errors import SourceError
    from gitmesh.parsing.settings import load_config

    file = ctx.params.get("config_path") or find(Path.cwd())
    try:
        config, _ = load_config(read_config(str(file)), str(file), os.environ) if file else (None, ())
    # A completion never complains: it would write into the line that is being typed.
    except SourceError:
        return []
    return (
        [cluster.name for cluster in config.clusters if cluster.name.startswith(incomplete)] if config else []
    )


def clusters(command: C) -> C:
    """--cluster"""
    return click.option(
        "--cluster",
        "cluster_globs",
        multiple=True,
        metavar="NAME",
        help="Only this cluster; may be repeated and hold * and ?.",
        shell_complete=_configured,
    )(command)


def policies(command: C) -> C:
    """--policy"""
    return click.option(
        "--policy",
        "policy_globs",
        multiple=True,
        metavar="POLICY",
        help=(
            "Only what comes from this policy: Kind/namespace/name, namespace/name or name; may be repeated"
            " and hold * and ?."
        ),
    )(command)


def fail_on(command: C) -> C:
    """--fail-on"""
    return click.option(
        "--fail-on",
        type=click.Choice(_HIGHEST),
        default="error",
        show_default=True,
        help="Findings that make the exit code 2.",
    )(command)


def facts(command: C) -> C:
    """--facts"""
    return click.option(
        "--facts",
        "facts_path",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="Facts saved by `gitmesh discover -o yaml`, in place of live clusters.",
    )(command)


def facts_from(command: C) -> C:
    """--facts-from"""
    return click.option(
        "--facts-from",
        type=click.Choice(("status",)),
        help=(
            "Facts that the agent published on the status branch, as the checkout knows it, in place of live"
            " clusters."
        ),
    )(command)


def full(command: C) -> C:
    """--full"""
    return click.option(
        "--full", is_flag=True, help="With --base: show the whole of objects that are new or that go."
    )(command)


def revisions(command: C) -> C:
    """--base and --head"""
    # click lists options in the reverse of the order in which they are put on: --base comes first in the
    # help.
    for decorate in (
        click.option(
            "--head",
            metavar="REV",
            default=HEAD,
            show_default=True,
            help="With --base: the revision that is looked at.",
        ),
        click.option(
            "--base",
            metavar="REV",
            help="Compare with this revision; where both came apart is where the comparison begins.",
        ),
    ):
        command = decorate(command)
    return command


def store(command: C) -> C:
    """--store"""
    return click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Where fetched repositories are kept; default a folder in the user's cache.",
    )(command)


def stand_in(command: C) -> C:
    """[PATH] and --source"""
    command = click.option(
        "--source", "source_name", metavar="NAME", help="Which source PATH stands in for; default the first."
    )(command)
    return path_argument(command)


def path_argument(command: C) -> C:
    """[PATH]"""
    return click.argument("path", required=False, type=click.Path(path_type=Path, exists=True))(command)
