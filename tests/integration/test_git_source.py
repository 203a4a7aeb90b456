"""GitSource on real repositories over file://, with the faults of docs/reliability.md#git."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gitmesh.adapters.git import GitSource, process
from gitmesh.adapters.git import objects as objects_module
from gitmesh.adapters.git import repository as repository_module
from gitmesh.adapters.git.names import branch_problem
from gitmesh.adapters.git.process import Done, Limits
from gitmesh.adapters.git.repository import Repository
from gitmesh.errors import SourceError
from gitmesh.model.config_sources import SourceAuth
from gitmesh.model.snapshot import Snapshot
from tests.gitrepo import Repo
from tests.lab.fixtures import not_available
from tests.patience import GIVEN_UP

POLICY = "kind: TrafficPolicy\n"


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "origin.git")


def source(origin: Repo, tmp_path: Path, **options: Any) -> GitSource:
    settings: dict[str, Any] = {
        "paths": ("policies",),
        "store": tmp_path / "state" / "store",
        "allow_insecure": True,
        **options,
    }
    return GitSource("policies", settings.pop("url", origin.url), **settings)


def paths(snapshot: Snapshot) -> list[str]:
    return [file.path for file in snapshot.files]


def codes(snapshot: Snapshot) -> list[str]:
    return [diagnostic.code for diagnostic in snapshot.diagnostics]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The git commands that were started, with the objects that each asked for."""
    started: list[Sequence[str]] = []
    real = process.run

    def run(arguments: Sequence[str], limits: Limits, **rest: Any) -> Done:
        started.append([*arguments, *rest.get("stdin", b"").decode(errors="replace").split()])
        return real(arguments, limits, **rest)

    for module in (repository_module, objects_module):
        monkeypatch.setattr(module, "run", run)
    return started


class TestReading:
    def test_reads_the_policy_paths_only(self, origin: Repo, tmp_path: Path) -> None:
        commit = origin.commit(
            {
                "policies/b.yml": POLICY,
                "policies/a/a.yaml": "a: 1\n",
                "policies/README.md": "x",
                "other/c.yaml": "c",
            },
            subject="Add a and b",
        )
        snapshot = source(origin, tmp_path).fetch()
        assert snapshot.commit == commit
        assert [(f.path, f.content) for f in snapshot.files] == [
            ("policies/a/a.yaml", b"a: 1\n"),
            ("policies/b.yml", POLICY.encode()),
        ]
        assert (snapshot.author, snapshot.subject, snapshot.source) == ("Test", "Add a and b", "policies")
        assert snapshot.diagnostics == ()

    def test_empty_path_is_the_whole_repository(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"a.yaml": POLICY, "x/b.yaml": POLICY})
        assert paths(source(origin, tmp_path, paths=("",)).fetch()) == ["a.yaml", "x/b.yaml"]

    def test_a_path_is_no_pattern(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"a*/x.yaml": POLICY, "ab/y.yaml": POLICY})
        assert paths(source(origin, tmp_path, paths=("a*",)).fetch()) == ["a*/x.yaml"]
        assert paths(source(origin, tmp_path, paths=(":(glob)a*",), store=tmp_path / "two").fetch()) == []

    def test_no_change_is_one_process_and_the_same_object(
        self, origin: Repo, tmp_path: Path, commands: list[Sequence[str]]
    ) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        reader = source(origin, tmp_path)
        first = reader.fetch()
        commands.clear()
        for _ in range(5):
            assert reader.fetch() is first
        assert [command[1] for command in commands] == ["ls-remote"] * 5

    def test_one_file_commit_reads_one_blob(
        self, origin: Repo, tmp_path: Path, commands: list[Sequence[str]]
    ) -> None:
        origin.commit({f"policies/{n}.yaml": f"n: {n}\n" for n in range(50)})
        reader = source(origin, tmp_path)
        reader.fetch()
        commands.clear()
        commit = origin.update({"policies/7.yaml": "n: seven\n"})
        snapshot = reader.fetch()
        asked = next(command for command in commands if "cat-file" in command)[3:]
        changed = next(file for file in snapshot.files if file.path == "policies/7.yaml")
        assert asked == [commit, changed.blob]
        assert len(snapshot.files) == 50

    def test_a_new_process_does_not_fetch_what_the_store_has(
        self, origin: Repo, tmp_path: Path, commands: list[Sequence[str]]
    ) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        first = source(origin, tmp_path).fetch()
        commands.clear()
        assert source(origin, tmp_path).fetch() == first
        assert not any("fetch" in command for command in commands)

    def test_sha256_repository(self, tmp_path: Path) -> None:
        origin = Repo(tmp_path / "sha256.git", object_format="sha256")
        commit = origin.commit({"policies/a.yaml": POLICY})
        snapshot = source(origin, tmp_path).fetch()
        assert len(commit) == 64
        assert (snapshot.commit, paths(snapshot)) == (commit, ["policies/a.yaml"])


