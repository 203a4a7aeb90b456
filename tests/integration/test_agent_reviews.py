"""The agent's reviews of open pull requests: when, of what, within which bounds. A real repository, a Gitea
of our own, given time.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.adapters.git import GitSource
from gitmesh.adapters.git.heads import Heads
from gitmesh.agent import reviews
from gitmesh.agent.logs import logger
from gitmesh.agent.pullreview import PullReviewer, Standpoint
from gitmesh.agent.reviews import Reviewer
from gitmesh.errors import SourceError
from gitmesh.model.comparison import ClusterComparison, Comparison
from gitmesh.model.report import Report, SourceResult
from gitmesh.planning.options import Memo
from gitmesh.ports import Forge
from tests.forges import Faults, ForgeAnswer, GiteaServer, Trouble
from tests.gitrepo import Repo
from tests.unit.reports import cluster, report

FILE = "policies/all.yaml"
REVIEW = "gitmesh/shop/review"


class HandClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class StandInCompare:
    """Stands in for the pipeline: remembers what it was asked, and says that nothing changes. `before` is
    called first.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.before: Callable[[str], None] = lambda _: None

    def __call__(
        self, base: str, head: str, standpoint: Standpoint, *, memo: Memo, clock: Callable[[], float]
    ) -> Comparison:
        self.asked.append((base, head))
        self.before(head)
        clock()
        return Comparison(
            base=base, head=head, clusters={name: ClusterComparison(name=name) for name in standpoint.facts}
        )


class ReviewWorld:
    """A repository, its forge, and a reviewer that is asked for its rounds by hand."""

    def __init__(self, folder: Path, server: GiteaServer) -> None:
        self.repo = Repo(folder / "policies.git")
        self.repo.commit({FILE: "first"})
        self.server, self.folder, self.clock, self.compare = server, folder, HandClock(), StandInCompare()
        self.forge: Forge = server.forge(folder)
        self.source = GitSource("policies", self.repo.url, store=folder / "store", allow_insecure=True)
        self.source.fetch()
        self.heads = Heads(self.source)
        self.counted: list[str] = []
        self.output = io.StringIO()

    def reviewer(self, *, deadline: float = 60.0, heads: Heads | None = None, **facts: str) -> Reviewer:
        """A reviewer that knows facts."""
        used, log = heads or self.heads, logger("json", stream=self.output)
        one = PullReviewer(
            self.forge, used, self.compare, instance="shop", wall=lambda: 1_700_000_000.0, log=log
        )
        made = Reviewer(
            self.forge,
            used,
            one,
            source="policies",
            branch="main",
            interval=3600.0,
            clock=self.clock,
            log=log,
            deadline=deadline,
        )
        made._count = lambda result, _: self.counted.append(result)  # `start` would begin the thread
        made.publish(self.report(**facts))
        return made

    def report(self, digest: str = "1", **_: str) -> Report:
        """What a cycle said last."""
        known = cluster("east")
        assert known.facts is not None
        sources = {"policies": SourceResult(name="policies", seen=self.repo.tip(), accepted=self.repo.tip())}
        return report(replace(known, facts=replace(known.facts, digest=digest)), sources=sources)

    def commit(self, text: str, parent: str = "") -> str:
        """A commit that no branch leads to."""
        made = self.repo.commit({FILE: text}, branch="aside", parent=parent or self.repo.tip())
        self.repo.delete_branch("aside")
        return made

    def open(self, text: str = "second", *, fork: bool = True, base: str = "main") -> tuple[int, str]:
        """A pull request, and its head."""
        head = self.commit(text)
        number = self.server.open_pull(head, fork=fork, base=base)
        self.repo.git("update-ref", f"refs/pull/{number}/head", head)
        return number, head

    def push(self, number: int, text: str, parent: str = "") -> str:
        """Another head."""
        head = self.commit(text, parent)
        self.repo.git("update-ref", f"refs/pull/{number}/head", head)
        self.server.push(number, head)
        return head

    def status(self, commit: str) -> tuple[str, str]:
        """State and text of the review's status."""
        return self.server.newest_statuses(commit).get(REVIEW, ("", ""))

    def events(self, name: str) -> list[dict[str, Any]]:
        """What was logged."""
        lines = [json.loads(line) for line in self.output.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    def reviewed(self) -> list[str]:
        """The heads that were compared, in their order."""
        return [head for _, head in self.compare.asked]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ReviewWorld]:
    with GiteaServer() as server:
        yield ReviewWorld(tmp_path, server)


