"""Objects that bear marks of GitMesh and are not ours as it stands: another name in the configuration, or
another uid. No I/O.

Each cause is one finding for the cluster, however many objects it concerns, with the way out of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.ownership import FIELD_MANAGER
from gitmesh.planning.ownership import ID, INSTANCE, MANAGED_BY, is_marked

if TYPE_CHECKING:
    from collections.abc import Collection

    from gitmesh.model.ledger import Ledger
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live


class Estranged(Struct, frozen=True, kw_only=True, order=True):
    """Why: `what` completes "14 objects carry ...", `hint` is the way out."""

    what: str
    hint: str


def estranged(live: Live, cluster: str, ledger: Ledger) -> Estranged | None:
    """Why an object that is not ours bears marks of GitMesh, or bears them no more; None where it never did,
    or bears those of another object."""
    said, instance = live.annotations.get(ID, ""), live.labels.get(INSTANCE, "")
    other = said.partition("/")[0]
    entry = ledger.entries.get(live.key)
    if (
        entry
        and entry.ownership.is_object
        and entry.uid == live.uid
        and live.uid
        # Somebody stripped our marks off an object whose uid the ledger knows. Where a mark names another
        # instance or cluster, that is whose it may be, and the uid proves nothing.
        and instance in ("", ledger.instance)
        and other in ("", cluster)
    ):
        return _STRIPPED
    # An id that does not fit the object is a copy of one of ours: copying must make nobody's object ours.
    if live.labels.get(MANAGED_BY) != FIELD_MANAGER or not instance or live.key.id(other) != said:
        return None
    if instance != ledger.instance:
        return _of_instance(instance, ledger.instance)
    if other != cluster:
        return _of_cluster(other, cluster)
    return _RESTORED if live.key in ledger.entries else _UNKNOWN


def was_ours(live: Live, cluster: str, ledger: Ledger) -> bool:
    """Whether the ledger knows it: by its uid though the marks say another name, or by its marks though the
    uid is another.
    """
    entry = ledger.entries.get(live.key)
    if entry is None or estranged(live, cluster, ledger) is None:
        return False
    return entry.uid == live.uid or is_marked(live, cluster, ledger.instance)


def told(why: Estranged, keys: Collection[ObjectKey], cluster: str, *, security: str) -> Diagnostic:
    """The one finding. `security`: what follows where some of them decide who may call, else ""."""
    count = "1 object carries" if len(keys) == 1 else f"{len(keys)} objects carry"
    text = f"in cluster {cluster}, {count} {why.what}{security}"
    return finding(
        "GM401", text, cluster=cluster, severity=Severity.ERROR if security else None, hint=why.hint
    )


def _of_instance(name: str, ours: str) -> Estranged:
    hint = (
        f"If {ours} was called so before, put the name back or name the objects in an Adoption; else let one"
        " instance alone have them."
    )
    return Estranged(what=f"the marks of instance {name}, and this is {ours}", hint=hint)


def _of_cluster(name: str, ours: str) -> Estranged:
    hint = (
        f"If {ours} was called {name} before, put the name back in gitmesh.yaml, or name the objects in an"
        " Adoption."
    )
    return Estranged(what=f"the marks of cluster {name} of this instance", hint=hint)


_STRIPPED = Estranged(
    what="marks that somebody changed, though the ledger knows it by its uid",
    hint=(
        "Put app.kubernetes.io/managed-by, gitmesh.io/instance and gitmesh.io/id back, or name the objects in"
        " an Adoption."
    ),
)
_RESTORED = Estranged(
    what="our marks, but another uid than the ledger: was the cluster restored from a backup?",
    hint=(
        "If it was, delete the ledger, which is made again from the marks; or name the objects in an"
        " Adoption."
    ),
)
_UNKNOWN = Estranged(
    what="our marks, and the ledger knows nothing of that",
    hint="Name what is ours in an Adoption, and remove what is not.",
)
