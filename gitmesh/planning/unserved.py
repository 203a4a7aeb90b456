"""What decides who may call pods stays while they run, though no Service is for them any more (design law 3).

A destination is a Service, and a list may come back without one, or with one that leads to no pods any more.
They can be called all the same, by their addresses; so what a policy in force says of them is not withdrawn
because the Service is missing or has no selector, but when they are gone too, or when somebody agrees. Of a
Service that is missing and named, the policy itself tells.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding, hold_id
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.admission import GUARDING
from gitmesh.model.manifests import Narrowing
from gitmesh.model.objects import decode
from gitmesh.planning.adapted import Adapted, named
from gitmesh.planning.electing import Writers
from gitmesh.planning.ownership import ours_in, policies_behind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Ledger
    from gitmesh.model.manifests import Build
    from gitmesh.model.plan import Live, Observed
    from gitmesh.model.policies import Policy
    from gitmesh.planning.revisions import Revisions
    from gitmesh.ports import Translator


def stand(
    built: Build,
    observed: Observed,
    facts: ClusterFacts,
    ledger: Ledger,
    revisions: Revisions,
    translators: Mapping[str, Translator],
) -> Adapted:
    """Hold the objects of ours that decide who may call pods that run, where nothing wants them for want of a
    Service alone; the same build where there are none."""
    unwanted = ledger.entries.keys() - built.manifests.keys() - built.held - built.stays.keys()
    # Of a cluster in doubt everything is held already, and told.
    if not unwanted or built.doubtful:
        return Adapted(built=built)
    by_key = Writers(translators, built.meshes, ledger.entries)
    lives = [live for key in sorted(unwanted) if (live := observed.live.get(key)) and not live.deleting]
    found: dict[str, list[Live]] = defaultdict(list)
    for live in lives:
        # With a lost ledger nothing is deleted, so nothing has to be held for this.
        if ours_in(live, built.cluster, ledger, rebuilt=False) and _guards(
            live, _behind(live, ledger), facts, revisions, by_key[live.key]
        ):
            found[live.key.namespace].append(live)
    doubted = {
        name: those
        for name, those in found.items()
        if _hold(built.cluster, name, those) not in ledger.approved
    }
    if not doubted:
        return Adapted(built=built)
    kept = {live.key: live for those in doubted.values() for live in those}
    narrowing = {
        key: Narrowing(wanted=None, withheld=_behind(live, ledger) & revisions.homes.keys())
        for key, live in kept.items()
    }
    told = tuple(_told(built.cluster, name, those, ledger, revisions) for name, those in doubted.items())
    # What policies said that are no more goes in spite of it.
    made = replace(built, held=built.held.union(kept), narrowing={**built.narrowing, **narrowing})
    return Adapted(built=made, diagnostics=told)


def _behind(live: Live, ledger: Ledger) -> frozenset[str]:
    return policies_behind(live, ledger.entries.get(live.key))


def _guards(
    live: Live,
    behind: frozenset[str],
    facts: ClusterFacts,
    revisions: Revisions,
    translator: Translator,
) -> bool:
    """Whether the object decides who may call pods that run and are behind no Service, and a policy in force
    is `behind` it.
    """
    if translator.decides(decode(live.body)) not in GUARDING or not any(
        policy.id in behind and _may_mean(policy, live.key.namespace, facts) for policy in revisions.policies
    ):
        return False
    labels = translator.guarded(decode(live.body))
    if not labels:
        return False
    pods = [
        one
        for one in facts.workloads_by_namespace.get(live.key.namespace, ())
        # Only pods that run can be called; a label that is not known may be the one, so it counts.
        if one.pods and one.may_carry(labels)
    ]
    selectors = [
        service.selector
        for service in facts.services_by_namespace.get(live.key.namespace, ())
        if service.selector
    ]
    return any(not any(pod.may_carry(selector) for selector in selectors) for pod in pods)


def _may_mean(policy: Policy, namespace: str, facts: ClusterFacts) -> bool:
    """Whether the policy selects destinations there otherwise than by name, or names a Service that is there
    and leads to no pods.
    """
    spec = policy.spec
    return isinstance(spec, AccessPolicySpec) and any(
        (not item.clusters or facts.cluster in item.clusters)
        and (
            namespace in (item.namespaces or (policy.namespace,))
            and _leads_nowhere(facts, namespace, item.name)
            if item.name
            else not item.namespaces or namespace in item.namespaces
        )
        for item in spec.destinations
    )


def _leads_nowhere(facts: ClusterFacts, namespace: str, name: str) -> bool:
    return any(
        service.name == name and not service.selector
        for service in facts.services_by_namespace.get(namespace, ())
    )


def _hold(cluster: str, namespace: str, lives: Sequence[Live]) -> str:
    return hold_id(cluster, "unserved", namespace, *(str(live.key) for live in lives))


def _told(
    cluster: str, namespace: str, lives: Sequence[Live], ledger: Ledger, revisions: Revisions
) -> Diagnostic:
    behind = {policy.id: policy for policy in revisions.policies}
    first = min(name for live in lives for name in _behind(live, ledger) if name in behind)
    text = (
        f"no Service of cluster {cluster} is for pods in namespace {namespace} any more that still run; what"
        f" decides who may call them stays: {named(live.key for live in lives)}"
    )
    return finding(
        "GM208",
        text,
        at=behind[first].at("destinations"),
        policy=first,
        cluster=cluster,
        hint="It goes on when the Service is back, or when the pods are gone. Where it is meant so,",
        hold=_hold(cluster, namespace, lives),
    )
