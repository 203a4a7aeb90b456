"""Whose object it is (design.md, What is ours in a cluster): marks on live objects, the test of them, and who
is behind one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitmesh.model.ledger import Entry, Ledger
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Change, Live
    from gitmesh.model.policies import Origin

FIELD_MANAGER = "gitmesh"
MANAGED_BY = "app.kubernetes.io/managed-by"
INSTANCE = "gitmesh.io/instance"
ID = "gitmesh.io/id"
POLICIES = "gitmesh.io/policies"
ADOPT = "gitmesh.io/adopt"
PRUNE = "gitmesh.io/prune"
RECONCILE = "gitmesh.io/reconcile"


def blame(policies: Sequence[str], origins: Iterable[Origin]) -> dict[str, Any]:
    """Policy and line behind an object, for a finding on it: the first of each."""
    first = min(origins, default=None)
    return {"at": first.at if first else None, "policy": policies[0] if policies else ""}


def behind(change: Change) -> dict[str, Any]:
    """Policy and line behind a change: of the first field that differs where an origin is known, else of the
    object.
    """
    first = min((field.origin for field in change.fields if field.origin), default=None)
    return {"at": first.at, "policy": first.policy} if first else blame(change.policies, change.origins)


def marks(
    cluster: str, instance: str, key: ObjectKey, policies: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, str]]:
    """The labels and annotations that stand on every object of ours. Only what is stable: no commit, no
    line.
    """
    labels = {MANAGED_BY: FIELD_MANAGER, INSTANCE: instance}
    return labels, {ID: key.id(cluster), POLICIES: ",".join(sorted(policies))}


def policies_of(live: Live) -> tuple[str, ...]:
    """The policies that an object of ours came from when it was written."""
    return tuple(filter(None, live.annotations.get(POLICIES, "").split(",")))


def policies_behind(live: Live, entry: Entry | None) -> frozenset[str]:
    """The policies that an object of ours came from: by the ledger where it knows them, as it does of what
    decides who may call, for a tenant can change what the object says of itself; else by that."""
    if entry is None or not entry.units or any(unit.half != "access" for unit in entry.units):
        return frozenset(policies_of(live))
    # The empty name stands for what an older version did not tell by policy.
    known = frozenset(policy for policies in entry.parts.values() for policy in policies)
    return known if known and "" not in known else frozenset(policies_of(live))


def is_marked(live: Live, cluster: str, instance: str) -> bool:
    """Both labels and the id of this very object: a copy under another name carries another object's id."""
    return (
        live.labels.get(MANAGED_BY) == FIELD_MANAGER
        and live.labels.get(INSTANCE) == instance
        and live.annotations.get(ID) == live.key.id(cluster)
    )


def is_ours(live: Live, cluster: str, ledger: Ledger, *, rebuilt: bool) -> bool:
    """Marked, and in the ledger under this uid. While the ledger is lost (`rebuilt`), the marks alone must
    do.
    """
    if not is_marked(live, cluster, ledger.instance):
        return False
    entry = ledger.entries.get(live.key)
    # "" is an intent: a kill between the write and its answer left the object made and its uid unknown.
    return rebuilt if entry is None else entry.uid in ("", live.uid)


def may_adopt(live: Live, cluster: str, instance: str, adoptions: Mapping[str, str]) -> bool:
    """Its owner annotated it for this instance, or an Adoption names it. `adoptions`: object id -> policy."""
    return live.annotations.get(ADOPT) == instance or live.key.id(cluster) in adoptions
