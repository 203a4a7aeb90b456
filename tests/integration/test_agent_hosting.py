"""What a configuration with a forge becomes in the agent: who reviews, who is woken, and what a review is
judged by.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from gitmesh.adapters.git.heads import Heads
from gitmesh.adapters.polling import Polled, Remote
from gitmesh.agent.logs import logger
from gitmesh.agent.pullreview import LateError, Standpoint
from gitmesh.cli import configuration, hosting, wiring
from gitmesh.cli.configuration import Setup
from gitmesh.cli.hosting import ForgeParts, comparing
from gitmesh.cli.session import translators
from gitmesh.model.facts import ClusterFacts
from gitmesh.planning.options import Memo
from tests.gitrepo import Repo
from tests.shop import Shop, text_of, traffic

FORGE = {"kind": "gitea", "url": "https://git.example", "repository": "shop/policies", "tokenFile": "token"}


class Woken(Polled):
    """A source that remembers that it was woken."""

    def __init__(self, source: Remote) -> None:
        super().__init__(source, interval=3600.0)
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def made(shop: Shop, **more: Any) -> tuple[ForgeParts, list[Woken], Setup]:
    """The agent's parts for a configuration."""
    shop.configure(**more)
    setup = configuration.read(shop.config, quiet=True)
    repositories = [wiring.own_source(setup, one, shop.root / "stores") for one in setup.config.sources]
    polled = [Woken(one) for one in repositories]
    return hosting.hosting(setup, repositories, polled, translators(), logger("json")), polled, setup


def test_without_a_forge_there_is_nothing(tmp_path: Path) -> None:
    assert made(Shop(tmp_path))[0] == ForgeParts()


