"""A gitmesh.yaml that nobody named: what it may do before it is trusted, whoever wrote everything beside
it.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from gitmesh.adapters.git.plain import plain_problem
from tests.gitrepo import Repo
from tests.unit.commandline import Run, runner

EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"
GOOD = """\
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: reviews}
spec: {destinations: [{name: reviews}], timeout: 5s}
"""
BAD = GOOD.replace("timeout", "timout").replace("name: reviews}\n", "name: other}\n")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in a copy of the example, which somebody else wrote."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(EXAMPLE, tmp_path / "shop")
    call = runner(tmp_path / "shop", capsys, monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return call


def configure(*changes: tuple[str, str]) -> None:
    """Replace texts in the configuration."""
    config = Path("gitmesh.yaml")
    for old, new in changes:
        assert old in config.read_text()
        config.write_text(config.read_text().replace(old, new))


def source(url: str, *more: str) -> tuple[str, str]:
    return "https://git.example/bookshop/mesh.git   # your repository", "\n  ".join(
        (url, "allowInsecure: true", *more)
    )


# --- what it may do


def test_the_example_works_as_it_is_printed(run: Run) -> None:
    assert run("validate", ".", "--fail-on", "warning")[0] == 0
    assert run("discover")[0] == 0
    code, out, err = run("diff", ".")
    assert (code, out.splitlines()[-1]) == (
        1,
        "28 to create, 0 to change, 0 to delete, 0 unchanged in 2 clusters",
    )
    assert err.splitlines()[0] == "configuration: gitmesh.yaml"
    assert "gitmesh diff . --config gitmesh.yaml" in err
    assert "gitmesh trust gitmesh.yaml" in err
    assert run("diff", ".", "--config", "gitmesh.yaml")[2] == "configuration: gitmesh.yaml\n", (
        "a named one needs no trust"
    )


def test_a_repository_below_its_folder_is_read_and_told(run: Run) -> None:
    repo = Repo(Path("origin.git").absolute())
    repo.commit({path.as_posix(): path.read_bytes() for path in Path("policies").glob("*.yaml")})
    configure(source(repo.url))
    code, out, _ = run("sync")
    assert (code, "28 created" in out) == (0, True)
    assert repo.tip("gitmesh-status")


# --- what it may not do


def test_it_runs_no_program(run: Run, tmp_path: Path) -> None:
    user = {
        "name": "u",
        "user": {
            "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": ["ran"]}
        },
    }
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [cluster],
        "users": [user],
        "contexts": [context],
    }
    Path("west.kc").write_text(yaml.safe_dump(whole))
    configure(("directory: clusters/west", "kubeconfig: {path: west.kc, allowExec: true}"))
    for command in (["diff", "."], ["sync"], ["discover"], ["check"], ["render", "."]):
        code, out, err = run(*command)
        assert code == 3, command
        assert "the kubeconfig west.kc is not used" in out + err, command
    assert not list(tmp_path.rglob("ran"))


@pytest.fixture
def server() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A port, and whether anybody called there."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def called() -> bool:
            listening.setblocking(False)
            try:
                listening.accept()
            except BlockingIOError:
                return False
            return True

        yield listening.getsockname()[1], called


@pytest.mark.parametrize("auth", ["{usernameFile: u, passwordFile: /etc/hostname}", "{}"])
def test_it_talks_to_nobody(run: Run, server: tuple[int, Callable[[], bool]], auth: str) -> None:
    port, called = server
    Path("u").write_text("me")
    configure(source(f"http://127.0.0.1:{port}/x.git", f"auth: {auth}"))
    for command in (["diff"], ["sync"], ["check"]):
        code, out, _ = run(*command)
        assert code == 3
        assert "because the configuration is not trusted" in out
    assert not called()


@pytest.mark.parametrize(
    "place", ["../outside", "link", "link/deep", "{abs}", ".", ".git/hooks", "clusters/../.GIT"]
)
def test_it_writes_nowhere_else(run: Run, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    shutil.copytree("clusters/west", outside / "deep")
    shutil.copytree("clusters/west", outside, dirs_exist_ok=True)
    Path("link").symlink_to(outside)
    for git in (".git/hooks", ".GIT"):
        shutil.copytree("clusters/west", git)
    before = sorted(outside.rglob("*"))
    repo = Repo(Path("origin.git").absolute())
    repo.commit({path.as_posix(): path.read_bytes() for path in Path("policies").glob("*.yaml")})
    configure(source(repo.url), ("directory: clusters/west", f"directory: {place.format(abs=outside)}"))
    code, out, _ = run("sync")
    assert (code, "is not below the configuration's folder" in out) == (3, True)
    assert sorted(outside.rglob("*")) == before
    assert "14 created" in out, "the other cluster goes on"


def test_somebody_elses_writes_nothing_below_a_shared_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: Path("gitmesh.yaml").stat().st_uid + 1)
    code, out, _ = run("diff", ".")
    assert (code, out.count("belongs to another user")) == (3, 2)
    assert run("validate", ".")[0] == 0
    assert run("diff", ".", "--config", "gitmesh.yaml")[0] == 1


def test_the_state_of_a_directory_cluster_leads_nowhere_else(run: Run, tmp_path: Path) -> None:
    victim = tmp_path / "home"
    victim.mkdir()
    (victim / "draft").write_text("precious")
    Path("clusters/east/.gitmesh").symlink_to(victim)
    repo = Repo(Path("origin.git").absolute())
    repo.commit({path.as_posix(): path.read_bytes() for path in Path("policies").glob("*.yaml")})
    configure(source(repo.url))
    assert run("sync")[0] == 3
    assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("draft", "precious")]


@pytest.mark.parametrize("paths", ["good", "good/x.yaml", "nowhere, good"])
def test_its_paths_keep_no_bad_file_from_being_checked(run: Run, paths: str) -> None:
    for place, text in (("good/x.yaml", GOOD), ("hidden/.y.yaml", BAD)):
        Path(place).parent.mkdir()
        Path(place).write_text(text)
    shutil.rmtree("policies")
    configure(("paths: [policies]", f"paths: [{paths}]"))
    code, out, _ = run("validate", ".")
    assert (code, "hidden/.y.yaml:4:41: error GM202" in out) == (2, True)


@pytest.mark.parametrize(
    "text",
    [
        "kind: [\n",
        "apiVersion: gitmesh.io/v2\nkind: X\n",
        "apiVersion: gitmsh.io/v1\nkind: X\n",
        "some: text\n",
    ],
)
def test_what_may_be_meant_as_a_policy_is_checked_wherever_it_lies(run: Run, text: str) -> None:
    Path("elsewhere.yaml").write_text(text)
    assert run("validate", ".")[0] == 2
    assert run("validate", ".", "--config", "gitmesh.yaml")[0] == 0


def test_the_files_of_other_tools_are_no_policies(run: Run) -> None:
    for place, text in (
        (".github/workflows/ci.yaml", "on: push\njobs: {}\n"),
        (".gitlab-ci.yml", "x: {{ broken\n"),
        ("clusters/x.yaml", "---\n"),
    ):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_text(text)
    assert run("validate", ".", "--fail-on", "warning")[0] == 0
    Path(".github/workflows/odd.yaml").write_text("kind: [x]\n")
    assert run("validate", ".")[0] == 0
    Path(".github/workflows/bad.yaml").write_text(BAD)
    assert run("validate", ".")[0] == 2


def test_its_ignore_makes_nothing_a_policy_path_may_hold(run: Run) -> None:
    Path("policies/route.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    configure(("clusters:\n#", "ignore: [/ConfigMap]\nclusters:\n#"))
    assert run("validate", ".")[0] == 2
    assert run("validate", ".", "--config", "gitmesh.yaml")[0] == 0


def test_a_link_in_its_place_is_not_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("password hunter2\n")
    Path("gitmesh.yaml").unlink()
    Path("gitmesh.yaml").symlink_to(tmp_path / "secret")
    code, out, err = run("validate", "policies")
    assert (code, "symbolic link" in err) == (3, True)
    assert "hunter2" not in out + err


def _hook(path: Path) -> None:
    (path / "hooks").mkdir()
    (path / "hooks" / "pre-receive").write_text("#!/bin/sh\ntouch ran\n")


def _elsewhere(path: Path) -> None:
    (path / "objects/info").mkdir(exist_ok=True)
    (path / "objects/info/alternates").write_text("/home/me/private.git/objects\n")


def _setting(text: str) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        with (path / "config").open("a") as file:
            file.write(text)

    return put


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_hook, "has the hook pre-receive"),
        (_elsewhere, "leads elsewhere by objects/info/alternates"),
        (lambda path: (path / "refs/heads/x").symlink_to("/etc/passwd"), "has the link x"),
        (lambda path: (path / "commondir").write_text("/home/me/.git"), "leads elsewhere by commondir"),
        (_setting("[core]\n\talternateRefsCommand = touch ran\n"), "core.alternaterefscommand"),
        (_setting("[include]\n\tpath = /x\n"), "include.path"),
        (_setting("[core] hooksPath = /x\n"), ".?"),
        (_setting('[remote "a"]\n\tuploadpack = touch ran\n'), "remote.uploadpack"),
        (_setting("[extensions]\n\tpartialClone = a\n"), "extensions.partialclone"),
        (_setting("[receive]\n\tprocReceiveRefs = x\n"), "receive.procreceiverefs"),
    ],
)
def test_a_repository_beside_it_is_used_only_where_it_is_nothing_but_data(
    run: Run, harm: Callable[[Path], None], said: str
) -> None:
    path = Path("origin.git").absolute()
    repo = Repo(path)
    repo.commit({"policies/a.yaml": GOOD})
    assert plain_problem(path) == ""
    harm(path)
    assert said in plain_problem(path)
    configure(source(repo.url))
    code, out, _ = run("sync")
    assert (code, said in out) == (3, True)
    assert not repo.tip("gitmesh-status")


def test_a_file_that_leads_to_a_repository_is_none(tmp_path: Path) -> None:
    Repo(tmp_path / "private.git").commit({"policies/a.yaml": GOOD})
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / ".git").write_text(f"gitdir: {tmp_path}/private.git\n")
    assert plain_problem(tmp_path / "shop") == "is not a repository"
    assert plain_problem(tmp_path / "nothing") == "is not a repository"


# --- agreeing


def test_trust_is_for_this_content_at_this_place(run: Run, tmp_path: Path) -> None:
    assert run("trust") == (0, f"trusted: {tmp_path}/shop/gitmesh.yaml\n", "")
    assert run("diff", ".")[2] == "configuration: gitmesh.yaml\n"
    shutil.copytree(".", tmp_path / "copy")
    os.chdir(tmp_path / "copy")
    assert "not trusted" in run("diff", ".")[2]
    os.chdir(tmp_path / "shop")
    configure(("instance: shop", "instance: other"))
    assert "not trusted" in run("diff", ".")[2]
    assert run("trust", "--list")[1] == f"{tmp_path}/shop/gitmesh.yaml   (changed or gone: not trusted)\n"
    configure(("instance: other", "instance: shop"))
    assert run("trust", "--list")[1] == f"{tmp_path}/shop/gitmesh.yaml\n"


def test_a_trusted_one_counts_fully(run: Run) -> None:
    Path("elsewhere.yaml").write_text("some: text\n")
    configure(("directory: clusters/west", "kubeconfig: {path: west.kc}"))
    run("trust", ".")
    assert run("validate", ".")[0] == 0
    code, out, _ = run("diff", ".")
    assert (code, "not trusted" in out) == (3, False)
    assert run("trust", "gitmesh.yaml", "--revoke")[0] == 0
    assert "not trusted" in run("diff", ".")[1]
    assert run("trust", "--revoke")[0] == 3


@pytest.mark.parametrize(
    ("value", "counts"), [("true", False), ("1", False), ("woodpecker", False), ("false", True), ("", True)]
)
def test_in_ci_nothing_is_trusted(
    run: Run, monkeypatch: pytest.MonkeyPatch, value: str, counts: bool
) -> None:
    monkeypatch.setenv("CI", value)
    run("trust")
    code, _, err = run("diff", ".")
    assert code == 1
    assert ("not trusted" not in err) is counts
    assert "gitmesh trust" not in err


def test_what_is_trusted_is_the_users_alone(run: Run, tmp_path: Path) -> None:
    run("trust")
    state = tmp_path / "state/gitmesh/trusted.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.parent.stat().st_mode) == 0o700
    state.chmod(0o666)
    code, _, err = run("diff", ".")
    assert (code, "can be written by others" in err) == (3, True)
    state.unlink()
    state.write_text("{}")
    assert "not a list of trusted configurations" in run("diff", ".")[2]
    state.unlink()
    state.symlink_to(tmp_path / "x.json")
    assert run("diff", ".")[0] == 3


def test_one_that_is_not_valid_is_not_trusted(run: Run) -> None:
    configure(("branch: main", "brnch: main"))
    assert run("trust")[0] == 2
    assert run("trust", "--list")[1] == ""
    assert run("trust", "--list", "--revoke")[0] == 3
    assert run("trust", "nowhere")[0] == 3


def test_the_configuration_of_a_link_to_its_folder_is_the_same_one(run: Run, tmp_path: Path) -> None:
    run("trust")
    (tmp_path / "way").symlink_to(tmp_path / "shop")
    os.chdir(tmp_path / "way")
    assert "not trusted" not in run("diff", ".")[2]
