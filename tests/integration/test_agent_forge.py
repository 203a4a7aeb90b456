"""`gitmesh agent` with a forge, as users run it: a process, a real git server, the servers of three forges,
one team at work.

The interval is an hour, so that whatever happens in a test happens because the forge said so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.forges import SERVERS, Faults, ForgeServer, GiteaServer, Trouble
from tests.lab.githttp import GitHttpServer
from tests.shop import Agent, Shop, text_of, traffic

SECRET = "of the webhook"
FILE = "policies/all.yaml"
CONTEXTS = ("gitmesh/shop/east", "gitmesh/shop/west")
REVIEW = "gitmesh/shop/review"


class ForgeTeam:
    """People with a repository, a forge, and the agent that looks after both."""

    def __init__(self, folder: Path, forge: ForgeServer, git: GitHttpServer, **more: Any) -> None:
        self.forge = forge
        self.shop = Shop(folder, source={"url": git.url("policies"), "interval": "1h"})
        (folder / "secret").write_text(f"{SECRET}\n", encoding="utf-8")
        config = forge.config(folder).model_dump(by_alias=True, exclude_none=True, mode="json")
        self.shop.configure(forge={**config, "webhook": {"secretFile": "secret"}, **more})
        self.commit(timeout="1s")
        self.number = 0

    def commit(self, **spec: Any) -> str:
        """A commit on main."""
        made = self.shop.repo.commit({FILE: text_of(traffic("ratings", **spec))})
        self.forge.commits.add(made)
        return made

    def change(self, **spec: Any) -> str:
        """A commit that only the ref of the pull request leads to, as the forge makes it for a fork."""
        repo = self.shop.repo
        made = repo.commit({FILE: text_of(traffic("ratings", **spec))}, branch="of-a-fork", parent=repo.tip())
        repo.delete_branch("of-a-fork")
        repo.git("update-ref", self.ref, made)
        return made

    @property
    def ref(self) -> str:
        """The ref of the next pull request's head, or the current one's."""
        kind = "merge-requests" if self.forge.kind == "gitlab" else "pull"
        return f"refs/{kind}/{max(self.number, 1)}/head"

    def open(self, **spec: Any) -> str:
        """Open a pull request from a fork."""
        head = self.change(**spec)
        self.number = self.forge.open_pull(head, fork=True)
        return head

    def push(self, **spec: Any) -> str:
        """Push another head by force."""
        head = self.change(**spec)
        self.forge.push(self.number, head)
        return head

    def merge(self, **spec: Any) -> str:
        """Merge; the commit on main."""
        made = self.commit(**spec)
        self.forge.merge(self.number, made)
        return made

    def calls(self, agent: Agent, *, secret: str = SECRET, ref: str = "", size: int = 0) -> int:
        """The forge calls the webhook; the HTTP status."""
        body = json.dumps(
            {"ref": ref, "repository": {"full_name": self.forge.repository}, "fill": "x" * size}
        ).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{agent.port}/webhook", data=body, headers=self._proof(secret, body)
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def _proof(self, secret: str, body: bytes) -> Mapping[str, str]:
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return {
            "github": {"X-Hub-Signature-256": f"sha256={signature}"},
            "gitea": {"X-Gitea-Signature": signature},
            "gitlab": {"X-Gitlab-Token": secret},
        }[self.forge.kind]

    # -- what is seen ------------------------------------------------------------------------------------

    def comment(self) -> str:
        """The one comment of ours, "" before it is there."""
        found = self.forge.own_comments(self.number)
        assert len(found) < 2
        return found[0] if found else ""

    def status(self, commit: str, context: str) -> str:
        """State of a commit, in the forge's words."""
        return self.forge.newest_statuses(commit).get(context, ("", ""))[0]

    def writes(self) -> int:
        """How often the forge was told something."""
        return sum(one.method != "GET" for one in self.forge.asked)

    def live(self) -> str:
        """The timeout that the cluster east has."""
        path = self.shop.live("ratings")
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"] if path.exists() else {"http": []}
        return ",".join(str(route.get("timeout")) for route in spec["http"])

    def store(self, suffix: str = "") -> Path:
        """A store of the agent."""
        (found,) = (
            path
            for path in (self.shop.root / ".cache" / "gitmesh").iterdir()
            if re.fullmatch(rf"policies-[0-9a-f]+{re.escape(suffix)}", path.name) and path.is_dir()
        )
        return found

    def heads(self) -> list[str]:
        """The heads that the store of reviews keeps."""
        ran = subprocess.run(
            ["git", f"--git-dir={self.store('.reviews')}", "for-each-ref"],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in ran.stdout.splitlines() if "/heads/" in line]


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.kind)
def forge(request: pytest.FixtureRequest) -> Iterator[ForgeServer]:
    with request.param() as started:
        yield started


@pytest.fixture
def team(tmp_path: Path, forge: ForgeServer) -> Iterator[ForgeTeam]:
    with GitHttpServer(tmp_path) as git:
        yield ForgeTeam(tmp_path, forge, git)


SUCCESS = "success"


