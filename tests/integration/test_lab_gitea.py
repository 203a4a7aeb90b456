"""The lab's forge and its browser: what other tests take for granted of them is shown here."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gitrepo import Repo
from tests.lab import fixtures
from tests.lab.apiclient import LabApiError
from tests.lab.browser import Browser
from tests.lab.gitea import Gitea
from tests.lab.giteaclient import GiteaClient, GiteaPull
from tests.lab.hooks import HookReceiver
from tests.lab.process import LOOPBACK, LabError, free_ports

pytestmark = pytest.mark.lab

CONTEXT = "gitmesh/review"


@dataclass(frozen=True)
class Proposal:
    """A repository of one user with a commit on `main` and a pull request for it."""

    owner: GiteaClient
    repository: str
    pull: GiteaPull


@pytest.fixture
def proposal(gitea: Gitea) -> Proposal:
    """A pull request from a branch of the repository, ready to merge."""
    owner = gitea.user()
    repository = owner.create_repository()
    owner.write_file(repository, "policies/one.yaml", "one\n")
    owner.write_file(repository, "policies/one.yaml", "two\n", new_branch="change")
    return Proposal(owner, repository, owner.open_pull(repository, "change", title="Two, not one"))


def fetched(url: str, ref: str, folder: Path) -> str:
    """The commit that Git gets for a ref of a repository."""
    git = ["git", f"--git-dir={Repo(folder).path}"]
    subprocess.run([*git, "fetch", "--quiet", url, ref], check=True, timeout=60)
    return subprocess.run(
        [*git, "rev-parse", "FETCH_HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


class TestRepositories:
    """Git over HTTP."""

    def test_push_with_a_token_then_fetch_without_one(self, gitea: Gitea, tmp_path: Path) -> None:
        owner = gitea.user(scopes=["write:repository", "write:user"])
        repository = owner.create_repository()
        local = Repo(tmp_path / "local")
        commit = local.commit({"policies/one.yaml": "one\n"})
        local.git("push", "--quiet", owner.clone_url(repository), "main")
        assert fetched(owner.clone_url(repository, credentials=False), "main", tmp_path / "other") == commit
        owner.wait_for_push(repository, "main", commit)
        assert owner.write_file(repository, "policies/one.yaml", "two\n", new_branch="change") != commit

    def test_a_token_may_what_its_scopes_say(self, gitea: Gitea, proposal: Proposal) -> None:
        reader = gitea.with_scopes(proposal.owner.account, ["read:repository", "read:issue"])
        assert reader.pull(proposal.repository, proposal.pull.number) == proposal.pull
        with pytest.raises(LabApiError, match="required scope"):
            reader.comment(proposal.repository, proposal.pull.number, "no")

    def test_a_private_repository_is_not_there_for_others(self, gitea: Gitea) -> None:
        owner, other = gitea.user(), gitea.user()
        repository = owner.create_repository(private=True, readme=True)
        assert other.request("GET", f"/repos/{repository}").status == 404
        owner.add_collaborator(repository, other.name, "read")
        assert other.request("GET", f"/repos/{repository}").status == 200


class TestPullRequests:
    """Pull requests, and what is said about them."""

    def test_open_close_and_open_again(self, proposal: Proposal) -> None:
        owner, repository, number = proposal.owner, proposal.repository, proposal.pull.number
        assert (proposal.pull.state, proposal.pull.merged) == ("open", "")
        assert owner.set_pull_open(repository, number, is_open=False).state == "closed"
        assert owner.set_pull_open(repository, number, is_open=True) == proposal.pull

    @pytest.mark.parametrize("style", ["merge", "squash", "rebase"])
    def test_merge(self, proposal: Proposal, style: str, tmp_path: Path) -> None:
        merged = proposal.owner.merge_pull(proposal.repository, proposal.pull.number, style)
        assert merged.state == "closed"
        assert merged.merged == fetched(
            proposal.owner.clone_url(proposal.repository), "main", tmp_path / "other"
        )

    def test_nobody_merges_before_a_required_status_is_there(self, proposal: Proposal) -> None:
        owner, repository, number = proposal.owner, proposal.repository, proposal.pull.number
        owner.require_status(repository, CONTEXT)
        for state in ("", "pending", "failure"):
            if state:
                owner.set_status(repository, proposal.pull.head, CONTEXT, state)
            with pytest.raises(LabApiError, match="Not all required status checks successful"):
                owner.merge_pull(repository, number)
        owner.set_status(repository, proposal.pull.head, CONTEXT, "success")
        assert owner.merge_pull(repository, number).merged

    def test_one_from_a_fork_can_be_fetched_from_the_target(
        self, gitea: Gitea, proposal: Proposal, tmp_path: Path
    ) -> None:
        stranger = gitea.user()
        fork = stranger.fork(proposal.repository)
        commit = stranger.write_file(fork, "policies/one.yaml", "three\n", new_branch="theirs")
        pull = stranger.open_pull(proposal.repository, f"{stranger.name}:theirs")
        assert pull.head == commit
        assert (
            fetched(
                proposal.owner.clone_url(proposal.repository),
                f"refs/pull/{pull.number}/head",
                tmp_path / "other",
            )
            == commit
        )

    def test_comments_are_written_edited_and_deleted(self, gitea: Gitea, proposal: Proposal) -> None:
        owner, repository, number = proposal.owner, proposal.repository, proposal.pull.number
        other = gitea.user()
        first, second = (
            other.comment(repository, number, "first"),
            other.comment(repository, number, "second"),
        )
        assert owner.comments(repository, number) == (first, second)
        assert first.author == other.name
        owner.edit_comment(repository, first.id, "not what they said")
        owner.delete_comment(repository, second.id)
        assert [(one.author, one.body) for one in other.comments(repository, number)] == [
            (other.name, "not what they said")
        ]

    def test_the_newest_status_of_a_context_counts(self, proposal: Proposal) -> None:
        owner, repository, head = proposal.owner, proposal.repository, proposal.pull.head
        assert owner.statuses(repository, head) == {}
        owner.set_status(repository, head, CONTEXT, "pending")
        owner.set_status(repository, head, CONTEXT, "failure", "1 error", "http://example.com/")
        owner.set_status(repository, head, "other", "success")
        found = owner.statuses(repository, head)
        assert {context: one.state for context, one in found.items()} == {
            CONTEXT: "failure",
            "other": "success",
        }
        assert (found[CONTEXT].text, found[CONTEXT].url, found[CONTEXT].author) == (
            "1 error",
            "http://example.com/",
            owner.name,
        )


class TestWebhooks:
    """What Gitea tells by itself."""

    def test_is_signed_with_the_secret(self, proposal: Proposal) -> None:
        with HookReceiver() as receiver:
            proposal.owner.add_hook(proposal.repository, receiver.url, "the secret")
            proposal.owner.set_pull_open(proposal.repository, proposal.pull.number, is_open=False)
            delivery = receiver.wait_for("pull_request")
        signature = hmac.new(b"the secret", delivery.body, hashlib.sha256).hexdigest()
        assert delivery.headers["x-gitea-signature"] == signature
        assert (delivery.json()["action"], delivery.json()["number"]) == ("closed", proposal.pull.number)

    def test_tells_of_new_commits_and_of_comments(self, proposal: Proposal) -> None:
        with HookReceiver() as receiver:
            proposal.owner.add_hook(proposal.repository, receiver.url, "the secret")
            commit = proposal.owner.write_file(
                proposal.repository, "policies/two.yaml", "two\n", branch="change"
            )
            assert receiver.wait_for("pull_request_sync").json()["pull_request"]["head"]["sha"] == commit
            proposal.owner.comment(proposal.repository, proposal.pull.number, "well")
            assert receiver.wait_for("pull_request_comment").json()["comment"]["body"] == "well"


class TestPages:
    """What people see."""

    def test_the_page_of_a_pull_request_is_served(self, proposal: Proposal) -> None:
        with urllib.request.urlopen(proposal.pull.url, timeout=60) as page:
            assert "Two, not one" in page.read().decode()

    def test_a_browser_shows_a_comment(self, proposal: Proposal, browser: Browser) -> None:
        table = "| a | b |\n|---|---|\n| 1 | 2 |"
        folded = "<details><summary>more</summary>\n\nthe rest\n\n</details>"
        proposal.owner.comment(
            proposal.repository,
            proposal.pull.number,
            f"**2** routes change &lt;here&gt;\n\n{table}\n\n{folded}",
        )
        seen = browser.text_of(proposal.pull.url)
        assert "2 routes change <here> a b 1 2 more" in seen
        assert "the rest" not in seen
        assert "**2**" not in seen
        assert "a b 1 2 more the rest" in browser.text_of(proposal.pull.url, unfold=True)

    def test_a_browser_that_is_logged_in_sees_what_is_private(self, gitea: Gitea, browser: Browser) -> None:
        owner = gitea.user()
        page = f"{gitea.url}/{owner.create_repository('secret', private=True, readme=True)}"
        assert f"{owner.name} / secret" in browser.text_of(page, cookies=owner.web_session())
        assert "secret" not in browser.text_of(page)

    def test_a_browser_takes_a_picture_of_the_whole_page(
        self, proposal: Proposal, browser: Browser, tmp_path: Path
    ) -> None:
        proposal.owner.comment(proposal.repository, proposal.pull.number, "line\n\n" * 100)
        picture = browser.picture(proposal.pull.url, tmp_path / "pull.png", width=1000).read_bytes()
        assert picture.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", picture[16:24])
        assert width == 1000
        assert height > 2000

    def test_a_browser_says_what_it_cannot_show(self, browser: Browser) -> None:
        (port,) = free_ports(1)
        with pytest.raises(LabError, match=r"cannot show http://127.0.0.1:\d+/: net::ERR_CONNECTION_REFUSED"):
            browser.text_of(f"http://{LOOPBACK}:{port}/")


class TestLifetime:
    """The process."""

    def test_comes_back_with_its_data_and_leaves_nothing(self, gitea_programs: Path) -> None:
        with Gitea(gitea_programs) as forge:
            folder, process = forge.folder, forge.process
            repository = forge.admin.create_repository(readme=True)
            with forge.down(), pytest.raises(ConnectionRefusedError):
                forge.admin.request("GET", "/version")
            assert not process.running
            with forge.hanging(), pytest.raises(TimeoutError):
                urllib.request.urlopen(f"{forge.url}/api/healthz", timeout=0.5)
            assert forge.admin.request("GET", f"/repos/{repository}").ok
            process = forge.process
        assert not process.running
        assert not folder.exists()


class TestForgeUp:
    """The forge to play with."""

    def test_what_it_starts_with_works_until_it_is_ended(self, gitea_programs: Path, tmp_path: Path) -> None:
        cache = tmp_path / "gitmesh-lab"
        cache.mkdir()
        (cache / gitea_programs.name).symlink_to(gitea_programs)
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", *arguments], env=env, capture_output=True, text=True, timeout=300
            )

        started = run("tests.lab", "forge-up")
        try:
            assert started.returncode == 0, started.stdout + started.stderr
            assert run("tests.lab", "forge-up").stdout == started.stdout
            (page,) = re.findall(r"(http\S+/alice/policies/pulls/1) +# a pull request", started.stdout)
            assert urllib.request.urlopen(page, timeout=60).status == 200
            config = cache / "up" / "forge" / "gitmesh.yaml"
            synced = run("gitmesh", "sync", "--config", str(config))
            assert synced.returncode == 0, synced.stderr
            assert "warning" not in synced.stderr
        finally:
            ended = run("tests.lab", "forge-down")
        assert ended.stdout == "lab: the forge is down\n"
        assert run("tests.lab", "forge-down").stdout == "lab: no forge was up\n"
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(page, timeout=60)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_missing_fails_in_ci_and_skips_elsewhere(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"^Gitea not built: run 'make lab' [^\n]*$"):
        fixtures.not_available(fixtures.NO_GITEA)