def test_reviews_can_be_switched_off_and_the_webhook_is_there_only_with_a_secret(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    whole, _, _ = made(shop, forge={**FORGE, "webhook": {"secretFile": "secret"}})
    assert whole.outcomes
    assert whole.reviewer
    assert whole.webhook
    less, _, _ = made(shop, forge={**FORGE, "reviews": False})
    assert less.outcomes
    assert less.reviewer is None
    assert less.webhook is None


def test_a_push_wakes_who_reads_that_branch_of_that_repository(tmp_path: Path) -> None:
    shop, other = Shop(tmp_path), Repo(tmp_path / "other.git")
    sources = [
        {"name": "policies", "url": shop.repo.url, "allowInsecure": True},
        {"name": "prod", "url": shop.repo.url, "branch": "prod", "allowInsecure": True},
        {"name": "other", "url": other.url, "allowInsecure": True},
    ]
    parts, polled, setup = made(shop, sources=sources, forge=FORGE)
    reviewer = parts.reviewer
    assert reviewer is not None
    rung: list[bool] = []
    reviewer.wake = lambda: rung.append(True)  # type: ignore[method-assign]
    pushed = hosting.waking(setup, polled, reviewer)
    for branch in ("main", "prod", "feature", "gitmesh-status", ""):
        pushed(branch)
    assert [one.woken for one in polled] == [2, 2, 0]
    assert len(rung) == 4, "the agent's own push of the status is no news"


def test_a_plain_folder_has_no_pull_requests(tmp_path: Path) -> None:
    shop, other = Shop(tmp_path), Repo(tmp_path / "other.git")
    (tmp_path / "folder").mkdir()
    folder = {"name": "folder", "path": "folder"}
    assert made(shop, sources=[folder], forge=FORGE)[0] == ForgeParts()
    parts, polled, setup = made(
        shop, sources=[folder, {"name": "other", "url": other.url, "allowInsecure": True}], forge=FORGE
    )
    assert parts.reviewer is not None
    hosting.waking(setup, polled, parts.reviewer)("main")
    assert [one.woken for one in polled] == [0, 1]


# --- what a review is judged by


def facts_of(setup: Setup) -> dict[str, ClusterFacts]:
    """What a cycle reads of the clusters."""
    return {name: one.facts() for name, one in wiring.fleet(setup, translators()).clusters.items()}


@pytest.fixture
def two(tmp_path: Path) -> tuple[Shop, Repo]:
    """A shop whose second source has the broad policy."""
    shop, other = Shop(tmp_path), Repo(tmp_path / "other.git")
    shop.commit(traffic("ratings", timeout="1s"))
    other.commit({"policies/all.yaml": text_of(traffic("details", timeout="7s"))})
    both = (("policies", shop.repo.url), ("other", other.url))
    sources = [{"name": name, "url": url, "paths": ["policies"], "allowInsecure": True} for name, url in both]
    shop.configure(sources=sources, forge=FORGE)
    return shop, other


def test_other_sources_stand_as_they_are_in_force_and_a_cluster_without_facts_is_unknown(
    two: tuple[Shop, Repo],
) -> None:
    shop, other = two
    setup = configuration.read(shop.config, quiet=True)
    repositories = [wiring.git_source(setup, one, shop.root / "stores") for one in setup.config.sources]
    for one in repositories:
        one.fetch()
    in_force = other.tip()
    other.commit({"policies/all.yaml": "kind: broken"})
    base = shop.repo.tip()
    head = shop.repo.commit(
        {"policies/all.yaml": text_of(traffic("ratings", timeout="2s"))}, branch="feature", parent=base
    )
    shop.repo.git("update-ref", "refs/pull/1/head", head)
    heads = Heads(repositories[0])
    heads.bring(1, "refs/pull/1/head", head, base)
    facts = facts_of(setup)
    compare = comparing(setup, repositories[0], repositories[1:], heads, translators())
    found = compare(
        base,
        head,
        Standpoint(tip=base, facts={"east": facts["east"]}, others={"other": in_force}),
        memo=Memo(),
        clock=time.monotonic,
    )
    assert (found.base, found.head) == (base, head)
    assert found.appeared == ()
    assert [delta.key.name for delta in found.clusters["east"].objects] == ["ratings"]
    assert found.clusters["west"].unknown
    memo = Memo()
    compare(
        base,
        head,
        Standpoint(tip=base, facts=facts, others={"other": in_force}),
        memo=memo,
        clock=time.monotonic,
    )
    assert memo.facts.keys() == facts.keys()
    less = Standpoint(tip=base, facts={"east": facts["east"]}, others={"other": in_force})
    assert compare(base, head, less, memo=memo, clock=time.monotonic).clusters["west"].unknown, (
        "nothing is left of an earlier review"
    )
    alone = compare(
        base, head, Standpoint(tip=base, facts=facts, others={}), memo=Memo(), clock=time.monotonic
    )
    assert "without source other" in alone.facts


def test_a_review_changes_no_memory_of_the_agent_and_writes_no_cluster(two: tuple[Shop, Repo]) -> None:
    shop, other = two
    setup = configuration.read(shop.config, quiet=True)
    repositories = [wiring.git_source(setup, one, shop.root / "stores") for one in setup.config.sources]
    base = shop.repo.tip()
    head = shop.repo.commit({"policies/all.yaml": "nonsense: ["}, branch="feature", parent=base)
    shop.repo.git("update-ref", "refs/pull/1/head", head)
    facts = facts_of(setup)
    for one in repositories:
        one.fetch()
    heads = Heads(repositories[0])
    heads.bring(1, "refs/pull/1/head", head, base)
    standpoint = Standpoint(tip=base, facts=facts, others={"other": other.tip()})
    compare = comparing(setup, repositories[0], repositories[1:], heads, translators())
    found = compare(base, head, standpoint, memo=Memo(), clock=time.monotonic)
    assert found.clusters == {}, "a head that cannot be read is refused"
    assert found.appeared
    assert shop.objects() == {}
    assert repositories[0].accepted() == ""


def test_the_comparison_ends_when_its_clock_says_so(two: tuple[Shop, Repo]) -> None:
    shop, _ = two
    setup = configuration.read(shop.config, quiet=True)
    repositories = [wiring.git_source(setup, one, shop.root / "stores") for one in setup.config.sources]
    heads, tip = Heads(repositories[0]), shop.repo.tip()
    shop.repo.git("update-ref", "refs/pull/1/head", tip)
    heads.bring(1, "refs/pull/1/head", tip, tip)
    asked: list[int] = []

    def clock() -> float:
        asked.append(1)
        if len(asked) > 3:
            raise LateError("over")
        return 0.0

    compare = comparing(setup, repositories[0], repositories[1:], heads, translators())
    with pytest.raises(LateError):
        compare(tip, tip, Standpoint(tip=tip, facts=facts_of(setup), others={}), memo=Memo(), clock=clock)
