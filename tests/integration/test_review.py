"""`gitmesh review` where people and forges are as they are: on servers of our own for Gitea, GitHub and GitLab."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import yaml

from gitmesh.adapters import forge as forges
from gitmesh.model.comparison import ClusterComparison, Comparison, Level, ObjectDelta, Risk
from gitmesh.model.objects import ObjectKey, canonical
from gitmesh.model.plan import Action
from gitmesh.ports import Forge
from gitmesh.reviewing.posting import AHEAD, Posted
from gitmesh.reviewing.publishing import Publication, begin, find_pull, publish
from tests.forges import SERVERS, Faults, ForgeServer, Trouble
from tests.unit.commandline import Run, runner

EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"
SUCCESS = {"gitea": "success", "github": "success", "gitlab": "success"}
FAILURE = {"gitea": "failure", "github": "failure", "gitlab": "failed"}
CONTEXT = "gitmesh/shop/review"


def git(*arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    return subprocess.run(["git", *who, *arguments], env=environment, check=True, capture_output=True, text=True).stdout.strip()


def commit(path: str = "policies/reviews.yaml", old: str = "timeout: 3s", new: str = "timeout: 5s") -> str:
    """Commit an edit of a file; the commit."""
    file = Path(path)
    text = file.read_text() if file.exists() else ""
    assert old in text
    file.write_text(text.replace(old, new) if old else new)
    git("add", "--all")
    git("commit", "--quiet", "-m", "x")
    return git("rev-parse", "HEAD")


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.kind)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForgeServer]:
    quick = partial(forges.forge, timeout=1.0, sleep=lambda _: None, jitter=lambda: 0.5)
    monkeypatch.setattr(forges, "forge", quick)
    with request.param() as started:
        yield started


@pytest.fixture
def run(server: ForgeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Command lines in a checkout of the example, on a branch that changes a timeout and whose pull request 1 is open."""
    shutil.copytree(EXAMPLE, tmp_path / "mesh")
    call = runner(tmp_path / "mesh", capsys, monkeypatch)
    for name in ("GITHUB_REF", "GITHUB_BASE_REF", "GITHUB_STEP_SUMMARY", "CI_MERGE_REQUEST_IID", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME"):
        monkeypatch.delenv(name, raising=False)
    Path("token").write_text(f"{server.token}\n")
    config = yaml.safe_load(Path("gitmesh.yaml").read_text())
    config["forge"] = {
        "kind": server.kind,
        "url": server.url,
        "repository": server.repository,
        "tokenFile": "token",
        "allowInsecure": True,
    }
    Path("gitmesh.yaml").write_text(yaml.safe_dump(config))
    Path(".gitignore").write_text("token\n.state\n")
    git("init", "--quiet", "--template=", "-b", "main", ".")
    git("add", "--all")
    git("commit", "--quiet", "-m", "first")
    git("checkout", "--quiet", "-b", "feature")
    assert server.open_pull(commit()) == 1
    return call


REVIEW = ("review", "--base", "main", "--config", "gitmesh.yaml")


def status(server: ForgeServer, head: str = "") -> str:
    return server.newest_statuses(head or server.pulls[1].head)[CONTEXT][0]


def test_one_comment_and_one_status(server: ForgeServer, run: Run) -> None:
    code, out, err = run(*REVIEW)
    assert (code, out) == (0, "")
    assert "comment on pull request 1: created; status gitmesh/shop/review: success" in err
    (body,) = server.own_comments(1)
    assert "0 to create, 2 to change, 0 to delete in 2 clusters" in body
    assert status(server) == SUCCESS[server.kind]


def test_a_review_that_is_repeated_writes_nothing(server: ForgeServer, run: Run) -> None:
    run(*REVIEW)
    before = len(server.asked)
    code, _, err = run(*REVIEW)
    assert (code, "comment on pull request 1: unchanged" in err) == (0, True)
    assert {one.method for one in server.asked[before:]} <= {"GET"} | ({"POST"} if server.kind == "github" else set())
    assert not [one for one in server.asked[before:] if one.method != "GET" and not one.path.endswith("/graphql")]


def test_a_new_head_changes_the_comment_in_its_place(server: ForgeServer, run: Run) -> None:
    run(*REVIEW)
    (first,) = [one.id for one in server.comments_of(1)]
    server.push(1, commit(old="timeout: 5s", new="timeout: 7s"))
    code, _, err = run(*REVIEW)
    assert (code, "comment on pull request 1: updated" in err) == (0, True)
    assert [one.id for one in server.comments_of(1)] == [first]
    assert "3s -&gt; 7s" in server.own_comments(1)[0]


class TestTokens:
    @pytest.mark.parametrize("content", [None, "", "two words\n"])
    def test_none(self, server: ForgeServer, run: Run, content: str | None) -> None:
        Path("token").unlink() if content is None else Path("token").write_text(content)
        code, out, err = run(*REVIEW)
        assert (code, out, server.asked) == (3, "", [])
        assert "forge.tokenFile" in err

    def test_one_of_another_file(self, server: ForgeServer, run: Run, tmp_path: Path) -> None:
        Path("token").rename(tmp_path / "secret")
        assert run(*REVIEW, "--token-file", str(tmp_path / "secret"))[0] == 0
        assert len(server.own_comments(1)) == 1

    def test_one_that_is_refused(self, server: ForgeServer, run: Run) -> None:
        Path("token").write_text("another\n")
        code, _, err = run(*REVIEW)
        assert (code, "does not accept the token" in err) == (3, True)
        assert "another" not in err

    def test_one_that_may_not_comment_still_sets_the_status(self, server: ForgeServer, run: Run) -> None:
        """A status that stays pending for ever would keep a merge waiting."""
        server.rights.remove("comment")
        code, _, err = run(*REVIEW)
        assert code == 3
        assert "does not allow the token to" in err
        assert status(server) == SUCCESS[server.kind]

    def test_one_that_may_not_set_statuses(self, server: ForgeServer, run: Run) -> None:
        server.rights.remove("status")
        code, _, err = run(*REVIEW)
        assert (code, "does not allow the token to" in err) == (3, True)

    def test_none_is_needed_to_look(self, server: ForgeServer, run: Run) -> None:
        Path("token").unlink()
        code, out, _ = run(*REVIEW, "--dry-run")
        assert (code, "### GitMesh" in out, server.asked) == (0, True, [])


class TestInBetween:
    def test_closed(self, server: ForgeServer, run: Run) -> None:
        server.close(1)
        code, _, err = run(*REVIEW)
        assert (code, server.own_comments(1)) == (0, [])
        assert "no open pull request into main has the head" in err

    def test_closed_and_named(self, server: ForgeServer, run: Run) -> None:
        server.close(1)
        code, _, err = run(*REVIEW, "--pull", "1")
        assert (code, server.own_comments(1)) == (0, [])
        assert "left: the pull request is closed, or has a newer head" in err
        assert status(server) == SUCCESS[server.kind]

    def test_pushed_by_force(self, server: ForgeServer, run: Run) -> None:
        old = git("rev-parse", "HEAD")
        server.push(1, "e" * 40)
        code, _, err = run(*REVIEW, "--pull", "1")
        assert (code, server.own_comments(1)) == (0, [])
        assert "has a newer head" in err
        assert status(server, old) == SUCCESS[server.kind]
        assert CONTEXT not in server.newest_statuses("e" * 40)

    def test_one_that_is_not_there(self, server: ForgeServer, run: Run) -> None:
        code, _, err = run(*REVIEW, "--pull", "99")
        assert code == 3
        assert "99" in err


class TestPeople:
    def test_a_comment_that_somebody_deleted_is_written_anew(self, server: ForgeServer, run: Run) -> None:
        run(*REVIEW)
        server.delete(server.comments_of(1)[0].id)
        assert "created" in run(*REVIEW)[2]
        assert len(server.own_comments(1)) == 1

    def test_a_comment_that_somebody_edited_says_what_is_so_again(self, server: ForgeServer, run: Run) -> None:
        run(*REVIEW)
        (mine,) = server.comments_of(1)
        server.edit(mine.id, mine.body.replace("2 to change", "0 to change"))
        assert "updated" in run(*REVIEW)[2]
        assert "2 to change" in server.own_comments(1)[0]

    def test_a_comment_without_its_marker_is_left_to_people(self, server: ForgeServer, run: Run) -> None:
        run(*REVIEW)
        server.edit(server.comments_of(1)[0].id, "taken over")
        run(*REVIEW)
        assert [body == "taken over" for body in server.own_comments(1)] == [True, False]

    def test_a_marker_of_somebody_else_counts_for_nothing(self, server: ForgeServer, run: Run) -> None:
        text = f"<!-- gitmesh:review key=shop head={'a' * 40} at=999999999999 -->\n### GitMesh: nothing changes"
        server.comment(1, text, author="mallory")
        assert "created" in run(*REVIEW)[2]
        assert [one.body for one in server.comments_of(1) if one.author.login == "mallory"] == [text]

    def test_a_clock_that_was_wrong_keeps_no_review_back(self, server: ForgeServer, run: Run) -> None:
        server.comment(1, f"<!-- gitmesh:review key=shop head={'a' * 40} at=999999999999 -->\nfrom the future", author=server.me.login)
        assert "updated" in run(*REVIEW)[2]
        (body,) = server.own_comments(1)
        assert "from the future" not in body


class TestHostileText:
    TEXT = "@everyone <img src=x onerror=alert(1)> ![p](https://evil.example/p.png) ``` </details> ~~~ #1 [a](javascript:b)"

    def test_it_is_text_and_nothing_else(self, server: ForgeServer, run: Run) -> None:
        policy = {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"name": "a" * 63, "namespace": "bookshop"},
            "spec": {
                "destinations": [{"name": "details"}],
                "matches": [{"headers": [{"name": "x-" + "n" * 120, "exact": self.TEXT + "z" * 500}]}],
                "timeout": "9s",
            },
        }
        server.push(1, commit("policies/hostile.yaml", "", yaml.safe_dump(policy)))
        code, _, err = run(*REVIEW)
        assert code == 0, err
        self.shown_as_text(server.own_comments(1)[0])

    def test_findings_with_it(self, server: ForgeServer, run: Run) -> None:
        bad = {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"name": self.TEXT},
            "spec": {"f" * 500: 1, self.TEXT: 2},
        }
        server.push(1, commit("policies/@everyone.yaml", "", yaml.safe_dump(bad)))
        code, out, err = run(*REVIEW)
        assert (code, out) == (2, "")
        assert "GM202 UnknownField" in err, "the log of the job says it, too"
        assert status(server) == FAILURE[server.kind]
        body = server.own_comments(1)[0]
        assert "this revision is refused" in body
        self.shown_as_text(body)

    def shown_as_text(self, body: str) -> None:
        outside, fence = [], ""
        for line in body.splitlines():
            mark = re.match(r"(`{3,}|~{3,})", line)
            if fence:
                fence = "" if line == fence else fence
            elif mark:
                fence = mark[1]
            else:
                outside.append(re.sub(r"(?<!\\)`[^`]*`", "", line))
        assert fence == "", "a fence is open at the end"
        text = "\n".join(outside)
        assert "@everyone" not in text
        assert "](http" not in text
        assert "javascript:b)" not in text.replace("\\)", "")
        tags = set(re.findall(r"<[^>\s]*", text))
        assert tags <= {"<!--", "<details", "<summary", "</summary", "</details", "<sub", "</sub"} | {"<details"}, tags
        assert text.count("<details>") == text.count("</details>")


