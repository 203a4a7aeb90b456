"""docs/concepts.md, typed through as a reader would, and compared with what GitMesh writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gitmesh.cli.starter import starter
from gitmesh.model.report import State
from tests.gitrepo import Repo
from tests.transcripts import blocks, play
from tests.unit.commandline import runner

PAGE = (Path(__file__).resolve().parents[2] / "docs/concepts.md").read_text()
COMMIT = "4f1c2ab0000000000000000000000000000000aa"


def test_everything_on_the_page_can_be_typed_and_prints_what_it_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = runner(tmp_path, capsys, monkeypatch)
    assert play(PAGE, run, monkeypatch.chdir) >= 14


def test_the_status_branch_is_as_the_page_shows_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = runner(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run("init")[0] == 0
    repo = Repo(tmp_path / "origin.git")
    commit = repo.commit(
        {path: text for path, text in starter(None, "").items() if path.startswith("policies/")}
    )
    config = yaml.safe_load(Path("gitmesh.yaml").read_text())
    source = {"name": "policies", "url": repo.url, "allowInsecure": True, "paths": ["policies"]}
    Path("gitmesh.yaml").write_text(yaml.safe_dump({**config, "sources": [source], "writeBack": {}}))
    assert run("sync", "--config", "gitmesh.yaml")[0] == 0
    files = repo.files("gitmesh-status")
    listing, template = [text for language, _, text in blocks(PAGE) if language == "text"]
    assert listing.splitlines() == sorted(files)
    (shown,) = [yaml.safe_load(text) for _, file, text in blocks(PAGE) if not file and "kind: Status" in text]
    assert shown == yaml.safe_load(files["status.yaml"].decode().replace(commit, COMMIT))
    (message,) = repo.log("gitmesh-status", "%s")
    assert message == template.strip().replace("<instance>", "shop").replace("<commit>", commit[:12])


def test_the_page_has_every_state() -> None:
    (table,) = re.findall(r"\| State \|.*?\n\n", PAGE, re.S)
    assert set(re.findall(r"^\| ([A-Z][a-z]+) \|", table, re.M)) == {"State", *State}
