"""A configured cluster whose credentials or address cannot even be read: it fails alone, the others keep working."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from msgspec import Struct

from gitmesh.errors import ClusterError
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.ledger import Ledger, Stored
from gitmesh.model.objects import ApiKind
from gitmesh.model.plan import SETTLE, Observed, Outcome, Plan


class UnusableCluster(Struct):
    """Answers every question with `error`."""

    name: str
    error: ClusterError
    labels: Mapping[str, str] = {}
    enforce: bool = True
    settle: float = SETTLE

    def _fail(self) -> NoReturn:
        raise ClusterError(str(self.error), retryable=self.error.retryable, code=self.error.code, detail=self.error.detail)

    def facts(self) -> ClusterFacts:
        """Raises ClusterError."""
        self._fail()

    def prefetch(self, kinds: Sequence[ApiKind]) -> None:
        """There is nothing to read."""

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:  # noqa: ARG002  the port's signature
        """Raises ClusterError."""
        self._fail()

    def predict(self, plan: Plan) -> Plan:  # noqa: ARG002  the port's signature
        """Raises ClusterError."""
        self._fail()

    def apply(self, plan: Plan) -> tuple[Outcome, ...]:  # noqa: ARG002  the port's signature
        """Raises ClusterError."""
        self._fail()

    @property
    def clock(self) -> None:
        """Nothing is known of it."""

    def load(self, instance: str) -> Stored:  # noqa: ARG002  the port's signature
        """Raises ClusterError."""
        self._fail()

    def save(self, ledger: Ledger, version: str) -> str:  # noqa: ARG002  the port's signature
        """Raises ClusterError."""
        self._fail()