def comparison(head: str, objects: int = 1, base: str = "b" * 40) -> Comparison:
    """So many new objects in one cluster."""
    deltas = tuple(
        ObjectDelta(
            key=ObjectKey(group="networking.istio.io", kind="VirtualService", namespace="shop", name=f"service-{index}"),
            action=Action.CREATE,
            after=canonical({"kind": "VirtualService", "spec": {"hosts": [f"service-{index}.example"], "of": head}}),
        )
        for index in range(objects)
    )
    return Comparison(base=base, head=head, clusters={"east": ClusterComparison(name="east", objects=deltas)}, risk=Risk(level=Level.LOW))


def publication(head: str, at: int, objects: int = 1) -> Publication:
    return Publication(comparison=comparison(head, objects), instance="default", head=head, at=at, whole="the job's summary")


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


class TestOrder:
    def test_an_older_run_changes_nothing_after_a_newer(self, server: ForgeServer, tmp_path: Path) -> None:
        head = "a" * 40
        number, forge = server.open_pull(head), server.forge(tmp_path)
        pull = forge.pull(number)
        assert publish(forge, pull, publication(head, 200, objects=2)) is Posted.CREATED
        before = server.own_comments(number)
        assert publish(forge, pull, publication(head, 100)) is Posted.NEWER
        assert server.own_comments(number) == before

    def test_one_from_further_on_than_clocks_differ_is_replaced(self, server: ForgeServer, tmp_path: Path) -> None:
        head = "a" * 40
        number, forge = server.open_pull(head), server.forge(tmp_path)
        publish(forge, forge.pull(number), publication(head, 200 + AHEAD, objects=2))
        assert publish(forge, forge.pull(number), publication(head, 199)) is Posted.UPDATED

    @pytest.mark.parametrize("seed", range(5))
    def test_of_two_at_once_one_comment_with_the_newer_text_stays(self, server: ForgeServer, tmp_path: Path, seed: int) -> None:
        head = f"{seed + 1:040x}"
        number, forge = server.open_pull(head), server.forge(tmp_path)
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(_reviewed, forge, number, publication(head, 100 + one, objects=1 + one)) for one in range(2)]
            assert all(isinstance(one.result(), Posted) for one in runs)
        (body,) = server.own_comments(number)
        assert "at=101" in body
        assert "2 to create" in body

    def test_a_newer_one_beside_an_older_duplicate_is_put_into_the_first(self, server: ForgeServer, tmp_path: Path) -> None:
        """As after two that began at once, of which one was ended before it looked again."""
        head = "a" * 40
        number, forge = server.open_pull(head), server.forge(tmp_path)
        for at, text in ((100, "older"), (300, "newer")):
            server.comment(number, f"<!-- gitmesh:review key=default head={head} at={at} -->\n{text}", author=server.me.login)
        assert publish(forge, forge.pull(number), publication(head, 200)) is Posted.NEWER
        assert server.own_comments(number) == [f"<!-- gitmesh:review key=default head={head} at=300 -->\nnewer"]


