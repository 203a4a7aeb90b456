"""Law 1: a policy that is not in force as it stands in a cluster has a finding that says so, also where what
holds it is another policy's fault, or where it was lost on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.base import Disabled
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS, TrafficPolicySpec
from gitmesh.model.virtualmesh import VirtualMeshSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gitmesh.model.manifests import Build
    from gitmesh.model.plan import Change
    from gitmesh.model.policies import Policy
    from gitmesh.model.report import ClusterResult

TOGETHER = "GM401"


def withheld(
    policies: Sequence[Policy], builds: Mapping[str, Build], said: Iterable[Diagnostic]
) -> Iterator[Diagnostic]:
    """The policies that wait in a build and have no finding there."""
    # Of a cluster that is held as a whole its own finding says so; a line for each policy would bury it.
    waiting = {name: built.waiting for name, built in builds.items() if not built.doubtful}
    return _untold(policies, waiting, said, "what it acts on is held by other findings")


def left(
    policies: Sequence[Policy], results: Mapping[str, ClusterResult], said: Iterable[Diagnostic]
) -> Iterator[Diagnostic]:
    """The policies behind an object that the plan leaves as it is, and that have no finding there. Objects
    that are told together need no further word for each.
    """
    found = tuple(said)
    together = {one.cluster for one in found if one.code == TOGETHER and not one.policy}
    waiting = {
        name: frozenset(policy for change in result.plan.changes for policy in _behind(change, result.build))
        for name, result in results.items()
        if result.plan and result.build and not result.build.doubtful and name not in together
    }
    return _untold(policies, waiting, found, "an object that it wants is left as it is by other findings")


def _behind(change: Change, built: Build) -> tuple[str, ...]:
    """The policies that want an object which is left as it is."""
    manifest = built.manifests.get(change.key) if change.is_left else None
    return manifest.policies if manifest else ()


def _untold(
    policies: Sequence[Policy],
    waiting: Mapping[str, frozenset[str]],
    said: Iterable[Diagnostic],
    why: str,
) -> Iterator[Diagnostic]:
    if not any(waiting.values()):
        return
    told = {
        (diagnostic.policy, cluster)
        for diagnostic in said
        # A finding without a cluster is about the policy wherever it acts.
        for cluster in ((diagnostic.cluster,) if diagnostic.cluster else waiting)
    }
    for cluster, names in sorted(waiting.items()):
        for policy in policies:
            if policy.id in names and (policy.id, cluster) not in told:
                text = f"{policy.id} is not in force as it stands in cluster {cluster}: {why}"
                yield finding("GM314", text, at=policy.location, policy=policy.id, cluster=cluster)


def dropped(
    policies: Sequence[Policy], builds: Mapping[str, Build], diagnostics: Iterable[Diagnostic]
) -> tuple[Diagnostic, ...]:
    """Law 1: a policy that ends in no object and in no finding is reported, whoever lost it."""
    waiting = (policy for built in builds.values() for policy in built.waiting)
    seen = {*waiting, *(diagnostic.policy for diagnostic in diagnostics)}
    seen |= {
        policy
        for built in builds.values()
        for manifest in (*built.manifests.values(), *(one.wanted for one in built.narrowing.values()))
        for policy in (manifest.policies if manifest else ())
    }
    lost = [policy for policy in policies if policy.id not in seen and _wants_objects(policy)]
    told = _without_mesh(builds) if lost else frozenset()
    return tuple(
        finding(
            "GM309", f"{policy.id} ended in no object and no finding", at=policy.location, policy=policy.id
        )
        for policy in lost
        # GM507 says it of the cluster already; a line for each policy would bury it.
        if policy.id not in told
    )


def _without_mesh(builds: Mapping[str, Build]) -> frozenset[str]:
    """Policies that act on nothing but clusters without a mesh: GM507 says it of the cluster."""
    acting = {
        meshed: [built for built in builds.values() if bool(built.meshes) is meshed]
        for meshed in (False, True)
    }
    without, within = (
        {policy for built in found for unit in built.units for policy in unit.policies}
        for found in acting.values()
    )
    return frozenset(without - within)


def _wants_objects(policy: Policy) -> bool:
    match policy.spec:
        case TrafficPolicySpec() as spec:
            given = (getattr(spec, name) for name in spec.given((*REQUEST_FIELDS, *CONNECTION_FIELDS)))
            # A policy that only hands fields back to the mesh is in force by writing nothing.
            return not all(isinstance(value, Disabled) for value in given)
        case VirtualMeshSpec() as spec:
            return spec.mtls is not None or spec.access_default == "Deny"
        case _:
            return policy.kind == "AccessPolicy"
