"""What code and pages of the repository cite: pages, with the section; laws of the design; faults of the
catalogue. Each with the place where it stands.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FOLDERS = ("gitmesh", "translators", "tests", "benchmarks", "deploy", "docs", "policies-example", ".ci")
SINGLE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "Dockerfile", "pyproject.toml")
DATA = ("tests/golden", "tests/takeover/status", "tests/takeover/trees", "tests/lab/go")
"""Files that are inputs or outputs of tests, and say nothing of the repository."""
_WITH_COMMENTS = frozenset({"Makefile", "Dockerfile", "run", ".yaml", ".yml", ".toml", ".sh"})

_PAGE = re.compile(r"(?<![\w/.*>-])((?:\.\./|[\w.-]+/)*[\w-]+\.md)(#[\w-]+)?(?![\w(])")
_LINK = re.compile(r"\]\(([^)\s#:]*)(#[^)\s]*)?\)")
_LAWS = re.compile(r"\blaws? (\d+(?:(?:, | and )\d+)*)", re.IGNORECASE)
_FAULT = re.compile(r"\b[YPGKXSWR]\d\d\b")


class Citation(NamedTuple):
    """`page` as it is written there ("" = the page itself), and the section's anchor, without `#`."""

    file: Path
    page: str
    section: str = ""

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}: {self.page}{f'#{self.section}' if self.section else ''}"

    def target(self) -> Path | None:
        """The file that is meant, as seen from the root or from beside the citing one; None where the
        repository has none.
        """
        if not self.page:
            return self.file
        found = (base / self.page for base in (self.file.parent, ROOT))
        return next((one for one in found if one.exists() and one.resolve().is_relative_to(ROOT)), None)

    def is_good(self) -> bool:
        """Whether the page is there, and has the section."""
        target = self.target()
        return target is not None and (not self.section or self.section in anchors(target))


def files() -> Iterator[Path]:
    """The files that may cite something, sorted."""
    data = [ROOT / name for name in DATA]
    every = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    for path in sorted([*every, *(ROOT / name for name in SINGLE)]):
        kinds = {path.name, path.suffix}
        if kinds & {".py", ".md", *_WITH_COMMENTS} and not any(path.is_relative_to(one) for one in data):
            yield path


@cache
def said(path: Path) -> str:
    """What a file says to people: a page without its examples, and of code comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    if path.suffix == ".py":
        return "\n\n".join((*_docstrings(text), *_comments(text)))
    return "\n".join(re.findall(r"#[ #].*", text))


def _docstrings(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def _comments(text: str) -> Iterator[str]:
    """Each block of comment lines as one text, for a citation may go over the end of a line."""
    block: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            block.append(token.string.lstrip("# "))
        elif token.type not in (tokenize.NL, tokenize.NEWLINE):
            yield "\n".join(block)
            block = []
    yield "\n".join(block)


def pages_cited(path: Path) -> Iterator[Citation]:
    """The pages that a file names, and where a page links to, whatever that is."""
    text = said(path)
    if path.suffix == ".md":
        for place, section in _LINK.findall(text):
            if place or section:
                yield Citation(path, place, section.removeprefix("#"))
        text = _LINK.sub("]", text)
    # What the product says to its users names pages, too.
    if path.is_relative_to(ROOT / "gitmesh"):
        text += "\n".join(re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8")))
    for page, section in _PAGE.findall(text):
        yield Citation(path, page, section.removeprefix("#"))


def laws_cited(path: Path) -> Iterator[int]:
    """The laws of the design that a file names by number."""
    for numbers in _LAWS.findall(" ".join(said(path).split())):
        yield from map(int, re.findall(r"\d+", numbers))


def faults_cited(path: Path) -> set[str]:
    """The ids of faults that a file names, in words or in names of tests."""
    words = [] if path.suffix != ".py" else "_".join(_named(path)).upper().split("_")
    return {*_FAULT.findall(said(path)), *(word for word in words if _FAULT.fullmatch(word))}


def _named(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", said(page), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings)


def laws() -> list[int]:
    """The numbers of the laws, in the order of docs/design.md."""
    section = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("\n## Laws\n")[2]
    return [int(number) for number in re.findall(r"^(\d+)\. \*\*", section, re.MULTILINE)]


def faults() -> list[str]:
    """The ids of the catalogue, in the order of docs/reliability.md."""
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    return re.findall(r"^\| ([A-Z]\d\d) \|", text, re.MULTILINE)
