"""What a run is given beside its inputs: what it is asked to do, and what its process remembers."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from msgspec import Struct, field

from gitmesh.model.config import PruneConfig
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.ledger import Ledger


class Options(Struct, frozen=True, kw_only=True):
    """What a run is asked to do, beside its inputs. `clusters` are all configured clusters with their labels.

    `review`: the tip itself is asked about, so its errors are the answer and no older revision takes its
    place. `only`: plan and apply these clusters only (empty = all); facts of the others are still read, as
    identities need them.
    """

    instance: str = "default"
    clusters: Mapping[str, Mapping[str, str]] = {}
    prune: PruneConfig = field(default_factory=PruneConfig)
    approve: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    allow_rewind: frozenset[str] = frozenset()
    review: bool = False
    only: frozenset[str] = frozenset()


class Memo(Struct):
    """What one process remembers between runs. All of it can be lost: only time is lost with it."""

    parsed: MutableMapping[Any, Any] = {}
    accepted: MutableMapping[str, str] = {}
    facts: MutableMapping[str, ClusterFacts] = {}
    ledgers: MutableMapping[str, Ledger] = {}
    resolved: MutableMapping[Any, Any] = {}
    built: MutableMapping[Any, Any] = {}
    desired: MutableMapping[str, Any] = {}
    clusters: MutableMapping[str, MutableMapping[Any, Any]] = {}

    def of(self, cluster: str) -> MutableMapping[Any, Any]:
        """The part of one cluster, so that clusters at work at the same time share nothing."""
        return self.clusters.setdefault(cluster, {})
