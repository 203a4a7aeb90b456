"""`gitmesh init`: what it writes works as it is, wherever it is written, and it overwrites nothing."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from gitmesh.cli import configuration
from gitmesh.cli.starter import Context
from gitmesh.model.kinds import KINDS
from tests.unit.commandline import Run, runner

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: other
clusters:
- {name: c, cluster: {server: "https://127.0.0.1:1"}}
users:
- {name: u, user: {token: secret-token}}
- {name: e, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: [ran]}}}
contexts:
- {name: "arn:aws:eks:eu-west-1:1:cluster/Prod_1", context: {cluster: c, user: u}}
- {name: program, context: {cluster: c, user: e}}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A user with a home and an empty folder."""
    (tmp_path / "work").mkdir()
    call = runner(tmp_path / "work", capsys, monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return call


def git_here(*more: str) -> None:
    subprocess.run(["git", *(more or ("init", "--quiet"))], check=True)


def readme_commands() -> list[list[str]]:
    """What the README says to type."""
    (block,) = re.findall(r"```\n(.*?)```", Path("README.md").read_text(), re.S)
    return [shlex.split(line.partition("   ")[0])[1:] for line in block.splitlines()]


def typed(run: Run) -> None:
    """Type the README's commands; afterwards nothing is left to do."""
    codes = {"validate": 0, "diff": 1, "sync": 0}
    commands = readme_commands()
    assert [words[0] for words in commands] == list(codes)
    for words in commands:
        code, out, err = run(*words)
        assert code == codes[words[0]], f"{words}: {out}{err}"
        assert "warning" not in re.sub(r"\d+ warnings", "", out), out
        assert "not trusted" not in err
    assert run("diff")[0] == 0


def files() -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in sorted(Path().rglob("*"))
        if path.is_file() and ".git/" not in str(path)
    }


# --- it works as it is


def test_the_readmes_commands_work_in_an_empty_folder(run: Run) -> None:
    code, out, err = run("init")
    assert (code, err) == (0, "")
    assert out.splitlines()[-4:] == ["next:", "  gitmesh validate", "  gitmesh diff", "  gitmesh sync"]
    typed(run)