def test_opened_reviewed_forced_merged_and_applied(team: ForgeTeam) -> None:
    forge, shop = team.forge, team.shop
    with shop.agent() as agent:
        agent.ready()
        first = shop.repo.tip()
        agent.until(
            lambda: all(team.status(first, one) == SUCCESS for one in CONTEXTS),
            "statuses of the commit in force",
        )

        head = team.open(timeout="2s")
        assert team.calls(agent) == 200
        agent.until(
            lambda: f"head={head}" in team.comment() and team.status(head, REVIEW) == SUCCESS, "the review"
        )
        asked = [
            (one.body["state"], one.body["description"]) for one in forge.requests("POST", f"statuses/{head}")
        ]
        assert len(set(asked)) == 2, "pending, then what came of it"
        assert len(asked) == (4 if forge.kind == "gitlab" else 2), (
            "GitLab says of each that it wants to be told the ref, too"
        )
        assert "timeout" in team.comment()
        assert "2s" in team.comment()
        assert team.live() == "1s", "nothing of a pull request is in force"

        forced = team.push(timeout="3s")
        team.calls(agent)
        agent.until(
            lambda: f"head={forced}" in team.comment() and team.status(forced, REVIEW) == SUCCESS,
            "the review of the new head",
        )
        review = team.comment()
        assert "3s" in review

        merged = team.merge(timeout="3s")
        team.calls(agent, ref="refs/heads/main")
        agent.until(lambda: team.live() == "3s", "the commit in the cluster")
        agent.until(
            lambda: all(team.status(merged, one) == SUCCESS for one in CONTEXTS), "statuses of the merge"
        )
        agent.until(lambda: "After the merge" in team.comment(), "the outcome")
        assert team.comment().startswith(review.rstrip())
        assert f"commit={merged} final=yes" in team.comment()
        assert "**east, west**: applied: 1 object" in team.comment()
        agent.until(lambda: not team.heads(), "the head to be forgotten")
        count = 'gitmesh_reviews_total{result="%s"}'
        assert (agent.metrics()[count % "created"], agent.metrics()[count % "updated"]) == (1, 1)
        assert agent.metrics()["gitmesh_review_seconds_count"] == 2
        assert [line["pull"] for line in agent.events("reviewed")] == [1, 1]
        assert agent.terminate() == 0


def test_a_restart_says_nothing_twice(team: ForgeTeam) -> None:
    head, tip = team.open(timeout="2s"), team.shop.repo.tip()
    expected = [(head, REVIEW), *((tip, one) for one in CONTEXTS)]
    with team.shop.agent() as agent:
        agent.until(lambda: all(team.status(*one) == SUCCESS for one in expected), "review and statuses")
        assert agent.terminate() == 0
    comment, written = team.comment(), team.writes()
    with team.shop.agent() as agent:
        agent.until(lambda: agent.events("reviewed"), "the review after the restart")
        agent.ready()
        assert [line["result"] for line in agent.events("reviewed")] == ["unchanged"]
        assert agent.terminate() == 0
    assert team.comment() == comment
    assert team.writes() == written


def test_a_refused_tip_is_a_failure_with_its_place(team: ForgeTeam) -> None:
    with team.shop.agent() as agent:
        agent.ready()
        bad = team.commit(timout="2s")
        team.calls(agent, ref="refs/heads/main")
        agent.until(
            lambda: all(team.status(bad, one) in ("failure", "failed") for one in CONTEXTS), "the failure"
        )
        texts = [team.forge.newest_statuses(bad)[one][1] for one in CONTEXTS]
        assert all(text.startswith("refused: GM202 policies/all.yaml:") for text in texts), texts
        good = team.commit(timeout="2s")
        team.calls(agent, ref="refs/heads/main")
        agent.until(lambda: all(team.status(good, one) == SUCCESS for one in CONTEXTS), "the next commit")


def test_only_who_knows_the_secret_wakes(team: ForgeTeam) -> None:
    with team.shop.agent() as agent:
        agent.ready()
        team.commit(timeout="2s")
        assert team.calls(agent, secret="another") == 401
        assert team.calls(agent, secret="") == 401
        assert team.calls(agent, size=1 << 20) == 413
        (team.shop.root / "secret").write_text("\n", encoding="utf-8")
        assert team.calls(agent) == 503, "an empty secret would be known to everybody"
        assert team.calls(agent, secret="") == 503
        assert team.live() == "1s"
        (team.shop.root / "secret").write_text("a new one", encoding="utf-8")
        assert team.calls(agent, secret="a new one") == 200
        agent.until(lambda: team.live() == "2s", "the commit in the cluster")


def test_a_silent_forge_keeps_no_cycle_waiting_and_the_agent_ends_in_time(tmp_path: Path) -> None:
    with GiteaServer() as forge, GitHttpServer(tmp_path) as git:
        team = ForgeTeam(tmp_path, forge, git)
        team.shop.source["interval"] = "1s"
        team.shop.configure()
        forge.faults = Faults(0, 1.0, [Trouble.SILENCE])
        with team.shop.agent() as agent:
            agent.ready()
            agent.until(lambda: len(forge.troubles) > 1, "calls that nobody answers")
            team.commit(timeout="2s")
            agent.until(lambda: team.live() == "2s", "the commit in the cluster")
            agent.ticks(2)
            began = time.monotonic()
            assert agent.terminate(25) == 0
            assert time.monotonic() - began < 20
