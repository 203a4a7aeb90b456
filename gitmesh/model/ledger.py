"""What we applied to a cluster: the memory that makes deletion safe and last-good possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.model.facts import Mesh
    from gitmesh.model.objects import ObjectKey


NAMESPACE = "gitmesh-system"
"""Of the ledger in a Kubernetes cluster, where it is a ConfigMap."""


class Entry(Struct, frozen=True, kw_only=True):
    """One object of ours. `uid` is "" between the intent to create it and the answer; `commit` is the one that last wrote it,
    `warnings` are what the cluster said when it took that write."""

    uid: str = ""
    digest: str = ""
    commit: str = ""
    warnings: tuple[str, ...] = ()


class Ledger(Struct, frozen=True, kw_only=True):
    """`sources` maps a source to its accepted (last good) commit; `cluster_uid` pins the cluster.

    `meshes` are those of every managed cluster as last seen, by cluster: translator, name and trust domain only. They tell
    whose identities are whose while a cluster does not answer, also after a restart.
    """

    instance: str
    cluster_uid: str = ""
    sources: Mapping[str, str] = {}
    entries: Mapping[ObjectKey, Entry] = {}
    meshes: Mapping[str, tuple[Mesh, ...]] = {}


class Stored(Struct, frozen=True, kw_only=True):
    """A ledger as read: `version` is for compare-and-set ("" = there is none yet); `rebuilt` = it was unreadable."""

    ledger: Ledger
    version: str = ""
    corrupt: bool = False
