"""Design law 2 where errors hold access: what is live bounds it, and what the other policies say, beside the
old part of the faulty one, bounds it too. Without a change of theirs nothing moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import yaml
from hypothesis import assume, given, note
from hypothesis import strategies as st

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.objects import decode
from gitmesh.model.plan import SETTLE
from gitmesh.model.report import Report, Stage
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from tests.properties.history import History, document
from tests.properties.test_access_soundness import calls, speaks
from tests.rendered import translators
from tests.soundness.istio import Istio
from tests.soundness.profile import searching
from tests.soundness.requests import ArrivingCall
from tests.soundness.unified import Unified, behind, selects

Documents = list[dict[str, Any]]
FAULTS: tuple[dict[str, Any], ...] = (
    {"rules": [{"ports": [9999]}]},
    {"sources": [{"serviceAccounts": [{"name": "nobody"}]}]},
)
TICKS = 20


class Moving:
    """One cluster, and the policies that come one after another."""

    def __init__(self, facts: ClusterFacts) -> None:
        self.cluster = MemoryCluster(facts.cluster, facts=with_digest(facts))
        self.source, self.memo, self.time = History("policies"), Memo(), count(0, int(SETTLE))

    def commit(self, policies: Documents) -> Report:
        """The report once nothing is written any more."""
        self.source.commit("\n---\n".join(json.dumps(one) for one in policies), good=True)
        for now in (float(next(self.time)) for _ in range(TICKS)):
            report = run(
                [self.source],
                LocalFleet([self.cluster]),
                translators(),
                until=Stage.APPLY,
                options=Options(instance="golden", clusters={self.cluster.name: {}}),
                memo=self.memo,
                clock=lambda now=now: now,  # type: ignore[misc]  # bound at once
            )
            assume(not any(one.is_error and one.code < "GM208" for one in report.diagnostics))
            if not any(result.outcomes for result in report.clusters.values()):
                return report
        raise AssertionError("it never settles")

    @property
    def bodies(self) -> Documents:
        """What is live."""
        return [decode(live.body) for _, live in sorted(self.cluster.objects.items())]


_ports = (
    ServicePort(number=80, name="http", target=8080, protocol="http"),
    ServicePort(number=83, name="tcp", target=9090, protocol="tcp"),
)


@st.composite
def shops(draw: st.DrawFn) -> ClusterFacts:
    """Two or three applications, and Services that are theirs alone or share some of their pods."""
    apps = [("a", "x"), ("b", "x"), ("c", "y")][: draw(st.integers(2, 3))]
    selectors: list[dict[str, str]] = [{"app": "a"}, {"app": "b"}]
    if draw(st.booleans()):
        selectors.append(draw(st.sampled_from(({"tier": "x"}, {"app": "a"}))))
    return ClusterFacts(
        cluster="east",
        namespaces={"shop": {}, "istio-system": {}},
        service_accounts=frozenset({("shop", "default"), ("shop", "web")}),
        workloads=tuple(
            Workload(
                kind="Deployment",
                namespace="shop",
                name=app,
                labels={"app": app, "tier": tier},
                service_account=draw(st.sampled_from(("default", "web"))),
                ports={},
                mesh="istio",
                pods=1,
            )
            for app, tier in apps
        ),
        services=tuple(
            Service(
                namespace="shop",
                name=name,
                selector=selector,
                ports=_ports[: draw(st.integers(1, 2))],
            )
            for name, selector in zip("rst", selectors, strict=False)
        ),
        meshes=(
            Mesh(
                translator="istio",
                name="istio",
                namespace="istio-system",
                root_namespace="istio-system",
                trust_domain="cluster.local",
            ),
        ),
    )


_who = st.sampled_from(
    (
        {"all": True},
        {"authenticated": True},
        {"namespaces": ["shop"]},
        {"serviceAccounts": [{"name": "web"}]},
        {"serviceAccounts": [{"name": "default"}]},
        {"serviceAccounts": [{"name": "default"}, {"name": "web"}]},
        {"ipBlocks": ["10.0.0.0/8"]},
    )
)
_where = st.sampled_from(({"name": "r"}, {"name": "r"}, {"name": "s"}, {"namespaces": ["shop"]}))
_what = st.sampled_from(
    (
        {"methods": ["GET"]},
        {"methods": ["GET", "POST"]},
        {"paths": ["/api*"]},
        {"paths": ["/api"], "methods": ["GET"]},
        {"ports": [80]},
        {"ports": [80], "methods": ["POST"]},
    )
)


_HTTP = frozenset({"methods", "paths"})
_SAID = {"nonHTTP": "Deny"}


@st.composite
def policies(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One AccessPolicy."""
    spec: dict[str, Any] = {
        "action": draw(st.sampled_from(("Allow", "Allow", "Deny"))),
        "sources": draw(st.lists(_who, min_size=1, max_size=2)),
        "destinations": [draw(_where)],
    }
    if draw(st.booleans()):
        spec["rules"] = draw(st.lists(_what, min_size=1, max_size=2))
    if spec["action"] == "Deny":  # else it is an error under a broad selector, and not a sound policy
        spec["rules"] = [{**rule, **_SAID} if rule.keys() & _HTTP else rule for rule in spec.get("rules", ())]
        spec = {name: value for name, value in spec.items() if value}
    return document("AccessPolicy", name, **spec)


