"""The agent beside a real Gitea that calls its webhook: from a push to the posted review, and from a merge to
the clusters.

The interval is an hour, so that nothing comes of polling. What is measured begins when the forge has answered
who pushed or merged.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.integration.test_agent_gitea import FILE, SECRET, GiteaTeam, says
from tests.lab.build import find_gitea
from tests.lab.gitea import Gitea
from tests.shop import Agent

ROUNDS = 8
GOALS = {"review posted": 3.0, "merge to live": 5.0}
"""Seconds, at the median."""
_DEADLINE, _POLL = 60.0, 0.01


def report() -> dict[str, object]:
    """Medians and the worst of each."""
    programs = find_gitea()
    if programs is None:
        return {"misses": ["the lab is not built: run 'make lab'"]}
    with tempfile.TemporaryDirectory(prefix="gitmesh-bench-") as folder, Gitea(programs) as gitea:
        taken = _measure(GiteaTeam(Path(folder), gitea))
    medians = {name: median(seconds) for name, seconds in taken.items()}
    misses = [
        f"{name}: {medians[name]:.2f} s > {goal}" for name, goal in GOALS.items() if medians[name] > goal
    ]
    return {
        "median": medians,
        "worst": {name: max(seconds) for name, seconds in taken.items()},
        "misses": misses,
    }


def _measure(team: GiteaTeam) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in GOALS}
    with team.shop.agent() as agent:
        agent.ready()
        team.owner.add_hook(team.repository, f"http://127.0.0.1:{agent.port}/webhook", SECRET)
        for number in range(ROUNDS):
            _round(team, agent, f"{2 + number}s", taken)
    return taken


def _round(team: GiteaTeam, agent: Agent, timeout: str, taken: dict[str, list[float]]) -> None:
    """A pull request that is opened, reviewed, merged and applied."""
    branch = f"change-{timeout}"
    head = team.owner.write_file(team.repository, FILE, says(timeout), new_branch=branch)
    team.number = team.owner.open_pull(team.repository, branch).number
    taken["review posted"].append(_seconds(agent, lambda: f"head={head}" in team.comment()))
    team.owner.merge_pull(team.repository, team.number)
    taken["merge to live"].append(_seconds(agent, lambda: team.live() == timeout))


def _seconds(agent: Agent, happened: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > _DEADLINE:
            raise SystemExit(f"nothing came of it: {agent.log[-2000:]}")
        time.sleep(_POLL)
    return time.monotonic() - began
