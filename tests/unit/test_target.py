"""Which commit counts as accepted, and which tip may replace it."""

from __future__ import annotations

from gitmesh.model.ledger import Ledger
from gitmesh.planning.target import Proven, evidence, is_forward
from tests.properties.history import History

PARENT = {"a": "", "b": "a", "c": "b", "x": "a"}


def descends(tip: str, ancestor: str) -> bool:
    while tip and tip != ancestor:
        tip = PARENT[tip]
    return bool(tip)


def ledgers(*commits: str) -> list[Ledger]:
    return [Ledger(instance="shop", sources={"policies": commit}) for commit in commits]


class Branch(History):
    """A branch at `at`, of the tree above, with a record of what was accepted."""

    def __init__(self, at: str, recorded: str = "") -> None:
        super().__init__("policies", tip=at, recorded=recorded)

    def descends(self, tip: str, ancestor: str) -> bool:
        return descends(tip, ancestor)


def known(
    branch: Branch, *commits: str, mine: str = "", seen: bool = True, allow_rewind: bool = False
) -> Proven:
    return evidence(branch, ledgers(*commits), mine, seen=seen, allow_rewind=allow_rewind)


def test_the_newest_commit_of_all_clusters_is_the_last_good_one() -> None:
    assert known(Branch("c"), "b", "c", "a").last == "c"
    assert known(Branch("c"), "c", "b", "").last == "c"


def test_without_any_ledger_nothing_was_accepted() -> None:
    assert known(Branch("c")) == Proven()


def test_what_the_process_knows_counts_where_the_clusters_lag_behind() -> None:
    assert known(Branch("c"), "a", mine="b").last == "b"
    assert known(Branch("c"), "c", mine="b").last == "c"
    assert known(Branch("c", recorded="b"), "a").last == "b"


def test_what_a_ledger_names_and_the_branch_does_not_lead_to_counts_for_nothing() -> None:
    assert known(Branch("c", recorded="b"), "x", "b") == Proven(last="b", ignored=("x",))
    assert known(Branch("c"), "x", "b", mine="b") == Proven(last="b", ignored=("x",))


def test_without_a_record_of_our_own_a_commit_off_the_branch_holds_the_tip() -> None:
    assert known(Branch("x"), "c") == Proven(contested=("c",))
    assert known(Branch("x"), "c", "a") == Proven(contested=("c",))


def test_while_the_branch_cannot_be_read_a_record_on_disk_may_be_behind_what_was_accepted_elsewhere() -> None:
    assert known(Branch("b", recorded="b"), "c", seen=False) == Proven(contested=("c",))
    assert known(Branch("b"), "c", mine="b", seen=False) == Proven(last="b", ignored=("c",))
    assert known(Branch("b", recorded="b"), "b", seen=False) == Proven(last="b")


def test_where_rewinds_are_allowed_the_latest_that_was_accepted_counts() -> None:
    assert known(Branch("a", recorded="a"), "c", allow_rewind=True) == Proven(last="a")


def test_g16_a_tip_that_does_not_descend_is_held() -> None:
    assert is_forward("c", "a", descends, allow_rewind=False)
    assert is_forward("c", "c", descends, allow_rewind=False)
    assert not is_forward("a", "c", descends, allow_rewind=False)
    assert not is_forward("x", "b", descends, allow_rewind=False)
    assert is_forward("a", "c", descends, allow_rewind=True)


def test_a_folder_has_no_history() -> None:
    assert is_forward("", "c", descends, allow_rewind=False)
    assert is_forward("c", "", descends, allow_rewind=False)