# --- when


def test_each_head_is_reviewed_once(world: ReviewWorld) -> None:
    number, head = world.open()
    reviewer = world.reviewer()
    assert reviewer.round() == 3600.0
    reviewer.round()
    reviewer.publish(world.report())
    reviewer.round()
    assert world.compare.asked == [(world.repo.tip(), head)]
    forced = world.push(number, "third")
    reviewer.round()
    assert world.reviewed() == [head, forced]
    assert world.counted == ["created", "updated"]
    assert f"head={forced}" in world.server.own_comments(number)[0]
    assert [line["result"] for line in world.events("reviewed")] == ["created", "updated"]
    assert len(world.events("review")) == 2


def test_again_when_it_comes_apart_elsewhere_and_not_when_the_branch_alone_goes_on(
    world: ReviewWorld,
) -> None:
    number, head = world.open()
    reviewer = world.reviewer()
    reviewer.round()
    old = world.repo.tip()
    tip = world.repo.commit({FILE: "first", "policies/more.yaml": "more"})
    reviewer.publish(world.report())
    reviewer.round()
    reviewer.round()
    assert world.compare.asked == [(old, head)]
    rebased = world.push(number, "second", parent=tip)
    reviewer.round()
    assert world.compare.asked[1:] == [(tip, rebased)]
    world.repo.move("main", old)
    reviewer.publish(world.report())
    reviewer.round()
    assert world.compare.asked[2:] == [(old, rebased)], (
        "a branch that was rewritten is another base for the same head"
    )


def test_again_when_facts_moved_but_not_at_each_movement(world: ReviewWorld) -> None:
    _, head = world.open()
    reviewer = world.reviewer()
    reviewer.round()
    for digest in ("2", "3"):
        world.clock.now += reviews.FACTS_SECONDS / 2 - 1
        reviewer.publish(world.report(digest))
        reviewer.round()
    assert world.reviewed() == [head]
    world.clock.now += 2
    reviewer.round()
    reviewer.round()
    assert world.reviewed() == [head, head]
    assert world.counted == ["created", "unchanged"], "what says the same is not posted again"


def test_without_facts_it_waits_and_asks_nobody(world: ReviewWorld) -> None:
    world.open()
    reviewer = Reviewer(
        world.forge,
        world.heads,
        PullReviewer(
            world.forge,
            world.heads,
            world.compare,
            instance="shop",
            wall=lambda: 0.0,
            log=logger("json", stream=world.output),
        ),
        source="policies",
        branch="main",
        interval=3600.0,
        clock=world.clock,
        log=logger("json", stream=world.output),
    )
    reviewer.publish(report(sources={"policies": SourceResult(name="policies", seen=world.repo.tip())}))
    assert reviewer.round() == 3600.0
    assert world.server.asked == []


def test_only_those_into_the_branch(world: ReviewWorld) -> None:
    world.open(base="release")
    world.reviewer().round()
    assert world.compare.asked == []


