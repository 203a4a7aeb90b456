"""The example of every kind: valid, and shown where people look for one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gitmesh.docs import pages
from gitmesh.model.examples import EXAMPLES
from gitmesh.model.kinds import KINDS
from tests.unit.commandline import Run, runner

SHOP = Path(__file__).resolve().parents[2] / "policies-example"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    return runner(tmp_path, capsys, monkeypatch)


def test_every_kind_has_one_of_its_own() -> None:
    assert EXAMPLES.keys() == KINDS.keys()
    assert all(yaml.safe_load(text)["kind"] == kind for kind, text in EXAMPLES.items())


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_it_is_valid_also_for_the_shop_that_it_is_about(kind: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(EXAMPLES[kind])
    assert run("validate", "one.yaml", "--fail-on", "warning")[0] == 0
    facts = run("discover", "--config", str(SHOP / "gitmesh.yaml"), "-o", "yaml")[1]
    (tmp_path / "facts").write_text(facts)
    code, out, _ = run("validate", "one.yaml", "--facts", "facts", "--fail-on", "warning")
    assert code == 0, out


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_the_page_and_explain_show_it(kind: str, run: Run) -> None:
    assert f"```yaml\n{EXAMPLES[kind]}```\n" in pages()[f"kinds/{kind.lower()}.md"]
    code, out, _ = run("explain", kind)
    assert code == 0
    assert "".join(f"    {line}\n" for line in EXAMPLES[kind].splitlines()) in out
