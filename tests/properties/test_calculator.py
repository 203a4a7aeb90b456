"""The calculator answers as docs/concepts.md says: it agrees with evaluators that share nothing with it, on
every one of 100,000 requests.
"""

from __future__ import annotations

import itertools
import sys
from random import Random
from typing import Any

import yaml
from hypothesis import assume, given, note

from gitmesh.model.facts import ClusterFacts
from gitmesh.parsing.parse import parse
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer, Basis
from gitmesh.resolution.check import check
from tests.factories import snapshot_of
from tests.properties.test_access_soundness import WEST
from tests.soundness.access_documents import as_files, policy_sets
from tests.soundness.bookshelf import DESTINATION, OTHERS, WORLD, questions
from tests.soundness.calculator import admits, known, treated
from tests.soundness.profile import FACTOR, searching
from tests.soundness.requests import ArrivingCall
from tests.soundness.traffic_documents import REQUESTS, WITH_ACCOUNTS, DrawnTraffic
from tests.soundness.unified import Unified
from tests.soundness.unified_routing import AmbiguousError, RoutedRequest, decided
from tests.soundness.worlds import REQUESTS as REQUESTS_OF_ACCESS
from tests.soundness.worlds import clients, worlds

LABELS = {name: facts.labels for name, facts in WORLD.items()}


def test_routing_as_the_evaluator_says() -> None:
    compared, seed = 0, 0
    while compared < 60_000 * FACTOR:
        seed += 1
        compared += agreed(seed)
    sys.stdout.write(f"routing: {compared} requests compared, seeds 1 to {seed}\n")


def test_access_as_the_evaluator_says() -> None:
    compared = 0

    @searching(250)
    @given(worlds(), policy_sets())
    def check_one(world: dict[str, ClusterFacts], policies: list[dict[str, Any]]) -> None:
        nonlocal compared
        compared += admitted_alike(world, policies)

    check_one()
    sys.stdout.write(f"access: {compared} requests compared\n")
    assert compared > 60_000


def admitted_alike(world: dict[str, ClusterFacts], policies: list[dict[str, Any]]) -> int:
    """Requests to the ports of the world's Services on which both agree about every pod behind them."""
    labels = {**WEST, **{name: facts.labels for name, facts in world.items()}}
    parsed, found = parse(snapshot_of(as_files(policies)))
    assume(not any(one.is_error for one in (*found, *check(parsed, labels))))
    calculators = known(parsed, world, labels)
    unified = Unified(policies, world, closed=True)
    note(yaml.safe_dump_all(policies))
    compared = 0
    for cluster, facts in world.items():
        for service in facts.services:
            for port, caller, request in itertools.product(service.ports, clients(world), REQUESTS_OF_ACCESS):
                answer = can(admits(caller, service.key, port.number, request), calculators[cluster])
                for workload, number, ruling in answer.pods:
                    if ruling.basis not in (Basis.HELD, Basis.CLOSED):  # what no policy says
                        call = ArrivingCall(
                            client=caller, cluster=cluster, workload=workload, port=number, request=request
                        )
                        expected = not workload.mesh or unified.admitted(call)
                        assert (ruling.answer is Answer.ALLOWED) == expected, f"{call} {ruling}"
                compared += 1
    return compared


def agreed(seed: int) -> int:
    """Requests of one seed on which both agree."""
    random = Random(seed)
    policies = DrawnTraffic(random, WITH_ACCOUNTS).sets()
    parsed, found = parse(snapshot_of(as_files(policies)))
    errors = [one for one in (*found, *check(parsed, LABELS)) if one.is_error and one.code != "GM210"]
    assert not errors, (seed, errors)
    calculators = known(parsed, WORLD, LABELS)
    compared = 0
    for cluster, facts in WORLD.items():
        for to in (DESTINATION, *OTHERS):
            asked = [one for one in questions(facts, to, REQUESTS) if random.randrange(48) == 0]
            for one in asked:
                answer = treated(one, calculators[cluster])
                if answer is None:
                    break
                compared += 1
                try:
                    expected = decided(policies, one)
                except AmbiguousError:
                    raise AssertionError(f"seed {seed}: a tie is not held") from None
                assert answer == expected, shown(seed, one, policies)
    return compared


def shown(seed: int, one: RoutedRequest, policies: list[dict[str, Any]]) -> str:
    """For whoever reads a failure."""
    return (
        f"seed {seed}: {one.facts.cluster}/{one.service.name}:{one.port}, {one.client.name},"
        f" {one.request}\n{yaml.safe_dump_all(policies)}"
    )
