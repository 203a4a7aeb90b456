"""Forges of our own: servers on loopback that answer as the published API documents of GitHub, GitLab and
Gitea say.

    with GitHubServer() as server:
        number = server.open_pull(head="a" * 40)
        forge = server.forge(tmp_path)          # the adapter, with a token file in that folder
        ...
        assert server.own_comments(number) == ["..."]

Pull requests, comments and statuses are in memory (`state.py`); `faults.py` makes a share of the calls end
badly.
"""

from tests.forges.faults import Faults, Trouble
from tests.forges.gitea import GiteaServer
from tests.forges.github import GitHubServer
from tests.forges.gitlab import GitLabServer
from tests.forges.server import ForgeAnswer, ForgeServer

SERVERS: tuple[type[ForgeServer], ...] = (GiteaServer, GitHubServer, GitLabServer)

__all__ = [
    "SERVERS",
    "Faults",
    "ForgeServer",
    "GitHubServer",
    "GitLabServer",
    "GiteaServer",
    "ForgeAnswer",
    "Trouble",
]
