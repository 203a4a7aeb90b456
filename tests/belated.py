"""A cluster whose answers may be from before."""

from __future__ import annotations

from collections.abc import Sequence

from gitmesh.adapters.memory import MemoryCluster
from gitmesh.model.ledger import Stored
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.plan import Live, Observed


class BelatedCluster(MemoryCluster):
    """Shows the lists of a while ago (`listed`), the ledger of a while ago (`remembered`), or both. By name
    objects are as they are, and what is written meets the cluster as it is.
    """

    listed: dict[ObjectKey, Live] | None = None
    remembered: Stored | None = None

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:
        """As things are, or were."""
        now = self.objects
        try:
            self.objects = now if self.listed is None else self.listed
            return super().observe(kinds)
        finally:
            self.objects = now

    def load(self, instance: str) -> Stored:
        """The ledger as it is, or was."""
        return self.remembered or super().load(instance)
