"""What policies come to in a cluster: findings, objects, and what the calculator knows of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import decode
from gitmesh.model.policies import Policy
from gitmesh.planning.build import build, dropped
from gitmesh.reasoning.questions import Known
from gitmesh.reasoning.routing import Routing, route
from gitmesh.resolution.resolve import resolve
from tests.asking import asked
from tests.rendered import translators


class PolicyOutcome(Struct):
    """What policies come to in a cluster."""

    findings: tuple[Diagnostic, ...]
    bodies: dict[tuple[str, str], Any]
    known: Known

    def codes(self) -> list[tuple[str, str]]:
        return sorted((one.code, one.field) for one in self.findings)

    def routed(self, to: str = "index", **more: Any) -> Routing:
        return route(asked(to=to, **more), self.known)


def outcome(of: ClusterFacts, *policies: Policy) -> PolicyOutcome:
    """Resolve and translate the policies for one cluster."""
    resolution = resolve(policies, {of.cluster: of}, {of.cluster: {}}, translators=translators())
    builds, said = build(resolution, {of.cluster: of}, translators(), "test", {})
    built = builds[of.cluster]
    found = (*resolution.diagnostics, *said)
    return PolicyOutcome(
        findings=(*found, *dropped(policies, builds, found)),
        bodies={(key.kind, key.name): decode(one.body)["spec"] for key, one in built.manifests.items()},
        known=Known.of(of, built),
    )
