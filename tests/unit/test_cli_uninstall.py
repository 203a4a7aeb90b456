"""Giving everything up on purpose: each command that is printed on the way does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from gitmesh.diagnostics import finding
from tests.folders import APPS, allow, app, shop, virtual_mesh
from tests.gitrepo import Repo
from tests.properties.history import document
from tests.unit.commandline import Run, runner

TO_V1 = {"weight": 1, "destination": {"name": "api", "subset": {"version": "v1"}}}
POLICIES = {
    "policies/all.yaml": "---\n".join(
        yaml.safe_dump(one, sort_keys=False)
        for one in (
            allow("api", "api", "web"),
            virtual_mesh(accessDefault="Deny", mtls={"mode": "Strict"}),
            document("TrafficPolicy", "api", destinations=[{"name": "api"}], split=[TO_V1]),
        )
    )
}
CONFIG = """\
apiVersion: gitmesh.io/v1alpha1
kind: Config
instance: shop
sources: [{{name: policies, url: "{url}", allowInsecure: true, paths: [policies]}}]
clusters: [{{name: east, directory: east, settle: 1s}}, {{name: west, directory: west, settle: 1s}}]
"""


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with a Deny by default and an Allow, and two clusters."""
    made = Repo(tmp_path / "repo.git")
    made.commit(POLICIES)
    versioned = [app(name, labels={"version": "v1"}) for name in APPS]
    for cluster in ("east", "west"):
        (tmp_path / cluster).mkdir()
        for file, bodies in {**shop(cluster), "pods": versioned}.items():
            path = tmp_path / cluster / f"{file}.yaml"
            path.write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
    (tmp_path / "gitmesh.yaml").write_text(CONFIG.format(url=made.url), encoding="utf-8")
    return made


@pytest.fixture
def run(
    tmp_path: Path, repo: Repo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.setenv("GITMESH_CONFIG", "gitmesh.yaml")
    call = runner(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("GITMESH_CONFIG", "gitmesh.yaml")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return call


def live() -> list[str]:
    return [path.name for path in sorted(Path("east").glob("*/*.*.*/*.yaml"))]


def test_every_step_of_an_uninstall_is_what_the_one_before_prints(run: Run, repo: Repo) -> None:
    assert (run("sync")[0], len(live()) > 2) == (0, True)
    repo.commit({"README.md": "# nothing left\n"})
    code, _, err = run("sync", "--approve-prune", repo.tip())
    for _ in range(5):
        assert code == 0
        following = re.search(r"^next: .*: gitmesh (sync.*)$", err, re.MULTILINE)
        if following is None:
            break
        code, _, err = run(*shlex.split(following[1]))
    assert live() == []
    assert run("sync")[0] == 0


def test_what_is_held_without_another_hint_says_how_it_ends() -> None:
    told = finding("GM402", "all of them would be deleted", hold="1b793f28059e")
    assert told.hint == "Where it is meant, approve it: gitmesh approve 1b793f28059e"


def test_a_review_names_no_hold_that_is_nowhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "checkout" / "other").mkdir(parents=True)
    for command in (["validate", "checkout"], ["diff", "checkout"]):
        code, out, _ = run(*command)
        assert (code, "GM110" in out, "gitmesh approve" in out) == (2, True, False)


def test_what_every_cluster_must_agree_to_is_said_until_it_has(run: Run, repo: Repo) -> None:
    run("sync")
    repo.commit({"README.md": "# nothing left\n"})
    hold = re.findall(r"gitmesh approve ([0-9a-f]{12})", run("sync")[1])[0]
    _, _, err = run("approve", hold, "--cluster", "east")
    assert f"it is held in west, too: gitmesh approve {hold}" in err
    assert run("sync")[0] == 2
    _, _, err = run("approve", hold, "--cluster", "west")
    assert "next: it ends" in err
    assert "GM110" not in run("sync")[1]
