"""The status branch of a real repository (reliability.md 3.6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.adapters import statusbranch
from gitmesh.adapters.git import GitSource
from gitmesh.adapters.git.commit import Pushed, push
from gitmesh.adapters.statusbranch import StatusBranch
from gitmesh.diagnostics import finding
from gitmesh.errors import SourceError
from gitmesh.model.config import Author
from gitmesh.model.report import Report, SourceResult, Stage
from tests.gitrepo import Repo
from tests.unit.test_status import healed_report

BRANCH = "gitmesh-status"
NOW = 1_700_000_000


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "origin.git")
    made.commit({"policies/a.yaml": "kind: TrafficPolicy\n"})
    return made


@pytest.fixture
def reader(origin: Repo, tmp_path: Path) -> GitSource:
    made = GitSource("policies", origin.url, paths=("policies",), store=tmp_path / "state" / "store", allow_insecure=True)
    made.fetch()
    return made


def branch_of(reader: GitSource, now: Callable[[], float] = lambda: NOW) -> StatusBranch:
    return StatusBranch(reader, BRANCH, author=Author(name="Mesh Bot", email="bot@example.com"), now=now)


def report(seen: str = "a" * 40, **changes: Any) -> Report:
    base = Report(instance="shop", until=Stage.APPLY, sources={"policies": SourceResult(name="policies", seen=seen, accepted=seen)})
    return replace(base, **changes)


def codes(report: Report) -> list[str]:
    return [diagnostic.code for diagnostic in report.diagnostics]


def test_first_commit_is_an_orphan_with_author_time_and_trailer(origin: Repo, reader: GitSource) -> None:
    given = report()
    assert branch_of(reader).publish(given) is given
    [line] = origin.log(BRANCH, "%an|%ae|%ct|%P|%B")
    name, mail, time, parents, text = line.split("|")
    assert (name, mail, time, parents) == ("Mesh Bot", "bot@example.com", str(NOW), "")
    assert text == f"gitmesh shop: {'a' * 12} 0/0 clusters synced, 0 findings [skip ci]\n\nGitMesh-Source: {'a' * 40}\n"
    assert sorted(origin.files(BRANCH)) == ["README.md", "findings.yaml", "status.yaml"]


def test_S03_unchanged_state_is_no_commit_and_no_process(origin: Repo, reader: GitSource, monkeypatch: pytest.MonkeyPatch) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    tip = origin.tip(BRANCH)
    reader.fetch()
    monkeypatch.setattr(statusbranch, "push", _never)
    monkeypatch.setattr(statusbranch, "list_files", _never)
    for _ in range(3):
        assert branch.publish(report(seconds={"fetch": 0.5})).diagnostics == ()
    assert origin.tip(BRANCH) == tip


def test_S03_a_new_process_does_not_commit_what_is_there(origin: Repo, reader: GitSource) -> None:
    branch_of(reader).publish(report())
    branch_of(reader, lambda: NOW + 60).publish(report())
    assert len(origin.log(BRANCH)) == 1


def test_S03_own_commits_do_not_wake_the_source(origin: Repo, reader: GitSource) -> None:
    before = reader.fetch()
    branch_of(reader).publish(report())
    assert reader.fetch() is before


def test_a_change_is_a_commit_on_top(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    first = origin.tip(BRANCH)
    branch.publish(report(diagnostics=(finding("GM507", "no mesh", cluster="east"),)))
    assert origin.log(BRANCH, "%P")[0] == first
    assert b"GM507" in origin.files(BRANCH)["findings.yaml"]


def test_S01_a_rejected_push_is_rebuilt_on_the_new_tip(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    reader.fetch()
    foreign = origin.update({"notes.txt": "mine", "policies/left": "over", "status.yaml": "instance: shop\n"}, branch=BRANCH)
    assert branch.publish(report(seen="b" * 40)).diagnostics == ()
    assert origin.log(BRANCH, "%P")[0] == foreign
    files = origin.files(BRANCH)
    assert files["notes.txt"] == b"mine"
    assert "policies/left" not in files
    assert b"b" * 40 in files["status.yaml"]


def test_S01_gives_up_after_five_tries_and_never_forces(origin: Repo, reader: GitSource, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[str] = []

    def moving(repository: Any, commit: str, branch: str) -> tuple[Pushed, str]:
        pushed.append(origin.commit({"x": str(len(pushed))}, branch=BRANCH))
        return push(repository, commit, branch)

    monkeypatch.setattr(statusbranch, "push", moving)
    branch = branch_of(reader)
    assert codes(branch.publish(report())) == ["GM604"]
    assert len(pushed) == 5
    assert origin.log(BRANCH) == pushed[::-1]
    monkeypatch.setattr(statusbranch, "push", push)
    assert codes(branch.publish(report())) == []


def test_S02_a_deleted_branch_is_made_again(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    origin.delete_branch(BRANCH)
    reader.fetch()
    assert branch.publish(report()).diagnostics == ()
    assert "status.yaml" in origin.files(BRANCH)


def test_S02_a_rewritten_branch_is_built_upon(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    other = origin.commit({"x": "y"}, branch=BRANCH, parent="")
    reader.fetch()
    assert branch.publish(report()).diagnostics == ()
    assert origin.log(BRANCH)[1:] == [other]


def test_S02_a_protected_branch_is_a_finding(origin: Repo, reader: GitSource) -> None:
    hook = origin.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    clock = [float(NOW)]
    branch = branch_of(reader, lambda: clock[0])
    said = branch.publish(report())
    assert codes(said) == ["GM603"]
    assert "pre-receive hook declined" in said.diagnostics[0].message
    hook.unlink()
    assert codes(branch.publish(report())) == ["GM603"]
    clock[0] += 301
    assert codes(branch.publish(report())) == []


def test_a_branch_made_from_main_does_not_cut_the_history_of_policies(origin: Repo, reader: GitSource) -> None:
    old = origin.tip()
    newer = origin.update({"policies/a.yaml": "kind: AccessPolicy\n"})
    origin.move(BRANCH, newer)
    reader.fetch()
    assert branch_of(reader).publish(report()).diagnostics == ()
    assert reader.descends(newer, old)


def test_two_instances_on_one_branch(origin: Repo, reader: GitSource) -> None:
    branch_of(reader).publish(report())
    tip = origin.tip(BRANCH)
    reader.fetch()
    said = branch_of(reader).publish(report(instance="other"))
    assert codes(said) == ["GM603"]
    assert "instance shop" in said.diagnostics[0].message
    assert origin.tip(BRANCH) == tip


def test_hostile_files_in_our_folders_are_removed(origin: Repo, reader: GitSource) -> None:
    blob = origin.blob(b"x")
    names = [b'a"b\\c', b"new\nline", b"\xff"]
    inner = origin.tree([("100644", name, blob) for name in sorted(names)])
    origin.commit_tree(origin.tree([("040000", b"facts", inner), ("120000", b"policies", blob)]), branch=BRANCH)
    reader.fetch()
    assert branch_of(reader).publish(report()).diagnostics == ()
    assert sorted(origin.files(BRANCH)) == ["README.md", "findings.yaml", "status.yaml"]


def test_a_heal_is_one_commit_that_names_object_and_field(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    quiet, healing = healed_report()
    branch.publish(quiet)
    branch.publish(healing)
    branch.publish(quiet)
    texts = origin.log(BRANCH, "%B")
    assert len(texts) == 2
    assert "healed east VirtualService/shop/reviews: spec.http[0].timeout" in texts[0]


def test_store_lost_between_two_reports(origin: Repo, reader: GitSource, tmp_path: Path) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    (tmp_path / "state" / "store.status").rename(tmp_path / "gone")
    assert branch.publish(report(seen="c" * 40)).diagnostics == ()
    assert len(origin.log(BRANCH)) == 2


def test_unreachable_repository_is_a_finding(origin: Repo, reader: GitSource, tmp_path: Path) -> None:
    branch = branch_of(reader)
    origin.path.rename(tmp_path / "away.git")
    assert codes(branch.publish(report())) == ["GM603"]
    (tmp_path / "away.git").rename(origin.path)
    assert codes(branch.publish(report())) == []


def test_sha256_repository(tmp_path: Path) -> None:
    origin = Repo(tmp_path / "sha256.git", object_format="sha256")
    origin.commit({"policies/a.yaml": "x"})
    reader = GitSource("policies", origin.url, store=tmp_path / "store", allow_insecure=True)
    reader.fetch()
    branch = branch_of(reader)
    branch.publish(report())
    branch_of(reader).publish(report())
    assert len(origin.log(BRANCH)) == 1


def test_S03_branch_name_is_checked(reader: GitSource) -> None:
    with pytest.raises(SourceError, match="branch name"):
        StatusBranch(reader, "--force", author=Author(), now=lambda: 0)


def _never(*arguments: object) -> Any:
    raise AssertionError(f"called with {arguments}")
