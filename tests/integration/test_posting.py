"""One comment and one status on a pull request, whatever befalls: very long, out of order, at once, and where
calls end badly.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitmesh.errors import ForgeError
from gitmesh.model.comparison import ClusterComparison, Comparison, ObjectDelta, Risk, RiskLevel
from gitmesh.model.forge import Comment
from gitmesh.model.objects import ObjectKey, canonical
from gitmesh.model.plan import Action
from gitmesh.ports import Forge
from gitmesh.reviewing.posting import AHEAD, Posted
from gitmesh.reviewing.publishing import Publication, begin, find_pull, publish
from tests.forges import SERVERS, Faults, ForgeServer, Trouble


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.kind)
def server(request: pytest.FixtureRequest) -> Iterator[ForgeServer]:
    with request.param() as started:
        yield started


def comparison(head: str, objects: int = 1, base: str = "b" * 40) -> Comparison:
    """So many new objects in one cluster."""
    deltas = tuple(
        ObjectDelta(
            key=ObjectKey(
                group="networking.istio.io", kind="VirtualService", namespace="shop", name=f"service-{index}"
            ),
            action=Action.CREATE,
            after=canonical(
                {"kind": "VirtualService", "spec": {"hosts": [f"service-{index}.example"], "of": head}}
            ),
        )
        for index in range(objects)
    )
    return Comparison(
        base=base,
        head=head,
        clusters={"east": ClusterComparison(name="east", objects=deltas)},
        risk=Risk(level=RiskLevel.LOW),
    )


def publication(head: str, at: int, objects: int = 1) -> Publication:
    return Publication(
        comparison=comparison(head, objects), instance="default", head=head, at=at, whole="the job's summary"
    )


def test_three_thousand_changed_objects_fit(server: ForgeServer, tmp_path: Path) -> None:
    head = "a" * 40
    number, forge = server.open_pull(head), server.forge(tmp_path)
    publish(forge, forge.pull(number), publication(head, 100, objects=3000))
    (body,) = server.own_comments(number)
    assert len(body) <= forge.comment_limit
    assert "3000 to create" in body
    assert body.count("<details>") == body.count("</details>")
    assert body.count("```diff\n") * 2 == len(re.findall(r"^```", body, re.M))
    cut = re.search(r"Cut to fit a comment: (\d+) objects\. All of it: the job's summary\.", body)
    if forge.comment_limit < 100_000:
        assert cut
        assert int(cut[1]) + body.count("<details>") == 3000


def test_comments_that_cannot_be_listed_keep_no_status_back(
    server: ForgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may comment can write so many that they cannot: the comment stays as it was, and the commit
    says what is so now.
    """
    head = "a" * 40
    number, forge = server.open_pull(head), server.forge(tmp_path)

    def flooded(_number: int) -> tuple[Comment, ...]:
        raise ForgeError("the forge lists more than 100 pages", retryable=False)

    monkeypatch.setattr(forge, "comments", flooded)
    pull = forge.pull(number)
    begin(forge, pull, "default", head)
    with pytest.raises(ForgeError, match="more than 100 pages"):
        publish(forge, pull, publication(head, 100))
    (status,) = forge.statuses(head)
    assert status.text.startswith("low risk")


