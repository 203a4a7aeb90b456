"""`gitmesh status` and `gitmesh history` on real repositories: from the status branch, from a clone alone,
and live.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gitrepo import Repo
from tests.lab.process import wait_until
from tests.shop import Shop, environment, traffic
from tests.unit.commandline import Run, runner

BRANCH = "gitmesh-status"
RATINGS = traffic("ratings", timeout="1s")
REVIEWS = traffic("reviews", timeout="3s")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop that was synced once."""
    made = Shop(tmp_path / "shop")
    made.commit(RATINGS, REVIEWS)
    return made


@pytest.fixture
def run(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs in the shop's folder, whose configuration is named."""
    call = runner(shop.root, capsys, monkeypatch)
    monkeypatch.setenv("HOME", str(shop.root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(shop.root / ".cache"))
    monkeypatch.setenv("GITMESH_CONFIG", str(shop.config))
    assert call("sync")[0] == 0
    return call


def document(run: Run, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The answer as JSON."""
    ended, out, err = run(*arguments, "-o", "json")
    assert ended == code, f"{out}{err}"
    read: dict[str, Any] = json.loads(out)
    return read


def without_origin(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("live", "statusCommit", "time")}


def clone(shop: Shop, where: Path) -> Path:
    """What a colleague has: a clone, and no configuration."""
    subprocess.run(
        ["git", "clone", "--quiet", shop.repo.url, str(where)], env=environment(shop.root), check=True
    )
    return where


def edit_by_hand(shop: Shop) -> None:
    path = shop.live("ratings")
    path.write_text(path.read_text(encoding="utf-8").replace("timeout: 1s", "timeout: 99s"), encoding="utf-8")


# --- status


def test_the_branch_and_a_live_look_tell_the_same(run: Run, shop: Shop) -> None:
    said, live = document(run, "status"), document(run, "status", "--live")
    assert without_origin(said) == without_origin(live)
    assert (said["live"], live["live"], said["statusCommit"]) == (False, True, shop.repo.tip(BRANCH))
    code, out, _ = run("status")
    assert (code, "nothing waits" in out, f"policies@{shop.repo.tip()[:12]}" in out) == (0, True, True)
    assert run("status", "-o", "text")[1].splitlines()[1:] == out.splitlines()[1:]


def test_no_cluster_is_asked(run: Run, shop: Shop) -> None:
    (shop.root / "clusters").rename(shop.root / "away")
    assert run("status")[0] == 0


def test_a_refused_commit_is_told_from_both(run: Run, shop: Shop) -> None:
    good = shop.repo.tip()
    bad = shop.commit(traffic("ratings", timout="1s"))
    run("sync")
    for more in ((), ("--live",)):
        code, out, _ = run("status", *more)
        assert (code, f"{good[:12]}  {bad[:12]} (refused)" in out) == (2, True)
        assert "policies/all.yaml:" in out
        assert "next: gitmesh validate" in out


def test_a_hold_is_told_with_its_command_from_both(run: Run, shop: Shop) -> None:
    shop.repo.commit({"elsewhere/all.yaml": "# nothing\n"})
    run("sync")
    before = document(run, "status", code=2)
    (waiting,) = before["waiting"]
    assert without_origin(document(run, "status", "--live", code=2)) == without_origin(before)
    assert waiting["since"]
    assert run(*waiting["command"].split()[1:])[0] == 0, "the command that is printed ends it"
    run("sync")
    assert waiting["hold"] not in str(document(run, "status", code=2)["waiting"]), (
        "what it deletes is a hold of its own"
    )


def test_a_clone_alone_is_enough(
    run: Run, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = document(run, "status")
    monkeypatch.delenv("GITMESH_CONFIG")
    monkeypatch.chdir(clone(shop, tmp_path / "clone"))
    assert document(run, "status") == expected
    rows = run("history")[1].splitlines()
    assert rows[1].split()[2] == f"policies@{shop.repo.tip()[:12]}"
    assert "Test" in rows[1], "the author of the source's commit"


def test_also_a_worktree_and_one_whose_configuration_nobody_trusts(
    run: Run, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = document(run, "status")
    monkeypatch.delenv("GITMESH_CONFIG")
    made = clone(shop, tmp_path / "clone")
    subprocess.run(
        ["git", "-C", str(made), "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree")], check=True
    )
    config = yaml.safe_load(shop.config.read_text(encoding="utf-8"))
    config["sources"] = [
        {"name": "policies", "url": "https://nowhere.invalid/mesh.git", "paths": ["policies"]}
    ]
    (tmp_path / "tree/gitmesh.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    monkeypatch.chdir(tmp_path / "tree")
    assert document(run, "status") == expected


def test_a_clone_runs_nothing_that_its_configuration_names(
    run: Run, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITMESH_CONFIG")
    made = clone(shop, tmp_path / "clone")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    trap.chmod(0o755)
    names = (
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "gpg.program",
        "diff.external",
        "core.hooksPath",
        "core.editor",
    )
    config = {name: str(trap) for name in names} | {
        "log.showSignature": "true",
        "remote.origin.promisor": "true",
    }
    config |= {"extensions.partialClone": "origin", "remote.origin.url": "ssh://nowhere.invalid/x.git"}
    for name, value in config.items():
        subprocess.run(
            ["git", "-C", str(made), "config", name, value], env=environment(shop.root), check=True
        )
    monkeypatch.chdir(made)
    for words in (("status",), ("history",), ("history", "TrafficPolicy/ratings")):
        assert run(*words)[0] == 0
    assert not (tmp_path / "ran").exists()


def test_without_anything_to_read_the_way_out_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITMESH_CONFIG")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for words in (("status",), ("status", "--from-branch"), ("history",)):
        code, out, err = run(*words)
        assert (code, out, "no configuration" in err) == (3, "", True), words


def test_a_repository_without_the_branch_says_so(run: Run, shop: Shop) -> None:
    shop.repo.delete_branch(BRANCH)
    for words in (("status",), ("history",)):
        code, out, err = run(*words)
        assert (code, out) == (3, "")
        assert "no branch gitmesh-status" in err
        assert "--live" in err


@pytest.mark.parametrize("content", ["kind: Status\n", "x: " + "[" * 3000, "#" * (1 << 21), "a: \x1b[2J"])
def test_what_others_put_on_the_branch_is_refused(run: Run, shop: Shop, content: str) -> None:
    shop.repo.update({"status.yaml": content}, branch=BRANCH, subject="mine")
    code, out, err = run("status")
    assert (code, out, "\x1b" in err) == (3, "", False)
    assert "status.yaml" in err
    code, out, _ = run("history", "--limit", "1")
    assert (code, "mine" in out) == (0, True)


@pytest.mark.parametrize("more", [(), ("--live",)])
def test_it_is_printed_again_when_it_changes_and_ctrl_c_ends_it_well(
    run: Run, shop: Shop, more: tuple[str, ...]
) -> None:
    words = ["status", "-w", "--interval", "1", "-o", "json", "--config", str(shop.config), *more]
    command = [sys.executable, "-m", "gitmesh", *words]
    with (shop.root / "seen").open("wb") as output:
        # What runs in the background of a shell inherits that it ignores the interrupt.
        heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        home = environment(shop.root)
        process = subprocess.Popen(
            command, cwd=shop.root, env=home, stdout=output, stderr=subprocess.PIPE, preexec_fn=heeding
        )

    def lines() -> list[dict[str, Any]]:
        text = (shop.root / "seen").read_text()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    try:
        wait_until(lambda: len(lines()) == 1, "the first status", 60)
        shop.commit(traffic("ratings", timout="1s"))
        run("sync")
        wait_until(lambda: len(lines()) == 2, "the second status", 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        _, err = process.communicate()
    assert [line["state"] for line in lines()] == ["Synced", "Invalid"]
    assert b"Traceback" not in err


# --- history


def test_commits_heals_and_refusals_are_rows(run: Run, shop: Shop) -> None:
    first = shop.repo.tip()
    edit_by_hand(shop)
    run("sync")
    shop.repo.update({"policies/all.yaml": yaml.safe_dump(RATINGS)}, subject="Drop reviews (#12)")
    run("sync")
    bad = shop.commit(traffic("ratings", timout="1s"))
    run("sync")
    code, out, _ = run("history")
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[2] for line in lines if "policies@" in line] == [
        f"policies@{commit[:12]}" for commit in (bad, shop.repo.log("main")[1], first, first)
    ]
    assert "(refused)" in lines[1]
    assert "#12" in lines[2]
    assert "(-" in lines[2], "fewer objects than before"
    assert "healed in east: VirtualService/bookshop/ratings" in out
    body = document(run, "history", "--limit", "2")
    assert [commit["sources"][0]["refused"] for commit in body["commits"]] == [True, False]
    assert "(-" in "".join(run("history", "--limit", "2")[1].splitlines()[2:]), (
        "the last row is compared with the one after it"
    )


def test_of_one_policy_only_what_changed_its_state(run: Run, shop: Shop) -> None:
    shop.commit(RATINGS, traffic("reviews", timeout="4s"))
    run("sync")
    assert len(run("history")[1].splitlines()) == 3
    assert len(run("history", "TrafficPolicy/ratings")[1].splitlines()) == 2, (
        "its objects stayed as they were"
    )
    code, out, _ = run("history", "TrafficPolicy/bookshop/reviews")
    assert (code, len(out.splitlines()), "east Synced, west Synced" in out) == (0, 3, True)
    assert run("history", "TrafficPolicy/nobody")[1] == "no such commit on the status branch\n"
    assert run("history", "a b")[0] == 3


def test_a_branch_with_sha256_is_read_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path / "shop")
    shop.repo = Repo(tmp_path / "other.git", object_format="sha256")
    shop.configure()
    shop.commit(RATINGS)
    call = runner(shop.root, capsys, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(shop.root / ".cache"))
    monkeypatch.setenv("GITMESH_CONFIG", str(shop.config))
    assert call("sync")[0] == 0
    assert (call("status")[0], call("history")[0]) == (0, 0)
