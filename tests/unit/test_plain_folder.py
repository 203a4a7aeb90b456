"""A source that is a plain folder: no history, no status branch, and while it is refused nothing changes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gitmesh.adapters.folder import FolderSource
from gitmesh.adapters.polling import Polled, Remote
from gitmesh.model.report import State
from gitmesh.parsing.settings import load_config
from tests.folders import Folders, allow, said
from tests.gitrepo import Repo
from tests.properties.history import History, document
from tests.unit.commandline import Run, runner

EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"
FOLDER = "- {name: policies, path: ./policies}\n"
REPOSITORY = """\
- name: policies
  url: https://git.example/bookshop/mesh.git   # your repository
  branch: main
  paths: [policies]
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in a copy of the example whose source is the folder beside its configuration."""
    shutil.copytree(EXAMPLE, tmp_path / "shop")
    call = runner(tmp_path / "shop", capsys, monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source(FOLDER)
    return call


def source(text: str) -> None:
    """Put a source in the place of the one that the configuration has."""
    config = Path("gitmesh.yaml")
    body = config.read_text()
    head, tail = body.index("sources:\n") + len("sources:\n"), body.index("clusters:\n")
    config.write_text(body[:head] + text + body[tail:])


def edit(name: str, old: str, new: str) -> None:
    path = Path("policies") / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def live() -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(Path("clusters").glob("*/*/*.*.*/*.yaml"))}


# --- what the configuration may say


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{name: a}", "give exactly one of url, path; found none"),
        ("{name: a, url: 'https://git.example/a.git', path: a}", "found url and path"),
        ("{name: a, path: a, branch: main}", "branch goes with url"),
        (
            "{name: a, path: a, allowInsecure: false, allowRewind: true}",
            "allowInsecure and allowRewind go with url",
        ),
        ("{name: a, path: a, auth: {usernameFile: u}}", "auth goes with url"),
    ],
)
def test_what_says_nothing_of_a_folder_is_an_error(text: str, why: str) -> None:
    content = (
        f"apiVersion: gitmesh.io/v1alpha1\nkind: Config\nsources: [{text}]\nclusters: [{{name: c, directory:"
        " c}]\n"
    )
    config, found = load_config(content.encode(), "gitmesh.yaml", {})
    assert config is None
    assert why in " ".join(one.message for one in found)


def test_the_status_branch_may_be_called_as_no_branch_of_a_folder() -> None:
    content = (
        "apiVersion: gitmesh.io/v1alpha1\nkind: Config\nsources: [{name: a, path: a}]\nclusters: [{name: c,"
        " directory: c}]\n"
    )
    assert (
        load_config(f"{content}writeBack: {{statusBranch: main}}\n".encode(), "gitmesh.yaml", {})[0]
        is not None
    )


# --- the commands


def test_validate_render_diff_and_sync_read_the_folder(run: Run) -> None:
    assert run("validate", "--fail-on", "warning")[0] == 0
    assert run("check")[1].splitlines()[2].split() == [
        "ok",
        "source",
        "policies",
        "folder",
        "./policies,",
        "5",
        "files",
    ]
    rendered = run("render")[1]
    assert "policies/reviews.yaml" in rendered
    code, out, _ = run("diff")
    assert (code, out.splitlines()[-1]) == (
        1,
        "28 to create, 0 to change, 0 to delete, 0 unchanged in 2 clusters",
    )
    code, _, err = run("sync")
    assert (code, err.count("no status is written")) == (0, 1)
    assert run("diff")[0] == 0


def test_without_a_status_branch_nothing_is_said_where_that_is_meant(run: Run) -> None:
    Path("gitmesh.yaml").write_text(Path("gitmesh.yaml").read_text() + "writeBack: {enabled: false}\n")
    assert "status" not in run("sync")[2]


def test_the_status_goes_to_the_first_repository_there_is(run: Run) -> None:
    repo = Repo(Path("more.git").absolute())
    repo.commit(
        {
            "all.yaml": yaml.safe_dump(
                document("TrafficPolicy", "details", destinations=[{"name": "details"}], timeout="3s")
            )
        }
    )
    repo.commit({"all.yaml": repo.files()["all.yaml"].replace(b"namespace: shop", b"namespace: bookshop")})
    source(f"{FOLDER}- {{name: more, url: '{repo.url}', allowInsecure: true}}\n")
    code, out, err = run("sync", "--config", "gitmesh.yaml")
    assert (code, "no status is written" in err) == (0, False), out
    assert f"revisions: policies (a folder), more@{repo.tip()[:12]}" in out
    assert b"lastGood" in repo.files("gitmesh-status")["status.yaml"]
    assert run("status", "--config", "gitmesh.yaml")[1].startswith("shop: Synced, by the status branch")


def test_two_commits_of_the_checkout_that_the_folder_is_in_are_compared(run: Run) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "a"]):
        subprocess.run([*git, *words], check=True)
    edit("reviews.yaml", "timeout: 3s", "timeout: 7s")
    subprocess.run([*git, "commit", "--quiet", "--all", "--message", "b"], check=True)
    code, out, err = run("diff", "--base", "HEAD~1", "--config", "gitmesh.yaml")
    assert (code, "timeout: 3s -> 7s" in out) == (1, True), out + err


def test_a_part_of_the_folder_is_no_order_to_delete_the_rest(run: Run) -> None:
    run("sync", "--config", "gitmesh.yaml")
    for path in ("policies", "policies/reviews.yaml", "."):
        assert run("diff", path, "--config", "gitmesh.yaml")[0] == 0, path
    code, _, err = run("diff", "clusters/east/nodes.yaml", "--config", "gitmesh.yaml")
    assert (code, "everything else would read as deleted" in err) == (3, True)
    shutil.copytree("policies", "other")
    Path("other/ratings.yaml").unlink()
    code, out, _ = run("diff", "other", "--config", "gitmesh.yaml")
    assert (code, "ratings" in out) == (1, True), "another folder takes its place"


def test_files_are_named_from_the_configuration_wherever_one_stands(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(Path("gitmesh.yaml").absolute())
    here = run("render", "--config", config)[1]
    monkeypatch.chdir("clusters")
    assert run("render", "--config", config)[1] == here


def test_a_folder_beside_the_configurations_is_read_where_the_file_is_named(run: Run, tmp_path: Path) -> None:
    shutil.move("policies", tmp_path / "policies")
    source("- {name: policies, path: ../policies}\n")
    assert run("validate", "--config", "gitmesh.yaml")[0] == 0
    assert run("diff", "--config", "gitmesh.yaml")[0] == 1
    code, out, _ = run("diff")
    assert (code, "the folder ../policies is not below the configuration's folder" in out) == (
        3,
        True,
    ), "found, not named"


def test_G07_a_link_that_leads_out_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("token: x\n")
    Path("policies/more.yaml").symlink_to(tmp_path / "secret.yaml")
    code, out, _ = run("sync")
    assert (code, "policies/more.yaml is a symbolic link" in out, "token" in out, live()) == (
        2,
        True,
        False,
        {},
    )


# --- what a refused folder does


def test_a_refused_folder_changes_nothing_and_drift_waits(run: Run) -> None:
    run("sync")
    edit("reviews.yaml", "timeout: 3s", "timout: 3s")
    Path("policies/ratings.yaml").unlink()
    edited = next(path for path in live() if path.endswith("reviews.yaml") and "virtualservice" in path)
    Path(edited).write_text(Path(edited).read_text().replace("timeout: 3s", "timeout: 9s"))
    before = live()
    code, out, _ = run("sync")
    assert (code, "policies/reviews.yaml" in out, "no older revision to go back to" in out) == (2, True, True)
    assert (live(), "0 to" in out, "Held" in out) == (before, False, True)
    edit("reviews.yaml", "timout: 3s", "timeout: 3s")
    assert run("sync")[0] == 0
    assert live() != before


def test_deletions_beyond_the_guard_are_approved_by_their_hold(run: Run) -> None:
    run("sync")
    before = live()
    for path in Path("policies").glob("*.yaml"):
        if path.name != "mesh.yaml":
            path.unlink()
    code, out, err = run("sync")
    assert (code, "GM402" in out, "gitmesh approve" in err, live()) == (2, True, True, before)
    for hold in dict.fromkeys(re.findall(r"gitmesh approve ([0-9a-f]{12})", out)):
        code, _, err = run("approve", hold)
        assert (code, "gitmesh sync" in err) == (0, True)
    assert (run("sync")[0], len(live()) < len(before)) == (0, True)


def test_a_folder_that_is_gone_or_empty_is_no_order_to_delete(run: Run) -> None:
    run("sync")
    before = live()
    shutil.move("policies", "elsewhere")
    code, out, _ = run("sync")
    assert (code, "GM601" in out, live()) == (3, True, before)
    Path("policies").mkdir()
    code, out, _ = run("sync")
    assert (code, "GM110" in out, "gitmesh approve" in out) == (2, True, True)
    assert live() == before


def traffic(timeout: str) -> dict[str, object]:
    return document("TrafficPolicy", "api", destinations=[{"name": "api"}], timeout=timeout)


def test_the_part_of_a_refused_folder_stays_while_a_repository_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "api.yaml").write_text(yaml.safe_dump(traffic("3s")))
    world = Folders(tmp_path / "clusters", sources=[History("policies")])
    world.sources.append(FolderSource("more", str(folder)))  # type: ignore[arg-type]  # any source will do
    world.commit(allow("web", "api", "web"))
    assert {result.state for result in world.settle().clusters.values()} == {State.SYNCED}
    before = world.live("east")
    (folder / "api.yaml").write_text("kind: TrafficPolicy\n")
    world.commit(allow("web", "api", "web", "db"))
    report = world.run()
    after = world.live("east")
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {Path(path).parent.name for path in changed} == {"authorizationpolicy.security.istio.io"}
    assert said(report, "GM605")[0].message.startswith("the folder is refused")


def test_a_folder_in_the_place_of_a_repository_is_no_rewound_branch(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "api.yaml").write_text(yaml.safe_dump(traffic("5s")))
    world = Folders(tmp_path / "clusters")
    world.commit(traffic("3s"))
    world.settle()
    world.sources = [FolderSource("policies", str(folder))]  # type: ignore[list-item]
    report = world.settle()
    assert (said(report, "GM606"), {result.state for result in report.clusters.values()}) == (
        [],
        {State.SYNCED},
    )
    assert any("timeout: 5s" in text for text in world.live("east").values())


# --- the agent's polls


def test_a_folder_that_did_not_change_is_no_news(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    plain = FolderSource("policies", str(tmp_path))
    assert isinstance(plain, Remote)
    polled = Polled(plain, interval=30.0, clock=lambda: 0.0, jitter=lambda: 0.0)
    news = polls(polled)
    first = polled.fetch()
    assert (news(), polled.fetch() is first) == (0, True)
    (tmp_path / "a.yaml").write_text("a: 2\n")
    assert (news(), polled.fetch().files[0].content) == (1, b"a: 2\n")


def polls(polled: Polled) -> Callable[[], int]:
    """Polls once; afterwards a call polls again and says how often there was news."""
    heard: list[int] = []
    polled._news = lambda: heard.append(1)  # `start` would poll in a thread, at its own time

    def again() -> int:
        heard.clear()
        polled.poll()
        return len(heard)

    again()
    return again
