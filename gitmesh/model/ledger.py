"""What we applied to a cluster: the memory that makes deletion safe and last-good possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from gitmesh.model.empty import no_items
from gitmesh.model.facts import Mesh
from gitmesh.model.objects import ObjectKey
from gitmesh.model.ownership import WHOLE, Ownership
from gitmesh.model.units import UnitKey

NAMESPACE = "gitmesh-system"
"""Of the ledger in a Kubernetes cluster, where it is a ConfigMap."""


FIGHT = 5
"""Corrections in a row of one object after which somebody is taken to change it back."""


Parts: TypeAlias = "Mapping[str, Mapping[str, tuple[str, ...]]]"
"""Source -> policy ("" = all of the source's) -> digests of rules."""


class Entry(Struct, frozen=True, kw_only=True):
    """One object of ours. `uid` is "" between the intent to create it and the answer; `commit` is the one
    that last wrote it, `warnings` are what the cluster said when it took that write.

    `units` wanted it when it was last as wanted, empty where that is not known (an older version wrote it).
    `sources` are those whose policies it is made of, empty where that is not known. Where several sources, or
    several policies that decide who may call, share it, `parts` are the digests of its rules by source and
    policy: one's part can be told from another's while one of them cannot be read, or is held. `writer` is
    the translator that wrote it, "" where that is not known. `ownership` is what of the object is ours: where
    that is only some fields of somebody else's, nothing on the object tells, and this alone does.
    """

    uid: str = ""
    digest: str = ""
    commit: str = ""
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    parts: Parts = no_items()
    units: tuple[UnitKey, ...] = ()
    writer: str = ""
    ownership: Ownership = WHOLE


class Hold(Struct, frozen=True, kw_only=True):
    """Something that is left as it is because a reading or a revision is doubtful. `since` is in seconds
    since the epoch (0 = not known); `approved`: somebody confirmed the facts that its id stands for."""

    text: str
    since: int = 0
    approved: bool = False


class Ledger(Struct, frozen=True, kw_only=True):
    """`sources` maps a source to its accepted (last good) commit; `cluster_uid` pins the cluster.

    `meshes` are those of every managed cluster as last seen, by cluster, with the values on which names of
    others depend. They tell whose identities are whose while a cluster does not answer or a mesh is away,
    also after a restart. `kinds` had objects at the last reading. `holds` are by id. `heals` counts the
    corrections in a row of each object that somebody keeps changing.
    """

    instance: str
    cluster_uid: str = ""
    sources: Mapping[str, str] = {}
    entries: Mapping[ObjectKey, Entry] = {}
    meshes: Mapping[str, tuple[Mesh, ...]] = {}
    kinds: frozenset[str] = frozenset()
    holds: Mapping[str, Hold] = {}
    heals: Mapping[ObjectKey, int] = {}

    @property
    def approved(self) -> frozenset[str]:
        """The ids of holds whose facts somebody confirmed."""
        return frozenset(name for name, hold in self.holds.items() if hold.approved)


class Stored(Struct, frozen=True, kw_only=True):
    """A ledger as read: `version` is for compare-and-set ("" = there is none yet); `rebuilt` = it was
    unreadable.
    """

    ledger: Ledger
    version: str = ""
    corrupt: bool = False
