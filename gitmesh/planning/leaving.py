"""What is being deleted and not gone yet: it is in force as ever, cannot be relied on, and is told in each
cycle. No I/O.

Kubernetes keeps an object whose deletion was asked for until its finalizers are gone, and takes nothing new
into a namespace that is being deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.admission import GUARDING
from gitmesh.planning.ownership import blame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitmesh.model.manifests import Manifest
    from gitmesh.model.plan import Change, Live, Outcome

LEAVING = "GM514"


def waits(finalizers: Sequence[str]) -> str:
    """The state of an object whose deletion was asked for."""
    return (
        f"is being deleted and waits for {', '.join(sorted(finalizers))}"
        if finalizers
        else "is being deleted"
    )


def wanted_again(manifest: Manifest, live: Live, cluster: str, *, otherwise: bool = False) -> Diagnostic:
    """A wanted object is on its way out. `otherwise`: until then it decides otherwise than the policies who
    may call.
    """
    text = f"{live.key} in {cluster} {waits(live.finalizers)}; it is made again once it is gone"
    text += ", and until then admits other callers than the policies do" if otherwise else ""
    # The finalizer may keep it for ever, and as long as it stands it admits whom the policies do not.
    severity = Severity.ERROR if otherwise else None
    return finding(
        LEAVING,
        text,
        cluster=cluster,
        severity=severity,
        pending=True,
        **blame(manifest.policies, manifest.fields.values()),
    )


def unwanted_still(change: Change, state: str, cluster: str) -> Diagnostic:
    """An object that nobody wants any more is in force until it is gone; `state` as `waits` says it."""
    # Of access a removed object that is still in force is a door that was believed closed.
    severity = Severity.ERROR if change.decides in GUARDING else Severity.WARNING
    text = f"{change.key} in {cluster} {state}; until then it is in force"
    return finding(
        "GM505",
        text,
        cluster=cluster,
        severity=severity,
        hint=_HINT,
        pending=True,
        **blame(change.policies, change.origins),
    )


def held_still(live: Live, cluster: str) -> Diagnostic:
    """An object that findings hold is on its way out."""
    return finding(
        LEAVING,
        f"{live.key} in {cluster} {waits(live.finalizers)}, while findings on its policies hold it",
        cluster=cluster,
    )


def namespace_leaves(namespace: str, cluster: str) -> Diagnostic:
    """One finding for all that policies want there."""
    text = (
        f"namespace {namespace} of cluster {cluster} is being deleted; what policies want there waits until"
        " it is made anew"
    )
    return finding(
        LEAVING,
        text,
        cluster=cluster,
        pending=True,
        hint="Remove the policies for it, or make the namespace anew once it is gone.",
    )


def unfinished(outcome: Outcome, change: Change, cluster: str) -> Diagnostic:
    """What to say of a write that the cluster took and has not finished, or cannot take yet."""
    if outcome.code == LEAVING:
        return namespace_leaves(outcome.key.namespace, cluster)
    return unwanted_still(change, outcome.message, cluster)


_HINT = "Let what set the finalizer finish its work, or remove the finalizer."
