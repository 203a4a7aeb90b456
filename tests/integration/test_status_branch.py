"""The status branch of a real repository (docs/reliability.md#status-and-reviews)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.adapters import statusbranch
from gitmesh.adapters.git import GitSource
from gitmesh.adapters.git.commit import push
from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.statusbranch import FACTS_SECONDS, StatusBranch
from gitmesh.diagnostics import finding
from gitmesh.errors import SourceError
from gitmesh.model.config import Author
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.report import ClusterResult, Report, SourceResult, Stage, State
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
    made = GitSource(
        "policies", origin.url, paths=("policies",), store=tmp_path / "state" / "store", allow_insecure=True
    )
    made.fetch()
    return made


def branch_of(reader: GitSource, now: Callable[[], float] = lambda: NOW) -> StatusBranch:
    return StatusBranch(reader, BRANCH, author=Author(name="Mesh Bot", email="bot@example.com"), now=now)


def report(seen: str = "a" * 40, **changes: Any) -> Report:
    base = Report(
        instance="shop",
        until=Stage.APPLY,
        sources={"policies": SourceResult(name="policies", seen=seen, accepted=seen)},
    )
    return replace(base, **changes)


def codes(report: Report) -> list[str]:
    return [diagnostic.code for diagnostic in report.diagnostics]


def test_first_commit_is_an_orphan_with_author_time_and_trailer(origin: Repo, reader: GitSource) -> None:
    given = report()
    assert branch_of(reader).publish(given) is given
    [line] = origin.log(BRANCH, "%an|%ae|%ct|%P|%B")
    name, mail, time, parents, text = line.split("|")
    assert (name, mail, time, parents) == ("Mesh Bot", "bot@example.com", str(NOW), "")
    assert (
        text == f"gitmesh shop: {'a' * 12} 0/0 clusters synced, 0 findings [skip ci]\n\nGitMesh-Source:"
        f" {'a' * 40}\n"
    )
    assert sorted(origin.files(BRANCH)) == ["README.md", "findings.yaml", "status.yaml"]


def test_S03_unchanged_state_is_no_commit_and_no_process(
    origin: Repo, reader: GitSource, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    foreign = origin.update(
        {"notes.txt": "mine", "policies/left.yaml": "over", "status.yaml": "mine"}, branch=BRANCH
    )
    assert branch.publish(report(seen="b" * 40)).diagnostics == ()
    assert origin.log(BRANCH, "%P")[0] == foreign
    files = origin.files(BRANCH)
    assert (files["notes.txt"], files["policies/left.yaml"]) == (b"mine", b"over")
    assert b"b" * 40 in files["status.yaml"]


def test_S01_gives_up_after_five_tries_and_never_forces(
    origin: Repo, reader: GitSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[str] = []

    def moving(repository: Any, commit: str, branch: str) -> GitError | None:
        pushed.append(origin.update({"x": str(len(pushed))}, branch=BRANCH))
        return push(repository, commit, branch)

    branch = branch_of(reader)
    branch.publish(report())
    monkeypatch.setattr(statusbranch, "push", moving)
    assert codes(branch.publish(report(seen="b" * 40))) == ["GM604"]
    assert len(pushed) == 5
    assert origin.log(BRANCH)[:5] == pushed[::-1]
    monkeypatch.setattr(statusbranch, "push", push)
    assert codes(branch.publish(report(seen="b" * 40))) == []


def test_S02_a_deleted_branch_is_made_again(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    origin.delete_branch(BRANCH)
    reader.fetch()
    assert branch.publish(report()).diagnostics == ()
    assert "status.yaml" in origin.files(BRANCH)


def test_S02_a_branch_rewritten_with_our_files_is_built_upon(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    other = origin.commit({**origin.files(BRANCH), "x": "y"}, branch=BRANCH, parent="")
    reader.fetch()
    assert branch.publish(report(seen="b" * 40)).diagnostics == ()
    assert origin.log(BRANCH)[1:] == [other]


def test_S02_a_branch_rewritten_by_people_is_theirs(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    origin.commit({"x": "y"}, branch=BRANCH, parent="")
    reader.fetch()
    left_alone(origin, branch, report())


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


def test_a_branch_made_from_main_is_theirs_and_does_not_cut_the_history_of_policies(
    origin: Repo, reader: GitSource
) -> None:
    old = origin.tip()
    newer = origin.update({"policies/a.yaml": "kind: AccessPolicy\n"})
    origin.move(BRANCH, newer)
    reader.fetch()
    left_alone(origin, branch_of(reader), report())
    assert reader.descends(newer, old)


STATUS = "apiVersion: gitmesh.io/v1alpha1\nkind: Status\ninstance: shop\n"


@pytest.mark.parametrize(
    "files",
    [
        {"index.html": "<html>"},
        {"README.md": "# Docs", "policies/a.yaml": "kind: TrafficPolicy\n", "clusters/notes.yaml": "x"},
        {"status.yaml": "instance: shop\n"},
        {"status.yaml": "apiVersion: v1\nkind: Status\ninstance: shop\n"},
        {"status.yaml": STATUS.replace("Status", "Config")},
        {"deep/status.yaml": STATUS},
        {"status.yaml": STATUS + "#" * (1 << 20)},
        {"status.yaml": b"\xff\xfe" + STATUS.encode()},
    ],
)
def test_a_branch_of_people_is_left_as_it_is(
    files: Mapping[str, str | bytes], origin: Repo, reader: GitSource
) -> None:
    origin.commit(files, branch=BRANCH)
    reader.fetch()
    left_alone(origin, branch_of(reader), report())


def test_a_status_file_that_is_a_link_makes_no_branch_ours(origin: Repo, reader: GitSource) -> None:
    origin.commit_tree(origin.tree([("120000", b"status.yaml", origin.blob(STATUS.encode()))]), branch=BRANCH)
    reader.fetch()
    left_alone(origin, branch_of(reader), report())


def test_a_branch_that_people_made_while_ours_was_pushed_is_theirs(
    origin: Repo, reader: GitSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def racing(repository: Any, commit: str, branch: str) -> GitError | None:
        origin.commit({"x": "y"}, branch=BRANCH, parent="")
        return push(repository, commit, branch)

    monkeypatch.setattr(statusbranch, "push", racing)
    left_alone(origin, branch_of(reader), report())
    assert len(origin.log(BRANCH)) == 1


def test_a_branch_of_an_older_version_is_taken_over_without_memory(
    origin: Repo, reader: GitSource, tmp_path: Path
) -> None:
    """What version 0.1.0 wrote, with a policy and a cluster that are gone by now."""
    old = "apiVersion: gitmesh.io/v1alpha1\nkind: {}\n{}\n"
    stale = {
        "policies/TrafficPolicy/shop/a.yaml": old.format(
            "PolicyStatus", "clusters: {}\npolicy: TrafficPolicy/shop/a"
        ),
        "clusters/west.yaml": old.format("ClusterStatus", "cluster: west"),
        "facts/west.yaml": old.format("Facts", "clusters: []"),
    }
    tip = origin.commit(
        {"README.md": "# Status of GitMesh\n", "status.yaml": STATUS, "findings.yaml": "x", **stale},
        branch=BRANCH,
    )
    reader.fetch()
    assert branch_of(reader).publish(report()).diagnostics == ()
    assert origin.log(BRANCH)[1:] == [tip]
    assert sorted(origin.files(BRANCH)) == ["README.md", "findings.yaml", "status.yaml"]


def test_files_of_people_on_our_branch_stay_whatever_their_folder(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    mine = {
        "notes.txt": b"mine",
        "policies/a.yaml": b"kind: TrafficPolicy\n",
        "policies/TrafficPolicy/shop/copy.yaml": (
            b"apiVersion: gitmesh.io/v1alpha1\nkind: PolicyStatus\npolicy: TrafficPolicy/shop/a\n"
        ),
        "clusters/notes.yaml": b"kept by people",
        "clusters/big.yaml": b"#" * (1 << 25) + b"x",
        "facts/why.md": b"because",
    }
    origin.update(mine, branch=BRANCH)
    for one, seen in ((branch, "b"), (branch_of(reader), "c"), (branch, "d")):
        reader.fetch()
        assert one.publish(report(seen=seen * 40)).diagnostics == ()
    files = origin.files(BRANCH)
    assert {name: files[name] for name in mine} == mine
    assert b"d" * 40 in files["status.yaml"]


@pytest.mark.parametrize(
    "files", [{"status.yaml": None, "status.yaml/x": "y"}, {"README.md": None, "README.md/a/b": "y"}]
)
def test_a_file_of_people_where_ours_belongs_is_not_deleted(
    files: Mapping[str, str | None], origin: Repo, reader: GitSource
) -> None:
    branch = branch_of(reader)
    branch.publish(report())
    origin.update(files, branch=BRANCH)
    reader.fetch()
    tip = origin.tip(BRANCH)
    said = branch.publish(report(seen="b" * 40))
    assert codes(said) == ["GM603"]
    assert "is somebody else's" in said.diagnostics[0].message
    assert origin.tip(BRANCH) == tip


@pytest.mark.parametrize("fresh", [False, True])
def test_a_changed_instance_is_healed(fresh: bool, origin: Repo, reader: GitSource) -> None:
    """Also by a process that did not write the branch itself: the store remembers our last commit."""
    branch = branch_of(reader)
    branch.publish(report())
    origin.update({"status.yaml": STATUS.replace("shop", "mart")}, branch=BRANCH)
    origin.update({"notes.txt": "mine"}, branch=BRANCH)
    reader.fetch()
    assert (branch_of(reader) if fresh else branch).publish(report()).diagnostics == ()
    assert b"instance: shop" in origin.files(BRANCH)["status.yaml"]
    assert len(origin.log(BRANCH)) == 4


def test_two_instances_that_both_remember_the_branch_do_not_fight(origin: Repo, reader: GitSource) -> None:
    shop, mart = branch_of(reader), branch_of(reader)
    shop.publish(report())
    origin.update({"status.yaml": STATUS.replace("shop", "mart")}, branch=BRANCH)
    reader.fetch()
    assert mart.publish(report(instance="mart")).diagnostics == ()
    tip = origin.tip(BRANCH)
    reader.fetch()
    said = shop.publish(report())
    assert codes(said) == ["GM603"]
    assert "shows instance mart" in said.diagnostics[0].message
    assert origin.tip(BRANCH) == tip


def test_a_changed_instance_without_memory_is_another_instance(
    origin: Repo, reader: GitSource, tmp_path: Path
) -> None:
    branch_of(reader).publish(report())
    origin.update({"status.yaml": STATUS.replace("shop", "mart")}, branch=BRANCH)
    (tmp_path / "state" / "store.status").rename(tmp_path / "gone")
    reader.fetch()
    said = branch_of(reader).publish(report())
    assert codes(said) == ["GM603"]
    assert "shows instance mart" in said.diagnostics[0].message


@pytest.mark.parametrize(
    ("there", "wanted"),
    [("gitmesh-status", "gitmesh-status/prod"), ("gitmesh-status/prod/x", "gitmesh-status/prod")],
)
def test_a_branch_in_the_way_is_named_after_one_push(
    there: str, wanted: str, origin: Repo, reader: GitSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushes: list[str] = []

    def counted(repository: Any, commit: str, branch: str) -> GitError | None:
        pushes.append(commit)
        return push(repository, commit, branch)

    monkeypatch.setattr(statusbranch, "push", counted)
    origin.move(there, origin.tip())
    clock = [float(NOW)]
    branch = StatusBranch(reader, wanted, author=Author(), now=lambda: clock[0])
    for _ in range(3):
        said = branch.publish(report())
        assert codes(said) == ["GM603"]
        assert f"branch {there} is in the way" in said.diagnostics[0].message
        assert f"Delete branch {there}" in said.diagnostics[0].hint
        clock[0] += 100
    assert len(pushes) == 1
    origin.delete_branch(there)
    assert codes(branch.publish(report())) == []


def test_a_forge_that_says_cannot_lock_ref_of_what_did_not_move_is_asked_once(
    origin: Repo, reader: GitSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No branch that anybody sees is in the way: a hidden ref, say."""
    pushes: list[str] = []

    def refusing(_repository: Any, commit: str, _branch: str) -> GitError | None:
        pushes.append(commit)
        return GitError(
            "the server refused it",
            Reason.REFUSED,
            detail="[remote rejected] (cannot lock ref 'x': 'y' exists)",
        )

    monkeypatch.setattr(statusbranch, "push", refusing)
    branch = branch_of(reader)
    first, second = branch.publish(report()), branch.publish(report())
    assert codes(first) == codes(second) == ["GM603"]
    assert "cannot lock ref" not in first.diagnostics[0].message
    assert "cannot lock ref" in first.diagnostics[0].detail
    assert len(pushes) == 1


