"""Start-up: `gitmesh --help` and `gitmesh validate` of 1,000 policies, whole processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.generate import Size, policies, write

GOALS = {"--help": 0.150, "validate 1,000 policies": 1.5}
"""Seconds."""
ROUNDS = 7


def report() -> dict[str, object]:
    """Median seconds of each command."""
    program = str(Path(sys.executable).parent / "gitmesh")
    with tempfile.TemporaryDirectory(prefix="gitmesh-bench-") as folder:
        write(Path(folder), policies(Size(policies=1000, services=1000, clusters=1), seed=1))
        commands = {"--help": [program, "--help"], "validate 1,000 policies": [program, "validate", folder]}
        figures = {
            name: median(_seconds(command) for _ in range(ROUNDS)) for name, command in commands.items()
        }
    misses = [
        f"gitmesh {name}: {figures[name]:.3f} s > {goal} s"
        for name, goal in GOALS.items()
        if figures[name] > goal
    ]
    return {"seconds": figures, "misses": misses}


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
