"""What a command asks of a run: sources, clusters and options, by configuration and command line."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from gitmesh.cli import folders, saved_facts, wiring
from gitmesh.cli.configuration import Setup, load, require

if TYPE_CHECKING:
    from gitmesh.model.facts import ClusterFacts
    from gitmesh.planning.options import Options
    from gitmesh.ports import Fleet, Source, Translator

T = TypeVar("T")


class Review(Struct, frozen=True, kw_only=True):
    """What `render` and `diff` look at: sources, clusters, and which of these to show."""

    sources: tuple[Source, ...]
    fleet: Fleet
    options: Options
    only: frozenset[str]


def review(
    config_path: Path | None,
    facts_path: Path | None,
    path: Path | None,
    source_name: str | None,
    globs: Sequence[str],
    store: Path | None,
    translators: Mapping[str, Translator],
) -> Review:
    """The tip (or PATH) against live clusters, or against saved facts; without --facts a configuration is
    needed.
    """
    facts = saved_facts.read_facts(facts_path) if facts_path else None
    # With facts and a folder nothing is left that only a configuration could say.
    setup = load(config_path) if facts is not None and path is not None else require(config_path, path)
    found: tuple[Source, ...]
    if setup:
        found = wiring.stand_in(setup, path, source_name, store)
    else:
        found = (folders.folder(_given(path), "policies"),)
    clusters = wiring.fleet(_given(setup), translators) if facts is None else saved_facts.facts_fleet(facts)
    only = chosen_clusters(tuple(clusters.clusters), globs)
    return Review(sources=found, fleet=clusters, options=offline(setup, facts or {}, only), only=only)


def _given(value: T | None) -> T:
    assert value is not None, "decided by the caller"
    return value


def offline(
    setup: Setup | None, facts: Mapping[str, ClusterFacts], only: frozenset[str] = frozenset()
) -> Options:
    """A review's options; clusters known from facts alone count as configured."""
    from gitmesh.planning.options import Options

    known = {name: one.labels for name, one in facts.items()}
    if setup is None:
        return Options(clusters=known, review=True, only=only)
    made = options(setup, review=True, only=only)
    return replace(made, clusters={**known, **made.clusters})


def options(
    setup: Setup, *, review: bool = False, approve: Sequence[str] = (), only: frozenset[str] = frozenset()
) -> Options:
    """What a run is asked to do, by the configuration."""
    from gitmesh.planning.options import Options

    config = setup.config
    return Options(
        instance=config.instance,
        clusters=setup.clusters,
        prune=config.prune,
        approve=frozenset(approve),
        # One that is not trusted may have come with the change under review, and would hide policies from the
        # check.
        ignore=frozenset() if setup.confined else frozenset(config.ignore),
        allow_rewind=frozenset(source.name for source in config.sources if source.allow_rewind),
        review=review,
        only=only,
    )


def chosen_clusters(names: Sequence[str], globs: Sequence[str]) -> frozenset[str]:
    """The clusters that --cluster means; empty without --cluster. A pattern that means none is a usage
    error.
    """
    for glob in globs:
        if not fnmatch.filter(names, glob):
            raise click.UsageError(f"--cluster {glob}: no such cluster; there are {', '.join(sorted(names))}")
    return frozenset(name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs))
