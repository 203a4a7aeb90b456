"""A review of one changed policy at the full size: by hand from a cold clone, with the facts of the status
branch, and in the agent, which remembers what it reviewed before."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.generate import Size, commit, git, make_world, policy, write
from gitmesh.adapters.git.checkout import Checkout
from gitmesh.adapters.git.snapshots import CommitSource
from gitmesh.agent.loop import undisturbed
from gitmesh.cli import configuration, runs, saved_facts
from gitmesh.cli.published import published_facts
from gitmesh.planning.options import Memo
from gitmesh.plugins import load_translators
from gitmesh.reviewing.review import Ground, Sides, review

FULL = Size(policies=1000, services=1000, clusters=10)
GOALS = {"cold seconds": 12.0, "cold peak MB": 600.0, "agent seconds": 3.0}
"""At FULL: from the clone to the printed comment, and from a head to its comparison in the agent."""
HEADS = 3


def report() -> dict[str, object]:
    """Figures of one review, and what they miss of the goals."""
    with tempfile.TemporaryDirectory(prefix="gitmesh-bench-") as folder:
        figures = measure(Path(folder), FULL)
    misses = [
        f"{figure}: {figures[figure]:.2f} > {goal}"
        for figure, goal in GOALS.items()
        if figures[figure] > goal
    ]
    return {**figures, "misses": misses}


def measure(folder: Path, size: Size) -> dict[str, float]:
    """A world whose facts are published, a branch that changes one policy, and the review of it in a fresh
    process.
    """
    config = make_world(folder, size)
    publish(folder, config)
    repository = folder / "repo"
    git(repository, "checkout", "--quiet", "-b", "feature")
    for number in range(HEADS, -1, -1):
        write(repository / "policies", {"p00000": policy(0, size, 1, timeout=f"{77 + number}s")})
        commit(repository, f"one policy, {number}")
    git(repository, "push", "--quiet", "origin", "feature")
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.review", str(folder)], check=True, capture_output=True, text=True
    ).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def publish(folder: Path, config: Path) -> None:
    """The facts of every cluster on the status branch, as the agent publishes them."""
    branch = folder / "status"
    git(folder, "init", "--quiet", str(branch))
    (branch / "facts").mkdir()
    program = str(Path(sys.executable).with_name("gitmesh"))
    for cluster in sorted(path.name for path in (folder / "clusters").iterdir()):
        command = [program, "discover", "--config", str(config), "--cluster", cluster, "-o", "yaml"]
        (branch / "facts" / f"{cluster}.yaml").write_bytes(
            subprocess.run(command, check=True, capture_output=True).stdout
        )
    commit(branch, "facts")
    git(branch, "push", "--quiet", str(folder / "origin.git"), "HEAD:refs/heads/gitmesh-status")


def worker(folder: Path) -> dict[str, float]:
    """Clone and compare, as a CI job does; the greatest memory is that of the comparing process."""
    began = time.perf_counter()
    git(folder, "clone", "--quiet", str(folder / "origin.git"), "clone")
    command = [
        str(Path(sys.executable).with_name("gitmesh")),
        "diff",
        "--config",
        str(folder / "gitmesh.yaml"),
        "--facts-from",
        "status",
    ]
    command += ["--base", "origin/main", "--head", "origin/feature", "-o", "markdown", str(folder / "clone")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode != 1 or "10 to change" not in done.stdout:
        raise SystemExit(
            f"the review is not clean ({done.returncode}): {done.stderr[-500:]} {done.stdout[:500]}"
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"cold seconds": seconds, "cold peak MB": peak, "agent seconds": in_the_agent(folder)}


def in_the_agent(folder: Path) -> float:
    """The median of several heads, after one that came before them."""
    setup, checkout = configuration.read(folder / "gitmesh.yaml", quiet=True), Checkout(folder / "clone")
    facts, _ = published_facts(checkout, "gitmesh-status", time.time())
    ground = Ground(
        fleet=saved_facts.remembered_fleet(setup.config.clusters, facts),
        translators=load_translators(),
        options=runs.options(setup, review=True),
        enforced={one.name: one.enforce for one in setup.config.clusters},
    )
    base, memo, taken = checkout.commit("origin/main"), Memo(), []
    for number in range(HEADS, -1, -1):
        sides = [
            CommitSource("policies", checkout, commit, ("policies",))
            for commit in (base, checkout.commit(f"origin/feature~{number}"))
        ]
        began = time.perf_counter()
        with undisturbed():
            found = review(Sides(base=sides[:1], head=sides[1:]), ground, clock=time.monotonic, memo=memo)
        taken.append(time.perf_counter() - began)
        if any(len(one.objects) != 1 for one in found.clusters.values()):
            raise SystemExit("the review in the agent is not what it should be")
    return median(taken[1:])


if __name__ == "__main__":
    print(json.dumps(worker(Path(sys.argv[1]))))
