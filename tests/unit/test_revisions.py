"""Which revisions are in force: the tips where they are good, the last good ones where they are not."""

from __future__ import annotations

from typing import Any

import yaml

from gitmesh.model.ledger import Ledger
from gitmesh.planning.choosing import choose
from gitmesh.planning.revisions import Revisions, Terms
from tests.properties.history import History, document, on


def timeout(name: str, text: str = "5s", service: str = "reviews") -> str:
    return yaml.safe_dump(document("TrafficPolicy", name, destinations=on(service), timeout=text))


def chosen(*sources: History, memory: dict[str, str] | None = None, **more: Any) -> Revisions:
    ledgers = more.pop("ledgers", ())
    terms = Terms(clusters={"east": {}}, **more)
    return choose(sources, ledgers, terms, parsed={}, remembered={} if memory is None else memory)


def codes(revisions: Revisions) -> list[str]:
    return [diagnostic.code for diagnostic in revisions.diagnostics]


def source(name: str = "alpha", *texts: str) -> History:
    made = History(name)
    for text in texts:
        made.commit(text, good=True)
    return made


def test_a_good_tip_is_in_force() -> None:
    alpha = source("alpha", timeout("a"))
    found = chosen(alpha)
    assert found.accepted == {"alpha": alpha.tip}
    assert [policy.id for policy in found.policies] == ["TrafficPolicy/shop/a"]
    assert not found.absent
    assert found.in_force


def test_a_bad_tip_is_refused_and_the_last_good_one_stays() -> None:
    alpha = source("alpha", timeout("a"))
    memory: dict[str, str] = {}
    good = alpha.tip
    chosen(alpha, memory=memory)
    bad = alpha.commit("kind: [", good=False)
    found = chosen(alpha, memory=memory)
    assert (found.sources["alpha"].seen, found.accepted["alpha"], found.sources["alpha"].refused) == (
        bad,
        good,
        True,
    )
    assert codes(found) == ["GM101", "GM605"]
    assert good[:12] in found.diagnostics[1].message


def test_after_a_restart_the_ledgers_tell_the_last_good_one() -> None:
    alpha = source("alpha", timeout("a"))
    ledger = Ledger(instance="shop", sources={"alpha": alpha.tip})
    alpha.commit("kind: [", good=False)
    assert chosen(alpha, ledgers=[ledger]).accepted == ledger.sources


def test_g15_an_unreachable_source_is_never_an_empty_one() -> None:
    alpha = source("alpha", timeout("a"))
    ledger = Ledger(instance="shop", sources={"alpha": alpha.tip})
    alpha.down = True
    found = chosen(alpha, ledgers=[ledger])
    assert codes(found) == ["GM601"]
    assert found.sources["alpha"].unavailable
    assert [policy.name for policy in found.policies] == ["a"]
    assert not chosen(alpha).in_force


def test_g18_an_empty_revision_is_refused() -> None:
    alpha = source("alpha", timeout("a"))
    memory: dict[str, str] = {}
    good = alpha.tip
    chosen(alpha, memory=memory)
    alpha.commit("", good=False)
    found = chosen(alpha, memory=memory)
    assert codes(found) == ["GM110", "GM605"]
    assert found.accepted == {"alpha": good}


def test_g16_a_rewound_branch_is_held_unless_it_is_allowed() -> None:
    alpha = source("alpha", timeout("a"), timeout("a", "6s"))
    memory: dict[str, str] = {}
    newest, older = alpha.tip, alpha.commits[alpha.tip].parent
    chosen(alpha, memory=memory)
    alpha.tip = older
    found = chosen(alpha, memory=memory)
    assert (codes(found), found.accepted["alpha"]) == (["GM602"], newest)
    assert chosen(alpha, memory=memory, allow_rewind=frozenset({"alpha"})).accepted["alpha"] == older
    alpha.commit("kind: [", good=False)
    again = chosen(
        alpha,
        memory=memory,
        allow_rewind=frozenset({"alpha"}),
        ledgers=[Ledger(instance="i", sources={"alpha": newest})],
    )
    assert again.accepted["alpha"] == older, "an allowed rewind is not undone by a cluster that was away"


