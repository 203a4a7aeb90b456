"""Design law 2 by the names of Istio's objects, and not by what our translator says of them: the order of
writes between every two golden cases, and along every sequence of the end-to-end tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from gitmesh.discovery.facts_codec import load_facts
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import canonical, decode
from gitmesh.model.plan import Action, Change, Outcome, Plan
from tests.e2e.facts import world_facts
from tests.e2e.sequences import all_sequences, files_of
from tests.golden.test_golden import CASES, HERE
from tests.properties.test_transition_soundness import Watched, move
from tests.rendered import Rendered, rendered

Write = tuple[str, Change]
"""What a write is in the words of the law, and the write."""


class Noted(Watched):
    """A cluster that remembers the plans that it carried out."""

    def __init__(self, facts: ClusterFacts) -> None:
        super().__init__(facts)
        self.plans: list[Plan] = []

    def apply(self, plan: Plan) -> tuple[Outcome, ...]:
        self.plans.append(plan)
        return super().apply(plan)


def word(change: Change) -> str:
    """The law's word for a write."""
    gone = " goes" if change.action is Action.DELETE else ""
    match change.key.kind:
        case "PeerAuthentication":
            return f"trust{gone}"
        case "DestinationRule":
            return f"destination{gone}"
        case "AuthorizationPolicy" if change.key.name == "gitmesh-default-deny":
            return f"default{gone}"
        case "AuthorizationPolicy" if not change.key.name.endswith("-deny"):
            return f"allow{gone}"
        case "AuthorizationPolicy":
            return "deny" if _gains(change) else "deny goes"
        case _:
            return f"route{gone}"


def _gains(change: Change) -> bool:
    """Whether a Deny gets a rule that it does not have, or loses none."""
    before, after = (_rules(body) for body in (change.before, change.body or b""))
    return change.action is not Action.DELETE and (not after < before)


def _rules(body: bytes) -> set[bytes]:
    spec: Mapping[str, Any] = decode(body).get("spec", {}) if body else {}
    return {canonical(rule) for rule in spec.get("rules", ())}


ORDER = (
    ("deny", "allow"),
    ("deny", "route"),
    ("allow", "route"),
    ("allow", "default"),
    ("route", "default"),
    ("destination", "destination goes"),
    ("route", "route goes"),
    ("allow", "allow goes"),
    ("default", "allow goes"),
    ("default goes", "allow goes"),
    ("allow", "deny goes"),
    ("default", "deny goes"),
    ("allow goes", "deny goes"),
)
"""What comes before what in one plan; of subsets and their routes `test_relying.py` tells."""


def check(plan: Plan) -> None:
    """The whole order, and that mTLS changes in no plan that then admits more."""
    writes = [(word(change), change) for change in _last_steps(plan)]
    for (first, one), (then, other) in itertools.combinations(writes, 2):
        assert (then, first) not in ORDER, f"{one.key} ({first}) before {other.key} ({then})"
    words = [name for name, _ in writes]
    if any(_widens(change) for name, change in writes if name.startswith("trust")):
        assert not {"allow", "deny", "default", "allow goes"} & {*words}


def _last_steps(plan: Plan) -> Iterator[Change]:
    """Its writes; of a Deny that refuses the old and the new first, that step as one that gains, and the last
    as one that loses.
    """
    seen: dict[Any, bytes] = {}
    for change in plan.writes:
        before = seen.get(change.key, change.before)
        seen[change.key] = change.body or b""
        yield Change(action=change.action, key=change.key, decides="access", body=change.body, before=before)


def _widens(change: Change) -> bool:
    mode = decode(change.body)["spec"]["mtls"]["mode"] if change.body else "PERMISSIVE"
    return mode == "PERMISSIVE" and bool(change.before) and b'"STRICT"' in change.before


def walk(facts: ClusterFacts, states: Sequence[Rendered]) -> None:
    cluster = Noted(facts)
    for state in states:
        if not state.builds[facts.cluster].holds:
            move(cluster, state)
    assert cluster.plans
    for plan in cluster.plans:
        check(plan)


NOTHING: Mapping[str, str] = {}


@pytest.mark.parametrize("mesh", ["istio", "ambient"])
def test_between_every_two_golden_cases(mesh: str) -> None:
    places = [case for case in CASES if case.parent == HERE / mesh and not (case / "facts.yaml").exists()]
    facts = load_facts(yaml.safe_load((HERE / mesh / "facts.yaml").read_text()))
    texts = [{"policies.yaml": (case / "policies.yaml").read_text()} for case in places]
    found = [rendered(files, facts) for files in (*texts, NOTHING)]
    for known in facts.values():
        for start in range(len(found)):
            walk(known, [found[(start * step) % len(found)] for step in range(len(found) + 1)])


@pytest.mark.parametrize("journey", all_sequences(), ids=lambda journey: journey.name)
def test_along_every_sequence(journey: Any) -> None:
    facts = world_facts()
    walk(
        facts[journey.said.cluster],
        [*(rendered(files_of(state), facts) for state in journey.said.states), rendered(NOTHING, facts)],
    )
