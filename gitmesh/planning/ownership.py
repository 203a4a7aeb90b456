"""Whose a live object is, and what of it is ours: marks on objects, the test of them, and who is behind one.

Of an object of ours its marks tell, together with the ledger. Of somebody else's object of which only some
fields are ours nothing on it could tell: there the ledger knows, and the cluster's count of who wrote what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.model.objects import canonical, decode, mapping
from gitmesh.model.ownership import FIELD_MANAGER, WHOLE, Ownership, only_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitmesh.model.ledger import Entry, Ledger
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Change, Live
    from gitmesh.model.policies import Origin

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


def policies_of(live: Live, entry: Entry | None = None) -> tuple[str, ...]:
    """The policies that an object of ours came from when it was written. Of fields in somebody else's object
    its entry tells, and nothing that stands on it."""
    if entry is not None and not entry.ownership.is_object:
        return tuple(sorted({policy for policies in entry.parts.values() for policy in policies}))
    return tuple(filter(None, live.annotations.get(POLICIES, "").split(",")))


def policies_behind(live: Live, entry: Entry | None) -> frozenset[str]:
    """The policies that what is ours of an object came from: by the ledger where it knows them, as it does of
    what decides who may call, for a tenant can change what the object says of itself; else by that."""
    return policies_known(policies_of(live, entry), entry)


def policies_known(marked: Iterable[str], entry: Entry | None) -> frozenset[str]:
    """The same of an object that is `marked` with these policies."""
    # Of routing the ledger knows only the policies whose rules several sources share.
    if entry is None or not entry.units or any(unit.half == "routing" for unit in entry.units):
        return frozenset(marked)
    # The empty name stands for what an older version did not tell by policy.
    known = frozenset(policy for policies in entry.parts.values() for policy in policies)
    return known if known and "" not in known else frozenset(marked)


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
    return rebuilt if entry is None else entry.ownership.is_object and entry.uid in ("", live.uid)


def ours_in(live: Live, cluster: str, ledger: Ledger, *, rebuilt: bool) -> Ownership | None:
    """What of a live object is ours; None where nothing is."""
    if fields := fields_in(live, ledger):
        return fields
    entry = ledger.entries.get(live.key)
    return (entry.ownership if entry else WHOLE) if is_ours(live, cluster, ledger, rebuilt=rebuilt) else None


def fields_in(live: Live, ledger: Ledger) -> Ownership | None:
    """Our fields in somebody else's object, as the ledger knows them under this uid; None where there are
    none.
    """
    entry = ledger.entries.get(live.key)
    # Another uid is another object, whose fields its owner has set.
    if entry is None or entry.ownership.is_object or entry.uid != live.uid:
        return None
    return entry.ownership


def strangers_part(live: Live, cluster: str, ledger: Ledger, *, rebuilt: bool) -> Live | None:
    """What of a live object is somebody else's: all of a stranger's object but our fields in it; None of one
    that is ours."""
    mine = ours_in(live, cluster, ledger, rebuilt=rebuilt)
    if mine is None:
        return live
    rest = mine.rest(decode(live.body))
    if rest is None:
        return None
    metadata = mapping(rest["metadata"])
    labels, annotations = (mapping(metadata.get(part)) for part in ("labels", "annotations"))
    return replace(live, body=canonical(rest), labels=labels, annotations=annotations)


def manager_of_fields(instance: str) -> str:
    """The field manager under which fields in somebody else's object are applied. Several instances may have
    some in one object, and what a manager leaves out of an apply is removed: so each has a name of its own.
    """
    return f"{FIELD_MANAGER}-{instance}"


def fields_by_manager(live: Live, instance: str) -> Ownership | None:
    """Our fields in somebody else's object, as the cluster's count of who wrote what has them; None where
    there are none. Of labels and annotations alone: the names of other fields are not told apart there.
    """
    manager = manager_of_fields(instance)
    # Dots in names and dots between them look alike there, but for what has a fixed depth.
    mine = [path for path, name in live.field_managers.items() if name == manager]
    found = [tuple(path.split(".", 2)) for path in mine if path.startswith(_NAMED)]
    return only_fields(found) if found else None


_NAMED = ("metadata.labels.", "metadata.annotations.")


def may_adopt(live: Live, cluster: str, instance: str, adoptions: Mapping[str, str]) -> bool:
    """Its owner annotated it for this instance, or an Adoption names it. `adoptions`: object id -> policy."""
    return live.annotations.get(ADOPT) == instance or live.key.id(cluster) in adoptions
