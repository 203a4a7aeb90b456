"""The difference of two revisions is complete: it is empty if and only if the calculator decides no request
otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import yaml
from hypothesis import assume, given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from gitmesh.model.comparison import AccessChange, RightChange
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.policies import Policy
from gitmesh.parsing.parse import parse
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Admission, Answer
from gitmesh.reasoning.classes import Destination
from gitmesh.reasoning.clients import Clients, interest
from gitmesh.reasoning.crowd import Crowd
from gitmesh.reasoning.difference import access_changes
from gitmesh.reasoning.population import population
from gitmesh.reasoning.questions import Client, Known, Question
from gitmesh.reasoning.stakes import stake
from gitmesh.resolution.check import check
from tests.asking import known
from tests.factories import snapshot_of
from tests.soundness.access_documents import as_files, changes
from tests.soundness.profile import searching
from tests.soundness.worlds import ACCOUNTS, NAMESPACES, worlds

REQUESTS = 250
"""Random requests of one example."""
_PATHS = (
    "/",
    "/api",
    "/api/",
    "/api/x",
    "/apix",
    "/ap",
    "/API",
    "/api/x.php",
    "/api.php",
    "/x.php",
    "/.php",
    "/x{y}",
    "/x{y}z",
    "/x",
    "/q",
)
_METHODS = ("GET", "GET", "POST", "PUT", "get")
_HOSTS = (
    *(
        "r.shop",
        "r.shop:80",
        "R.SHOP:8080",
        "r.shop:8",
        "r.bank",
        "s.shop",
        "s.shop:80",
        "r.",
        "r",
        "q",
        ".shop",
        "r.x.shop:1",
        "[::1]",
    ),
    *("[::1]:80", "r.shop.example", "xr.shop", ""),
)
_TEAMS: tuple[Mapping[str, str], ...] = (
    {},
    *({"x-team": text} for text in ("red", "", "redred", "red blue", "blue", "infrared", "Red")),
)
_IPS = (
    "10.0.0.9",
    "10.0.0.8",
    "10.0.0.10",
    "10.255.255.255",
    "9.255.255.255",
    "11.0.0.0",
    "192.168.0.0",
    "192.169.0.0",
    "::1",
    "1.2.3.4",
)
_LABELS: tuple[Mapping[str, str], ...] = (
    {},
    {"app": "a"},
    {"app": "b"},
    {"app": "a", "tier": "x"},
    {"tier": "x"},
    {"app": "a", "tier": "y"},
)

_clients = st.sampled_from(
    (
        None,
        [{"labels": {"app": "a"}}],
        [{"labels": {"app": "a", "tier": "x"}}],
        [{"namespaces": ["shop"]}],
        [{"serviceAccounts": ["web"]}],
    )
)
_modes = st.sampled_from(
    ({"mode": "Disable"}, {"mode": "Simple"}, {"mode": "MeshMutual"}, {"disabled": True})
)


@st.composite
def _tls(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A TrafficPolicy that sets how clients connect."""
    sources = draw(_clients)
    spec = {"destinations": [{"namespaces": [draw(st.sampled_from(NAMESPACES))]}], "tls": draw(_modes)}
    spec |= {"sources": sources} if sources else {}
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "gitmesh.io/v1alpha1", "kind": "TrafficPolicy", "metadata": metadata, "spec": spec}