def test_a_round_takes_so_many_and_the_next_one_the_rest(
    world: ReviewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reviews.MOST_PULLS == 50
    monkeypatch.setattr(reviews, "MOST_PULLS", 2)
    opened = [world.open(f"number {number}", fork=number != 3) for number in range(4)]
    reviewer = world.reviewer()
    assert reviewer.round() == 0.0, "the next one follows at once"
    assert world.events("more pull requests than one round takes")[0]["later"] == 2
    assert world.reviewed() == [opened[3][1], opened[0][1]], "first that of somebody who may push here"
    assert reviewer.round() == 3600.0
    assert sorted(world.reviewed()) == sorted(head for _, head in opened)


def test_a_head_that_has_nothing_in_common_with_the_branch_is_compared_with_its_tip(
    world: ReviewWorld,
) -> None:
    number, _ = world.open()
    orphan = world.repo.commit({FILE: "orphan"}, branch="aside", parent="")
    world.repo.git("update-ref", f"refs/pull/{number}/head", orphan)
    world.server.push(number, orphan)
    world.reviewer().round()
    assert world.compare.asked == [(world.repo.tip(), orphan)]


# --- heads are data


def test_a_head_never_reaches_the_store_that_decides_what_is_in_force(world: ReviewWorld) -> None:
    _, head = world.open()
    world.reviewer().round()
    assert world.heads.repository.has(head)
    assert world.heads.repository.store != world.source.repository.store
    assert not world.source.repository.has(head)
    assert not world.source.leads_to(head)
    with pytest.raises(SourceError):
        world.source.read(head)
    world.source.accept(head)  # a record that somebody forged does not bring it either
    with pytest.raises(SourceError):
        world.source.read(head)
    assert world.source.fetch().commit == world.repo.tip()


def test_a_branch_in_the_store_of_heads_is_not_the_branch(world: ReviewWorld) -> None:
    """A pull request may be called like anything: only its number names what is kept of it."""
    number, head = world.open()
    world.reviewer().round()
    repository = world.heads.repository
    assert repository.last_seen("main") == world.repo.tip()
    assert repository.head_refs() == {str(number): repository.head_ref(str(number))}
    assert repository.resolve(repository.head_ref(str(number))) == head


def test_closed_and_merged_ones_are_forgotten(world: ReviewWorld) -> None:
    first, _ = world.open("one")
    second, _ = world.open("two")
    third, _ = world.open("three")
    reviewer = world.reviewer()
    reviewer.round()
    world.server.close(first)
    world.server.merge(second, world.repo.tip())
    reviewer.round()
    assert list(world.heads.repository.head_refs()) == [str(third)]
    world.server.pulls[first].state = "open"
    reviewer.round()
    assert len(world.reviewed()) == 4, "one that is opened again is new"


def test_a_head_that_is_too_large_is_not_taken_and_others_are(world: ReviewWorld) -> None:
    large, _ = world.open("x" * 10)
    blob = world.repo.commit(
        {FILE: "small", "large": bytes(range(256)) * 256}, branch="aside", parent=world.repo.tip()
    )
    world.repo.git("config", "core.compression", "0")
    world.repo.git("config", "pack.compression", "0")
    world.repo.git("update-ref", f"refs/pull/{large}/head", blob)
    world.repo.delete_branch("aside")
    world.server.push(large, blob)
    _, other = world.open("other")
    reviewer = world.reviewer(heads=Heads(world.source, most=16 << 10))
    reviewer.round()
    assert world.reviewed() == [other]
    assert world.counted == ["failed", "created"]
    assert world.status(blob)[0] == "pending"
    world.clock.now += 10
    reviewer.round()
    assert world.status(blob)[0] == "error"
    assert "larger than the limit" in world.status(blob)[1]


def test_a_store_that_has_grown_too_large_begins_anew(world: ReviewWorld) -> None:
    number, _ = world.open()
    heads = Heads(world.source, most_of_all=0)
    reviewer = world.reviewer(heads=heads)
    reviewer.round()
    reviewer.round()
    assert not (heads.repository.store / "HEAD").exists()
    forced = world.push(number, "third")
    reviewer.round()
    assert world.reviewed()[-1] == forced
    assert world.counted == ["created", "updated"]


# --- what goes wrong


def test_one_that_fails_keeps_no_other_waiting_and_is_tried_again(world: ReviewWorld) -> None:
    number, head = world.open("one")
    _, other = world.open("two")
    world.repo.git("update-ref", "-d", f"refs/pull/{number}/head")
    reviewer = world.reviewer()
    assert reviewer.round() == 5.0
    assert world.counted == ["failed", "created"]
    assert reviewer.round() == 5.0, "not before its time"
    world.clock.now += 5
    assert reviewer.round() == 10.0
    assert world.status(head)[0] == "error"
    world.repo.git("update-ref", f"refs/pull/{number}/head", head)
    world.clock.now += 10
    assert reviewer.round() == 3600.0
    assert world.status(head)[0] == "success"
    assert world.reviewed() == [other, head]


def test_a_defect_ends_one_review_alone(world: ReviewWorld) -> None:
    _, head = world.open("one")
    _, other = world.open("two")

    def fall(one: str) -> None:
        if one == head:
            raise ZeroDivisionError("<secret>")

    world.compare.before = fall
    reviewer = world.reviewer()
    reviewer.round()
    assert world.counted == ["bug", "created"]
    assert world.status(head) == ("error", "not reviewed: a defect of GitMesh, which the agent's log tells")
    assert world.status(other)[0] == "success"
    reviewer.round()
    assert len(world.reviewed()) == 2, "not tried again before something moves"


def test_one_that_is_late_keeps_no_other_waiting_and_posts_nothing_afterwards(world: ReviewWorld) -> None:
    number, head = world.open("one")
    _, other = world.open("two")
    released, left = Event(), Event()

    def hang(one: str) -> None:
        if one == head:
            world.clock.now += 3  # the clock that the comparison is given says that the time is over
            released.wait(30)
            left.set()

    world.compare.before = hang
    reviewer = world.reviewer(deadline=3.0)
    world.clock.now = 0.0
    reviewer.round()
    assert world.counted[0] == "late"
    assert world.status(head) == ("error", "not reviewed: it took longer than a review may take")
    assert other in world.reviewed()
    released.set()
    assert left.wait(30)
    reviewer._late[0].wait(30)
    assert world.server.own_comments(number) == []


def test_no_more_than_so_many_late_ones_are_at_work(world: ReviewWorld) -> None:
    for number in range(4):
        world.open(f"number {number}")
    released, hanging = Event(), list[str]()

    def hang(head: str) -> None:
        hanging.append(head)
        released.wait(60)

    world.compare.before = hang
    # On a busy machine one may be late before it hangs, in git: such a one ends, and another is begun.
    reviewer = world.reviewer(deadline=2.0)
    reviewer.round()
    assert len(hanging) == reviews.MOST_LATE
    reviewer.round()
    assert len(hanging) == reviews.MOST_LATE
    late = set(hanging)
    released.set()
    for one in reviewer._late:
        one.wait(30)
    world.compare.before = lambda _: None
    reviewer._deadline = 60.0
    reviewer.round()
    assert late < set(world.reviewed()), "the others go on"


def test_a_head_that_was_announced_and_is_superseded_does_not_wait_for_ever(world: ReviewWorld) -> None:
    number, head = world.open("one")
    world.repo.git("update-ref", "-d", f"refs/pull/{number}/head")
    reviewer = world.reviewer()
    reviewer.round()
    assert world.status(head)[0] == "pending"
    forced = world.push(number, "two")
    reviewer.round()
    assert world.status(head) == ("error", f"superseded by {forced[:12]} before it was reviewed")
    assert world.status(forced)[0] == "success"


def test_a_forge_that_is_down_is_asked_less_and_less_and_told_once(world: ReviewWorld) -> None:
    number, head = world.open()
    reviewer = world.reviewer()
    world.server.script = [ForgeAnswer(status=500, data={})] * 30
    assert reviewer.round() == 5.0
    asked = len(world.server.asked)
    assert reviewer.round() == 5.0
    assert len(world.server.asked) == asked, "not before its time"
    world.clock.now += 5
    assert reviewer.round() == 10.0
    world.server.script = []
    world.clock.now += 10
    assert reviewer.round() == 3600.0
    assert f"head={head}" in world.server.own_comments(number)[0]
    assert len(world.events("open pull requests cannot be listed")) == 1


@pytest.mark.parametrize("seed", range(10))
def test_with_a_third_of_all_calls_failing_there_is_one_comment_in_the_end(
    world: ReviewWorld, seed: int
) -> None:
    number, _ = world.open()
    second, other = world.open("of another")
    kinds = [one for one in Trouble if one is not Trouble.SILENCE]
    world.server.faults = Faults(seed, 0.3, kinds)
    reviewer = world.reviewer()
    forced = ""
    for step in range(60):
        if step == 5:
            forced = world.push(number, "third")
        reviewer.round()
        world.clock.now += 300
        if step > 5 and world.status(forced)[0] == "success" and world.status(other)[0] == "success":
            break
    world.server.faults = Faults(0, 0.0)
    (comment,) = world.server.own_comments(number)
    assert f"head={forced}" in comment
    assert len(world.server.own_comments(second)) == 1


def test_a_pull_request_that_is_closed_meanwhile_gets_no_comment(world: ReviewWorld) -> None:
    number, head = world.open()
    world.compare.before = lambda _: world.server.close(number)
    world.reviewer().round()
    assert world.server.own_comments(number) == []
    assert world.status(head)[0] == "success"
    assert world.counted == ["stale"]
