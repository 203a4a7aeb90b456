"""The agent tells a forge what became of a commit: once, also after a restart, and below a review that stays
as it is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitmesh.agent.logs import logger
from gitmesh.agent.outcomes import OutcomePublisher
from gitmesh.model.report import Report, SourceResult, State
from gitmesh.reviewing.posting import Posted, ReviewComment, post
from tests.forges import SERVERS, Faults, ForgeAnswer, ForgeServer, Trouble
from tests.unit.reports import change, cluster, report

HEAD, MERGED, NEXT = ("c" * 40, "d" * 40, "e" * 40)
REVIEW = (
    "### GitMesh: 1 to update\n\n```diff\n+ <!-- gitmesh:outcome commit=0000000 final=yes -->\n```\n\nthe end"
)
CONTEXT = "gitmesh/shop/east"


class OutcomeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class OutcomeWorld:
    """A forge with one pull request that was reviewed and merged, and publishers that may be started
    again.
    """

    def __init__(self, folder: Path, server: ForgeServer) -> None:
        self.server, self.clock, self.output = server, OutcomeClock(), io.StringIO()
        self.forge = server.forge(folder)
        self.number = server.open_pull(HEAD)
        assert (
            post(self.forge, self.number, ReviewComment(key="shop", head=HEAD, at=7, body=REVIEW))
            is Posted.CREATED
        )
        server.merge(self.number, MERGED)
        server.asked.clear()

    def publisher(self) -> OutcomePublisher:
        """A process that begins."""
        return OutcomePublisher(
            self.forge, "policies", "main", clock=self.clock, log=logger("json", stream=self.output)
        )

    def comment(self) -> str:
        """The one of ours."""
        (found,) = self.server.own_comments(self.number)
        return found

    def writes(self) -> int:
        """How often something was told."""
        return sum(one.method != "GET" for one in self.server.asked)

    def events(self, name: str) -> list[dict[str, str]]:
        """What was logged."""
        return [
            line for line in map(json.loads, self.output.getvalue().splitlines()) if line["event"] == name
        ]


def of(state: State, commit: str = MERGED, *, staged: bool = False) -> Report:
    """A cycle after which the cluster is in that state."""
    sources = {"policies": SourceResult(name="policies", seen=commit, accepted=commit)}
    return report(cluster("east", change(staged=staged), state=state), sources=sources)


APPLIED, WAITING = of(State.SYNCED), of(State.PENDING, staged=True)


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.kind)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OutcomeWorld]:
    with request.param() as server:
        yield OutcomeWorld(tmp_path, server)


def test_a_status_and_the_last_word_below_the_review(world: OutcomeWorld) -> None:
    assert world.publisher().publish(APPLIED) is APPLIED
    assert world.server.newest_statuses(MERGED) == {CONTEXT: ("success", "applied: 1 object")}
    comment = world.comment()
    marker, review = comment.split("\n", 1)
    assert marker == f"<!-- gitmesh:review key=shop head={HEAD} at=7 -->"
    assert review.startswith(REVIEW)
    assert f"commit {MERGED[:12]}" in review
    assert "- **east**: applied: 1 object" in review


def test_while_nothing_changes_nothing_is_asked_and_a_restart_tells_nothing(world: OutcomeWorld) -> None:
    publisher = world.publisher()
    publisher.publish(APPLIED)
    asked, written, comment = len(world.server.asked), world.writes(), world.comment()
    for _ in range(3):
        world.clock.now += 3600
        publisher.publish(APPLIED)
    assert len(world.server.asked) == asked
    world.publisher().publish(APPLIED)
    assert world.writes() == written
    assert world.comment() == comment


def test_what_waits_is_told_after_ten_minutes_and_the_last_word_once_more(world: OutcomeWorld) -> None:
    publisher = world.publisher()
    publisher.publish(WAITING)
    assert "After the merge" not in world.comment()
    assert world.server.newest_statuses(MERGED)[CONTEXT][0] in ("pending", "running")
    world.clock.now += 599
    publisher.publish(WAITING)
    assert "After the merge" not in world.comment()
    world.clock.now += 1
    publisher.publish(WAITING)
    assert "waiting: 1 object" in world.comment()
    assert "10 minutes" in world.comment()
    told = world.writes()
    publisher.publish(WAITING)
    assert world.writes() == told
    publisher.publish(APPLIED)
    assert "waiting" not in world.comment()
    assert world.comment().count("After the merge") == 1
    assert "the end\n\n<!-- gitmesh:outcome" in world.comment()


def test_after_the_last_word_only_the_status_goes_on(world: OutcomeWorld) -> None:
    publisher = world.publisher()
    publisher.publish(APPLIED)
    comment = world.comment()
    world.clock.now += 3600
    publisher.publish(WAITING)
    assert world.comment() == comment
    world.publisher().publish(WAITING)
    assert world.comment() == comment
    assert world.server.newest_statuses(MERGED)[CONTEXT][0] in ("pending", "running")


def test_another_commit_leaves_the_pull_request_alone(world: OutcomeWorld) -> None:
    comment = world.comment()
    world.server.commits.add(NEXT)
    world.publisher().publish(of(State.SYNCED, NEXT))
    assert world.server.newest_statuses(NEXT)[CONTEXT][0] == "success"
    assert world.comment() == comment


def test_a_commit_that_the_next_one_follows_too_soon_does_not_wait_for_ever(world: OutcomeWorld) -> None:
    world.server.commits.add(NEXT)
    publisher = world.publisher()
    publisher.publish(WAITING)
    publisher.publish(of(State.SYNCED, NEXT))
    state, text = world.server.newest_statuses(MERGED)[CONTEXT]
    assert state in ("error", "failed", "canceled")
    assert text == f"superseded by {NEXT[:12]} before it was applied"
    assert (
        f"commit {MERGED[:12]}: {NEXT[:12]} came into force before it was applied everywhere"
        in world.comment()
    )
    assert f"commit={MERGED} final=yes" in world.comment()
    written = world.writes()
    publisher.publish(of(State.SYNCED, NEXT))
    assert world.writes() == written


def test_one_that_was_applied_stays_so_when_the_next_one_comes(world: OutcomeWorld) -> None:
    world.server.commits.add(NEXT)
    publisher = world.publisher()
    publisher.publish(APPLIED)
    comment = world.comment()
    publisher.publish(of(State.PENDING, NEXT, staged=True))
    assert world.server.newest_statuses(MERGED)[CONTEXT] == ("success", "applied: 1 object")
    assert world.comment() == comment


def test_the_statuses_of_a_commit_are_listed_once(world: OutcomeWorld) -> None:
    clusters = [cluster(f"c{number}", change()) for number in range(20)]
    world.publisher().publish(report(*clusters, sources=APPLIED.sources))
    assert len(world.server.newest_statuses(MERGED)) == 20
    assert len([one for one in world.server.requests("GET", MERGED) if "status" in one.path]) == 1


def without_review(world: OutcomeWorld) -> None:
    world.server.delete(world.server.comments[0].id)


def forged(world: OutcomeWorld) -> None:
    body = world.comment()
    without_review(world)
    world.server.comment(world.number, body, "mallory")


def overlong(world: OutcomeWorld) -> None:
    world.server.edit(
        world.server.comments[0].id,
        f"{world.comment()}\n{'x' * (world.forge.comment_limit - len(world.comment()) - 50)}",
    )


@pytest.mark.parametrize("what", [without_review, forged, overlong])
def test_no_comment_is_written_where_there_is_none_of_ours_with_room(
    world: OutcomeWorld, what: Callable[[OutcomeWorld], None]
) -> None:
    what(world)
    before = [one.body for one in world.server.comments]
    world.publisher().publish(APPLIED)
    assert [one.body for one in world.server.comments] == before
    assert world.events("outcome")[0]["comment"].startswith("left: ")
    assert world.server.newest_statuses(MERGED)[CONTEXT][0] == "success"


def test_a_forge_that_is_down_is_left_alone_for_a_while_and_then_told(world: OutcomeWorld) -> None:
    publisher = world.publisher()
    world.server.script = [ForgeAnswer(status=500, data={})] * 40
    publisher.publish(APPLIED)
    asked = len(world.server.asked)
    publisher.publish(APPLIED)
    assert len(world.server.asked) == asked, "not before its time"
    world.server.script = []
    world.clock.now += 5
    publisher.publish(APPLIED)
    assert world.server.newest_statuses(MERGED)[CONTEXT][0] == "success"
    assert "After the merge" in world.comment()
    assert [line["level"] for line in world.events("the forge was not told what became of a commit")] == [
        "warning"
    ]


def test_a_token_without_the_right_is_told_with_what_helps(world: OutcomeWorld) -> None:
    world.server.rights -= {"status"}
    world.publisher().publish(APPLIED)
    (line,) = world.events("the forge was not told what became of a commit")
    assert line["hint"]


@pytest.mark.parametrize("seed", range(10))
def test_with_a_third_of_all_calls_failing_the_end_is_right(world: OutcomeWorld, seed: int) -> None:
    world.server.faults = Faults(seed, 0.3, [one for one in Trouble if one is not Trouble.SILENCE])
    publisher = world.publisher()
    for step in range(40):
        publisher.publish(WAITING if step < 3 else APPLIED)
        world.clock.now += 300
    world.server.faults = Faults(0, 0.0)
    assert world.server.newest_statuses(MERGED)[CONTEXT] == ("success", "applied: 1 object")
    assert world.comment().count("After the merge") == 1
    assert f"commit={MERGED} final=yes" in world.comment()