def test_and_in_a_new_folder_inside_of_a_git_repository(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    git_here()
    Path("README.md").write_text("# Ours\n")
    code, out, _ = run("init", "platform/mesh")
    assert (code, "  cd platform/mesh\n" in out) == (0, True)
    workflow = yaml.safe_load(Path(".github/workflows/gitmesh.yaml").read_text())
    assert workflow["jobs"]["validate"]["defaults"] == {"run": {"working-directory": "platform/mesh"}}
    git_here("add", "--all")
    monkeypatch.chdir("platform/mesh")
    typed(run)


def test_and_at_the_root_of_a_git_repository_before_and_after_the_commit(run: Run) -> None:
    git_here()
    Path("main.py").write_text("print()\n")
    run("init")
    assert "defaults" not in Path(".github/workflows/gitmesh.yaml").read_text()
    git_here("add", "--all")
    typed(run)
    for words in (
        ("validate", "."),
        ("validate", "policies"),
        ("diff", "."),
        ("diff", "policies"),
        ("check",),
    ):
        assert run(*words)[0] == 0, words


def test_the_ci_step_passes_where_nothing_is_trusted_and_refuses_a_mistake(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init")
    monkeypatch.setenv("CI", "true")
    steps = yaml.safe_load(Path(".github/workflows/gitmesh.yaml").read_text())["jobs"]["validate"]["steps"]
    ours = [shlex.split(step["run"])[1:] for step in steps if step.get("run", "").startswith("gitmesh ")]
    assert ours == [["validate"]]
    assert run(*ours[0])[0] == 0
    Path("policies/more.yaml").write_text(
        Path("policies/access.yaml").read_text().replace("sources", "sauces")
    )
    assert run(*ours[0])[0] == 2


def test_the_hook_runs_the_same_check_at_the_root_of_a_checkout_alone(run: Run) -> None:
    git_here()
    run("init", "below")
    assert not Path("below/.pre-commit-config.yaml").exists()
    Path(".github/workflows/gitmesh.yaml").unlink()
    run("init")
    (repo,) = yaml.safe_load(Path(".pre-commit-config.yaml").read_text())["repos"]
    (hook,) = repo["hooks"]
    assert (repo["repo"], hook["language"], hook["pass_filenames"]) == ("local", "system", False)
    assert all(re.search(hook["files"], name) for name in ("policies/mesh.yaml", "gitmesh.yaml"))
    assert run(*shlex.split(hook["entry"])[1:])[0] == 0
    Path("policies/more.yaml").write_text("kind: TrafficPolicy\n")
    assert run(*shlex.split(hook["entry"])[1:])[0] == 2


def test_there_is_a_policy_of_every_kind_which_the_schema_beside_it_takes(run: Run) -> None:
    run("init")
    validator = jsonschema_rs.validator_for(json.loads(Path("gitmesh.schema.json").read_text()))
    assert Path("gitmesh.schema.json").read_text() == run("schema")[1]
    kinds = set()
    for path in Path("policies").glob("*.yaml"):
        first = path.read_text().splitlines()[0]
        assert (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve() == Path(
            "gitmesh.schema.json"
        ).resolve()
        for document in yaml.safe_load_all(path.read_text()):
            validator.validate(document)
            kinds.add(document["kind"])
    assert kinds == KINDS.keys()


# --- it overwrites nothing


@pytest.mark.parametrize(
    "name",
    [
        "gitmesh.yaml",
        "README.md",
        "policies/mesh.yaml",
        "policies",
        ".github/workflows/gitmesh.yaml",
        "clusters",
    ],
)
def test_what_is_there_is_named_and_nothing_is_written(run: Run, name: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("mine\n")
    code, out, err = run("init")
    assert (code, out) == (3, "")
    assert f"{name}" in err
    assert "gitmesh init mesh" in err
    assert files() == {name: b"mine\n"}


@pytest.mark.parametrize("name", ["gitmesh.yaml", "policies", ".github"])
def test_links_lead_nowhere(run: Run, name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Path(name).symlink_to(tmp_path / "elsewhere")
    assert run("init")[0] == 3
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_second_run_changes_nothing(run: Run) -> None:
    run("init")
    before = files()
    assert run("init")[0] == 3
    assert files() == before


# --- trust


def test_it_is_trusted_at_once_but_never_in_ci(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", "a")
    assert str(Path("a/gitmesh.yaml").resolve()) in run("trust", "--list")[1]
    monkeypatch.setenv("CI", "true")
    _, _, err = run("init", "b")
    assert "nothing is trusted" in err
    assert "b/gitmesh.yaml" not in run("trust", "--list")[1]


# --- --from


def kubeconfig(where: Path) -> str:
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(KUBECONFIG)
    return str(where)


def test_from_a_context_its_cluster_is_only_looked_at(run: Run, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / ".kube/config")
    assert run("init", "--from", "arn:aws:eks:eu-west-1:1:cluster/Prod_1")[0] == 0
    (cluster,) = yaml.safe_load(Path("gitmesh.yaml").read_text())["clusters"]
    expected = {"path": path, "context": "arn:aws:eks:eu-west-1:1:cluster/Prod_1", "allowExec": False}
    assert cluster == {"name": "prod-1", "kubeconfig": expected, "mode": "Observe"}
    assert not Path("clusters").exists()
    assert not any(b"secret-token" in content for content in files().values())
    assert run("validate", "--fail-on", "warning")[0] == 0
    assert run("diff")[0] == 3, "nobody answers at that address"


def test_programs_are_not_run_and_not_allowed_unasked(run: Run, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "kc")
    code, _, err = run("init", "--from", "program", "--kubeconfig", path)
    assert (code, "allowExec" in err, Path("ran").exists()) == (0, True, False)


def test_the_first_kubeconfig_that_has_the_context_counts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{kubeconfig(tmp_path / 'kc')}")
    assert run("init", "--from", "program")[0] == 0
    assert str(tmp_path / "kc") in Path("gitmesh.yaml").read_text()


@pytest.mark.parametrize("words", [("--from", "nobody"), ("--kubeconfig", "x")])
def test_a_context_that_is_not_there_writes_nothing(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    kubeconfig(tmp_path / ".kube/config")
    code, out, err = run("init", *words)
    assert (code, out, files()) == (3, "", {})
    assert ("known: " in err) is ("nobody" in words)


NAMES = {
    "kind-east": "kind-east",
    "a/b/C_d": "c-d",
    "???": "cluster",
    "x" * 80: "x" * 63,
    "user@prod.example": "user-prod-example",
}


@pytest.mark.parametrize(("context", "name"), list(NAMES.items()))
def test_a_cluster_is_named_after_its_context(context: str, name: str) -> None:
    assert Context(kubeconfig=Path("x"), context=context).name == name


# --- every error without a configuration leads here


@pytest.mark.parametrize(
    "words",
    [
        ("diff",),
        ("render",),
        ("sync",),
        ("check",),
        ("discover",),
        ("approve",),
        ("can", "a", "b"),
        ("route", "a", "b"),
        ("agent",),
        ("trust",),
        ("status",),
        ("status", "--live"),
        ("status", "--from-branch"),
        ("history",),
        ("who-can", "a"),
    ],
)
def test_without_a_configuration_the_hint_leads_here(run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (3, "")
    assert err.rstrip().endswith(configuration.BEGIN), err
