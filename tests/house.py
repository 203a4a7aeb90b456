"""What the house asks of its code, in figures: `python -m tests.house`."""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("gitmesh", "translators")
EVERYTHING = (*PRODUCT, "tests", "benchmarks")
_CLASS = re.compile(r"^\s*class (\w+)", re.MULTILINE)


def files(folders: tuple[str, ...] = PRODUCT) -> Iterator[Path]:
    """The Python files below these folders, sorted."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def classes_twice() -> Mapping[str, list[str]]:
    """Names that more than one class has, in the product and its tests, each with the files: whoever searches
    for one finds another.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path in files(EVERYTHING):
        for name in _CLASS.findall(path.read_text(encoding="utf-8")):
            found[name].append(str(path.relative_to(ROOT)))
    return {name: places for name, places in sorted(found.items()) if len(places) > 1}


def any_in_a_thousand() -> float:
    """How often a type of the product is `Any`, in a thousand lines; importing the name does not count."""
    lines = found = 0
    for path in files():
        text = path.read_text(encoding="utf-8")
        lines += text.count("\n")
        importing = False
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            importing = token.string in ("from", "import") or (importing and token.type != tokenize.NEWLINE)
            found += token.type == tokenize.NAME and token.string == "Any" and not importing
    return 1000 * found / lines


def main() -> int:
    """Print the figures."""
    sys.stdout.write(f"Any: {any_in_a_thousand():.1f} in a thousand lines\n")
    for name, places in classes_twice().items():
        sys.stdout.write(f"class {name} is in {', '.join(places)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
