"""`gitmesh init`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitmesh.cli import configuration, console, trust
from gitmesh.cli.folders import checkout
from gitmesh.render.escape import printable
from gitmesh.render.values import counted, listed

if TYPE_CHECKING:
    from gitmesh.cli.starter import Context

HELP = """Write a policy repository to start from: a configuration, a policy of every kind, their schema
for editors, a README, a CI step and a hook for pre-commit. It works as it is, on two clusters that are
folders, or, with --from, on the cluster of a kubeconfig's context, which is only looked at (mode Observe).

DIR is made if it is not there; default the current folder. Nothing is ever overwritten: where a file of
these is there already, nothing is written at all. The configuration is trusted at once (see trust), but
not where CI is set.

\b
Examples:
  gitmesh init mesh
  gitmesh init mesh --from prod                the cluster of kubectl's context prod

Exit codes: 0 done, 3 something is there already, wrong usage or a failure.
"""


@click.command(help=HELP)
@click.argument(
    "folder", required=False, default=".", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]"
)
@click.option(
    "--from",
    "context",
    metavar="CONTEXT",
    help="The cluster of this context of your kubeconfig, in mode Observe.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where --from looks; default KUBECONFIG, else ~/.kube/config.",
)
def command(folder: Path, context: str | None, kubeconfig: Path | None) -> int:
    """Write everything or nothing, trust the configuration, and say what to type next."""
    from gitmesh.cli.starter import WORKFLOW, starter

    if kubeconfig is not None and context is None:
        raise click.UsageError("--kubeconfig goes with --from CONTEXT")
    top = checkout(folder) or Path(os.path.abspath(folder))
    found = _context(context, kubeconfig) if context is not None else None
    inside = os.path.relpath(os.path.abspath(folder), top)
    texts = starter(found, "" if inside == os.curdir else Path(inside).as_posix())
    files = {top / path if path == WORKFLOW else folder / path: text for path, text in texts.items()}
    _write(files, folder, top)
    console.data("".join(f"wrote {line}\n" for line in _told(files, folder)))
    _agree(folder / configuration.FILE)
    _next(folder)
    return 0


def _context(context: str, given: Path | None) -> Context:
    """The first kubeconfig that has the context, which must be one that GitMesh can use."""
    from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
    from gitmesh.adapters.kube.tokens import Exec
    from gitmesh.cli.starter import Context
    from gitmesh.errors import ClusterError

    said = ""
    for path in [given] if given else _kubeconfigs(os.environ):
        try:
            endpoint = read_kubeconfig(
                path, context=context, allow_exec=True
            )  # nothing runs before it is connected to
        except ClusterError as error:
            said = said or str(error)
            continue
        if isinstance(endpoint.tokens, Exec):
            console.note(
                "its credentials are made by a program: set `allowExec: true` in gitmesh.yaml if you trust"
                " that"
            )
        return Context(kubeconfig=Path(os.path.abspath(path)), context=context)
    raise click.UsageError(f"--from {context}: {said}")


def _kubeconfigs(environment: Mapping[str, str]) -> Sequence[Path]:
    """As kubectl looks for them."""
    named = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return named or [Path.home() / ".kube" / "config"]


def _write(files: Mapping[Path, str], folder: Path, top: Path) -> None:
    """Write all of them, each new; none where one of them, or something in the place of its folder, is there
    already.
    """
    there = [path for path in files if _is_taken(path, (folder, top))]
    if there:
        names = listed([os.path.relpath(path, folder) for path in there], 8)
        where = "give a DIR that is new, such as `gitmesh init mesh`"
        raise click.ClickException(f"nothing was written, as this is there already: {names}; {where}")
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # `x`: somebody may have made the file since it was looked for.
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise click.ClickException(f"cannot write {path}: {error.strerror}") from None


def _is_taken(path: Path, roots: Sequence[Path]) -> bool:
    """Whether the file, or something that is no folder where it needs one, is there."""
    # A link below the roots may lead anywhere, and the file would be written there.
    inner = [one for one in path.parents if any(root in one.parents for root in roots)]
    not_folders = [one for one in path.parents if os.path.lexists(one) and not one.is_dir()]
    return os.path.lexists(path) or bool(not_folders) or any(one.is_symlink() for one in inner)


def _told(files: Mapping[Path, str], folder: Path) -> list[str]:
    """The files by name, those of a cluster as one."""
    names = [os.path.relpath(path, folder) for path in files]
    clusters = [name for name in names if name.startswith("clusters/")]
    lines = [name for name in names if name not in clusters]
    return [
        printable(line)
        for line in [*lines, *([f"clusters/ ({counted(len(clusters), 'file')})"] if clusters else [])]
    ]


def _agree(config: Path) -> None:
    """Trust what was just written."""
    if trust.in_ci(os.environ):
        console.note("CI is set, so nothing is trusted: name the configuration with --config")
        return
    try:
        # So that the commands that are printed work as they stand.
        trust.record(config, configuration.content_of(config), os.environ)
    except OSError as error:
        console.note(
            f"cannot write {trust.state_file(os.environ)}: {error.strerror}; name the configuration with"
            " --config"
        )


def _next(folder: Path) -> None:
    here = os.path.abspath(folder) == os.getcwd()
    lines = [
        *([] if here else [f"cd {shlex.quote(str(folder))}"]),
        "gitmesh validate",
        "gitmesh diff",
        "gitmesh sync",
    ]
    console.data("next:\n" + "".join(f"  {printable(line)}\n" for line in lines))