def test_the_name_becomes_a_folder_and_a_file_again(origin: Repo, reader: GitSource) -> None:
    """With one store, as teams do when one environment becomes several."""
    before = ""
    for name in (BRANCH, f"{BRANCH}/prod", BRANCH):
        if before:
            origin.delete_branch(before)
        branch = StatusBranch(reader, name, author=Author(), now=lambda: NOW)
        reader.fetch()
        assert codes(branch.publish(report())) == []
        origin.update({"notes.txt": "mine"}, branch=name)
        reader.fetch()
        assert codes(branch.publish(report(seen="b" * 40))) == []
        before = name


def test_two_instances_on_one_branch(origin: Repo, reader: GitSource) -> None:
    branch_of(reader).publish(report())
    tip = origin.tip(BRANCH)
    reader.fetch()
    said = branch_of(reader).publish(report(instance="other"))
    assert codes(said) == ["GM603"]
    assert "instance shop" in said.diagnostics[0].message
    assert origin.tip(BRANCH) == tip


def test_files_of_any_name_stay_and_ours_of_any_name_go(origin: Repo, reader: GitSource) -> None:
    theirs, ours = origin.blob(b"x"), origin.blob(b"apiVersion: gitmesh.io/v1alpha1\nkind: Facts\n")
    names = [b'a"b\\c.yaml', b"new\nline.yaml", b"\xff.yaml"]
    inner = origin.tree([("100644", name, ours) for name in sorted(names)])
    other = origin.tree([("100644", name, theirs) for name in sorted(names)])
    status = origin.blob(STATUS.encode())
    entries = [
        ("040000", b"facts", inner),
        ("120000", b"policies", theirs),
        ("100644", b"status.yaml", status),
        ("040000", b"z", other),
    ]
    origin.commit_tree(origin.tree(entries), branch=BRANCH)
    reader.fetch()
    assert branch_of(reader).publish(report()).diagnostics == ()
    listed = [
        name
        for name in origin.git("ls-tree", "-r", "-z", "--name-only", f"refs/heads/{BRANCH}").split(b"\0")
        if name
    ]
    assert listed == [
        b"README.md",
        b"findings.yaml",
        b"policies",
        b"status.yaml",
        *(b"z/" + name for name in sorted(names)),
    ]


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