class TestOrder:
    def test_an_older_run_changes_nothing_after_a_newer(self, server: ForgeServer, tmp_path: Path) -> None:
        head = "a" * 40
        number, forge = server.open_pull(head), server.forge(tmp_path)
        pull = forge.pull(number)
        assert publish(forge, pull, publication(head, 200, objects=2)) is Posted.CREATED
        before = server.own_comments(number)
        assert publish(forge, pull, publication(head, 100)) is Posted.NEWER
        assert server.own_comments(number) == before

    def test_one_from_further_on_than_clocks_differ_is_replaced(
        self, server: ForgeServer, tmp_path: Path
    ) -> None:
        head = "a" * 40
        number, forge = server.open_pull(head), server.forge(tmp_path)
        publish(forge, forge.pull(number), publication(head, 200 + AHEAD, objects=2))
        assert publish(forge, forge.pull(number), publication(head, 199)) is Posted.UPDATED

    @pytest.mark.parametrize("seed", range(5))
    def test_of_two_at_once_one_comment_with_the_newer_text_stays(
        self, server: ForgeServer, tmp_path: Path, seed: int
    ) -> None:
        head = f"{seed + 1:040x}"
        number, forge = server.open_pull(head), server.forge(tmp_path)
        with ThreadPoolExecutor(2) as pool:
            runs = [
                pool.submit(_reviewed, forge, number, publication(head, 100 + one, objects=1 + one))
                for one in range(2)
            ]
            assert all(isinstance(one.result(), Posted) for one in runs)
        (body,) = server.own_comments(number)
        assert "at=101" in body
        assert "2 to create" in body

    def test_a_newer_one_beside_an_older_duplicate_is_put_into_the_first(
        self, server: ForgeServer, tmp_path: Path
    ) -> None:
        """As after two that began at once, of which one was ended before it looked again."""
        head = "a" * 40
        number, forge = server.open_pull(head), server.forge(tmp_path)
        for at, text in ((100, "older"), (300, "newer")):
            server.comment(
                number,
                f"<!-- gitmesh:review key=default head={head} at={at} -->\n{text}",
                author=server.me.login,
            )
        assert publish(forge, forge.pull(number), publication(head, 200)) is Posted.NEWER
        assert server.own_comments(number) == [
            f"<!-- gitmesh:review key=default head={head} at=300 -->\nnewer"
        ]


def _reviewed(forge: Forge, number: int, made: Publication) -> Posted:
    pull = find_pull(forge, number, "", "")
    assert pull is not None
    begin(forge, pull, made.instance, made.head)
    return publish(forge, pull, made)


class PullRequestStory:
    """A pull request over its life, drawn from a seed: pushes, reviews alone and two at once, comments
    deleted and edited by people.
    """

    def __init__(self, server: ForgeServer, folder: Path, seed: int) -> None:
        self.server, self.forge = server, server.forge(folder)
        self.draw = random.Random(seed)
        self.at = 1000
        self.head = self.fresh()
        self.number = server.open_pull(self.head)

    def fresh(self) -> str:
        return f"{self.draw.getrandbits(160):040x}"

    def step(self) -> None:
        """Something happens, and a review follows."""
        event = self.draw.choice(["push", "again", "delete", "edit", "two"])
        mine = [one.id for one in self.server.comments_of(self.number)]
        if event == "push":
            self.head = self.fresh()
            self.server.push(self.number, self.head)
        elif event == "delete" and mine:
            self.server.delete(mine[0])
        elif event == "edit" and mine:
            self.server.edit(mine[0], f"{self.server.found(mine[0]).body}\nmeddled")
        made = [self.made() for _ in range(2 if event == "two" and not mine else 1)]
        with ThreadPoolExecutor(2) as pool:
            for one in [pool.submit(_reviewed, self.forge, self.number, one) for one in made]:
                one.result()
        self.check()

    def made(self) -> Publication:
        self.at += 1
        return publication(self.head, self.at, objects=self.draw.randint(1, 3))

    def check(self) -> None:
        (body,) = self.server.own_comments(self.number)
        assert f"head={self.head}" in body
        assert "meddled" not in body
        assert self.server.newest_statuses(self.head)["gitmesh/review"][0] == "success"


@pytest.mark.parametrize("batch", range(10))
def test_one_comment_and_the_final_state_whatever_befalls_three_of_ten_calls(
    server: ForgeServer, tmp_path: Path, batch: int
) -> None:
    """Ten stories in each batch: of all servers three hundred."""
    troubles = [one for one in Trouble if one is not Trouble.SILENCE]
    for seed in range(batch * 10, batch * 10 + 10):
        server.faults = Faults(seed, 0.3, troubles)
        story = PullRequestStory(server, tmp_path, seed)
        for _ in range(story.draw.randint(2, 4)):
            story.step()
