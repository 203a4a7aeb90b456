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
WIDEST = 110
"""Columns of a line; what is said to a tool at its end, and why, counts too."""
LONGEST = 300
"""Lines of a file that can be read in one go."""
_CLASS = re.compile(r"^\s*class (\w+)", re.MULTILINE)
_TO_A_TOOL = re.compile(r"#\s*(noqa|type:|ruff:|!)")


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


def comments_in_a_hundred(folders: tuple[str, ...] = PRODUCT) -> float:
    """How many lines in a hundred have a comment for people; what is for a tool does not count."""
    lines = found = 0
    for path in files(folders):
        text = path.read_text(encoding="utf-8")
        lines += text.count("\n")
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        found += sum(one.type == tokenize.COMMENT and not _TO_A_TOOL.match(one.string) for one in tokens)
    return 100 * found / lines


def too_wide() -> list[str]:
    """`file:line` of the lines over 110 columns, in the product and its tests."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files(EVERYTHING)
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if len(line) > WIDEST
    ]


def too_long() -> Mapping[str, int]:
    """Files of the product with more than 300 lines, and how many they have."""
    counted = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in files()}
    return {name: lines for name, lines in counted.items() if lines > LONGEST}


def main() -> int:
    """Print the figures."""
    sys.stdout.write(f"Any: {any_in_a_thousand():.1f} in a thousand lines\n")
    sys.stdout.write(f"comments: {comments_in_a_hundred():.1f} in a hundred lines\n")
    for folder in sorted({path.parent for path in files()}):
        place = str(folder.relative_to(ROOT))
        sys.stdout.write(f"    {place}: {comments_in_a_hundred((place,)):.1f}\n")
    for place in too_wide():
        sys.stdout.write(f"over {WIDEST} columns: {place}\n")
    for name, lines in too_long().items():
        sys.stdout.write(f"over {LONGEST} lines: {name} has {lines}\n")
    for name, places in classes_twice().items():
        sys.stdout.write(f"class {name} is in {', '.join(places)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