def left_alone(origin: Repo, branch: StatusBranch, given: Report) -> None:
    """The branch is told to be somebody else's, and is as it was."""
    said = branch.publish(given)
    assert codes(said) == ["GM603"]
    assert f"branch {BRANCH} exists and was not made by GitMesh" in said.diagnostics[0].message
    assert "Choose another writeBack.statusBranch" in said.diagnostics[0].hint
    assert origin.log(BRANCH, "%an")[0] == "Test"


def _never(*arguments: object) -> Any:
    raise AssertionError(f"called with {arguments}")


# --- facts alone (docs/design.md#status-branch: when their meaning changes, at most every ten minutes)


class EpochClock:
    """Seconds since the epoch, moved by a test."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def seen_with(*namespaces: str, seen: str = "a" * 40) -> Report:
    """A report on a cluster that has these namespaces."""
    facts = ClusterFacts(cluster="east", namespaces={name: {} for name in namespaces})
    return report(seen=seen, clusters={"east": ClusterResult(name="east", state=State.SYNCED, facts=facts)})


@pytest.mark.parametrize("fresh", [False, True])
def test_a_change_of_facts_alone_is_shown_ten_minutes_after_the_last_commit(
    fresh: bool, origin: Repo, reader: GitSource
) -> None:
    """In one process as in many: the time of the last commit stands on the branch."""
    clock = EpochClock()
    kept = branch_of(reader, clock)

    def publish(given: Report) -> int:
        reader.fetch()
        (branch_of(reader, clock) if fresh else kept).publish(given)
        return len(origin.log(BRANCH))

    assert publish(seen_with("shop")) == 1
    clock.now += FACTS_SECONDS - 1
    assert [publish(seen_with("shop", extra)) for extra in ("a", "b", "b")] == [1, 1, 1]
    assert publish(seen_with("shop")) == 1
    clock.now += 1
    assert publish(seen_with("shop")) == 1, "what came and went is no change"
    assert publish(seen_with("shop", "b")) == 2
    assert b"b:" in origin.files(BRANCH)["facts/east.yaml"]
    clock.now += FACTS_SECONDS - 1
    assert publish(seen_with("shop", "c")) == 2
    assert publish(seen_with("shop", "c", seen="b" * 40)) == 3, (
        "with what else is new, facts are shown at once"
    )
    assert b"c:" in origin.files(BRANCH)["facts/east.yaml"]


def test_facts_that_wait_cost_no_look_at_the_branch(
    origin: Repo, reader: GitSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch_of(reader).publish(seen_with("shop"))
    reader.fetch()
    again = branch_of(reader)
    again.publish(seen_with("shop", "a"))
    monkeypatch.setattr(statusbranch, "push", _never)
    monkeypatch.setattr(statusbranch, "list_files", _never)
    assert again.publish(seen_with("shop", "b")).diagnostics == ()


def test_facts_that_wait_are_deleted_with_their_cluster(origin: Repo, reader: GitSource) -> None:
    branch = branch_of(reader)
    branch.publish(seen_with("shop"))
    reader.fetch()
    branch.publish(seen_with("shop", "a"))
    branch.publish(report())
    assert "facts/east.yaml" not in origin.files(BRANCH)


def test_what_people_make_of_the_facts_is_undone(origin: Repo, reader: GitSource) -> None:
    clock = EpochClock()
    branch = branch_of(reader, clock)
    branch.publish(seen_with("shop"))
    origin.update({"facts/east.yaml": "mine"}, branch=BRANCH)
    for moved, content in ((0.0, b"mine"), (FACTS_SECONDS, b"shop")):
        clock.now += moved
        reader.fetch()
        branch.publish(seen_with("shop"))
        assert content in origin.files(BRANCH)["facts/east.yaml"]