@st.composite
def revisions(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was and what shall be."""
    old, new = draw(changes())
    connecting = [draw(_tls(f"t{number}")) for number in range(draw(st.sampled_from((0, 0, 1, 2))))]
    for one in connecting:
        fate = draw(st.sampled_from(("kept", "added", "removed")))
        old += [] if fate == "added" else [one]
        new += [] if fate == "removed" else [one]
    return old, new


def parsed(documents: Sequence[Mapping[str, Any]], world: Mapping[str, ClusterFacts]) -> Sequence[Policy]:
    policies, found = parse(snapshot_of(as_files(documents)))
    labels = {name: facts.labels for name, facts in world.items()}
    assume(not any(one.is_error for one in (*found, *check(policies, labels))))
    return policies


def pods(found: Admission) -> object:
    return (
        found.ruling.answer
        if found.ruling
        else sorted((w.key, port, ruling.answer) for w, port, ruling in found.pods)
    )


def a_client(random: Random, world: Mapping[str, ClusterFacts]) -> Client:
    """Of the facts, or nobody that they know; a client with a proxy has an identity."""
    domains = [mesh.trust_domain for facts in world.values() for mesh in facts.meshes]
    domain = random.choice((*domains, *domains, "evil.example", None))
    return Client(
        namespace=random.choice((*NAMESPACES, "elsewhere")),
        service_account=random.choice((*ACCOUNTS, "stranger")),
        trust_domain=domain,
        labels=random.choice(_LABELS),
        mesh="" if domain is None else random.choice(("istio", "istio", "")),
        ip=random.choice(_IPS),
    )


def a_question(random: Random, world: Mapping[str, ClusterFacts], facts: ClusterFacts) -> Question:
    service = random.choice(facts.services)
    port = random.choice(service.ports)
    return Question(
        client=a_client(random, world),
        service=service.key,
        port=port.number,
        method=random.choice(_METHODS),
        path=random.choice(_PATHS),
        headers=random.choice(_TEAMS),
        authority=random.choice(_HOSTS),
        http=port.http and (bool(port.protocol) or random.randrange(4) > 0),
    )


def agree_on_somebody_somewhere(question: Question, old: Known, new: Known) -> None:
    """From an address that is not known, at most one side can tell."""
    nowhere = replace(question, client=replace(question.client, ip=""))
    before, after = can(nowhere, old), can(nowhere, new)
    assert pods(before) == pods(after) or Answer.UNKNOWN in (before.answer, after.answer), nowhere


def effect(before: Admission, after: Admission) -> tuple[RightChange, str, str]:
    """What a change of an answer is called."""
    answers = (before.answer, after.answer)
    named = {
        (Answer.DENIED, Answer.ALLOWED): RightChange.GAINED,
        (Answer.ALLOWED, Answer.DENIED): RightChange.LOST,
    }
    found = RightChange.UNKNOWN if Answer.UNKNOWN in answers else named.get(answers, RightChange.CHANGED)
    return found, before.answer.value, after.answer.value


def swapped(change: AccessChange) -> object:
    other = {RightChange.GAINED: RightChange.LOST, RightChange.LOST: RightChange.GAINED}
    return (
        change.service,
        change.ports,
        other.get(change.effect, change.effect),
        change.callers,
        change.requests,
        change.after,
        change.before,
    )


def plain(change: AccessChange) -> object:
    return (
        change.service,
        change.ports,
        change.effect,
        change.callers,
        change.requests,
        change.before,
        change.after,
    )


def test_no_request_is_decided_otherwise_where_the_difference_is_silent() -> None:
    compared = otherwise = 0

    @searching(250)
    @given(worlds(), revisions(), st.integers(0, 1_000_000))
    def check_one(
        world: dict[str, ClusterFacts], both: tuple[list[dict[str, Any]], list[dict[str, Any]]], seed: int
    ) -> None:
        nonlocal compared, otherwise
        note(yaml.safe_dump_all(both[0]) + "--- becomes\n" + yaml.safe_dump_all(both[1]))
        old, new = (known(parsed(one, world), *world.values()) for one in both)
        for cluster, facts in world.items():
            found = access_changes(old[cluster], new[cluster], population(cluster, world))
            note(f"{cluster}: {found}")
            said = {
                (one.service, port, one.effect, one.before, one.after) for one in found for port in one.ports
            }
            random = Random(seed)
            for _ in range(REQUESTS):
                question = a_question(random, world, facts)
                before, after = can(question, old[cluster]), can(question, new[cluster])
                compared += 1
                if not any(service == question.service for service, *_ in said):
                    agree_on_somebody_somewhere(question, old[cluster], new[cluster])
                if pods(before) != pods(after):
                    otherwise += 1
                    assert (question.service, question.port, *effect(before, after)) in said, (
                        f"{cluster}: {question}"
                    )

    check_one()
    sys.stdout.write(f"access: {compared} requests compared, {otherwise} decided otherwise\n")
    assert otherwise > 1_000


@searching(60)
@given(worlds(), revisions(), st.integers(0, 1_000_000))
def test_each_request_is_of_a_class_that_is_answered_alike_down_to_the_lines(
    world: dict[str, ClusterFacts], both: tuple[list[dict[str, Any]], list[dict[str, Any]]], seed: int
) -> None:
    old, new = (known(parsed(one, world), *world.values()) for one in both)
    random = Random(seed)
    for cluster, facts in world.items():
        sides = (old[cluster], new[cluster])
        answers: dict[tuple[tuple[str, str], int], list[tuple[Admission, ...]]] = {}
        for service in facts.services:
            for cell in partition(sides, service.key, cluster, world).cells():
                answers.setdefault((service.key, cell.port), []).append(cell.answers)
        for _ in range(REQUESTS // 2):
            question = a_question(random, world, facts)
            assert tuple(can(question, side) for side in sides) in answers[question.service, question.port], (
                f"{cluster}: {question}"
            )


@searching(80)
@given(worlds(), revisions())
def test_each_change_has_a_request_that_is_decided_otherwise(
    world: dict[str, ClusterFacts], both: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    old, new = (known(parsed(one, world), *world.values()) for one in both)
    for cluster in world:
        sides = (old[cluster], new[cluster])
        for change in access_changes(*sides, population(cluster, world)):
            told = "no pods" in change.why
            assert told or any(
                plain_effect(change) == one for one in witnesses(sides, change, cluster, world)
            ), change


def partition(
    sides: tuple[Known, Known], key: tuple[str, str], cluster: str, world: Mapping[str, ClusterFacts]
) -> Destination:
    stakes = [stake(key, side) for side in sides]
    return Destination(key, sides, stakes, Clients(Crowd(population(cluster, world)), interest(stakes)))


def plain_effect(change: AccessChange) -> tuple[str, str]:
    return change.before, change.after


def witnesses(
    sides: tuple[Known, Known], change: AccessChange, cluster: str, world: Mapping[str, ClusterFacts]
) -> list[tuple[str, str]]:
    """The answers to questions of the change's callers and requests, asked anew."""
    destination = partition(sides, change.service, cluster, world)
    rows = destination.rows(
        destination.cells(),
        lambda cell: effect(*cell.answers) if pods(cell.answers[0]) != pods(cell.answers[1]) else None,
    )
    meant = [
        row
        for row in rows
        if (row.ports, row.callers, row.requests) == (change.ports, change.callers, change.requests)
    ]
    answers = [
        [can(cell.question, side).answer.value for side in sides] for row in meant for cell in row.cells
    ]
    return [(before, after) for before, after in answers]


@searching(80)
@given(worlds(), revisions(), st.integers(0, 1_000_000))
def test_laws(
    world: dict[str, ClusterFacts], both: tuple[list[dict[str, Any]], list[dict[str, Any]]], seed: int
) -> None:
    """Nothing differs from itself, in whatever order; the way back takes what the way there gave."""
    first, second = (parsed(one, world) for one in both)
    shuffled = Random(seed).sample(list(second), len(second))
    old, new, again = (known(each, *world.values()) for each in (first, second, shuffled))
    for cluster in world:
        callers = population(cluster, world)
        assert access_changes(new[cluster], new[cluster], callers) == ()
        assert access_changes(new[cluster], again[cluster], callers) == ()
        there, back = (
            access_changes(old[cluster], new[cluster], callers),
            access_changes(new[cluster], old[cluster], callers),
        )
        assert sorted(map(plain, there), key=repr) == sorted(map(swapped, back), key=repr)
        assert there == access_changes(old[cluster], again[cluster], callers)
