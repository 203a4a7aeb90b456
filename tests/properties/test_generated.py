"""The generated checks of the lab, without the lab: evaluator and calculator expect the same, and what is expected is worth sending."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from tests.e2e.facts import world_facts
from tests.lab import wire
from tests.soundness.generated import Expectation, by_calculator, by_evaluator, random_case

SEEDS = range(25)


def test_evaluator_and_calculator_expect_the_same() -> None:
    facts, outcomes, moved = world_facts(), Counter[int](), 0
    for seed in SEEDS:
        policies, requests = random_case(seed)
        evaluator, calculator = by_evaluator(policies, facts), by_calculator(policies, facts)
        for one in requests:
            wanted = evaluator.expected(one)
            assert calculator.expected(one) == wanted, f"seed {seed}: {one}"
            outcomes.update({status for status, _ in wanted.outcomes})
            path = urlsplit(one.request.url).path
            moved += wanted.seen.get("path", path) != path
    assert {0, 200, 403, 418, 302, 504} <= outcomes.keys(), outcomes
    assert outcomes[200] > outcomes.total() / 5
    assert moved > 10


def test_a_seed_is_a_case() -> None:
    assert random_case(3) == random_case(3)
    assert random_case(3) != random_case(4)


def test_answers_are_compared_with_what_was_expected() -> None:
    seen = wire.Seen("reviews-v1-0", "reviews", "GET", "/new", "", "reviews:9080", 8080, {"x-a": "1"}, "")
    answer = wire.Answer(200, "", {"x-c": "1"}, "", 0.1, seen)
    wanted = Expectation(
        outcomes=frozenset({(200, "reviews-v1"), (403, "")}),
        seen={"path": "/new", "header:x-a": "1", "header:x-b": None},
        headers={"x-c": "1"},
    )
    assert wanted.disagreements(answer) == []
    assert wanted.disagreements(wire.Answer(403, "", {}, "", 0.1, None)) == []
    assert wanted.disagreements(wire.Answer(503, "", {}, "", 0.1, None)) == ["(503, ''), expected (200, 'reviews-v1') or (403, '')"]
    other = Expectation(outcomes=frozenset({(200, "reviews-v1")}), seen={"path": "/api"}, headers={"x-c": None})
    assert other.disagreements(answer) == ["path is '/new', expected '/api'", "x-c is '1', expected None"]
    moved = Expectation(outcomes=frozenset({(302, "")}), location={"hostname": "else.example", "path": "/x"})
    gone = wire.Answer(302, "", {"location": "http://else.example/y?q=1"}, "", 0.1, None)
    assert moved.disagreements(gone) == ["path is '/y', expected '/x'"]
