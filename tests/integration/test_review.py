"""`gitmesh review` where people and forges are as they are: on servers of our own for Gitea, GitHub and
GitLab.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from gitmesh.adapters import forge as forges
from gitmesh.model.forge import CommitState, CommitStatus
from gitmesh.ports import Forge
from tests.forges import SERVERS, Faults, ForgeServer, Trouble
from tests.unit.commandline import Run, runner

EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"
SUCCESS = {"gitea": "success", "github": "success", "gitlab": "success"}
FAILURE = {"gitea": "failure", "github": "failure", "gitlab": "failed"}
CONTEXT = "gitmesh/shop/review"


def git(*arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    return subprocess.run(
        ["git", *who, *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(path: str = "policies/reviews.yaml", old: str = "timeout: 3s", new: str = "timeout: 5s") -> str:
    """Commit an edit of a file; the commit."""
    file = Path(path)
    text = file.read_text() if file.exists() else ""
    assert old in text
    file.write_text(text.replace(old, new) if old else new)
    git("add", "--all")
    git("commit", "--quiet", "-m", "x")
    return git("rev-parse", "HEAD")


MAKE = forges.forge


def impatient(timeout: float) -> Callable[..., Forge]:
    """Forges that wait so many seconds for an answer, and not at all between two tries."""
    return partial(MAKE, timeout=timeout, sleep=lambda _: None, jitter=lambda: 0.5)


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.kind)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForgeServer]:
    monkeypatch.setattr(forges, "forge", impatient(10.0))
    with request.param() as started:
        yield started


@pytest.fixture
def run(
    server: ForgeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Command lines in a checkout of the example, on a branch that changes a timeout and whose pull request 1
    is open.
    """
    shutil.copytree(EXAMPLE, tmp_path / "mesh")
    call = runner(tmp_path / "mesh", capsys, monkeypatch)
    for name in (
        "GITHUB_REF",
        "GITHUB_BASE_REF",
        "GITHUB_STEP_SUMMARY",
        "CI_MERGE_REQUEST_IID",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    ):
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
    assert {one.method for one in server.asked[before:]} <= {"GET"} | (
        {"POST"} if server.kind == "github" else set()
    )
    assert not [
        one for one in server.asked[before:] if one.method != "GET" and not one.path.endswith("/graphql")
    ]


def test_a_new_head_changes_the_comment_in_its_place(server: ForgeServer, run: Run) -> None:
    run(*REVIEW)
    (first,) = [one.id for one in server.comments_of(1)]
    server.push(1, commit(old="timeout: 5s", new="timeout: 7s"))
    code, _, err = run(*REVIEW)
    assert (code, "comment on pull request 1: updated" in err) == (0, True)
    assert [one.id for one in server.comments_of(1)] == [first]
    assert "3s -&gt; 7s" in server.own_comments(1)[0]


def test_open_pull_requests_are_listed_for_a_schedule(server: ForgeServer, run: Run) -> None:
    server.open_pull("d" * 40, base="elsewhere")
    server.close(server.open_pull("e" * 40))
    ref = "refs/merge-requests/1/head" if server.kind == "gitlab" else "refs/pull/1/head"
    code, out, _ = run("review", "--list", "--config", "gitmesh.yaml")
    assert (code, out) == (0, f"1 {server.pulls[1].head} {ref}\n")


