"""docs/review.md: what it shows of a comment is what comes of the example, and its words are those of the
product.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gitmesh.adapters.forge import gitea, github, gitlab
from gitmesh.adapters.forge.site import Purpose
from tests.gitrepo import Repo
from tests.pipelines import ROOT
from tests.shop import EXAMPLE
from tests.unit.commandline import runner

PAGE = ROOT / "docs" / "review.md"
BEGIN, END = "<!-- transcript -->\n", "<!-- end of transcript -->"
GRANT = """\
---
apiVersion: gitmesh.io/v1alpha1
kind: AccessPolicy
metadata:
  name: page-reads-ratings
  namespace: bookshop
spec:
  sources:
  - serviceAccounts: [{name: productpage}]
  destinations:
  - name: ratings
  rules:
  - methods: [GET]
"""
SHOWN = ("4f1c2ab09d3e", "9c1e77d5a0b2", "7d20c4f1b8e6")
"""What stands on the page for the commits of base, head and facts, which differ with every edit of the
example.
"""


@pytest.fixture
def transcript(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `gitmesh review --dry-run` says of one change of the example."""
    files = {
        str(path.relative_to(EXAMPLE)): path.read_text()
        for path in EXAMPLE.rglob("*.yaml")
        if "clusters" not in path.parts
    }
    repo = Repo(tmp_path / "origin.git")
    call = runner(EXAMPLE, capsys, monkeypatch)
    facts = {
        f"facts/{name}.yaml": call("discover", "--config", "gitmesh.yaml", "--cluster", name, "-o", "yaml")[1]
        for name in ("east", "west")
    }
    status = repo.commit(facts, branch="gitmesh-status")
    base = repo.commit(files)
    edited = {**files, "policies/access.yaml": files["policies/access.yaml"] + GRANT}
    edited["policies/reviews.yaml"] = files["policies/reviews.yaml"].replace("timeout: 3s", "timeout: 2s")
    head = repo.commit(edited)
    subprocess.run(
        ["git", "clone", "--quiet", repo.url, str(tmp_path / "mesh")], check=True, capture_output=True
    )
    monkeypatch.chdir(tmp_path / "mesh")
    code, out, err = call(
        "review", "--base", base, "--config", "gitmesh.yaml", "--facts-from", "status", "--dry-run"
    )
    assert code == 0, err
    for commit, shown in zip((base, head, status), SHOWN, strict=True):
        out = out.replace(commit[:12], shown)
    return re.sub(r"written \S+ \S+ UTC, which is \d+d ago", "written 2026-11-29 21:40 UTC", out)


def test_the_comment_on_the_page_is_what_comes_of_the_example(
    transcript: str, request: pytest.FixtureRequest
) -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    shown, end, after = rest.partition(END)
    wanted = f"\n~~~~markdown\n{transcript}~~~~\n\n"
    if request.config.getoption("--update-golden"):
        PAGE.write_text(f"{before}{BEGIN}{wanted}{end}{after}", encoding="utf-8")
    else:
        assert shown == wanted, "run this test with --update-golden"


def test_the_rights_on_the_page_are_those_that_messages_ask_for() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for rights in (gitea.RIGHTS, github.RIGHTS, gitlab.RIGHTS):
        for purpose in (Purpose.COMMENT, Purpose.STATUS):
            for scope in re.findall(
                r"(?:read|write):\w+|[a-z-]+: write|the scope api|role \w+",
                rights[purpose].partition("; a classic")[0],
            ):
                assert scope.removeprefix("the scope ").removeprefix("role ") in text, scope


def test_files_that_the_page_names_are_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(deploy/ci/[^`]+)`", text))
    assert len(named) == 3
    assert all(list(ROOT.glob(name)) for name in named)
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert all(f"- id: {name}\n" in hooks for name in ("gitmesh-validate", "gitmesh-validate-files"))
