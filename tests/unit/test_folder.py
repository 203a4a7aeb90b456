"""A folder of policies: what is read, what is refused, and that links are never followed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitmesh.adapters.folder import FolderSource, blob_id, read_config
from gitmesh.errors import SourceError
from gitmesh.parsing.parse import parse
from gitmesh.parsing.reading import MAX_FILE_BYTES
from gitmesh.ports import Source


def source(path: Path | str, prefix: str = "") -> FolderSource:
    return FolderSource("local", str(path), prefix=prefix)


def test_yaml_files_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("z.yaml", "b/y.YML", "b-.yaml", "README.md", ".git/x.yaml"):
        (tmp_path / name).write_text(f"# {name}\n")
    door: Source = source(tmp_path)
    snapshot = door.fetch()
    assert [file.path for file in snapshot.files] == ["b-.yaml", "b/y.YML", "z.yaml"]
    assert snapshot.files[1].content == b"# b/y.YML\n"
    assert (snapshot.source, snapshot.commit, snapshot.diagnostics) == ("local", "", ())
    assert [file.path for file in source(tmp_path, "policies/").fetch().files] == [
        "policies/b-.yaml",
        "policies/b/y.YML",
        "policies/z.yaml",
    ]


def test_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    snapshot = FolderSource("local", str(tmp_path), paths=("a.yaml",)).fetch()
    assert ([file.path for file in snapshot.files], snapshot.paths) == (["a.yaml"], {"a.yaml": ("a.yaml",)})


def test_each_path_is_asked_for_on_its_own(tmp_path: Path) -> None:
    for name in ("a/x.yaml", "a/b/y.yml", "c/README.md", "d/z.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# x\n")
    snapshot = FolderSource(
        "local", str(tmp_path), prefix="repo/", paths=("a", "a/b", "c", "gone", "gone/x")
    ).fetch()
    assert [file.path for file in snapshot.files] == ["repo/a/b/y.yml", "repo/a/x.yaml"]
    assert snapshot.paths == {
        "a": ("repo/a/b/y.yml", "repo/a/x.yaml"),
        "a/b": ("repo/a/b/y.yml",),
        "c": (),
        "gone": (),
        "gone/x": (),
    }


def test_the_id_is_the_one_of_git(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: é\n")
    answer = subprocess.run(
        ["git", "hash-object", "a.yaml"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert source(tmp_path).fetch().files[0].blob == answer.stdout.strip() == blob_id("a: é\n".encode())


def test_G07_links_are_findings_and_never_followed(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text("token: x\n")
    (folder / "a.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "up").symlink_to("..")
    (folder / "gone.yaml").symlink_to("nowhere")
    (folder / "good.yaml").write_text("# fine\n")
    snapshot = source(folder).fetch()
    assert [file.path for file in snapshot.files] == ["good.yaml"]
    assert [(d.code, d.at.path) for d in snapshot.diagnostics if d.at] == [
        ("GM108", "a.yaml"),
        ("GM108", "gone.yaml"),
        ("GM108", "up"),
    ]
    assert FolderSource("local", str(folder), paths=("up/policies",)).fetch().files == ()
    assert "token" not in repr(snapshot)


def test_G07_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert [d.code for d in source(tmp_path).fetch().diagnostics] == ["GM108"]


def test_G10_names_that_hide_something(tmp_path: Path) -> None:
    for name in (b"a\nb.yaml", b"\xff\xfe.yaml", "x\u202ey.yaml".encode(), b"-rf.yaml"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_text("# x\n")
    snapshot = source(tmp_path).fetch()
    assert snapshot.files == ()
    assert [d.code for d in snapshot.diagnostics] == ["GM107"] * 4
    shown = " ".join(d.at.path for d in snapshot.diagnostics if d.at)
    assert shown.isprintable()


def test_G12_large_files_are_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(10 * 2**30)
    snapshot = source(tmp_path).fetch()
    assert snapshot.files == ()
    assert [d.code for d in parse(snapshot)[1]] == ["GM103"]


def test_what_cannot_be_read_is_the_worlds_failure(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read"):
        source(tmp_path / "nothing").fetch()
    with pytest.raises(SourceError, match="cannot read"):
        read_config(str(tmp_path / "nothing.yaml"))
    with pytest.raises(SourceError, match="cannot read"):
        read_config(str(tmp_path))


def test_a_folder_has_no_history(tmp_path: Path) -> None:
    folder = source(tmp_path)
    assert folder.read("") == folder.fetch()
    assert folder.descends("a", "b")
    with pytest.raises(SourceError, match="no history"):
        folder.read("0" * 40)


def test_the_configuration_is_read_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "gitmesh.yaml").write_bytes(b"x" * (MAX_FILE_BYTES * 2))
    assert len(read_config(str(tmp_path / "gitmesh.yaml"))) == MAX_FILE_BYTES + 1
