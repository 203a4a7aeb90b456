"""`gitmesh agent` beside a real Gitea that calls its webhook: a change of a fork, reviewed, changed,
approved, merged, applied.

The interval is an hour: whatever happens in time happens because Gitea said so.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.lab.gitea import Gitea
from tests.lab.giteaclient import GiteaClient
from tests.shop import Shop, text_of, traffic

pytestmark = pytest.mark.lab

FILE = "policies/all.yaml"
SECRET = "of the webhook"
REVIEW = "gitmesh/shop/review"
CONTEXTS = ("gitmesh/shop/east", "gitmesh/shop/west")


class GiteaTeam:
    """An owner, somebody with a fork, and the account of the agent."""

    def __init__(self, folder: Path, gitea: Gitea) -> None:
        self.owner, self.guest = gitea.user(), gitea.user()
        self.bot: GiteaClient = gitea.user(scopes=["write:repository", "write:issue", "read:user"])
        self.repository = self.owner.create_repository()
        self.owner.write_file(self.repository, FILE, says("1s"))
        self.owner.add_collaborator(self.repository, self.bot.name)
        url = self.bot.clone_url(self.repository, credentials=False)
        for name, text in {"user": self.bot.name, "token": self.bot.account.token, "secret": SECRET}.items():
            (folder / name).write_text(text, encoding="utf-8")
        self.shop = Shop(
            folder,
            source={"url": url, "interval": "1h", "auth": {"usernameFile": "user", "passwordFile": "token"}},
        )
        forge = {
            "kind": "gitea",
            "url": gitea.url,
            "repository": self.repository,
            "tokenFile": "token",
            "allowInsecure": True,
        }
        self.shop.configure(forge={**forge, "webhook": {"secretFile": "secret"}})
        self.number = 0

    def comment(self) -> str:
        """The one comment of the agent, "" before it is there."""
        found = [
            one.body for one in self.bot.comments(self.repository, self.number) if one.author == self.bot.name
        ]
        assert len(found) < 2
        return found[0] if found else ""

    def states(self, commit: str) -> dict[str, str]:
        """Context -> state."""
        return {name: one.state for name, one in self.bot.statuses(self.repository, commit).items()}

    def live(self) -> str:
        """The timeout that the cluster east has."""
        path = self.shop.live("ratings")
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"] if path.exists() else {"http": []}
        return ",".join(str(route.get("timeout")) for route in spec["http"])


def says(timeout: str) -> str:
    return text_of(traffic("ratings", timeout=timeout))


def test_a_change_of_a_fork_from_its_opening_to_the_clusters(tmp_path: Path, gitea: Gitea) -> None:
    team = GiteaTeam(tmp_path, gitea)
    fork = team.guest.fork(team.repository)
    with team.shop.agent() as agent:
        agent.ready()
        team.owner.add_hook(team.repository, f"http://127.0.0.1:{agent.port}/webhook", SECRET)
        tip = team.bot.call("GET", f"/repos/{team.repository}/branches/main")["commit"]["id"]
        agent.until(
            lambda: all(team.states(tip).get(one) == "success" for one in CONTEXTS),
            "statuses of the commit in force",
        )

        head = team.guest.write_file(fork, FILE, says("2s"), new_branch="change")
        team.number = team.guest.open_pull(team.repository, f"{team.guest.name}:change").number
        agent.until(lambda: f"head={head}" in team.comment(), "the review")
        agent.until(lambda: team.states(head).get(REVIEW) == "success", "its status")
        assert "2s" in team.comment()
        assert team.live() == "1s"

        changed = team.guest.write_file(fork, FILE, says("3s"), branch="change")
        agent.until(lambda: f"head={changed}" in team.comment(), "the review of the next head")
        agent.until(lambda: team.states(changed).get(REVIEW) == "success", "its status")

        team.owner.approve(team.repository, team.number)
        merged = team.owner.merge_pull(team.repository, team.number).merged
        agent.until(lambda: team.live() == "3s", "the change in the cluster")
        agent.until(
            lambda: all(team.states(merged).get(one) == "success" for one in CONTEXTS),
            "statuses of the merge",
        )
        agent.until(lambda: f"commit={merged} final=yes" in team.comment(), "the outcome below the review")
        assert f"head={changed}" in team.comment()
        assert agent.metrics()['gitmesh_reviews_total{result="created"}'] == 1
        assert agent.terminate() == 0
