"""Small reports for the tests of renderers and exit codes."""

from __future__ import annotations

from typing import Any

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import ObjectKey, canonical
from gitmesh.model.plan import Action, Change, FieldChange, Outcome, Plan
from gitmesh.model.policies import Origin
from gitmesh.model.report import ClusterResult, Report, SourceResult, Stage, State

POLICY = "TrafficPolicy/shop/reviews"


def origin(
    line: int = 12, path: str = "policies/reviews.yaml", field: str = "spec.timeout", policy: str = POLICY
) -> Origin:
    """Where a value comes from."""
    return Origin(policy=policy, field=field, at=Location(source="policies", path=path, line=line, column=3))


def key(name: str = "reviews", kind: str = "VirtualService") -> ObjectKey:
    """An Istio object of the namespace shop."""
    return ObjectKey(group="networking.istio.io", kind=kind, namespace="shop", name=name)


def change(
    action: Action = Action.UPDATE, *fields: FieldChange, name: str = "reviews", **more: Any
) -> Change:
    """One step on one object."""
    given = {"policies": (POLICY,), "origins": (origin(),), **more}
    return Change(action=action, key=key(name), decides="routing", fields=fields, **given)


def timeout(
    live: Any = "5s", want: Any = "10s", path: str = "spec.http[0].timeout", **more: Any
) -> FieldChange:
    """One field that differs."""
    return FieldChange(path=path, want=want, live=live, origin=origin(), **more)


def manifest(name: str = "reviews", spec: Any = None, policy: str = POLICY) -> Manifest:
    """A desired object."""
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop"},
    }
    return Manifest(
        key=key(name),
        version="v1",
        decides="routing",
        body=canonical({**body, "spec": spec or {"hosts": [name]}}),
        digest="d",
        policies=(policy,),
        fields={"spec.hosts": origin(policy=policy)},
    )


def cluster(name: str = "east", *changes: Change, state: State = State.SYNCED, **more: Any) -> ClusterResult:
    """A cluster with a plan and the manifest of every change in it."""
    facts = ClusterFacts(
        cluster=name,
        meshes=(Mesh(translator="istio", name="istio", version="1.30.3", trust_domain=f"{name}.example"),),
    )
    plan = Plan(cluster=name, changes=changes, prune_held=more.pop("prune_held", ()))
    build = Build(
        cluster=name, manifests={one.key: manifest(one.key.name, policy=one.policies[0]) for one in changes}
    )
    return ClusterResult(name=name, state=state, facts=facts, build=build, plan=plan, **more)


def unreachable(name: str = "west") -> ClusterResult:
    """A cluster that did not answer."""
    return ClusterResult(name=name, state=State.UNREACHABLE)


def report(
    *clusters: ClusterResult, said: tuple[Diagnostic, ...] = (), until: Stage = Stage.PLAN, **more: Any
) -> Report:
    """A report over these clusters."""
    sources = {"policies": SourceResult(name="policies", seen="a" * 40, accepted="a" * 40)}
    return Report(
        instance="shop",
        until=until,
        clusters={one.name: one for one in clusters},
        diagnostics=said,
        **{"sources": sources, **more},
    )


def error(
    message: str = "attempts must be a number", *, line: int = 14, column: int = 15, **more: Any
) -> Diagnostic:
    """An error finding at a place."""
    at = Location(source="policies", path=more.pop("path", "policies/reviews.yaml"), line=line, column=column)
    return finding("GM203", message, at=at, policy=more.pop("policy", POLICY), **more)


def outcome(
    *, ok: bool = True, message: str = "", name: str = "reviews", action: Action = Action.UPDATE
) -> Outcome:
    """What a cluster said to a write."""
    return Outcome(key=key(name), action=action, ok=ok, message=message, code="" if ok else "GM505")