def _reviewed(forge: Forge, number: int, made: Publication) -> Posted:
    pull = find_pull(forge, number, "", "")
    assert pull is not None
    begin(forge, pull, made.instance, made.head)
    return publish(forge, pull, made)


class TestOutages:
    @pytest.mark.parametrize("trouble", [Trouble.FAILURE, Trouble.SILENCE, Trouble.RESET, Trouble.GARBAGE])
    def test_the_exit_code_is_that_of_the_review(self, server: ForgeServer, run: Run, trouble: Trouble) -> None:
        server.faults = Faults(1, 1.0, (trouble,))
        code, out, err = run(*REVIEW)
        assert (code, out) == (0, "")
        assert "not posted: " in err
        assert "the next run posts" in err
        server.faults = Faults(1, 0.0)
        assert run(*REVIEW)[0] == 0
        assert len(server.own_comments(1)) == 1

    def test_findings_still_fail_the_job(self, server: ForgeServer, run: Run) -> None:
        server.push(1, commit(old="timeout: 5s", new="timeout: 5 parsecs"))
        server.faults = Faults(1, 1.0, (Trouble.FAILURE,))
        code, out, err = run(*REVIEW, "--annotations", "github")
        assert (code, "not posted: " in err) == (2, True)
        assert "::error file=policies/reviews.yaml,line=15," in out

    def test_the_report_is_written_all_the_same(self, server: ForgeServer, run: Run) -> None:
        server.faults = Faults(1, 1.0, (Trouble.FAILURE,))
        run(*REVIEW, "--report", "review.md")
        assert "### GitMesh: 0 to create, 2 to change" in Path("review.md").read_text()


class Story:
    """A pull request over its life, drawn from a seed: pushes, reviews alone and two at once, comments deleted and edited by people."""

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
def test_one_comment_and_the_final_state_whatever_befalls_three_of_ten_calls(server: ForgeServer, tmp_path: Path, batch: int) -> None:
    """Ten stories in each batch: of all servers three hundred."""
    troubles = [one for one in Trouble if one is not Trouble.SILENCE]
    for seed in range(batch * 10, batch * 10 + 10):
        server.faults = Faults(seed, 0.3, troubles)
        story = Story(server, tmp_path, seed)
        for _ in range(story.draw.randint(2, 4)):
            story.step()
