"""One agent process on directory clusters: cold start, a tick without a change, one changed policy, peak
memory.

Each size runs in a process of its own; `python -m benchmarks.agent FOLDER` is that process.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from math import log2
from pathlib import Path
from statistics import median

from benchmarks.generate import Size, commit, git, make_world, policy, write
from gitmesh.agent.loop import undisturbed
from gitmesh.cli import configuration, runs, wiring
from gitmesh.model.report import Report, Stage, State
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo
from gitmesh.plugins import load_translators

FULL = Size(policies=1000, services=1000, clusters=10)
HALF = Size(policies=500, services=500, clusters=5)
DOUBLES = {
    "P": Size(policies=1000, services=500, clusters=5),
    "S": Size(policies=500, services=1000, clusters=5),
    "C": Size(policies=500, services=500, clusters=10),
}
MANY = Size(policies=1000, services=1000, clusters=40)
GOALS = {"cold": 60.0, "no change": 1.0, "one change": 2.0, "peak MB": 400.0}
"""Seconds, and megabytes, at FULL."""
GOALS_OF_MANY = {"one change": 3.0, "peak MB": 1536.0}
"""The same at MANY."""
TICKS = 5
ROUNDS = 3
"""The sizes alternate, so that each is compared with what the machine did just then; the median of the rounds
counts.
"""
MEMORY = Path("/dev/shm")
"""Where doublings are measured: what a disk still has to write from the size before would change the figures
of the next.
"""
ROOM = 2**31
"""Bytes that MEMORY must have free for that."""


def measure(size: Size, place: Path | None = None) -> dict[str, float]:
    """Figures of one size, from a fresh process and a fresh world: in `place`, or on the disk."""
    with tempfile.TemporaryDirectory(prefix="gitmesh-bench-", dir=place) as folder:
        make_world(Path(folder), size)
        command = [
            sys.executable,
            "-m",
            "benchmarks.agent",
            folder,
            str(size.policies),
            str(size.services),
            str(size.clusters),
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def worker(folder: Path, size: Size) -> dict[str, float]:
    """The agent's own cycle, wired as `gitmesh agent` wires it."""
    setup = configuration.read(folder / "gitmesh.yaml")
    translators = load_translators()
    repositories = wiring.sources(setup, folder / "store")
    fleet = wiring.fleet(setup, translators)
    branch = wiring.status_branch(setup, repositories)
    publishers = (branch,) if branch else ()
    options, memo = runs.options(setup), Memo()

    def tick() -> tuple[float, Report]:
        with undisturbed():
            began = time.perf_counter()
            report = run(
                repositories,
                fleet,
                translators,
                until=Stage.APPLY,
                options=options,
                memo=memo,
                clock=time.monotonic,
                publishers=publishers,
            )
            return time.perf_counter() - began, report

    cold, report = tick()
    _expect(report, writes=True)
    tick()
    quiet = []
    for _ in range(TICKS):
        seconds, report = tick()
        _expect(report, writes=False)
        quiet.append(seconds)
    changed = []
    for number in range(TICKS):
        _change(folder / "repo", size, number)
        seconds, report = tick()
        _expect(report, writes=True)
        changed.append(seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cold": cold, "no change": median(quiet), "one change": median(changed), "peak MB": peak}


def _expect(report: Report, *, writes: bool) -> None:
    """A figure counts only where the work was done, whole and without an error."""
    errors = [f"{d.code} {d.at} {d.message}" for d in report.diagnostics if d.is_error]
    states = {name: result.state for name, result in report.clusters.items()}
    if errors or any(state is not State.SYNCED for state in states.values()):
        raise SystemExit(f"the run is not clean: {errors[:3]} {states}")
    if any(bool(result.outcomes) != writes for result in report.clusters.values()):
        raise SystemExit(f"expected {'writes' if writes else 'no writes'} in every cluster")


def _change(repository: Path, size: Size, number: int) -> None:
    """Commit one changed policy that selects a service by name."""
    write(repository / "policies", {"p00000": policy(0, size, 1, timeout=f"{100 + number}s")})
    commit(repository, f"change {number}")
    git(repository, "push", "--quiet", "origin", "main")


def report() -> dict[str, object]:
    """The full size, and the exponent of each doubling: 1 means twice the size costs twice as much."""
    full, many = measure(FULL), measure(MANY)
    place = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None
    rounds = [
        {name: measure(size, place) for name, size in {"half": HALF, **DOUBLES}.items()}
        for _ in range(ROUNDS)
    ]
    exponents = {name: {figure: _exponent(rounds, name, figure) for figure in GOALS} for name in DOUBLES}
    sizes = {
        name: {figure: median(one[name][figure] for one in rounds) for figure in GOALS} for name in rounds[0]
    }
    misses = [
        f"{size.clusters} clusters, {figure}: {found[figure]:.2f} > {goal}"
        for size, found, goals in ((FULL, full, GOALS), (MANY, many, GOALS_OF_MANY))
        for figure, goal in goals.items()
        if found[figure] > goal
    ]
    misses += [
        f"doubling {name}: {figure} grew by {2**exponent:.2f}"
        for name, row in exponents.items()
        for figure, exponent in row.items()
        if exponent > 1
    ]
    return {"full": full, "many": many, **sizes, "exponents": exponents, "misses": misses}


def _exponent(rounds: Sequence[Mapping[str, Mapping[str, float]]], name: str, figure: str) -> float:
    return log2(median(one[name][figure] / one["half"][figure] for one in rounds))


if __name__ == "__main__":
    where, p, s, c = sys.argv[1:5]
    print(json.dumps(worker(Path(where), Size(policies=int(p), services=int(s), clusters=int(c)))))
