"""The bare copy of a repository: its names, a disk that refuses, and the deadline of what git leaves
behind.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from gitmesh.adapters.git import GitSource, process
from gitmesh.adapters.git import repository as repository_module
from gitmesh.adapters.git.process import Limits
from gitmesh.adapters.statusbranch import StatusBranch
from gitmesh.diagnostics import Severity
from gitmesh.errors import SourceError
from gitmesh.model.config import Author
from gitmesh.model.report import Report, SourceResult, Stage
from tests.gitrepo import Repo
from tests.lab.process import wait_until
from tests.shop import Shop, traffic

POLICY = {"policies/a.yaml": "kind: TrafficPolicy\n"}


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "origin.git")
    made.commit(POLICY)
    return made


def source(origin: Repo, tmp_path: Path, **options: Any) -> GitSource:
    return GitSource(
        "policies", origin.url, store=tmp_path / "state" / "store", allow_insecure=True, **options
    )


def status(reader: GitSource) -> StatusBranch:
    return StatusBranch(reader, "gitmesh-status", author=Author(), now=lambda: 1_700_000_000)


def report(seen: str) -> Report:
    sources = {"policies": SourceResult(name="policies", seen=seen * 40, accepted=seen * 40)}
    return Report(instance="shop", until=Stage.APPLY, sources=sources)


class TestStoreNames:
    @pytest.mark.parametrize(
        "names", [("env", "env/prod"), ("env/prod", "env"), ("a/b/c", "a/b"), ("a/b", "a/b/c"), ("a", "a/b")]
    )
    def test_a_branch_becomes_a_folder_and_a_folder_a_branch(
        self, names: tuple[str, str], origin: Repo, tmp_path: Path
    ) -> None:
        first, second = names
        old = origin.tip()
        origin.move(first, old)
        before = source(origin, tmp_path, branch=first)
        assert before.fetch().commit == old
        before.accept(old)
        origin.delete_branch(first)
        origin.move(second, old)
        newer = origin.update({"policies/b.yaml": "b: 1\n"}, branch=second)
        reader = source(origin, tmp_path, branch=second)
        assert reader.fetch().commit == newer
        assert reader.descends(newer, old)
        stranger = origin.commit({"policies/c.yaml": "c: 1\n"}, branch=second, parent="")
        assert not reader.descends(reader.fetch().commit, newer)
        assert reader.read(old).commit == old != stranger

    def test_names_of_an_older_version_are_in_nobodys_way(self, origin: Repo, tmp_path: Path) -> None:
        reader = source(origin, tmp_path)
        reader.fetch()
        space = reader.repository.local_ref("x").rpartition("/tips/")[0]
        origin.git("update-ref", f"{space}/heads/env/prod", origin.tip(), store=reader.repository.store)
        origin.move("env", origin.tip())
        assert source(origin, tmp_path, branch="env").fetch().commit == origin.tip()

    @pytest.mark.parametrize("annotated", [False, True])
    def test_a_tag_is_told_from_a_missing_branch(self, annotated: bool, origin: Repo, tmp_path: Path) -> None:
        origin.git("tag", *(["-a", "-m", "x"] if annotated else []), "v1.0", origin.tip())
        for name in ("v1.0", "tags/v1.0", "refs/tags/v1.0"):
            with pytest.raises(SourceError, match=rf"^{name} is a tag, not a branch$") as caught:
                source(origin, tmp_path, branch=name).fetch()
            assert "Name a branch" in caught.value.hint

    @pytest.mark.parametrize("length", [40, 12, 7])
    def test_a_commit_is_told_from_a_missing_branch(self, length: int, origin: Repo, tmp_path: Path) -> None:
        name = origin.tip()[:length]
        with pytest.raises(SourceError, match=f"^{name} is the id of a commit, not a branch$"):
            source(origin, tmp_path, branch=name).fetch()
        with pytest.raises(SourceError, match=f"^{name.upper()} is the id of a commit, not a branch$"):
            source(origin, tmp_path, branch=name.upper()).fetch()

    def test_a_branch_with_a_name_like_a_commit_or_a_tag_is_a_branch(
        self, origin: Repo, tmp_path: Path
    ) -> None:
        for name in ("0123abcd", "v1.0", "1" * 40):
            origin.git("update-ref", f"refs/heads/{name}", origin.tip())
            origin.git("update-ref", f"refs/tags/{name}", origin.tip())
            assert source(origin, tmp_path, branch=name).fetch().commit == origin.tip()

    @pytest.mark.parametrize("name", ["refs/heads/main", "origin/main", "heads/main", "mian"])
    def test_a_branch_in_other_words_is_suggested(self, name: str, origin: Repo, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=rf"no branch {name}; did you mean main\?") as caught:
            source(origin, tmp_path, branch=name).fetch()
        origin.move("another", origin.tip())
        with pytest.raises(SourceError) as again:
            source(origin, tmp_path, branch=name).fetch()
        assert str(again.value) == str(caught.value), "branches that come and go are not part of the text"
        assert "another" in again.value.detail


class TestDisk:
    """In place of a disk that refuses stands a file where a folder belongs: no user may pass over that, not
    even root.
    """

    @pytest.fixture(autouse=True)
    def temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        return folder

    def test_a_store_that_cannot_be_made_is_a_warning(self, origin: Repo, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("in the way")
        reader = source(origin, tmp_path)
        first = reader.fetch()
        [said] = first.diagnostics
        assert (said.code, said.severity) == ("GM601", Severity.WARNING)
        assert (
            said.message
            == f"the store {tmp_path}/state/store cannot be written: File exists; a temporary one is used"
        )
        assert first.files
        assert reader.fetch() == first
        newer = origin.update({"policies/b.yaml": "b: 1\n"})
        assert reader.fetch().commit == newer
        assert reader.descends(newer, first.commit)

    def test_the_store_is_used_again_when_it_can_be_written(
        self, origin: Repo, tmp_path: Path, temporary: Path
    ) -> None:
        (tmp_path / "state").write_text("in the way")
        reader = source(origin, tmp_path)
        old = reader.fetch().commit
        (tmp_path / "state").unlink()
        assert reader.fetch().diagnostics == ()
        assert reader.repository.store == tmp_path / "state" / "store"
        assert list(temporary.iterdir()) == []
        newer = origin.update({"policies/b.yaml": "b: 1\n"})
        assert reader.fetch().commit == newer
        assert reader.descends(newer, old)

    def test_what_is_in_a_store_that_cannot_be_written_is_still_read(
        self, origin: Repo, tmp_path: Path
    ) -> None:
        lost = origin.tip()
        reader = source(origin, tmp_path)
        reader.fetch()
        reader.accept(lost)
        origin.commit({"policies/b.yaml": "b: 1\n"}, parent="")
        origin.git("config", "uploadpack.allowAnySHA1InWant", "false")
        (tmp_path / "state" / "store.busy").unlink()
        (tmp_path / "state" / "store.busy").mkdir()
        other = source(origin, tmp_path)
        assert [d.code for d in other.fetch().diagnostics] == ["GM601"]
        assert other.read(lost).commit == lost

    def test_where_no_disk_takes_anything_the_new_commit_waits(
        self, origin: Repo, tmp_path: Path, temporary: Path
    ) -> None:
        reader = source(origin, tmp_path)
        kept = reader.fetch()
        reader.accept(kept.commit)
        (tmp_path / "state").rename(tmp_path / "gone")
        (tmp_path / "state").write_text("in the way")
        temporary.rmdir()
        newer = origin.update({"policies/b.yaml": "b: 1\n"})
        with pytest.raises(SourceError) as caught:
            reader.fetch()
        store = tmp_path / "state" / "store"
        assert (
            str(caught.value)
            == f"the store {store} cannot be written: File exists; commit {newer[:12]} waits"
        )
        assert reader.read(kept.commit) is kept
        [said] = status(reader).publish(report("a")).diagnostics
        assert (said.code, f"{store}.status cannot be written: File exists" in said.message) == (
            "GM603",
            True,
        )

    def test_a_disk_that_is_full_for_git(
        self, origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import shutil

        real = shutil.which("git")
        fake = tmp_path / "bin" / "git"
        fake.parent.mkdir()
        full = 'echo "fatal: write error: No space left on device" >&2; exit 128'
        fake.write_text(
            f'#!/bin/sh\ncase "$*" in --git-dir={tmp_path}/state/store*fetch\\ *) {full};; esac\nexec {real}'
            ' "$@"\n'
        )
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
        [said] = source(origin, tmp_path).fetch().diagnostics
        assert (
            said.message
            == f"the store {tmp_path}/state/store cannot be written: No space left on device; a temporary one"
            " is used"
        )

    def test_a_large_repository_is_not_copied_to_where_room_is_scarce(
        self, origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repository_module, "TEMPORARY_ROOM", 100_000)
        (tmp_path / "state").write_text("in the way")
        origin.update({"noise": os.urandom(400_000)})
        with pytest.raises(SourceError, match="cannot be written: File exists; commit"):
            source(origin, tmp_path).fetch()

    def test_the_status_is_written_all_the_same(self, origin: Repo, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("in the way")
        reader = source(origin, tmp_path)
        reader.fetch()
        branch = status(reader)
        for seen in "ab":
            [said] = branch.publish(report(seen)).diagnostics
            assert (said.code, "a temporary one is used for the status" in said.message) == ("GM603", True)
            reader.fetch()
        (tmp_path / "state").unlink()
        assert branch.publish(report("b")).diagnostics == (), "clean, though there is nothing to write"
        assert branch.publish(report("c")).diagnostics == ()
        assert len(origin.log("gitmesh-status")) == 3

    def test_a_folder_of_others_is_no_disk_that_refuses(self, origin: Repo, tmp_path: Path) -> None:
        (tmp_path / "state" / "store").mkdir(parents=True)
        (tmp_path / "state" / "store" / "precious").write_text("x")
        with pytest.raises(SourceError, match="no git repository"):
            source(origin, tmp_path).fetch()


def test_a_store_that_became_read_only_costs_a_warning(tmp_path: Path) -> None:
    """Folders without the right to write; root, who may pass over that, gives the right up first."""
    shop = Shop(tmp_path)
    shop.commit(traffic("ratings", timeout="1s"))
    shop.sync("--store", str(tmp_path / "store"), code=0)
    shop.commit(traffic("ratings", timeout="7s"))
    folders = [path for path in (tmp_path / "store", *(tmp_path / "store").rglob("*")) if path.is_dir()]
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    for path in (*folders, *files):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    bound = (
        "import ctypes, os, sys; os.getuid() or ctypes.CDLL(None).prctl(24, 1, 0, 0, 0);"
        " os.execv(sys.executable, sys.argv[1:])"
    )
    command = [
        sys.executable,
        "-m",
        "gitmesh",
        "sync",
        "--config",
        str(shop.config),
        "--store",
        str(tmp_path / "store"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", bound, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for path in folders:
        path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot be written: Permission denied; a temporary one is used") == 2, (
        "GM601 and GM603"
    )
    assert b"timeout: 7s" in shop.live("ratings").read_bytes()


def test_G14_a_child_that_outlives_git_is_killed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the output open, so that nobody could tell that git has ended."""
    import git  # noqa: F401 - GitPython runs git when it is imported first

    note, fake = tmp_path / "pid", tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {note}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SourceError, match="longer than"):
        process.run(["ls-remote"], Limits(seconds=0.5))
    wait_until(lambda: not _alive(int(note.read_text())), "the child's end", 5)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False
