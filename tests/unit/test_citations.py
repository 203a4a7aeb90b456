"""What code and pages cite is in the repository: pages with their sections, laws of the design, faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitmesh.codes import CODES
from gitmesh.docs import pages
from tests import citations
from tests.citations import (
    ROOT,
    anchors,
    faults,
    faults_cited,
    files,
    laws,
    laws_cited,
    pages_cited,
)


def test_every_page_and_section_that_is_cited_is_there() -> None:
    cited = [one for path in files() for one in pages_cited(path)]
    assert [str(one) for one in cited if not one.is_good()] == []
    assert len(cited) > 500


def test_every_law_that_is_cited_is_there() -> None:
    cited = {law: path for path in files() for law in laws_cited(path)}
    assert {law: path for law, path in cited.items() if law not in laws()} == {}
    assert len(cited) > 5
    assert laws() == list(range(1, len(laws()) + 1))


def test_every_fault_that_is_cited_is_in_the_catalogue() -> None:
    others = [path for path in files() if path != ROOT / "docs/reliability.md"]
    cited = {fault: path for path in others for fault in faults_cited(path)}
    assert {fault: path for fault, path in cited.items() if fault not in faults()} == {}
    assert [fault for fault in faults() if fault not in cited] == []
    assert len(set(faults())) == len(faults())


def test_design_and_catalogue_are_linked_from_where_people_begin() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        linked = {one.target() for one in pages_cited(ROOT / page)}
        assert {ROOT / "docs/design.md", ROOT / "docs/reliability.md"} <= linked


def test_each_finding_has_the_anchor_that_pages_link_to() -> None:
    found = anchors(ROOT / "docs/findings.md")
    assert {f"{one.code}-{one.name}-{one.severity}".lower() for one in CODES.values()} <= found
    assert "findings.md" in pages()


# --- that the reading finds what it is for


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one page of one section."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/here.md").write_text("# Here\n\n## The first: part\n")
    (tmp_path / "gitmesh").mkdir()
    monkeypatch.setattr(citations, "ROOT", tmp_path)
    return tmp_path


def lacking(repository: Path, name: str, text: str) -> list[str]:
    """What a file with this text cites and the repository does not have."""
    path = repository / name
    path.write_text(text)
    return sorted({f"{one.page}#{one.section}".strip("#") for one in pages_cited(path) if not one.is_good()})


@pytest.mark.parametrize(
    ("name", "text", "missing"),
    [
        ("gitmesh/a.py", '"""As gone.md says."""\n', ["gone.md"]),
        ("gitmesh/b.py", 'x = 1\n"""Of a value (api/gone.md,\nPart)."""\n', ["api/gone.md"]),
        ("gitmesh/c.py", "def f() -> None:\n    return  # see docs/gone.md\n", ["docs/gone.md"]),
        ("gitmesh/d.py", 'FIX = "See docs/gone.md."\n', ["docs/gone.md"]),
        ("gitmesh/e.py", '"""(docs/here.md#second)"""\n', ["docs/here.md#second"]),
        ("docs/f.md", "[there](gone.md), and `gone.md`", ["gone.md"]),
        ("docs/g.md", "[there](here.md#second), [here](#second)", ["here.md#second", "second"]),
        ("docs/h.md", "[code](../gitmesh/gone.py)", ["../gitmesh/gone.py"]),
        ("docs/i.md", "(../../outside/gone.md)", ["../../outside/gone.md"]),
        ("Makefile", "all: # see gone.md\n", ["gone.md"]),
        # The counter-proofs: what is there, what is data, and what is an example.
        ("gitmesh/j.py", '"""(docs/here.md#the-first-part)"""\n', []),
        ("gitmesh/k.py", 'FILES = {"gone.md": ""}\n', []),
        ("docs/l.md", "[x](here.md#the-first-part), here.md, https://example.com/gone.md", []),
        ("docs/m.md", "```\ngitmesh diff > gone.md\n```\n", []),
    ],
)
def test_a_citation_is_found_wherever_people_read_it(
    repository: Path, name: str, text: str, missing: list[str]
) -> None:
    assert lacking(repository, name, text) == missing


def test_laws_are_found_over_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text('"""Quiet (design\nlaw 5). Laws 3, 4 and 99."""\n# Never wider (design\n# law 98).\n')
    assert sorted(laws_cited(path)) == [3, 4, 5, 98, 99]


def test_faults_are_found_in_names_of_tests_and_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("# as in K98\ndef test_G99_P01_x() -> None:\n    y = 'K97'\n")
    assert faults_cited(path) == {"K98", "G99", "P01"}
