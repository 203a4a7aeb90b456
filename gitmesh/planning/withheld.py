"""Design law 1: a policy that is not in force as it stands in a cluster has a finding that says so, also
where what holds it is another policy's fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitmesh.diagnostics import Diagnostic, finding

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
                # The cluster is beside the text, so that what is said of several clusters is told once.
                text = f"{policy.id} is not in force as it stands: {why}"
                yield finding("GM314", text, at=policy.location, policy=policy.id, cluster=cluster)
