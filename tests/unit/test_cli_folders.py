"""What a PATH on the command line stands for: the paths of the configuration are those of a repository's root, nowhere else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitmesh.cli.folders import folder
from tests.unit.commandline import Run, runner

EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"
OPENS = """\
apiVersion: gitmesh.io/v1alpha1
kind: AccessPolicy
metadata: {name: open, namespace: bookshop}
spec: {sources: [{all: true}], destinations: [{name: ratings}]}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in a shop with a checkout `repo`, whose policy folder holds a folder of its own name."""
    shutil.copytree(EXAMPLE, tmp_path / "shop", ignore=shutil.ignore_patterns("policies"))
    shutil.copytree(EXAMPLE / "policies", tmp_path / "shop/repo/policies")
    (tmp_path / "shop/repo/.git").mkdir()
    (tmp_path / "shop/repo/policies/policies").mkdir()
    (tmp_path / "shop/repo/policies/policies/open.yaml").write_text(OPENS)
    return runner(tmp_path / "shop", capsys, monkeypatch)


@pytest.mark.parametrize("path", ["repo", "repo/policies", "repo/policies/"])
def test_a_folder_of_the_same_name_inside_is_read_as_the_agent_reads_it(run: Run, path: str) -> None:
    assert "policies/policies/open.yaml" in run("diff", path)[1]
    assert "28 to create" in run("diff", path)[1]


def test_the_same_in_a_copy_that_is_no_checkout(run: Run) -> None:
    shutil.copytree("repo/policies", "edit")
    assert "edit/policies/open.yaml" in run("diff", "edit")[1]
    shutil.rmtree("repo/.git")
    assert "repo/policies/policies/open.yaml" in run("diff", "repo/policies")[1]


def test_a_configuration_in_the_policy_folder_makes_it_no_root(run: Run) -> None:
    shutil.copy("gitmesh.yaml", "repo/policies/gitmesh.yaml")
    Path("repo/policies/policies/open.yaml").write_text(OPENS.replace("sources", "source"))
    for command in (["diff", "repo/policies"], ["validate", "repo/policies"], ["validate", "repo/policies", "--config", "gitmesh.yaml"]):
        code, out, _ = run(*command)
        assert (code, "repo/policies/policies/open.yaml:4:8: error" in out) == (2, True), command


@pytest.mark.parametrize("name", ["-dash.yaml", "no\u00a0break.yaml", "new\nline.yaml", "\u202egood.yaml"])
def test_a_name_that_the_agent_refuses_is_refused_in_review(run: Run, name: str) -> None:
    (Path("repo/policies") / name).write_text("")
    for command in (["validate", "repo/policies"], ["validate", "repo"], ["validate", "--", f"repo/policies/{name}"], ["diff", "repo"]):
        code, out, err = run(*command)
        assert (code, "GM107" in out) == (2, True), command
        assert all(char.isprintable() or char in "\n\u00a0" for char in out + err)


def test_a_link_or_a_submodule_by_its_name_is_refused_as_the_agent_does(run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.yaml").write_text("secret: hunter2\n")
    Path("repo/policies/link").symlink_to(tmp_path / "elsewhere")
    Path("repo/policies/a.yaml").symlink_to(tmp_path / "elsewhere/a.yaml")
    for path in ("repo/policies/link", "repo/policies/a.yaml", "repo/policies/link/a.yaml"):
        code, out, err = run("validate", path)
        assert (code, "GM108" in out) == (2, True), path
        assert "hunter2" not in out + err
    Path("repo/policies/policies/.git").write_text("gitdir: ../x\n")
    assert "repo/policies/policies is a submodule" in run("validate", "repo")[1]


def test_a_way_that_the_user_chose_is_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to("shop/repo")
    assert "way/policies/policies/open.yaml" in run("diff", str(tmp_path / "way"))[1]


def test_above_the_paths_in_a_checkout_only_what_lies_there_is_meant(tmp_path: Path) -> None:
    for name in ("teams/a/x.yaml", "teams/b/y.yaml", "teams/c/z.yaml", "mesh/m.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".git").write_text("gitdir: x\n")
    inside = ("teams/a", "teams/b", "mesh", "gone")

    def found(path: str) -> dict[str, list[str]]:
        shares = folder(tmp_path / path, "policies", None, inside).fetch().paths
        return {place: [name.rpartition("/")[2] for name in names] for place, names in shares.items()}

    assert found(".") == {"teams/a": ["x.yaml"], "teams/b": ["y.yaml"], "mesh": ["m.yaml"], "gone": []}
    assert found("teams") == {"a": ["x.yaml"], "b": ["y.yaml"]}
    assert found("teams/c") == {"": ["z.yaml"]}
    assert found("mesh") == {"": ["m.yaml"]}
    assert found("mesh/m.yaml") == {"m.yaml": ["m.yaml"]}
