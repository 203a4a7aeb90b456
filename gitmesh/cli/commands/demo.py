"""`gitmesh demo`."""

from __future__ import annotations

import os
import shlex
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitmesh.cli import console, options

if TYPE_CHECKING:
    from gitmesh.cli.demo.world import DemoFolder

HELP = """See GitMesh work in a few seconds: no cluster, no network, no questions.

Builds a git repository and two directory clusters (a bookshop on Istio) and tells, with real runs: a sync,
a commit that shifts traffic, a hand edit that is healed, a bad commit that is refused.

\b
Examples:
  gitmesh demo
  gitmesh demo --keep shop                 leave everything in ./shop to play with

Exit codes: 0 everything happened as told, 3 something did not.
"""


@click.command(help=HELP)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Build in DIR, new or empty, and leave it there.",
)
@options.color
def command(keep: Path | None, color: bool | None) -> int:
    """Build the world, tell the story, say what to type next."""
    from gitmesh.cli.demo.story import Story
    from gitmesh.cli.demo.world import build

    paint = console.paint_for(color)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gitmesh-demo-")))
        root = _empty(keep) if keep else scratch / "demo"
        root.mkdir(parents=True, exist_ok=True)
        world = build(root)
        if keep:
            _trust(world.config)
            _forget(world)
        # The copies of the repository lie in the scratch folder also with --keep: the demo writes nothing to
        # the store of the user's own sources.
        Story(world, scratch / "store", lambda line: console.data(f"{line}\n", paint), paint).tell()
    console.data(_next(keep))
    return 0


def _empty(folder: Path) -> Path:
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty; give a folder that is new or empty")
    return folder


def _trust(config: Path) -> None:
    """Agree to the configuration that was just written."""
    from gitmesh.cli import trust

    try:
        # So that what is printed at the end works as it stands.
        trust.record(config, config.read_bytes(), os.environ)
    except OSError as error:
        console.note(
            f"cannot write {trust.state_file(os.environ)}: {error.strerror}; name the configuration with"
            " --config"
        )


def _forget(world: DemoFolder) -> None:
    """Drop what the user's store accepted of a repository that was in this place before."""
    from gitmesh.cli.demo.world import SOURCE
    from gitmesh.cli.wiring import default_store, store_name

    # Its folder was empty, so that repository is gone: the new one would count as a rewritten branch.
    former = default_store(os.environ) / store_name(SOURCE, world.url)
    with suppress(OSError):
        former.with_name(f"{former.name}.accepted").unlink()


def _next(kept: Path | None) -> str:
    """What to type next."""
    program = shlex.join(console.program())
    if kept is None:
        return f"\nNext:\n  {program} demo --keep shop   # the same, left in ./shop to play with\n"
    lines = [
        f"cd {shlex.quote(str(kept))}",
        "$EDITOR repo/policies/reviews.yaml   # change something",
        f"{program} diff repo   # what it would do, before it is committed",
        'git -C repo commit -am "Try it" && git -C repo push',
        f"{program} sync   # once; or keep it running:",
        f"{program} agent --config gitmesh.yaml",
    ]
    return "\nNext:\n" + "".join(f"  {line}\n" for line in lines)
