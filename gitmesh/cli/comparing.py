"""What a comparison of two revisions is made from, as the command line gives it: commits of a checkout,
configuration, facts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from gitmesh.cli import configuration, console, folders, options, runs, saved_facts, wiring
from gitmesh.cli.published import published_facts
from gitmesh.cli.session import Job, execute
from gitmesh.errors import SourceError
from gitmesh.model.report import Report, Stage
from gitmesh.render.escape import printable
from gitmesh.render.values import listed

if TYPE_CHECKING:
    from gitmesh.adapters.git.checkout import Checkout
    from gitmesh.model.comparison import Comparison
    from gitmesh.model.config_sources import SourceConfig
    from gitmesh.model.facts import ClusterFacts
    from gitmesh.ports import Source, Translator
    from gitmesh.reviewing.review import Ground, Sides


class ComparisonWanted(Struct, frozen=True, kw_only=True):
    """What was typed: revisions, and what they are judged by."""

    base: str
    head: str
    path: Path | None
    config: Path | None
    source: str | None
    facts: Path | None
    facts_from: str | None
    clusters: tuple[str, ...] = ()
    store: Path | None = None


class Compared(Struct, frozen=True, kw_only=True):
    """A comparison, and, where live clusters were asked, what they differ in from the base already. `setup`
    is the configuration that counted, `branch` the one that the source follows ("" = there is none), `facts`
    what both sides were judged by, and `sources` are those of head."""

    comparison: Comparison
    drift: Report | None = None
    setup: configuration.Setup | None = None
    branch: str = ""
    facts: Mapping[str, ClusterFacts] = {}
    sources: Sequence[Source] = ()


def compared(asked: ComparisonWanted, plugins: Mapping[str, Translator]) -> Compared:
    """Both revisions through the pipeline. Mistakes and failures of the command line are click's
    exceptions.
    """
    from gitmesh.reviewing.review import review

    try:
        revisions = _revisions(asked)
    except SourceError as error:
        raise click.UsageError(f"{error}{f'. {error.hint}' if error.hint else ''}") from None
    setup = _setup(asked, revisions)
    sides = _sides(asked, revisions, setup)
    ground, facts, drift = _ground(asked, revisions, setup, sides, plugins)
    with console.progress() as progress:
        found = review(sides, ground, clock=time.monotonic, progress=progress)
    branch = wiring.named_source(setup, asked.source).branch if setup else ""
    return Compared(
        comparison=found, drift=drift, setup=setup, branch=branch, facts=facts, sources=sides.head
    )


class _Revisions(Struct, frozen=True, kw_only=True):
    """Two commits of one checkout; `base` is where they came apart."""

    checkout: Checkout
    base: str
    head: str


def _revisions(asked: ComparisonWanted) -> _Revisions:
    from gitmesh.adapters.git.checkout import Checkout

    place = asked.path or Path()
    top = folders.checkout(place)
    if top is None:
        raise click.UsageError(
            f"--base compares commits, and {place} lies in no checkout of a Git repository"
        )
    checkout = Checkout(top)
    base, head = checkout.commit(asked.base), checkout.commit(asked.head)
    meeting = checkout.merge_base(base, head)
    if not meeting:
        console.note(
            printable(f"{asked.base} and {asked.head} have no commit in common here: compared as they are")
        )
    elif meeting != base:
        apart = checkout.commits_between(meeting, base)
        console.note(
            printable(
                f"{asked.base} is {apart} commits further on: compared from {meeting[:12]}, where both came"
                " apart"
            )
        )
    return _Revisions(checkout=checkout, base=meeting or base, head=head)


def _setup(asked: ComparisonWanted, revisions: _Revisions) -> configuration.Setup | None:
    """The configuration that was named, or the nearest one as it is at the base."""
    if asked.config is not None:
        return configuration.read(asked.config)
    file = configuration.find(asked.path or Path())
    top = revisions.checkout.top.resolve()
    if file is None or not file.resolve().is_relative_to(top):
        return _needed(configuration.load(None, file) if file else None, asked)
    inside = file.resolve().relative_to(top).as_posix()
    # At the base: that of head is under review itself, and could name other clusters.
    content = revisions.checkout.file(revisions.base, inside)
    if content is None:
        console.note(
            printable(
                f"{inside} is not there at {revisions.base[:12]}, and that of the change is under review"
                " itself"
            )
        )
        return _needed(None, asked)
    return configuration.found(file, content)


def _needed(setup: configuration.Setup | None, asked: ComparisonWanted) -> configuration.Setup | None:
    """The configuration, which may be missing where facts are given."""
    # Facts name the clusters, which else only a configuration does.
    if setup is None and asked.facts is None:
        raise click.UsageError(
            f"no configuration: give --config FILE, or --facts FILE, or have {configuration.FILE} at the"
            f" base; {configuration.BEGIN}"
        )
    return setup


def _sides(asked: ComparisonWanted, revisions: _Revisions, setup: configuration.Setup | None) -> Sides:
    from gitmesh.adapters.git.snapshots import CommitSource
    from gitmesh.reviewing.review import Sides

    name, paths = "policies", _below(asked.path, revisions.checkout.top)
    others: tuple[Source, ...] = ()
    if setup is not None:
        chosen = wiring.named_source(setup, asked.source)
        name, paths = chosen.name, _places(setup, chosen, revisions.checkout.top)
        others = tuple(
            wiring.source(setup, one, asked.store) for one in setup.config.sources if one is not chosen
        )
    base, head = (
        CommitSource(name, revisions.checkout, commit, paths) for commit in (revisions.base, revisions.head)
    )
    # Only HEAD is what the folder shows; whoever names another revision does not expect edits of the folder
    # in it.
    if asked.head == options.HEAD and (edited := folders.uncommitted(head, revisions.checkout.top)):
        told = (
            f"not committed, and not looked at: {listed(edited)}; `gitmesh diff` with the folder tells what"
            " they change"
        )
        console.note(printable(told))
    return Sides(base=(base, *others), head=(head, *others))


def _places(setup: configuration.Setup, chosen: SourceConfig, top: Path) -> tuple[str, ...]:
    """Where the source's policies lie in the checkout. A plain folder is taken for the one of the same place
    in it.
    """
    base, root = setup.base, top.resolve()
    if chosen.path is None:
        return tuple(chosen.paths)
    if not setup.places(chosen) or not base.is_relative_to(root):
        raise click.UsageError(
            f"--base compares commits, and the folder {chosen.path} of source {chosen.name} is no part of"
            f" {top}"
        )
    return tuple(
        os.path.relpath(base / place, root) if (base / place) != root else ""
        for place in setup.places(chosen)
    )


def _below(path: Path | None, top: Path) -> tuple[str, ...]:
    """Without a configuration PATH says where policies are."""
    inside = Path(path or "").resolve().relative_to(top.resolve()).as_posix()
    return ("" if inside == "." else inside,)


def _ground(
    asked: ComparisonWanted,
    revisions: _Revisions,
    setup: configuration.Setup | None,
    sides: Sides,
    plugins: Mapping[str, Translator],
) -> tuple[Ground, Mapping[str, ClusterFacts], Report | None]:
    """What both sides are judged by, the facts of it, and what live clusters differ in already."""
    from gitmesh.reviewing.review import Ground

    facts, told = _given_facts(asked, revisions, setup)
    drift = None
    if facts is None:
        assert setup is not None  # without facts a configuration is needed
        live = _planned(setup, sides.base, plugins)
        drift = live if live.clusters else None
        facts = _facts_of(live) or _facts_of(
            _planned(setup, sides.head, plugins)
        )  # a base that is refused asks no cluster
        told = "the live clusters, just now"
    enforced = (
        {one.name: one.enforce for one in setup.config.clusters} if setup else dict.fromkeys(facts, True)
    )
    shown = runs.chosen_clusters(tuple(enforced), asked.clusters) or frozenset(enforced)
    return (
        Ground(
            fleet=saved_facts.remembered_fleet(setup.config.clusters if setup else (), facts),
            translators=plugins,
            options=runs.offline(setup, facts if setup is None else {}),
            enforced={name: mode for name, mode in enforced.items() if name in shown},
            facts=told,
        ),
        facts,
        drift,
    )


def _given_facts(
    asked: ComparisonWanted, revisions: _Revisions, setup: configuration.Setup | None
) -> tuple[Mapping[str, ClusterFacts] | None, str]:
    """Facts that were saved or published, and where they come from; None where live clusters are to be
    asked.
    """
    if asked.facts is not None:
        return saved_facts.read_facts(asked.facts), str(asked.facts)
    if asked.facts_from is None:
        return None, ""
    branch = setup.config.write_back.status_branch if setup else "gitmesh-status"
    try:
        clusters = {one.name for one in setup.config.clusters} if setup else None
        return published_facts(revisions.checkout, branch, time.time(), clusters)
    except SourceError as error:
        told = (
            "An agent publishes them, or `gitmesh sync`; until then give --facts FILE, or ask live clusters."
        )
        raise click.ClickException(
            f"facts of the status branch: {error}. {told} {error.hint}".rstrip()
        ) from None


def _planned(setup: configuration.Setup, side: Sequence[Source], plugins: Mapping[str, Translator]) -> Report:
    """One side against the live clusters: their facts, and what differs already."""
    job = Job(
        sources=side,
        fleet=wiring.fleet(setup, plugins),
        options=runs.options(setup, review=True),
        translators=plugins,
    )
    return execute(job, Stage.PLAN)


def _facts_of(report: Report) -> Mapping[str, ClusterFacts]:
    return {name: result.facts for name, result in report.clusters.items() if result.facts is not None}
