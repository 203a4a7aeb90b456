"""What the agent does with a forge, wired from the configuration: reviews, outcomes, and the webhook that wakes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.cli import wiring

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from gitmesh.adapters.git import GitSource
    from gitmesh.adapters.git.heads import Heads
    from gitmesh.adapters.polling import Polled
    from gitmesh.agent.outcomes import OutcomePublisher
    from gitmesh.agent.pullreview import Basis, Compare
    from gitmesh.agent.reviews import Reviewer
    from gitmesh.agent.webhook import Webhook
    from gitmesh.cli.configuration import Setup
    from gitmesh.model.comparison import Comparison
    from gitmesh.pipeline import Memo
    from gitmesh.ports import Translator


class Hosting(Struct, frozen=True, kw_only=True):
    """What works beside the loop where a forge is configured."""

    outcomes: OutcomePublisher | None = None
    reviewer: Reviewer | None = None
    webhook: Webhook | None = None


def hosting(
    setup: Setup,
    repositories: Sequence[GitSource],
    polled: Sequence[Polled],
    translators: Mapping[str, Translator],
    log: FilteringBoundLogger,
) -> Hosting:
    """Nothing, where the configuration names no forge."""
    config, first = setup.config.forge, setup.config.sources[0]
    if config is None:
        return Hosting()
    from gitmesh.agent.outcomes import OutcomePublisher
    from gitmesh.agent.webhook import Webhook

    outcomes = OutcomePublisher(wiring.forge(setup), first.name, first.branch, clock=time.monotonic, log=log)
    reviewer = _reviewer(setup, repositories, translators, log) if config.reviews else None
    webhook = None
    if config.webhook is not None:
        secret = setup.base / config.webhook.secret_file
        webhook = Webhook(config.kind, config.repository, secret, pushed=_waking(setup, polled, reviewer), log=log)
    return Hosting(outcomes=outcomes, reviewer=reviewer, webhook=webhook)


def _reviewer(
    setup: Setup, repositories: Sequence[GitSource], translators: Mapping[str, Translator], log: FilteringBoundLogger
) -> Reviewer:
    from gitmesh.adapters.git.heads import Heads
    from gitmesh.agent.pullreview import PullReviewer
    from gitmesh.agent.reviews import Reviewer

    first, heads, forge = setup.config.sources[0], Heads(repositories[0]), wiring.forge(setup)
    compare = comparing(setup, repositories, heads, translators)
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


def _waking(setup: Setup, polled: Sequence[Polled], reviewer: Reviewer | None) -> Callable[[str], None]:
    """Wake who reads the branch; a push of our own status is no news to anybody."""
    first, back = setup.config.sources[0], setup.config.write_back
    of_forge = [(one, of.branch) for one, of in zip(polled, setup.config.sources, strict=True) if of.url == first.url]

    def pushed(branch: str) -> None:
        for one, followed in of_forge:
            if branch in ("", followed):
                one.wake()
        if reviewer is not None and not (back.enabled and branch == back.status_branch):
            reviewer.wake()

    return pushed


def comparing(setup: Setup, repositories: Sequence[GitSource], heads: Heads, translators: Mapping[str, Translator]) -> Compare:
    """Two commits of the first source in the heads' store, beside the other sources as they are in force; clusters are what is
    remembered of them."""
    from gitmesh.adapters.git.snapshots import CommitSource
    from gitmesh.reviewing.review import Ground, Sides, review

    first, *others = repositories
    enforced = {one.name: one.enforce for one in setup.config.clusters}

    def compare(base: str, head: str, basis: Basis, *, memo: Memo, clock: Callable[[], float]) -> Comparison:
        beside = [CommitSource(one.name, one.repository, basis.others[one.name], one.paths) for one in others if one.name in basis.others]
        was, now = (CommitSource(first.name, heads.repository, commit, first.paths) for commit in (base, head))
        ground = Ground(
            fleet=wiring.remembered_fleet(setup.config.clusters, basis.facts),
            translators=translators,
            options=wiring.options(setup, review=True),
            enforced=enforced,
            facts=_told([one.name for one in others if one.name not in basis.others]),
        )
        return review(Sides(base=(was, *beside), head=(now, *beside)), ground, clock=clock, memo=memo)

    return compare


def _told(missing: Sequence[str]) -> str:
    """Where facts come from: without a time, so that the same review stays the same."""
    left_out = f"; without source {', '.join(missing)}, of which nothing is in force" if missing else ""
    return f"what the agent last read of each cluster{left_out}"
