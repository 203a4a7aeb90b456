"""``python -m tests.worlds COUNT [FIRST]`` plays COUNT worlds from seed FIRST on and prints what is wrong."""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.worlds.trying import tried


def main(count: int, first: int) -> int:
    """The number of seeds in which something is wrong."""
    bad, seen = 0, Counter[str]()
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            found = tried(seed, Path(folder))
        seen.update(found.counts)
        if found.wrong:
            bad += 1
            print(f"seed {seed}: " + "\n    ".join(found.wrong[:6]), flush=True)
    print(f"{count} worlds, {bad} wrong; {dict(sorted(seen.items()))}")
    return bad


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]] or [100]
    sys.exit(min(main(given[0], given[1] if len(given) > 1 else 0), 1))