_DEFAULTS: tuple[dict[str, Any], ...] = (
    {},
    {"accessDefault": "Deny"},
    {"accessDefault": "Deny", "accessExempt": {"ports": [80]}},
)


@st.composite
def revisions(draw: st.DrawFn) -> tuple[Documents, Documents, Documents]:
    """What was, what comes with one faulty policy in it, and that with the policy as it was."""
    default = draw(st.sampled_from(_DEFAULTS))
    mesh = (
        [document("VirtualMesh", "all", meshes=[{"selector": {"all": True}}], **default)] if default else []
    )
    old: Documents = []
    new: Documents = []
    for number in range(4):
        fate = draw(st.sampled_from(("replaced", "replaced", "kept", "added", "removed")))
        first = draw(policies(f"p{number}"))
        old += [] if fate == "added" else [first]
        new += [] if fate == "removed" else [draw(policies(f"p{number}")) if fate == "replaced" else first]
    assume(new)
    faulty = draw(st.sampled_from(new))
    before = [one for one in old if one["metadata"] == faulty["metadata"]]
    spec = (before or [faulty])[0]["spec"]  # what it says already is what stays; it acts where it did
    broken = {**faulty, "spec": {**spec, **draw(st.sampled_from(FAULTS))}}
    others = [one for one in new if one is not faulty]
    return [*old, *mesh], [broken, *others, *mesh], [*before, *others, *mesh]


def held_pods(faulty: dict[str, Any], facts: ClusterFacts) -> list[Workload]:
    """Pods about which nothing is decided but by what the faulty policy holds."""
    reaching = (
        (pod, [one for one in facts.services if pod in behind(one, facts)])
        for pod in facts.workloads
        if pod.mesh
    )
    return [
        pod
        for pod, services in reaching
        if services and all(selects(faulty, facts.cluster, one) for one in services)
    ]


def asked(facts: ClusterFacts, pods: list[Workload]) -> Iterator[ArrivingCall]:
    for pod in pods:
        for call in calls({facts.cluster: facts}, facts.cluster, pod):
            if speaks(facts, call):
                yield call


def closed_pods(bodies: Documents, pods: list[Workload], facts: ClusterFacts) -> list[Workload]:
    """Those that an Allow of ours governs for each of their Services: where none is live, the mesh's own
    behaviour stays until one can be written whole."""
    named = {body["metadata"]["name"] for body in bodies}
    return [
        pod
        for pod in pods
        if all(f"{one.name}-allow" in named for one in facts.services if pod in behind(one, facts))
    ]


@searching(100)
@given(shops(), revisions())
def test_what_is_held_only_narrows(
    facts: ClusterFacts, change: tuple[Documents, Documents, Documents]
) -> None:
    old, new, bound = change
    moving = Moving(facts)
    moving.commit(old)
    before = moving.bodies
    pods = held_pods(new[0], facts)
    moving.commit(new)
    after = moving.bodies
    note("\n=====\n".join(yaml.safe_dump_all(one) for one in (old, new, before, after)))
    was, now = Istio(before, facts.meshes), Istio(after, facts.meshes)
    for call in asked(facts, pods):
        assert was.admitted(call) or not now.admitted(call), f"wider than it was: {call}"
    wanted = Unified(bound, {facts.cluster: facts})
    for call in asked(facts, closed_pods(before, pods, facts)):
        assert wanted.admitted(call) or not now.admitted(call), (
            f"a grant that was withdrawn, or a new Deny that is not there: {call}"
        )


@searching(40)
@given(shops(), revisions())
def test_a_fault_alone_moves_nothing(
    facts: ClusterFacts, change: tuple[Documents, Documents, Documents]
) -> None:
    _, [faulty, *others], sound = change
    moving = Moving(facts)
    moving.commit(sound)
    before = moving.bodies
    moving.commit([faulty, *others])
    after = moving.bodies
    note("\n=====\n".join(yaml.safe_dump_all(one) for one in (sound, [faulty, *others], before, after)))
    was, now = Istio(before, facts.meshes), Istio(after, facts.meshes)
    for call in asked(facts, held_pods(faulty, facts)):
        assert was.admitted(call) == now.admitted(call), str(call)
