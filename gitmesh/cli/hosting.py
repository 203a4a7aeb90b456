"""What the agent does with a forge, wired from the configuration: reviews, outcomes, and the webhook that
wakes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.cli import runs, saved_facts, wiring

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from gitmesh.adapters.folder import FolderSource
    from gitmesh.adapters.git import GitSource
    from gitmesh.adapters.git.heads import Heads
    from gitmesh.adapters.polling import Polled
    from gitmesh.agent.outcomes import OutcomePublisher
    from gitmesh.agent.pullreview import Compare, Standpoint
    from gitmesh.agent.reviews import Reviewer
    from gitmesh.agent.webhook import ForgeHook
    from gitmesh.cli.configuration import Setup
    from gitmesh.model.comparison import Comparison
    from gitmesh.model.config_sources import SourceConfig
    from gitmesh.planning.options import Memo
    from gitmesh.ports import Source, Translator


class ForgeParts(Struct, frozen=True, kw_only=True):
    """What works beside the loop where a forge is configured."""

    outcomes: OutcomePublisher | None = None
    reviewer: Reviewer | None = None
    webhook: ForgeHook | None = None


def hosting(
    setup: Setup,
    sources: Sequence[GitSource | FolderSource],
    polled: Sequence[Polled],
    translators: Mapping[str, Translator],
    log: FilteringBoundLogger,
) -> ForgeParts:
    """Nothing, where the configuration names no forge, or no repository that it could be about. That is the
    first one.
    """
    config, first = setup.config.forge, _repository(setup)
    if config is None or first is None:
        if config is not None:
            # No error: clusters are kept all the same, by what the folder says.
            log.warning("forge: no source is a repository, so that there is nothing to review")
        return ForgeParts()
    from gitmesh.agent.outcomes import OutcomePublisher
    from gitmesh.agent.webhook import ForgeHook

    outcomes = OutcomePublisher(wiring.forge(setup), first.name, first.branch, clock=time.monotonic, log=log)
    reviewer = _reviewer(setup, first, sources, translators, log) if config.reviews else None
    webhook = None
    if config.webhook is not None:
        secret = setup.base / config.webhook.secret_file
        webhook = ForgeHook(
            config.kind, config.repository, secret, pushed=waking(setup, polled, reviewer), log=log
        )
    return ForgeParts(outcomes=outcomes, reviewer=reviewer, webhook=webhook)


def _repository(setup: Setup) -> SourceConfig | None:
    """The first source that is a repository."""
    return next((one for one in setup.config.sources if one.url is not None), None)


def _reviewer(
    setup: Setup,
    first: SourceConfig,
    sources: Sequence[GitSource | FolderSource],
    translators: Mapping[str, Translator],
    log: FilteringBoundLogger,
) -> Reviewer:
    from gitmesh.adapters.git import GitSource
    from gitmesh.adapters.git.heads import Heads
    from gitmesh.agent.pullreview import PullReviewer
    from gitmesh.agent.reviews import Reviewer

    source = sources[setup.config.sources.index(first)]
    assert isinstance(source, GitSource), "it has a url"
    heads, forge = Heads(source), wiring.forge(setup)
    compare = comparing(setup, source, [one for one in sources if one is not source], heads, translators)
    return Reviewer(
        forge,
        heads,
        PullReviewer(forge, heads, compare, instance=setup.config.instance, wall=time.time, log=log),
        source=first.name,
        branch=first.branch,
        interval=first.interval / 1000,
        clock=time.monotonic,
        log=log,
    )


def waking(setup: Setup, polled: Sequence[Polled], reviewer: Reviewer | None) -> Callable[[str], None]:
    """Wake who reads a branch of the forge's repository."""
    first, back = _repository(setup), setup.config.write_back
    pairs = zip(polled, setup.config.sources, strict=True)
    of_forge = [(one, of.branch) for one, of in pairs if first is not None and of.url == first.url]

    def pushed(branch: str) -> None:
        for one, followed in of_forge:
            if branch in ("", followed):
                one.wake()
        # A push of our own status is no news to anybody.
        if reviewer is not None and not (back.enabled and branch == back.status_branch):
            reviewer.wake()

    return pushed


def comparing(
    setup: Setup,
    source: GitSource,
    others: Sequence[GitSource | FolderSource],
    heads: Heads,
    translators: Mapping[str, Translator],
) -> Compare:
    """Two commits of a source in the heads' store, beside the other sources as they are in force, a folder as
    it is; clusters are what is remembered of them."""
    from gitmesh.adapters.folder import FolderSource
    from gitmesh.adapters.git.snapshots import CommitSource
    from gitmesh.reviewing.review import Ground, Sides, review

    enforced = {one.name: one.enforce for one in setup.config.clusters}

    def as_in_force(one: GitSource | FolderSource, commit: str) -> Source:
        return (
            one
            if isinstance(one, FolderSource)
            else CommitSource(one.name, one.repository, commit, one.paths)
        )

    def compare(
        base: str, head: str, standpoint: Standpoint, *, memo: Memo, clock: Callable[[], float]
    ) -> Comparison:
        missing = [
            one.name
            for one in others
            if one.name not in standpoint.others and not isinstance(one, FolderSource)
        ]
        # One of which nothing is in force yet is left out, and told, since its policies are unknown.
        beside = [
            as_in_force(one, standpoint.others.get(one.name, "")) for one in others if one.name not in missing
        ]
        was, now = (
            CommitSource(source.name, heads.repository, commit, source.paths) for commit in (base, head)
        )
        ground = Ground(
            fleet=saved_facts.remembered_fleet(setup.config.clusters, standpoint.facts),
            translators=translators,
            options=runs.options(setup, review=True),
            enforced=enforced,
            facts=_told(missing),
        )
        memo.accepted.clear()  # what another review was about is known to none
        memo.facts.clear()
        return review(Sides(base=(was, *beside), head=(now, *beside)), ground, clock=clock, memo=memo)

    return compare


def _told(missing: Sequence[str]) -> str:
    """Where facts come from."""
    left_out = f"; without source {', '.join(missing)}, of which nothing is in force" if missing else ""
    # Without a time, so that the same review stays the same.
    return f"what the agent last read of each cluster{left_out}"
