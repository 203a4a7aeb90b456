"""The generated checks of the lab, without the lab: evaluator and calculator expect the same, and what is
expected is worth sending.
"""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from tests.e2e.facts import world_facts
from tests.lab import wire
from tests.shop import policy
from tests.soundness.generated import (
    Expectation,
    Sending,
    by_calculator,
    by_evaluator,
    disagreements,
    random_case,
)

SEEDS = range(25)


def test_evaluator_and_calculator_expect_the_same() -> None:
    facts, outcomes, moved = world_facts(), Counter[int](), 0
    for seed in SEEDS:
        policies, requests = random_case(seed)
        evaluator, calculator = by_evaluator(policies, facts), by_calculator(policies, facts)
        for one in requests:
            wanted = evaluator.expected(one)
            assert calculator.expected(one) == wanted, f"seed {seed}: {one}"
            outcomes.update({status for way in wanted for status, _ in way.outcomes})
            path = urlsplit(one.request.url).path
            moved += any(way.seen.get("path", path) != path for way in wanted)
    assert {0, 200, 403, 418, 302, 504} <= outcomes.keys(), outcomes
    assert outcomes[200] > outcomes.total() / 5
    assert moved > 10


def test_a_seed_is_a_case() -> None:
    assert random_case(3) == random_case(3)
    assert random_case(3) != random_case(4)


def test_answers_are_compared_with_what_was_expected() -> None:
    seen = wire.Seen("reviews-v1-0", "reviews", "GET", "/new", "", "reviews:9080", 8080, {"x-a": "1"}, "")
    answer = wire.WireAnswer(200, "", {"x-c": "1"}, "", 0.1, seen)
    wanted = Expectation(
        outcomes=frozenset({(200, "reviews-v1"), (403, "")}),
        seen={"path": "/new", "header:x-a": "1", "header:x-b": None},
        headers={"x-c": "1"},
    )
    assert wanted.disagreements(answer) == []
    assert wanted.disagreements(wire.WireAnswer(403, "", {}, "", 0.1, None)) == []
    assert wanted.disagreements(wire.WireAnswer(503, "", {}, "", 0.1, None)) == [
        "(503, ''), expected (200, 'reviews-v1') or (403, '')"
    ]
    other = Expectation(
        outcomes=frozenset({(200, "reviews-v1")}), seen={"path": "/api"}, headers={"x-c": None}
    )
    assert other.disagreements(answer) == ["path is '/new', expected '/api'", "x-c is '1', expected None"]
    moved = Expectation(outcomes=frozenset({(302, "")}), location={"hostname": "else.example", "path": "/x"})
    gone = wire.WireAnswer(302, "", {"location": "http://else.example/y?q=1"}, "", 0.1, None)
    assert moved.disagreements(gone) == ["path is '/y', expected '/x'"]


def test_a_share_of_a_split_is_expected_with_its_own_headers() -> None:
    """Two shares go to the same pods, and one of them changes a header: either may come, but nothing else."""
    changed = {"request": {"set": {"x-a": "2"}, "remove": ["x-b"]}, "response": {"add": {"x-c": "1"}}}
    split = [{"destination": {"name": "ratings"}}, {"destination": {"name": "ratings"}, "headers": changed}]
    policies = [policy("TrafficPolicy", "t", {"destinations": [{"name": "ratings"}], "split": split})]
    sent = Sending(
        cluster="east",
        client="productpage",
        request=wire.WireRequest("http://ratings:9080/", headers={"x-a": "1", "x-b": "0"}),
    )
    for oracle in (by_evaluator(policies, world_facts()), by_calculator(policies, world_facts())):
        ways = oracle.expected(sent)
        assert disagreements(ways, answered({"x-a": "1", "x-b": "0"}, {})) == []
        assert disagreements(ways, answered({"x-a": "2"}, {"x-c": "1"})) == []
        assert disagreements(ways, answered({"x-a": "2", "x-b": "0"}, {"x-c": "1"})) == [
            "header:x-a is '2', expected '1'"
        ]


def answered(seen: dict[str, str], headers: dict[str, str]) -> wire.WireAnswer:
    """An answer of ratings that saw these headers."""
    there = wire.Seen("ratings-v1-0", "ratings", "GET", "/", "", "ratings:9080", 8080, seen, "")
    return wire.WireAnswer(200, "", headers, "", 0.1, there)