class TestHistory:
    def test_G16_force_push_does_not_descend(self, origin: Repo, tmp_path: Path) -> None:
        reader = source(origin, tmp_path)
        old = origin.commit({"policies/a.yaml": "a: 1\n"})
        reader.fetch()
        newer = origin.update({"policies/a.yaml": "a: 2\n"})
        reader.fetch()
        other = origin.commit({"policies/a.yaml": "a: 3\n"}, parent="")
        assert reader.fetch().commit == other
        assert reader.descends(newer, old)
        assert reader.descends(old, old)
        assert not reader.descends(other, newer)
        assert not reader.descends(old, newer)

    def test_G16_branch_moved_back(self, origin: Repo, tmp_path: Path) -> None:
        old = origin.commit({"policies/a.yaml": "a: 1\n"})
        newer = origin.update({"policies/a.yaml": "a: 2\n"})
        reader = source(origin, tmp_path)
        reader.fetch()
        origin.move("main", old)
        assert reader.fetch().commit == old
        assert not reader.descends(old, newer)

    def test_descends_before_the_first_fetch(self, origin: Repo, tmp_path: Path) -> None:
        old = origin.commit({"policies/a.yaml": "a: 1\n"})
        newer = origin.update({"policies/a.yaml": "a: 2\n"})
        assert source(origin, tmp_path).descends(newer, old)

    def test_descends_says_no_to_what_is_unknown(self, origin: Repo, tmp_path: Path) -> None:
        tip = origin.commit({"policies/a.yaml": "a: 1\n"})
        reader = source(origin, tmp_path)
        reader.fetch()
        assert not reader.descends(tip, "f" * 40)
        assert not reader.descends("f" * 40, tip)
        assert not reader.descends(tip, "--all")

    def test_G17_a_commit_is_pinned_while_the_branch_moves(self, origin: Repo, tmp_path: Path) -> None:
        first = origin.commit({"policies/a.yaml": "a: 1\n"})
        reader = source(origin, tmp_path)
        snapshot = reader.fetch()
        origin.update({"policies/a.yaml": "a: 2\n"})
        assert snapshot.files[0].content == b"a: 1\n"
        assert reader.read(first) is snapshot

    @pytest.mark.parametrize("accepted", [False, True])
    def test_a_commit_that_was_rewritten_is_read_only_if_it_was_accepted_here(
        self, accepted: bool, origin: Repo, tmp_path: Path
    ) -> None:
        lost = origin.commit({"policies/a.yaml": "a: 1\n"})
        source(origin, tmp_path).fetch()
        if accepted:
            source(origin, tmp_path).accept(lost)
        origin.commit({"policies/a.yaml": "a: 2\n"}, parent="")
        reader = source(origin, tmp_path)
        reader.fetch()
        if accepted:
            assert reader.read(lost).files[0].content == b"a: 1\n"
            return
        with pytest.raises(SourceError, match="does not lead to"):
            reader.read(lost)

    def test_a_commit_that_nobody_merged_is_not_asked_for(self, origin: Repo, tmp_path: Path) -> None:
        """The remote would give it away to who knows its id."""
        origin.commit({"policies/a.yaml": "a: 1\n"})
        other = origin.commit({"policies/a.yaml": "a: 2\n"}, branch="proposal")
        reader = source(origin, tmp_path)
        reader.fetch()
        with pytest.raises(SourceError, match="does not lead to"):
            reader.read(other)

    @pytest.mark.parametrize("commit", ["f" * 40, "main", "HEAD@{1}", "--output=x", ""])
    def test_G03_read_of_what_is_no_known_commit(self, commit: str, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": "a: 1\n"})
        reader = source(origin, tmp_path)
        reader.fetch()
        with pytest.raises(SourceError, match=r"commit|id"):
            reader.read(commit)


class TestNames:
    @pytest.mark.parametrize(
        "url",
        [
            "ext::sh -c touch% x",
            "fd::3",
            "https://host/$TOKEN",
            "https://host/a%0ab",
            "https://host/~x",
            "https://host/a\nb",
            "https://user:secret@host/x",
            "https://secret@host/x",
            "ssh://-oProxyCommand=x/r",
            "-oProxyCommand=x@host:r",
            "ssh://user@-host/r",
            "https:///x",
            "git://host/x",
            "/local/path",
            "../x",
            "ftp://host/x",
        ],
    )
    def test_G01_G04_G05_url_is_refused(self, url: str, tmp_path: Path) -> None:
        with pytest.raises(SourceError) as caught:
            GitSource("x", url, store=tmp_path / "s", allow_insecure=True)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("url", ["file:///x", "http://host/x"])
    def test_G01_insecure_needs_consent(self, url: str, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="allowInsecure"):
            GitSource("x", url, store=tmp_path / "s")
        GitSource("x", url, store=tmp_path / "s", allow_insecure=True)

    @pytest.mark.parametrize(
        "branch",
        [
            "--upload-pack=touch x",
            "-u x",
            "a..b",
            "HEAD@{1}",
            "../../x",
            "x" * 4096,
            ":/x",
            "a//b",
            "a.lock",
            "a/",
            "a/.b",
            "a\n",
            "",
        ],
    )
    def test_G02_G03_branch_is_refused(self, branch: str, tmp_path: Path) -> None:
        assert branch_problem(branch)
        with pytest.raises(SourceError, match="branch"):
            GitSource("x", "https://host/x", branch=branch, store=tmp_path / "s")

    def test_the_name_of_the_store_is_taken_literally(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        assert paths(source(origin, tmp_path, store=tmp_path / "a $HOME store").fetch()) == [
            "policies/a.yaml"
        ]


class TestHostileTrees:
    def test_G06_G07_links_and_submodules(self, origin: Repo, tmp_path: Path) -> None:
        blob = origin.blob(b"/proc/self/environ")
        sub = origin.commit({"x": "y"}, branch="other")
        inner = origin.tree(
            [
                ("100644", b"a.yaml", origin.blob(b"a: 1\n")),
                ("120000", b"link.yaml", blob),
                ("160000", b"sub", sub),
            ]
        )
        origin.commit_tree(origin.tree([("040000", b"policies", inner)]))
        snapshot = source(origin, tmp_path).fetch()
        assert paths(snapshot) == ["policies/a.yaml"]
        assert codes(snapshot) == ["GM108", "GM108"]
        assert [d.at.path for d in snapshot.diagnostics if d.at] == ["policies/link.yaml", "policies/sub"]

    def test_G07_the_policy_path_itself_is_a_link(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit_tree(origin.tree([("120000", b"policies", origin.blob(b"../.."))]))
        snapshot = source(origin, tmp_path).fetch()
        assert (paths(snapshot), codes(snapshot)) == ([], ["GM108"])

    @pytest.mark.parametrize("name", [b"..", b".git", b"git~1", b"."])
    def test_G08_git_refuses_a_hostile_name(self, name: bytes, origin: Repo, tmp_path: Path) -> None:
        inner = origin.tree([("100644", b"config", origin.blob(b"x"))])
        origin.commit_tree(origin.tree([("040000", b"policies", origin.tree([("040000", name, inner)]))]))
        with pytest.raises(SourceError, match="objects that git refuses"):
            source(origin, tmp_path).fetch()

    @pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"git~1"])
    def test_G08_a_hostile_name_that_git_let_through(self, name: bytes, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        reader = source(origin, tmp_path)
        reader.fetch()
        store = reader.repository.store
        blob = origin.git("hash-object", "-w", "--stdin", stdin=b"x: 1\n", store=store).decode().strip()
        inner = origin.tree([("100644", b"config.yaml", blob)], store=store)
        policies = origin.tree([("040000", name, inner)], store=store)
        commit = origin.commit_tree(
            origin.tree([("040000", b"policies", policies)], store=store), store=store
        )
        reader.accept(commit)
        snapshot = reader.read(commit)
        assert (paths(snapshot), codes(snapshot)) == ([], ["GM108"])

    def test_G09_names_that_clash(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit(
            {
                "policies/A.yaml": "a: 1\n",
                "policies/a.yaml": "a: 2\n",
                "policies/\u00e9.yaml": "x",
                "policies/e\u0301.yaml": "y",
            }
        )
        snapshot = source(origin, tmp_path).fetch()
        assert (paths(snapshot), codes(snapshot)) == ([], ["GM109"] * 4)

    def test_G10_odd_names_are_shown_escaped(self, origin: Repo, tmp_path: Path) -> None:
        blob = origin.blob(b"a: 1\n")
        names = [b"-rf.yaml", b"a\nb.yaml", b"c\xe2\x80\xae.yaml", b"ok.yaml", b"\xff\xfe.yaml"]
        inner = origin.tree([("100644", name, blob) for name in names])
        origin.commit_tree(origin.tree([("040000", b"policies", inner)]))
        snapshot = source(origin, tmp_path).fetch()
        assert paths(snapshot) == ["policies/ok.yaml"]
        assert codes(snapshot) == ["GM107"] * 4
        shown = [d.at.path for d in snapshot.diagnostics if d.at]
        assert shown == [
            "policies/-rf.yaml",
            "policies/a\\nb.yaml",
            "policies/c\\u202e.yaml",
            "policies/\\xff\\xfe.yaml",
        ]
        assert all(d.message.isprintable() for d in snapshot.diagnostics)

    def test_G11_tree_bomb(self, origin: Repo, tmp_path: Path) -> None:
        tree = origin.tree([("100644", b"%02d.yaml" % n, origin.blob(b"x")) for n in range(10)])
        for _ in range(9):
            tree = origin.tree([("040000", b"%02d" % n, tree) for n in range(10)])
        origin.commit_tree(origin.tree([("040000", b"policies", tree)]))
        began = time.perf_counter()
        snapshot = source(origin, tmp_path).fetch()
        assert time.perf_counter() - began < GIVEN_UP
        assert (snapshot.files, codes(snapshot)) == ((), ["GM103"])

    def test_G12_large_file_is_never_read(
        self, origin: Repo, tmp_path: Path, commands: list[Sequence[str]]
    ) -> None:
        origin.commit({"policies/a.yaml": "a: 1\n", "policies/huge.yaml": b"\0" * 50_000_000})
        snapshot = source(origin, tmp_path).fetch()
        assert (paths(snapshot), codes(snapshot)) == (["policies/a.yaml"], ["GM103"])
        asked = next(command for command in commands if "cat-file" in command)[3:]
        assert asked == [snapshot.commit, snapshot.files[0].blob]

    def test_G12_large_revision(self, origin: Repo, tmp_path: Path) -> None:
        blob = origin.blob(b"a" * 256 * 1024)
        inner = origin.tree([("100644", b"%03d.yaml" % n, blob) for n in range(257)])
        origin.commit_tree(origin.tree([("040000", b"policies", inner)]))
        snapshot = source(origin, tmp_path).fetch()
        assert (snapshot.files, codes(snapshot)) == ((), ["GM103"])

    def test_G18_renamed_folder_reads_as_no_files(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policy/a.yaml": POLICY})
        assert source(origin, tmp_path).fetch().files == ()

    def test_G20_attributes_filters_and_hooks_do_not_run(self, origin: Repo, tmp_path: Path) -> None:
        trap = tmp_path / "trap"
        home = tmp_path / "home"
        home.mkdir()
        (home / ".gitconfig").write_text(
            f'[core]\n\tfsmonitor = "touch {trap}"\n\thooksPath = {home}\n[filter "lfs"]\n\tsmudge = touch'
            f" {trap}\n"
        )
        hook = home / "reference-transaction"
        hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
        hook.chmod(0o755)
        origin.commit({".gitattributes": "* filter=lfs\n", "policies/a.yaml": POLICY})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(home))
            patch.setenv("GIT_DIR", str(home))
            patch.setenv("GIT_INDEX_FILE", str(home / "index"))
            patch.setenv("GIT_CONFIG_PARAMETERS", f"'core.hooksPath={home}'")
            patch.setenv("GIT_ASKPASS", str(hook))
            reader = source(origin, tmp_path)
            assert paths(reader.fetch()) == ["policies/a.yaml"]
        assert not trap.exists()
        assert not (reader.repository.store / "hooks").exists()


class TestFaults:
    def test_G15_empty_repository(self, origin: Repo, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="repository is empty"):
            source(origin, tmp_path).fetch()

    def test_G15_missing_branch_with_suggestion(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        with pytest.raises(SourceError, match=r"no branch mian; did you mean main\?"):
            source(origin, tmp_path, branch="mian").fetch()

    def test_a_branch_whose_name_only_ends_alike_is_another(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY}, branch="x/refs/heads/main")
        with pytest.raises(SourceError, match="no branch main"):
            source(origin, tmp_path).fetch()

    def test_G15_deleted_branch(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        origin.commit({"x": "y"}, branch="other")
        reader = source(origin, tmp_path)
        kept = reader.fetch()
        origin.delete_branch()
        with pytest.raises(SourceError, match="branch main was deleted"):
            reader.fetch()
        assert reader.read(kept.commit) is kept

    def test_G15_missing_repository(self, origin: Repo, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="repository was not found"):
            source(origin, tmp_path, url=f"file://{tmp_path}/none.git").fetch()

    def test_G15_unreachable_host(self, origin: Repo, tmp_path: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with pytest.raises(SourceError, match="did not answer") as caught:
            source(origin, tmp_path, url=f"http://127.0.0.1:{port}/x.git").fetch()
        assert " ms" not in str(caught.value)

    def test_G13_pack_beyond_the_limit(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY, "noise": os.urandom(400_000)})
        repository = Repository(
            origin.url,
            store=tmp_path / "s",
            auth=SourceAuth(),
            base=tmp_path,
            allow_insecure=True,
            timeout=30,
            max_pack=100_000,
        )
        with pytest.raises(SourceError, match="larger than the limit"):
            repository.fetch_branch("main", origin.tip())
        assert not list(repository.store.glob("objects/pack/tmp_*"))

    def test_G14_silent_server_is_given_up(self, origin: Repo, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
            began = time.perf_counter()
            with pytest.raises(SourceError, match=r"longer than 0\.3 s"):
                source(origin, tmp_path, url=url, timeout=0.3).fetch()
            assert time.perf_counter() - began < GIVEN_UP

    def test_G14_children_are_killed_with_git(
        self, origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The stand-in for ssh writes its process id and hangs."""
        note = tmp_path / "pid"
        fake = tmp_path / "bin" / "ssh"
        fake.parent.mkdir()
        fake.write_text(f"#!/bin/sh\necho $$ > {note}\nexec sleep 60\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(SourceError, match="longer than"):
            source(origin, tmp_path, url="ssh://git@host/x.git", timeout=1.0).fetch()
        pid = int(note.read_text())
        assert _gone(pid)

    def test_G14_stale_lock_does_not_block(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": "a: 1\n"})
        reader = source(origin, tmp_path)
        reader.fetch()
        ref = reader.repository.store / reader.repository.local_ref("main")
        ref.with_name("main.lock").touch()
        (reader.repository.store / "packed-refs.lock").touch()
        commit = origin.update({"policies/a.yaml": "a: 2\n"})
        assert reader.fetch().commit == commit

    def test_G22_errors_hold_no_credentials(self, origin: Repo, tmp_path: Path) -> None:
        repository = source(origin, tmp_path).repository
        error = repository.explain(
            "fatal: unable to access 'https://bob:hunter2@host/x/': Authorization: Basic c2VjcmV0\n"
        )
        assert "hunter2" not in str(error)
        assert "c2VjcmV0" not in str(error)

    def test_G23_bit_flip_in_a_pack(self, origin: Repo, tmp_path: Path) -> None:
        commit = origin.commit({f"policies/{n}.yaml": f"n: {n}\n" * 20 for n in range(150)})
        first = source(origin, tmp_path).fetch()
        store = source(origin, tmp_path).repository.store
        pack = next(store.glob("objects/pack/*.pack"))
        content = bytearray(pack.read_bytes())
        for position in range(100, len(content) - 40, 50):
            content[position] ^= 0xFF
        pack.chmod(0o644)
        pack.write_bytes(bytes(content))
        again = source(origin, tmp_path).fetch()
        assert (again.commit, again.files) == (commit, first.files)

    def test_G23_truncated_loose_objects(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        first = source(origin, tmp_path).fetch()
        for loose in _loosened(origin, source(origin, tmp_path).repository.store):
            loose.chmod(0o644)
            loose.write_bytes(loose.read_bytes()[:5])
        assert source(origin, tmp_path).fetch() == first

    def test_G23_valid_object_with_wrong_content(self, origin: Repo, tmp_path: Path) -> None:
        """Well-formed zlib under the wrong name: git's readers do not compare the hash of a packed or loose
        blob.
        """
        origin.commit({"policies/a.yaml": "a: 1\n"})
        first = source(origin, tmp_path).fetch()
        store = source(origin, tmp_path).repository.store
        evil = origin.git("hash-object", "-w", "--stdin", stdin=b"a: 2\n", store=store).decode().strip()
        wanted = first.files[0].blob
        assert len(_loosened(origin, store)) == 5
        target = store / "objects" / wanted[:2] / wanted[2:]
        target.chmod(0o644)
        target.write_bytes((store / "objects" / evil[:2] / evil[2:]).read_bytes())
        assert source(origin, tmp_path).fetch().files[0].content == b"a: 1\n"

    def test_G23_damaged_store_and_no_remote_is_an_error(self, origin: Repo, tmp_path: Path) -> None:
        commit = origin.commit({"policies/a.yaml": POLICY})
        source(origin, tmp_path).fetch()
        reader = source(origin, tmp_path)
        for loose in _loosened(origin, reader.repository.store):
            loose.unlink()
        origin.path.rename(tmp_path / "away.git")
        with pytest.raises(SourceError):
            reader.read(commit)

    def test_store_deleted_while_running(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        reader = source(origin, tmp_path)
        old = reader.fetch()
        reader.repository.store.rename(tmp_path / "elsewhere")
        commit = origin.update({"policies/a.yaml": "a: 2\n"})
        assert reader.fetch().commit == commit
        assert reader.descends(commit, old.commit)

    def test_a_folder_that_is_no_store_is_left_alone(self, origin: Repo, tmp_path: Path) -> None:
        origin.commit({"policies/a.yaml": POLICY})
        precious = tmp_path / "home" / "precious"
        precious.mkdir(parents=True)
        (precious / "file").write_text("x")
        with pytest.raises(SourceError, match="no git repository"):
            source(origin, tmp_path, store=precious).fetch()
        assert (precious / "file").read_text() == "x"

    def test_two_readers_of_one_store(self, origin: Repo, tmp_path: Path) -> None:
        commit = origin.commit({f"policies/{n}.yaml": f"n: {n}\n" for n in range(100)})
        seen: list[str] = []
        threads = [
            threading.Thread(target=lambda: seen.append(source(origin, tmp_path).fetch().commit))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [commit] * 4

    def test_git_is_not_installed(
        self, origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import git  # noqa: F401 - GitPython looks for git when it is imported first; here it must fail later

        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SourceError, match="git is not installed"):
            source(origin, tmp_path).fetch()


class TestCredentials:
    @pytest.fixture
    def ssh(self, origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A stand-in for ssh: notes its arguments, then runs the asked-for command on this machine."""
        fake = tmp_path / "bin" / "ssh"
        fake.parent.mkdir()
        note = tmp_path / "arguments"
        fake.write_text(
            f'#!/bin/sh\nfor a; do echo "$a"; done > "{note}"\nfor last; do :; done\nexec sh -c "$last"\n'
        )
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
        return note

    def test_ssh_key_and_host_keys(self, origin: Repo, tmp_path: Path, ssh: Path) -> None:
        commit = origin.commit({"policies/a.yaml": POLICY})
        secrets = tmp_path / "my 100% secrets; touch x"
        secrets.mkdir()
        for name in ("key", "hosts"):
            (secrets / name).write_text("x")
        auth = SourceAuth.model_validate({"sshKeyFile": "key", "knownHostsFile": "hosts"})
        reader = source(
            origin,
            tmp_path,
            url=f"ssh://git@host{origin.path}",
            auth=auth,
            base=secrets,
            allow_insecure=False,
        )
        assert reader.fetch().commit == commit
        given = ssh.read_text().splitlines()
        quoted = str(secrets).replace("%", "%%")
        assert f'-oIdentityFile="{quoted}/key"' in given
        assert f'-oUserKnownHostsFile="{quoted}/hosts"' in given
        for option in ("StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "BatchMode=yes"):
            assert f"-o{option}" in given

    def test_ssh_understands_the_options(self, tmp_path: Path) -> None:
        """Where a real ssh is installed, it must read the paths back as they are."""
        import shlex
        import shutil
        import subprocess

        from gitmesh.adapters.git.auth import access

        if shutil.which("ssh") is None:
            not_available("ssh is not installed")
        folder = tmp_path / "with space"
        folder.mkdir()
        for name in ("key", "hosts"):
            (folder / name).write_text("x")
        auth = SourceAuth.model_validate({"sshKeyFile": "key", "knownHostsFile": "hosts"})
        command = access("ssh://git@host/x", auth, folder, 5).env["GIT_SSH_COMMAND"]
        done = subprocess.run(
            [*shlex.split(command), "-G", "host"], capture_output=True, text=True, check=True
        )
        assert f"identityfile {folder}/key" in done.stdout
        assert "stricthostkeychecking true" in done.stdout
        assert "batchmode yes" in done.stdout

    @pytest.mark.parametrize(
        ("content", "words"),
        [(None, "cannot be read"), ("", "is empty"), ("\n", "is empty"), ("a\nb\n", "more than one line")],
    )
    def test_G15_bad_secret_file_is_no_anonymous_try(
        self, content: str | None, words: str, origin: Repo, tmp_path: Path, commands: list[Sequence[str]]
    ) -> None:
        if content is not None:
            (tmp_path / "password").write_text(content)
        auth = SourceAuth.model_validate({"passwordFile": "password"})
        with pytest.raises(SourceError, match=words):
            source(origin, tmp_path, url="https://127.0.0.1:1/x.git", auth=auth, base=tmp_path).fetch()
        assert commands == []


def test_git_version_is_told() -> None:
    assert process.git_version() >= (2, 30)


def test_importing_the_adapter_does_not_import_gitpython() -> None:
    import subprocess

    code = "import sys, gitmesh.adapters.git, gitmesh.adapters.statusbranch; sys.exit('git' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _loosened(origin: Repo, store: Path) -> list[Path]:
    """The store's objects as one file each, instead of in packs."""
    for pack in store.glob("objects/pack/*.pack"):
        content = pack.read_bytes()
        for part in store.glob(f"objects/pack/{pack.stem}.*"):
            part.unlink()
        origin.git("unpack-objects", "-q", stdin=content, store=store)
    return sorted(store.glob("objects/??/*"))


def _gone(pid: int) -> bool:
    """Whether a process has ended (or is about to be collected by whoever inherited it)."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = (
                Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] if Path("/proc").is_dir() else ""
            )
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        threading.Event().wait(0.02)
    return False