class TestJobs:
    """What a CI job says of itself."""

    def test_it_names_the_base_and_the_pull_request(
        self, server: ForgeServer, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        git("update-ref", "refs/remotes/origin/main", "main")
        for name, value in (("GITHUB_BASE_REF", "main"), ("GITHUB_REF", "refs/pull/1/merge")):
            monkeypatch.setenv(name, value)
        assert "comment on pull request 1: created" in run("review", "--config", "gitmesh.yaml")[2]

    def test_it_may_be_one_of_gitlab(
        self, server: ForgeServer, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        git("update-ref", "refs/remotes/origin/main", "main")
        for name, value in (("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"), ("CI_MERGE_REQUEST_IID", "1")):
            monkeypatch.setenv(name, value)
        assert "comment on pull request 1: created" in run("review", "--config", "gitmesh.yaml")[2]

    @pytest.mark.parametrize("name", ["--upload-pack=x", "$(touch pwned)", "main\nx", "../main"])
    def test_a_base_that_is_no_branch_is_refused(
        self, server: ForgeServer, run: Run, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("GITHUB_BASE_REF", name)
        code, out, err = run("review", "--config", "gitmesh.yaml")
        assert (code, out, server.asked) == (3, "", [])
        assert "is no commit, branch or tag" in err

    def test_its_page_holds_the_review(
        self, server: ForgeServer, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
        run(*REVIEW)
        assert "### GitMesh: access unchanged; 0 to create, 2 to change" in (tmp_path / "summary").read_text()

    def test_without_one_the_base_is_to_be_given(self, server: ForgeServer, run: Run) -> None:
        code, _, err = run("review", "--config", "gitmesh.yaml")
        assert (code, "give --base REV" in err, server.asked) == (3, True, [])


def test_one_stdout_is_not_for_two(server: ForgeServer, run: Run) -> None:
    code, out, err = run(*REVIEW, "--dry-run", "--annotations", "sarif")
    assert (code, out) == (3, "")
    assert "--annotations" in err


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
        assert len(server.own_comments(1)) == 1, "what is allowed is done"

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

    def test_not_pushed_yet(self, server: ForgeServer, run: Run) -> None:
        commit(old="timeout: 5s", new="timeout: 8s")
        code, _, err = run(*REVIEW, "--pull", "1")
        assert (code, server.own_comments(1)) == (0, [])
        assert "left: the pull request is closed, or has a newer head" in err

    def test_an_old_head_ends_no_status_of_a_newer(
        self, server: ForgeServer, tmp_path: Path, run: Run
    ) -> None:
        old, forge = git("rev-parse", "HEAD"), server.forge(tmp_path)
        new = commit(old="timeout: 5s", new="timeout: 8s")
        server.push(1, new)
        server.comment(
            1, f"<!-- gitmesh:review key=shop head={new} at=5 -->\nearlier", author=server.me.login
        )
        forge.set_status(new, CommitStatus(context=CONTEXT, state=CommitState.PENDING, text="being reviewed"))
        git("checkout", "--quiet", old)
        run(*REVIEW, "--pull", "1")
        assert server.newest_statuses(new)[CONTEXT][1] == "being reviewed"

    def test_the_status_of_a_head_that_was_never_reviewed_ends(
        self, server: ForgeServer, tmp_path: Path, run: Run
    ) -> None:
        old, forge = git("rev-parse", "HEAD"), server.forge(tmp_path)
        server.comment(
            1, f"<!-- gitmesh:review key=shop head={old} at=5 -->\nearlier", author=server.me.login
        )
        forge.set_status(old, CommitStatus(context=CONTEXT, state=CommitState.PENDING, text="being reviewed"))
        new = commit(old="timeout: 5s", new="timeout: 8s")
        server.push(1, new)
        run(*REVIEW)
        assert server.newest_statuses(old)[CONTEXT][1] == f"superseded by {new[:12]} before it was reviewed"

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

    def test_a_comment_that_somebody_edited_says_what_is_so_again(
        self, server: ForgeServer, run: Run
    ) -> None:
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
        text = (
            f"<!-- gitmesh:review key=shop head={'a' * 40} at=999999999999 -->\n### GitMesh: nothing changes"
        )
        server.comment(1, text, author="mallory")
        assert "created" in run(*REVIEW)[2]
        assert [one.body for one in server.comments_of(1) if one.author.login == "mallory"] == [text]

    def test_a_clock_that_was_wrong_keeps_no_review_back(self, server: ForgeServer, run: Run) -> None:
        server.comment(
            1,
            f"<!-- gitmesh:review key=shop head={'a' * 40} at=999999999999 -->\nfrom the future",
            author=server.me.login,
        )
        assert "updated" in run(*REVIEW)[2]
        (body,) = server.own_comments(1)
        assert "from the future" not in body


class TestHostileText:
    TEXT = (
        "@everyone <img src=x onerror=alert(1)> ![p](https://evil.example/p.png) ``` </details> ~~~ #1"
        " [a](javascript:b)"
    )

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
        assert tags <= {"<!--", "<details", "<summary", "</summary", "</details", "<sub", "</sub"} | {
            "<details"
        }, tags
        assert text.count("<details>") == text.count("</details>")


class TestOutages:
    @pytest.mark.parametrize("trouble", [Trouble.FAILURE, Trouble.SILENCE, Trouble.RESET, Trouble.GARBAGE])
    def test_the_exit_code_is_that_of_the_review(
        self, server: ForgeServer, run: Run, monkeypatch: pytest.MonkeyPatch, trouble: Trouble
    ) -> None:
        server.faults = Faults(1, 1.0, (trouble,))
        with monkeypatch.context() as hasty:
            hasty.setattr(forges, "forge", impatient(0.5))
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
        assert "### GitMesh: access unchanged; 0 to create, 2 to change" in Path("review.md").read_text()
