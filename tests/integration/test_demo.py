"""`gitmesh demo`: every chapter, what it leaves behind, and that one can go on from there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gitmesh.cli.demo import world
from gitmesh.cli.wiring import store_name

LONGEST = 120
"""Lines that a reader has patience for."""


def gitmesh(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, as a user who has no git identity and a cache of their own."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GITMESH_", "GIT_"))}
    env |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / ".cache")}
    return subprocess.run(
        [sys.executable, "-m", "gitmesh", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that `gitmesh demo --keep shop` was run in, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    # As a demo in a folder of that name leaves it behind, that was played with and deleted.
    former = folder / ".cache/gitmesh" / store_name("policies", f"file://{folder.resolve()}/shop/origin.git")
    former.parent.mkdir(parents=True)
    former.with_name(f"{former.name}.accepted").write_text(f"{'a' * 40}\n", encoding="ascii")
    done = gitmesh(folder, "demo", "--keep", "shop")
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def chapter(text: str, number: int) -> str:
    """One chapter of the story."""
    return text.split(f"\n{number}. ", 1)[1].split(f"\n{number + 1}. ", 1)[0]


def test_the_first_sync_creates_objects_in_both_clusters(told: tuple[Path, str]) -> None:
    first = chapter(told[1], 1)
    assert "+ VirtualService bookshop/reviews" in first
    assert "28 created, 0 changed, 0 deleted, 0 unchanged in 2 clusters" in first


def test_a_commit_shifts_traffic_and_the_plan_names_fields_and_lines(told: tuple[Path, str]) -> None:
    second = chapter(told[1], 2)
    assert "].weight: 90 -> 70   policies/reviews.yaml:" in second
    assert "0 created, 2 changed, 0 deleted, 26 unchanged in 2 clusters" in second


def test_a_hand_edit_is_healed(told: tuple[Path, str]) -> None:
    third = chapter(told[1], 3)
    assert "~ VirtualService bookshop/reviews (drift)" in third
    assert "timeout: 30s -> 3s   policies/reviews.yaml:" in third


def test_a_bad_commit_is_refused_with_its_finding_and_the_last_good_state_stays(
    told: tuple[Path, str],
) -> None:
    fourth = chapter(told[1], 4)
    assert "RevisionRefused" in fourth
    assert "policies/ratings.yaml:10:3: error GM202 UnknownField" in fourth
    assert "   10 |   timout: 1s\n      |   ^^^^^^\n" in fourth
    assert "0 created, 0 changed, 0 deleted, 28 unchanged in 2 clusters (2 errors" in fourth


def test_the_status_branch_tells_it_again_and_the_end_says_what_to_type(told: tuple[Path, str]) -> None:
    folder, text = told
    last = chapter(text, 5)
    assert (last.count("2/2 clusters synced"), last.count("; 2/2 at ")) == (4, 1)
    assert "gitmesh diff repo" in text.rpartition("Next:")[2]
    assert len(text.splitlines()) < LONGEST
    branches = subprocess.run(
        ["git", "-C", str(folder / "shop/origin.git"), "branch", "--list"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert branches.stdout.split() == ["gitmesh-status", "*", "main"]


def test_what_is_left_behind_can_be_played_with(told: tuple[Path, str]) -> None:
    shop = told[0] / "shop"
    assert {"repo", "origin.git", "clusters", "gitmesh.yaml"} <= {path.name for path in shop.iterdir()}
    assert gitmesh(told[0], "sync", "--config", "shop/gitmesh.yaml").returncode == 0
    assert gitmesh(shop, "diff", "repo").returncode == 0
    assert gitmesh(shop, "check").returncode == 0
    world.edit(shop / "repo/policies/ratings.yaml", "timeout: 1s", "timeout: 2s")
    edited = gitmesh(shop, "diff", "repo")
    assert edited.returncode == 1
    assert ".timeout: 1s -> 2s   repo/policies/ratings.yaml:10" in edited.stdout
    env = {**os.environ, "HOME": str(told[0])}
    subprocess.run(["git", "-C", "repo", "commit", "--quiet", "-am", "Try it"], cwd=shop, env=env, check=True)
    subprocess.run(["git", "-C", "repo", "push", "--quiet"], cwd=shop, env=env, check=True)
    synced = gitmesh(shop, "sync")
    assert synced.returncode == 0
    assert "0 created, 2 changed" in synced.stdout
    live = yaml.safe_load(
        (shop / "clusters/east/bookshop/virtualservice.networking.istio.io/ratings.yaml").read_text()
    )
    assert "2s" in {route.get("timeout") for route in live["spec"]["http"]}


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    done = gitmesh(tmp_path, "demo", "--keep", "mine")
    assert done.returncode == 3
    assert "not empty" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_claim_that_does_not_come_true_ends_with_3(tmp_path: Path) -> None:
    """The demo proves what it says: with a sync that writes nothing it fails."""
    code = (
        "import sys\nfrom gitmesh.adapters.directory import DirectoryCluster\n"
        "DirectoryCluster.apply = lambda self, plan: ()\n"
        "from gitmesh.cli.main import run\nsys.exit(run(['demo']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 3
    assert "the demo did not go as it should" in done.stderr


def test_git_settings_of_the_user_have_no_part_in_it(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text(
        "[commit]\n\tgpgsign = true\n[init]\n\tdefaultBranch = trunk\n[core]\n\thooksPath = /nowhere\n"
    )
    assert gitmesh(tmp_path, "demo").returncode == 0


def test_a_folder_whose_name_cannot_be_a_url_is_refused(tmp_path: Path) -> None:
    done = gitmesh(tmp_path, "demo", "--keep", "my shop")
    assert done.returncode == 3
    assert "' '" in done.stderr
