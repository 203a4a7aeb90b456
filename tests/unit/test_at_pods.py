"""What is missed at pods that an object of ours leaves, by what guards them as it is and as it is to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitmesh.model.objects import ObjectKey
from gitmesh.model.workloads import Workload
from gitmesh.planning.at_pods import AboutPods, Leave, joining, leaves

Labels = Mapping[str, str]
A, B = {"app": "a"}, {"app": "b"}


def key(name: str) -> ObjectKey:
    return ObjectKey("security.istio.io", "AuthorizationPolicy", "shop", name)


ONE, TWO, NO = (key(name) for name in ("one", "two", "no"))


def pods(*labels: Labels, **more: Any) -> list[Workload]:
    return [
        Workload(kind="Pod", namespace="shop", name=f"p{n}", labels=one, **more)
        for n, one in enumerate(labels)
    ]


def about(live: Mapping[ObjectKey, Labels], wanted: Mapping[ObjectKey, Labels], **more: Any) -> AboutPods:
    """Those of the same labels in both are as they are wanted; `no` refuses."""
    ready = frozenset(one for one in live if wanted.get(one) == live[one])
    given: dict[str, Any] = {"ready": ready, "closed": False, **more}
    return AboutPods(live=live, wanted=wanted, refusals=frozenset({NO}), **given)


def test_what_another_one_is_to_guard_misses_it() -> None:
    swapped = about({ONE: A, TWO: B}, {ONE: B, TWO: A})
    assert leaves(swapped, pods(A, B)) == {
        ONE: Leave(arrivals=frozenset({TWO})),
        TWO: Leave(arrivals=frozenset({ONE})),
    }
    assert leaves(about({ONE: A, TWO: B}, {ONE: B, TWO: A}, closed=True), pods(A, B)) == {}


def test_where_there_are_no_pods_nothing_is_missed() -> None:
    assert leaves(about({ONE: A, TWO: B}, {ONE: B, TWO: A}), pods({"app": "c"})) == {}


def test_a_label_of_which_the_value_is_not_known_may_be_the_one() -> None:
    unknown = pods({}, dropped=("app",))
    # Who may be there before and after may as well stay.
    assert leaves(about({ONE: A, TWO: B}, {ONE: B, TWO: A}), unknown) == {}
    assert leaves(about({ONE: A}, {TWO: A}), unknown) == {ONE: Leave(arrivals=frozenset({TWO}))}


def test_a_refusal_is_missed_while_a_grant_leaves_with_it_also_beneath_a_default() -> None:
    gone = about({ONE: A, NO: A}, {ONE: B, NO: B}, closed=True)
    assert leaves(gone, pods(A, B)) == {NO: Leave(grants=frozenset({ONE}))}


def test_beside_a_grant_that_stays_only_the_refusal_is_missed() -> None:
    beside = about({ONE: A, TWO: A, NO: A}, {ONE: B, TWO: A, key("new"): A})
    new = frozenset({key("new")})
    assert leaves(beside, pods(A, B)) == {NO: Leave(arrivals=new, grants=frozenset({ONE}))}


def test_what_comes_to_close_the_mesh_comes_to_all_pods() -> None:
    default = frozenset({key("default")})
    assert leaves(about({ONE: A}, {ONE: B}, closing=default), pods(A)) == {ONE: Leave(arrivals=default)}


def test_the_first_at_some_pods_joins_none() -> None:
    both = pods({**A, "color": "blue"}, {**A, "color": "green"})
    there = {TWO: {"color": "blue"}}
    assert joining(about(there, {**there, ONE: A}), both) == frozenset()
    assert joining(about(there, {**there, ONE: {"color": "blue"}}), both) == frozenset({ONE})
