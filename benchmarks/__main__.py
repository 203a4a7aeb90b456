"""`make bench`: measure everything, print a table, write JSON, and end non-zero where a goal is missed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import agent, commands, forge, kube, pods, review

PARTS = {
    "commands": commands.report,
    "agent": agent.report,
    "pods": pods.report,
    "review": review.report,
    "forge": forge.report,
    "kube": kube.report,
}


def main() -> int:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default all")
    parser.add_argument(
        "--json", type=Path, default=Path("bench.json"), help="where the figures go (default bench.json)"
    )
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    # Installed packages have their bytecode beside them; without it every process would compile all of it
    # again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    results: dict[str, object] = {"python": platform.python_version(), "machine": platform.machine()}
    missed: list[str] = []
    for name in chosen.parts or PARTS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures = PARTS[name]()
        results[name] = figures
        misses = figures["misses"]
        assert isinstance(misses, list)
        missed += [f"{name}: {miss}" for miss in misses]
        _table(name, figures)
    chosen.json.write_text(json.dumps(results, indent=2) + "\n")
    for miss in missed:
        print(f"MISSED {miss}")
    print(f"figures in {chosen.json}; {len(missed)} goals missed")
    return 1 if missed else 0


def _table(title: str, figures: Mapping[str, object]) -> None:
    """Nested figures as indented rows."""
    print(f"\n{title}")
    for path, value in _rows(figures):
        if path[0] != "misses":
            print(
                f"  {' / '.join(path):<48} {value:>12.3f}"
                if isinstance(value, float)
                else f"  {' / '.join(path):<48} {value!s:>12}"
            )


def _rows(value: object, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _rows(inner, (*path, str(key)))]
    return [(path, value)]


if __name__ == "__main__":
    sys.exit(main())
