"""Golden cases: a folder each with policies.yaml -> expected.yaml and findings.txt. `pytest --update-golden`
writes them anew.

Facts are the folder's own facts.yaml, else those of its mesh's folder.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gitmesh.discovery.facts_codec import load_facts
from tests.rendered import rendered

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/*/policies.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_golden(case: Path, request: pytest.FixtureRequest) -> None:
    place = case if (case / "facts.yaml").exists() else case.parent
    facts = load_facts(yaml.safe_load((place / "facts.yaml").read_text()))
    found = rendered({"policies.yaml": (case / "policies.yaml").read_text()}, facts)
    objects = yaml.safe_dump_all(found.bodies, sort_keys=True, width=140)
    said = "".join(f"{line}\n" for line in found.said)
    if request.config.getoption("--update-golden"):
        (case / "expected.yaml").write_text(objects)
        (case / "findings.txt").write_text(said)
    assert objects == (case / "expected.yaml").read_text()
    assert said == (case / "findings.txt").read_text()


def test_there_are_cases() -> None:
    assert len(CASES) >= 15