def test_a_cluster_that_was_away_does_not_take_the_others_back() -> None:
    alpha = source("alpha", timeout("a"))
    memory: dict[str, str] = {}
    behind = Ledger(instance="shop", sources={"alpha": alpha.tip})
    newer = alpha.commit(timeout("a", "6s"), good=True)
    chosen(alpha, memory=memory)
    alpha.commit("kind: [", good=False)
    assert chosen(alpha, memory=memory, ledgers=[behind]).accepted["alpha"] == newer


def test_a_last_good_revision_that_cannot_be_read_leaves_its_source_without_one_and_the_others_go_on() -> (
    None
):
    alpha, beta = source("alpha", timeout("a")), source("beta", timeout("b"))
    memory: dict[str, str] = {}
    chosen(alpha, beta, memory=memory)
    alpha.down = alpha.store_lost = True
    beta.commit(timeout("c"), good=True)
    found = chosen(alpha, beta, memory=memory)
    assert "GM606" in codes(found)
    assert (found.lost, found.in_force, found.absent) == (True, True, frozenset({"alpha"}))
    assert found.accepted == {"alpha": "", "beta": beta.tip}
    assert memory["alpha"] == alpha.tip, "what was accepted stays known"


def test_P01_the_later_source_is_refused_and_the_first_keeps_its_name() -> None:
    alpha, beta = source("alpha", timeout("a")), source("beta", timeout("a", service="ratings"))
    found = chosen(alpha, beta)
    assert (found.sources["alpha"].refused, found.sources["beta"].refused) == (False, True)
    assert [policy.location.source for policy in found.policies] == ["alpha"]
    (duplicate,) = [d for d in found.diagnostics if d.code == "GM206"]
    assert "source alpha" in duplicate.message
    assert found.absent


def test_P01_a_name_in_force_is_not_taken_over_by_a_source_that_sorts_first() -> None:
    alpha, beta, gamma = (
        source("alpha", timeout("a")),
        source("beta", timeout("b", service="ratings")),
        source("gamma", timeout("c", service="x")),
    )
    memory: dict[str, str] = {}
    before = chosen(alpha, beta, gamma, memory=memory).accepted
    alpha.commit(timeout("b"), good=True)
    innocent = gamma.commit(timeout("c", "6s", service="x"), good=True)
    found = chosen(alpha, beta, gamma, memory=memory)
    assert [name for name, result in found.sources.items() if result.refused] == ["alpha"]
    assert found.accepted == {**before, "gamma": innocent}
    assert [policy.name for policy in found.policies] == ["a", "b", "c"]


def test_P01_a_policy_may_move_from_one_source_to_another_in_one_cycle() -> None:
    alpha, beta = source("alpha", timeout("a") + "---\n" + timeout("b")), source("beta", timeout("c"))
    memory: dict[str, str] = {}
    chosen(alpha, beta, memory=memory)
    alpha.commit(timeout("a"), good=True)
    beta.commit(timeout("b") + "---\n" + timeout("c"), good=True)
    found = chosen(alpha, beta, memory=memory)
    assert not found.diagnostics
    assert found.accepted == {"alpha": alpha.tip, "beta": beta.tip}


def test_P01_two_revisions_in_force_that_claim_one_name_stop_everything() -> None:
    alpha, beta = source("alpha", timeout("a")), source("beta", timeout("a"))
    ledgers = [
        Ledger(instance="shop", sources={"alpha": alpha.tip}),
        Ledger(instance="shop", sources={"beta": beta.tip}),
    ]
    found = chosen(alpha, beta, ledgers=ledgers)
    assert found.lost
    assert "GM206" in codes(found)
    beta.commit(timeout("b"), good=True)
    assert chosen(alpha, beta, ledgers=ledgers).in_force, "a commit that ends the quarrel is accepted"


def test_a_review_asks_about_the_tip_and_nothing_else() -> None:
    alpha = source("alpha", timeout("a"))
    memory: dict[str, str] = {}
    chosen(alpha, memory=memory)
    alpha.commit("kind: [", good=False)
    found = chosen(alpha, memory=memory, review=True)
    assert (found.sources["alpha"].refused, found.policies, codes(found)) == (True, (), ["GM101"])
    older = source("alpha", timeout("a"), timeout("b"))
    older.tip = older.commits[older.tip].parent
    assert not chosen(older, memory={"alpha": older.tip}, review=True).diagnostics
