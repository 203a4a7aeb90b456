"""What a PATH on the command line stands for: the paths of the configuration are those of a repository's
root, nowhere else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
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
    """Run a command line in a shop with a checkout `repo`, whose policy folder holds a folder of its own
    name.
    """
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
    for command in (
        ["diff", "repo/policies"],
        ["validate", "repo/policies"],
        ["validate", "repo/policies", "--config", "gitmesh.yaml"],
    ):
        code, out, _ = run(*command)
        assert (code, "repo/policies/policies/open.yaml:4:8: error" in out) == (2, True), command


@pytest.mark.parametrize("name", ["-dash.yaml", "no\u00a0break.yaml", "new\nline.yaml", "\u202egood.yaml"])
def test_a_name_that_the_agent_refuses_is_refused_in_review(run: Run, name: str) -> None:
    (Path("repo/policies") / name).write_text("")
    for command in (
        ["validate", "repo/policies"],
        ["validate", "repo"],
        ["validate", "--", f"repo/policies/{name}"],
        ["diff", "repo"],
    ):
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


@pytest.mark.parametrize("path", ["repo", "repo/policies", "repo/policies/policies"])
def test_a_part_of_a_checkout_stands_in_for_all_of_its_source(run: Run, path: str) -> None:
    """A part alone would read as if all the others were deleted."""
    assert run("diff", path)[1] == run("diff", "repo")[1]
    config = Path("gitmesh.yaml")
    config.write_text(config.read_text().replace("paths: [policies]", "paths: [policies, gone]"))
    code, out, _ = run("diff", path)
    assert (code, "path gone is not there" in out) == (2, True)


def test_a_part_is_seen_from_where_one_stands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("repo/policies")
    assert " ../policies/policies/open.yaml:" in run("diff", ".")[1]
    monkeypatch.chdir("..")
    assert " policies/policies/open.yaml:" in run("diff", "policies")[1]


def test_what_has_nothing_to_do_with_the_paths_stands_alone(run: Run) -> None:
    Path("repo/drafts").mkdir()
    Path("repo/drafts/open.yaml").write_text(OPENS)
    assert "drafts/open.yaml" in run("diff", "repo/drafts")[1]
    assert "access.yaml" not in run("diff", "repo/drafts")[1]


def git(*arguments: str, cwd: Path) -> None:
    """Run git in a checkout, without the user's settings."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=cwd, env=environment, check=True, capture_output=True)


@pytest.fixture
def checkout(run: Run) -> Path:
    """The same checkout, with a commit of it."""
    shutil.rmtree("repo/.git")
    git("init", "--quiet", "--template=", ".", cwd=Path("repo"))
    git("add", "--all", cwd=Path("repo"))
    git("commit", "--quiet", "-m", "x", cwd=Path("repo"))
    assert "GM111" not in run("diff", "repo")[1]
    return Path("repo").absolute()


def test_one_file_stands_in_place_of_the_committed_one(run: Run, checkout: Path) -> None:
    """Other edits of the checkout are no part of the question; what is committed is."""
    whole = run("render", "repo")[1]
    (checkout / "policies/mesh.yaml").write_text("not: a policy\n")
    edited = checkout / "policies/policies/open.yaml"
    assert run("render", str(edited))[1].count("<-") == whole.count("<-")
    edited.write_text(OPENS.replace("ratings", "details"))
    code, out, _ = run("diff", "repo/policies/policies/open.yaml")
    assert (code, "28 to create" in out) == (1, True)
    assert "AuthorizationPolicy bookshop/details-allow" in out.split("policies/policies/open.yaml")[0]


def test_one_new_file_is_added_to_what_is_committed(run: Run, checkout: Path) -> None:
    (checkout / "policies/new.yaml").write_text(
        OPENS.replace("name: open", "name: new").replace("ratings", "details")
    )
    code, out, _ = run("diff", "repo/policies/new.yaml")
    assert (code, "policies/new.yaml" in out, "policies/policies/open.yaml" in out) == (1, True, True)


@pytest.mark.parametrize("path", ["elsewhere.yaml", "repo/elsewhere.yaml"])
def test_one_file_that_is_none_of_the_source_never_stands_for_all_of_it(
    run: Run, checkout: Path, path: str
) -> None:
    Path(path).write_text(OPENS)
    code, out, err = run("diff", path)
    assert (code, out) == (3, "")
    assert f"{path} is one file, and in place of source policies everything else would read as deleted" in err


@pytest.mark.parametrize(
    "path", ["repo", "repo/policies", "repo/policies/policies", "repo/policies/policies/new.yaml"]
)
def test_what_git_does_not_know_of_is_read_and_told(run: Run, checkout: Path, path: str) -> None:
    (checkout / ".gitignore").write_text("new.yaml\n")
    (checkout / "policies/policies/new.yaml").write_text(OPENS.replace("name: open", "name: new"))
    code, out, _ = run("validate", path, "--fail-on", "warning")
    assert code == 0
    assert "repo/policies/policies/new.yaml:1:1: info GM111 NotInGit: 1 file that Git does not know of" in out
    assert "access.yaml" not in out
    git("add", "--force", "policies", cwd=checkout)
    assert "GM111" not in run("validate", path)[1]


def test_a_submodule_that_is_not_there_yet_is_refused_as_the_agent_does(run: Run, checkout: Path) -> None:
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},policies/team", cwd=checkout)
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},elsewhere", cwd=checkout)
    (checkout / "policies/team").mkdir()
    (checkout / "elsewhere").mkdir()
    for path in ("repo", "repo/policies"):
        code, out, _ = run("validate", path)
        assert (code, out.count("GM108 NotAFile")) == (2, 1)
        assert "repo/policies/team is a submodule" in out
    assert run("validate", "repo/policies/policies")[0] == 0


def test_what_a_sparse_checkout_leaves_out_is_told(run: Run, checkout: Path) -> None:
    git("update-index", "--skip-worktree", "policies/access.yaml", cwd=checkout)
    (checkout / "policies/access.yaml").unlink()
    code, out, _ = run("validate", "repo", "--fail-on", "warning")
    assert (
        code,
        "repo/policies/access.yaml:1:1: warning GM111 NotInGit: 1 file of the checkout not on this disk"
        in out,
    ) == (2, True)


def test_an_index_of_any_content_breaks_nothing(run: Run, checkout: Path) -> None:
    index = checkout / ".git/index"
    whole = index.read_bytes()
    for content in (
        b"",
        b"DIRC",
        whole[:50],
        whole[:-30],
        whole[:12] + b"\xff" * 500,
        b"DIRC\0\0\0\2\xff\xff\xff\xff" + whole[12:],
    ):
        index.write_bytes(content)
        assert run("validate", "repo")[0] == 0
    index.unlink()
    os.mkfifo(index)
    assert run("validate", "repo")[0] == 0


def test_without_a_path_the_configurations_own_are_meant_from_here(
    run: Run, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(Path("gitmesh.yaml").absolute())
    Path(config).write_text(Path(config).read_text().replace("paths: [policies]", "paths: [policies, gone]"))
    shutil.rmtree(checkout / ".git")
    (checkout / "other.yaml").write_text("not: a policy\n")
    monkeypatch.chdir(checkout)
    assert "other.yaml" not in run("validate", "--config", config)[1]
    assert "other.yaml" in run("validate", ".", "--config", config)[1]


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
