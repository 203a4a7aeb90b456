"""A random tree says the same as a folder under review and as a commit that the agent reads: the same
documents, the same findings.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gitmesh.adapters.folder import FolderSource
from gitmesh.adapters.git import GitSource
from gitmesh.adapters.revision import lies_below
from gitmesh.cli.folders import folder
from gitmesh.model.snapshot import Snapshot
from gitmesh.parsing.parse import parse
from gitmesh.parsing.reading import MAX_FILE_BYTES

Tree: TypeAlias = Mapping[str, tuple[str, bytes]]
"""Path -> what is there (file, program, link, repository) and its content."""

GOOD = (
    b"apiVersion: gitmesh.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: a}\nspec: {destinations: [{name:"
    b" b}], timeout: 1s}\n"
)
NAMES = ["policies", "Policies", "a", "a.yaml", "A.yaml", "b.YML", "c.json", ".hidden.yaml", "-dash.yaml"]
NAMES += ["no\u00a0break.yaml", "x\u202ey.yaml"]
NAMES += [
    "caf\u00e9.yaml",
    "cafe\u0301.yaml",
    "\udcff.yaml",
    "two words.yaml",
    "README.md",
    "new\nline.yaml",
    "*.yaml",
    ".gitignore",
]
names = st.sampled_from(NAMES)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
contents = st.sampled_from(
    [
        GOOD,
        GOOD.replace(b"timeout", b"timout"),
        b"",
        b"\xff",
        b"x: [\n",
        b"*.yaml\n",
        b"#" * (MAX_FILE_BYTES + 1),
    ]
)
things = st.one_of(
    st.tuples(st.sampled_from(["file", "file", "file", "program"]), contents),
    st.tuples(st.just("link"), st.sampled_from([b"a.yaml", b"..", b"/etc/passwd", b"nowhere"])),
    st.just(("repository", b"")),
)
trees = st.dictionaries(paths, things, max_size=8)
usual = st.sampled_from(["policies", "policies/a", "a.yaml", "-dash.yaml"])
asked = st.lists(st.one_of(usual, usual, paths.filter(str.isprintable)), min_size=1, max_size=3)


@settings(max_examples=60)
@example({"policies/policies/a.yaml": ("file", GOOD), "policies/b.YML": ("file", GOOD)}, ["policies"])
@example({"policies": ("link", b"a"), "a/a.yaml": ("file", GOOD)}, ["policies", "policies/a"])
@example({"policies/a": ("repository", b""), "a.yaml": ("file", GOOD)}, ["", "policies/a/a.yaml"])
@example({"policies/-dash.yaml": ("file", GOOD), "policies/no\u00a0break.yaml": ("file", GOOD)}, ["policies"])
@given(tree=trees, places=asked)
def test_a_folder_and_its_commit_say_the_same(tree: Tree, places: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch, "work")
        _build(work, tree)
        _commit(work)
        store = Path(scratch, "store")
        committed = GitSource(
            "policies", f"file://{work}", paths=tuple(places), store=store, allow_insecure=True
        ).fetch()
        lying = FolderSource("policies", str(work), paths=tuple(places)).fetch()
        assert _plain(lying) == _plain(committed)
        assert parse(lying) == parse(committed)
        for place in places:
            if (work / place).is_dir() and not any(
                one.is_symlink() or (one / ".git").exists() for one in _steps(work, place)
            ):
                reviewed = folder(work / place, "policies", None, places).fetch()
                assert {file.path for file in reviewed.files} == {
                    f"{work}/{file.path}" for file in committed.files if lies_below(file.path.encode(), place)
                }


def _steps(work: Path, place: str) -> list[Path]:
    """The folders between the root and a place, the place itself included."""
    return [work.joinpath(*place.split("/")[:count]) for count in range(1, place.count("/") + 2)]


def _plain(snapshot: Snapshot) -> Snapshot:
    """What a folder can know of a revision."""
    return replace(
        snapshot,
        commit="",
        author="",
        subject="",
        diagnostics=tuple(sorted(snapshot.diagnostics, key=lambda d: d.sort_key())),
    )


def _build(work: Path, tree: Tree) -> None:
    """Put what fits beside what is there already: a name may be a file's and a folder's."""
    work.mkdir()
    for path, (what, content) in tree.items():
        place = work / path
        if any(
            one.is_symlink() or (one.exists() and not one.is_dir()) or (one / ".git").exists()
            for one in place.parents
            if one != work
        ):
            continue
        if os.path.lexists(place):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if what == "link":
            place.symlink_to(os.fsdecode(content))
        elif what == "repository":
            place.mkdir()
            (place / "inner.yaml").write_bytes(GOOD)
            _commit(place)
        else:
            place.write_bytes(content)
            place.chmod(0o755 if what == "program" else 0o644)
    (work / "empty" / "folder").mkdir(parents=True, exist_ok=True)


def _commit(work: Path) -> None:
    who = [
        "-c",
        "user.name=T",
        "-c",
        "user.email=t@example.com",
        "-c",
        "advice.addEmbeddedRepo=false",
        "-c",
        "core.autocrlf=false",
    ]
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    init, add = ["init", "--quiet", "--template=", "--initial-branch=main"], ["add", "--all", "--force"]
    for command in (init, add, ["commit", "--quiet", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *who, *command], cwd=work, env=environment, check=True, capture_output=True)
