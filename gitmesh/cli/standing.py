"""Where `gitmesh status` and `gitmesh history` read: the status branch of a repository, the one that a
checkout fetched, or live.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from gitmesh.cli import configuration, wiring
from gitmesh.cli.folders import checkout
from gitmesh.errors import SourceError

if TYPE_CHECKING:
    from gitmesh.adapters.git import GitSource
    from gitmesh.adapters.statusreading import StatusCopy
    from gitmesh.model.overview import Overview

DEFAULT_BRANCH = "gitmesh-status"


def branch_reader(
    setup: configuration.Setup | None, store: Path | None, depth: int
) -> Callable[[], StatusCopy] | None:
    """What reads the status branch anew at each call, raising SourceError: out of the repository that it is
    written to, or, where that may not be asked or nobody says which it is, out of the checkout around. None
    where there is neither.
    """
    from gitmesh.adapters.git.checkout import Checkout
    from gitmesh.adapters.statusreading import fetched, tracked

    branch = setup.config.write_back.status_branch if setup else DEFAULT_BRANCH
    top = checkout(Path.cwd())
    # The repository before the checkout, whose copy is as old as its last fetch.
    if setup and (source := _repository(setup, store)):
        beside = (Checkout(top),) if top else ()
        return lambda: fetched(source, branch, depth, beside)
    if top is None or tracked(top, branch) is None:
        return None
    return lambda: _still(tracked(top, branch), branch)


def _still(found: StatusCopy | None, branch: str) -> StatusCopy:
    if found is None:
        raise SourceError(
            f"origin/{branch} is not in this checkout any more", hint="Fetch it again: git fetch origin."
        )
    return found


def _repository(setup: configuration.Setup, store: Path | None) -> GitSource | None:
    """The repository that has the status branch, where the configuration writes one and may be used so."""
    from gitmesh.adapters.git import GitSource

    first = next((source for source in setup.config.sources if source.url is not None), None)
    if first is None or not setup.config.write_back.enabled:
        return None
    made = wiring.source(setup, first, store)
    return made if isinstance(made, GitSource) else None


def live_reader(setup: configuration.Setup, store: Path | None) -> Callable[[], Overview]:
    """What plans a sync at each call, writes nothing, and tells what the status branch would say then."""
    from gitmesh.cli.session import execute, whole_job
    from gitmesh.model.report import Stage
    from gitmesh.status.reading import read_overview
    from gitmesh.status.tree import status_tree

    # Looking writes no status.
    job = replace(whole_job(setup, store), publishers=())

    def look() -> Overview:
        # Through the files of the branch, so that both ways say the same in the same words.
        return read_overview(status_tree(execute(job, Stage.PLAN)), seconds=int(time.time()))

    return look


def nowhere() -> click.UsageError:
    """There is no status branch to read."""
    text = (
        "there is no status branch to read: no configuration with a repository that has one, and no"
        f" origin/{DEFAULT_BRANCH} in a checkout"
    )
    return click.UsageError(
        f"{text}; with a configuration, look live: `gitmesh status --live`; {configuration.BEGIN}"
    )


def failed(error: SourceError) -> click.ClickException:
    """A repository that could not be read, with what helps."""
    return click.ClickException(f"{error.in_full}{f'; hint: {error.hint}' if error.hint else ''}")
