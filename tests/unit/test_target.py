"""Which commit counts as accepted, and which tip may replace it."""

from __future__ import annotations

from gitmesh.model.ledger import Ledger
from gitmesh.planning.target import is_forward, last_good

PARENT = {"a": "", "b": "a", "c": "b", "x": "a"}


def descends(tip: str, ancestor: str) -> bool:
    while tip and tip != ancestor:
        tip = PARENT[tip]
    return bool(tip)


def ledgers(*commits: str) -> list[Ledger]:
    return [Ledger(instance="shop", sources={"policies": commit}) for commit in commits]


def test_the_newest_commit_of_all_clusters_is_the_last_good_one() -> None:
    assert last_good("policies", ledgers("b", "c", "a"), descends) == "c"
    assert last_good("policies", ledgers("c", "b", ""), descends) == "c"


def test_without_any_ledger_nothing_was_accepted() -> None:
    assert last_good("policies", [], descends) == ""
    assert last_good("others", ledgers("b"), descends) == ""


def test_what_the_process_knows_counts_where_the_clusters_lag_behind() -> None:
    assert last_good("policies", ledgers("a"), descends, known="b") == "b"
    assert last_good("policies", ledgers("c"), descends, known="b") == "c"


def test_g16_a_tip_that_does_not_descend_is_held() -> None:
    assert is_forward("c", "a", descends, allow_rewind=False)
    assert is_forward("c", "c", descends, allow_rewind=False)
    assert not is_forward("a", "c", descends, allow_rewind=False)
    assert not is_forward("x", "b", descends, allow_rewind=False)
    assert is_forward("a", "c", descends, allow_rewind=True)


def test_a_folder_has_no_history() -> None:
    assert is_forward("", "c", descends, allow_rewind=False)
    assert is_forward("c", "", descends, allow_rewind=False)
