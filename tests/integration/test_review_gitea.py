"""`gitmesh review` on a real Gitea, and what a browser shows of it: opened, reviewed, pushed to again,
forced, closed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.integration.test_review import EXAMPLE, commit, git
from tests.lab.browser import Browser
from tests.lab.gitea import Gitea
from tests.unit.commandline import Run, runner

pytestmark = pytest.mark.lab

CONTEXT = "gitmesh/shop/review"
OPENS = """\
apiVersion: gitmesh.io/v1alpha1
kind: AccessPolicy
metadata: {name: open, namespace: bookshop}
spec: {sources: [{all: true}], destinations: [{name: ratings}]}
"""


class PolicyRepository:
    """A checkout of the example whose origin is a repository at Gitea, and a pull request of its owner."""

    def __init__(self, gitea: Gitea, run: Run) -> None:
        self.run, self.gitea = run, gitea
        self.owner, self.bot = (
            gitea.user(),
            gitea.user(scopes=["write:repository", "write:issue", "read:user"]),
        )
        self.repository = self.owner.create_repository()
        self.owner.add_collaborator(self.repository, self.bot.name)
        Path("token").write_text(self.bot.account.token, encoding="utf-8")
        self._configure()
        git("init", "--quiet", "--template=", "-b", "main", ".")
        git("add", "--all")
        git("commit", "--quiet", "-m", "first")
        git("remote", "add", "origin", self.owner.clone_url(self.repository))
        git("push", "--quiet", "origin", "main")
        self.owner.wait_for_push(self.repository, "main", git("rev-parse", "main"))
        git("checkout", "--quiet", "-b", "feature")
        self.number = 0

    def _configure(self) -> None:
        file = Path("gitmesh.yaml")
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        place = {"kind": "gitea", "url": self.gitea.url, "repository": self.repository, "allowInsecure": True}
        config["forge"] = {**place, "tokenFile": "token"}
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        Path(".gitignore").write_text("token\n.state\n", encoding="utf-8")

    def push(self, head: str) -> str:
        """Push the branch, over whatever is there."""
        git("push", "--quiet", "--force", "origin", "feature")
        self.owner.wait_for_push(self.repository, "feature", head)
        return head

    def review(self) -> str:
        """Review what is checked out; what the command says of it."""
        code, out, err = self.run("review", "--base", "main", "--config", "gitmesh.yaml")
        assert (code, out) == (0, ""), err
        return err

    def comment(self) -> str:
        """The one comment of the account that reviews."""
        (found,) = [
            one.body for one in self.bot.comments(self.repository, self.number) if one.author == self.bot.name
        ]
        return found

    def state(self, head: str) -> str:
        return self.bot.statuses(self.repository, head)[CONTEXT].state

    @property
    def page(self) -> str:
        """Where people read it."""
        return f"{self.gitea.url}/{self.repository}/pulls/{self.number}"


@pytest.fixture
def policies(
    gitea: Gitea, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> PolicyRepository:
    shutil.copytree(EXAMPLE, tmp_path / "mesh")
    run = runner(tmp_path / "mesh", capsys, monkeypatch)
    for name in (
        "GITHUB_REF",
        "GITHUB_BASE_REF",
        "GITHUB_STEP_SUMMARY",
        "CI_MERGE_REQUEST_IID",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    return PolicyRepository(gitea, run)


def test_a_pull_request_from_its_opening_to_its_end(policies: PolicyRepository, browser: Browser) -> None:
    first = policies.push(commit())
    policies.number = policies.owner.open_pull(policies.repository, "feature").number
    assert "created" in policies.review()
    assert policies.state(first) == "success"
    assert "timeout: 3s -&gt; 5s" in policies.comment()

    Path("policies/open.yaml").write_text(OPENS, encoding="utf-8")
    second = policies.push(commit(old="timeout: 5s", new="timeout: 7s"))
    assert "updated" in policies.review()
    shown = browser.text_of(policies.page)
    assert "Gained anybody else" in shown
    assert "bookshop/ratings:80" in shown
    assert "timeout: 3s -> 7s" in shown

    git("reset", "--quiet", "--hard", "main")
    forced = policies.push(commit(new="timeout: 9s"))
    assert "updated" in policies.review()
    assert "anybody else" not in policies.comment()
    assert {policies.state(one) for one in (first, second, forced)} == {"success"}
    assert "unchanged" in policies.review()

    policies.owner.set_pull_open(policies.repository, policies.number, is_open=False)
    last = policies.comment()
    git("commit", "--quiet", "--amend", "-m", "later")
    policies.push(git("rev-parse", "HEAD"))
    code, _, err = policies.run(
        "review", "--base", "main", "--config", "gitmesh.yaml", "--pull", str(policies.number)
    )
    assert code == 0, err
    assert policies.comment() == last


def test_what_a_policy_is_called_is_text_on_the_page_and_nobody_is_told(
    policies: PolicyRepository, browser: Browser
) -> None:
    header = "@everyone <script>alert(1)</script> ![x](http://x/y.png) ``` #1"
    policies.push(commit(new=f"timeout: 5s\n  headers: {{request: {{set: {{x-note: '{header}'}}}}}}"))
    policies.number = policies.owner.open_pull(policies.repository, "feature").number
    policies.review()
    shown = browser.text_of(policies.page, unfold=True)
    assert header in shown
    assert "<script>alert" not in policies.comment().split("```")[0]
