"""What two revisions say of routes is told completely: every request that is treated otherwise is among what
the difference tells.
"""

from __future__ import annotations

import sys
from random import Random

from gitmesh.model.comparison import RouteChange
from gitmesh.model.policies import Policy
from gitmesh.parsing.parse import parse
from gitmesh.reasoning.questions import Known
from gitmesh.resolution.check import check
from gitmesh.reviewing.routes import route_changes
from tests.factories import snapshot_of
from tests.properties.test_calculator import LABELS, shown
from tests.soundness.access_documents import as_files
from tests.soundness.bookshelf import DESTINATION, OTHERS, WORLD, questions
from tests.soundness.calculator import known, treated
from tests.soundness.profile import FACTOR
from tests.soundness.traffic_documents import REQUESTS, WITH_ACCOUNTS, DrawnTraffic
from tests.soundness.unified_routing import Decision

Documents = list[dict[str, object]]


def test_every_request_that_is_treated_otherwise_is_told() -> None:
    compared, differing, seed = 0, 0, 0
    while compared < 20_000 * FACTOR:
        seed += 1
        more, other = agreed(seed)
        compared, differing = compared + more, differing + other
    sys.stdout.write(f"routes: {compared} requests compared, {differing} differ, seeds 1 to {seed}\n")
    assert differing > compared // 50


def agreed(seed: int) -> tuple[int, int]:
    """How many requests of one seed were looked at, and how many of them differ."""
    random = Random(seed)
    old = DrawnTraffic(random, WITH_ACCOUNTS).sets()
    new = [
        *(one for one in old if random.randrange(3)),
        *(DrawnTraffic(random, WITH_ACCOUNTS).sets()[:1] if random.randrange(2) else []),
    ]
    names = [f"{number}" for number in range(len(new))]
    new = [
        {**one, "metadata": {**one["metadata"], "name": f"n{name}"}}
        for one, name in zip(new, names, strict=True)
    ]
    before, after = (known(parsed(documents), WORLD, LABELS) for documents in (old, new))
    compared = differing = 0
    for cluster, facts in WORLD.items():
        for to in (DESTINATION, *OTHERS):
            if before[cluster].holds(to.key, "routing") or after[cluster].holds(to.key, "routing"):
                continue
            told = {change.field for change in changes(before[cluster], after[cluster], to.key)}
            for one in questions(facts, to, REQUESTS):
                if random.randrange(48):
                    continue
                fields = difference(treated(one, before[cluster]), treated(one, after[cluster]))
                compared, differing = compared + 1, differing + bool(fields)
                assert fields <= told, (
                    f"{fields - told} is not told: {shown(seed, one, old)}\n=====\n{shown(seed, one, new)}"
                )
    return compared, differing


def parsed(documents: Documents) -> tuple[Policy, ...]:
    policies, found = parse(snapshot_of(as_files(documents)))
    assert not [one for one in (*found, *check(policies, LABELS)) if one.is_error and one.code != "GM210"]
    return policies


def changes(before: Known, after: Known, service: tuple[str, str]) -> tuple[RouteChange, ...]:
    return route_changes(before.routing.get(service), after.routing.get(service))


def difference(was: Decision | None, now: Decision | None) -> set[str]:
    """The fields by which a request is treated otherwise."""
    assert was is not None
    assert now is not None
    fields: set[str] = set()
    for key in was.keys() | now.keys():
        if was.get(key) != now.get(key):
            fields |= (
                {"headers"}
                if isinstance(key, tuple)
                else _routing(was.get(key), now.get(key))
                if key == "routing"
                else {str(key)}
            )
    return fields


def _routing(was: object, now: object) -> set[str]:
    """One routing field may take the place of another."""
    assert isinstance(was, dict | None)
    assert isinstance(now, dict | None)
    return {
        str(name) for name in ({*(was or {}), *(now or {})}) if (was or {}).get(name) != (now or {}).get(name)
    }


def test_a_revision_and_itself_differ_in_nothing() -> None:
    for seed in range(60):
        documents = DrawnTraffic(Random(seed), WITH_ACCOUNTS).sets()
        one, other = (known(parsed(order), WORLD, LABELS) for order in (documents, documents[::-1]))
        for cluster in WORLD:
            for to in (DESTINATION, *OTHERS):
                assert changes(one[cluster], other[cluster], to.key) == (), seed


def test_a_prefix_that_is_replaced_otherwise_is_told_although_the_field_says_the_same() -> None:
    def rewriting(prefix: str) -> Documents:
        spec = {
            "destinations": [{"name": "r"}],
            "matches": [{"path": {"prefix": prefix}}],
            "rewrite": {"path": {"replacePrefixMatch": "/new"}},
        }
        metadata = {"name": "one", "namespace": "shop"}
        return [
            {"apiVersion": "gitmesh.io/v1alpha1", "kind": "TrafficPolicy", "metadata": metadata, "spec": spec}
        ]

    before, after = (known(parsed(rewriting(prefix)), WORLD, LABELS)["east"] for prefix in ("/api", "/"))
    told = {(change.requests, change.field) for change in changes(before, after, DESTINATION.key)}
    assert ("/api and below", "rewrite") in told
