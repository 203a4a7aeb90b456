"""Design law 2: never wider, also in between. After every single write from one set of policies to another,
over as many ticks as it takes, nothing is admitted that neither the old nor the new policies admit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import yaml
from hypothesis import assume, given, note

from gitmesh.adapters.memory import MemoryCluster
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import decode
from gitmesh.model.plan import SETTLE, Change, Live
from gitmesh.model.report import State
from gitmesh.planning.converge import Cycle, converge
from gitmesh.planning.guard import Consent
from gitmesh.planning.revisions import Revisions
from tests.properties.test_access_soundness import WEST, calls, speaks
from tests.rendered import Rendered, rendered, translators
from tests.soundness.access_documents import as_files, changes
from tests.soundness.istio import Istio
from tests.soundness.profile import searching
from tests.soundness.unified import Unified
from tests.soundness.worlds import clusters

Policies = list[dict[str, Any]]
TICKS = 14
"""After so many a cluster is settled."""


class Watched(MemoryCluster):
    """A cluster that remembers what it held after every write, and by which step."""

    def __init__(self, facts: ClusterFacts) -> None:
        super().__init__(facts.cluster, facts=facts)
        self.states: list[tuple[str, list[dict[str, Any]]]] = []

    def _write(self, change: Change, expected: str) -> Live | None:
        live = super()._write(change, expected)
        self.states.append((f"{change.action.value} {change.key} {change.note}", self.bodies()))
        return live

    def bodies(self) -> list[dict[str, Any]]:
        """What is live."""
        return [decode(live.body) for live in self.objects.values()]


def move(cluster: Watched, found: Rendered) -> None:
    """Ticks until nothing is left to write, so short that steps which proxies must learn of take several."""
    memo: dict[Any, Any] = {}
    for tick in range(TICKS):
        before, now = len(cluster.states), tick * SETTLE / 2
        consent = Consent(prune_approved=True)
        cycle = Cycle(
            translators=translators(),
            revisions=Revisions(),
            consent=consent,
            apply=True,
            now=now,
            clock=partial(float, now),
        )
        result, _ = converge(
            cluster, cluster.current_facts, found.builds[cluster.name], cluster.load("golden"), cycle, memo
        )
        assert all(outcome.ok for outcome in result.outcomes)
        if len(cluster.states) == before and result.state is not State.PENDING:
            return
    raise AssertionError("it never settles")


def render(policies: Policies, facts: ClusterFacts) -> Rendered:
    """Nothing held: what is held does not move."""
    found = rendered(as_files(policies), {facts.cluster: facts}, WEST)
    assume(not any(d.is_error and d.code < "GM208" for d in found.findings))
    assume(not found.builds[facts.cluster].holds)
    return found


def shown(sets: tuple[Policies, ...], states: list[tuple[str, list[dict[str, Any]]]]) -> str:
    """For whoever reads a failure."""
    parts = [yaml.safe_dump_all(policies) for policies in sets]
    for step, bodies in states:
        objects = [
            {"name": body["metadata"]["name"], "kind": body["kind"], "spec": body["spec"]} for body in bodies
        ]
        parts.append(f"AFTER {step}\n{yaml.safe_dump_all(objects)}")
    return "\n=====\n".join(parts)


def check(
    facts: ClusterFacts, old: Policies, new: Policies, states: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    """Every state against both ends."""
    before, after = (Unified(policies, {facts.cluster: facts}) for policies in (old, new))
    asked = [call for call in _calls(facts) if not (before.admitted(call) or after.admitted(call))]
    for step, bodies in states:
        istio = Istio(bodies, facts.meshes)
        for call in asked:
            assert not istio.admitted(call), (
                f"after {step!r} admitted, though neither the old nor the new policies do: {call}"
            )


def _calls(facts: ClusterFacts) -> Iterator[Any]:
    world = {facts.cluster: facts}
    for call in itertools.chain.from_iterable(
        calls(world, facts.cluster, w) for w in facts.workloads if w.mesh
    ):
        if speaks(facts, call):
            yield call


@searching(100)
@given(clusters("east", ("cluster.local",)), changes())
def test_never_wider_in_between(facts: ClusterFacts, change: tuple[Policies, Policies]) -> None:
    old, new = change
    cluster = Watched(facts)
    renders = [render(policies, facts) for policies in (old, new)]
    at = {}
    for name, found in zip(("old", "new"), renders, strict=True):
        move(cluster, found)
        at[name] = len(cluster.states)
    note(shown((old, new), cluster.states))
    check(facts, [], old, cluster.states[: at["old"]])
    check(facts, old, new, cluster.states[at["old"] :])
    wanted = {
        key: decode(manifest.body)["spec"] for key, manifest in renders[1].builds["east"].manifests.items()
    }
    assert {key: decode(live.body)["spec"] for key, live in cluster.objects.items()} == wanted
