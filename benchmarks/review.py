"""A review from a cold clone, with the facts of the status branch: one changed policy at the full size."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.generate import Size, commit, git, make_world, policy, write

FULL = Size(policies=1000, services=1000, clusters=10)
GOALS = {"seconds": 12.0, "peak MB": 600.0}
"""At FULL: from the clone to the printed comment."""


def report() -> dict[str, object]:
    """Figures of one review, and what they miss of the goals."""
    with tempfile.TemporaryDirectory(prefix="gitmesh-bench-") as folder:
        figures = measure(Path(folder), FULL)
    misses = [f"{figure}: {figures[figure]:.2f} > {goal}" for figure, goal in GOALS.items() if figures[figure] > goal]
    return {**figures, "misses": misses}


def measure(folder: Path, size: Size) -> dict[str, float]:
    """A world whose facts are published, a branch that changes one policy, and the review of it in a fresh process."""
    config = make_world(folder, size)
    publish(folder, config)
    repository = folder / "repo"
    git(repository, "checkout", "--quiet", "-b", "feature")
    write(repository / "policies", {"p00000": policy(0, size, 1, timeout="77s")})
    commit(repository, "one policy")
    git(repository, "push", "--quiet", "origin", "feature")
    output = subprocess.run([sys.executable, "-m", "benchmarks.review", str(folder)], check=True, capture_output=True, text=True).stdout
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
        (branch / "facts" / f"{cluster}.yaml").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    commit(branch, "facts")
    git(branch, "push", "--quiet", str(folder / "origin.git"), "HEAD:refs/heads/gitmesh-status")


def worker(folder: Path) -> dict[str, float]:
    """Clone and compare, as a CI job does; the greatest memory is that of the comparing process."""
    began = time.perf_counter()
    git(folder, "clone", "--quiet", str(folder / "origin.git"), "clone")
    command = [str(Path(sys.executable).with_name("gitmesh")), "diff", "--config", str(folder / "gitmesh.yaml"), "--facts-from", "status"]
    command += ["--base", "origin/main", "--head", "origin/feature", "-o", "markdown", str(folder / "clone")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode != 1 or "10 to change" not in done.stdout:
        raise SystemExit(f"the review is not clean ({done.returncode}): {done.stderr[-500:]} {done.stdout[:500]}")
    return {"seconds": seconds, "peak MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}


if __name__ == "__main__":
    print(json.dumps(worker(Path(sys.argv[1]))))
