"""A configured cluster or repository that may not or cannot be asked at all: it fails alone, the others keep
working.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from msgspec import Struct

from gitmesh.errors import ClusterError, SourceError
from gitmesh.model.facts import NOTHING_REMEMBERED, ClusterFacts, Remembered
from gitmesh.model.ledger import Ledger, Stored
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.plan import SETTLE, Live, Observed, Outcome, Plan
from gitmesh.model.snapshot import Snapshot


class UnusableSource(Struct, frozen=True):
    """Answers every question with the problem and what helps."""

    name: str
    problem: str
    hint: str

    def fetch(self) -> Snapshot:
        """Raises SourceError."""
        raise SourceError(self.problem, hint=self.hint)

    def read(self, commit: str) -> Snapshot:  # noqa: ARG002  the port's signature
        """Raises SourceError."""
        raise SourceError(self.problem, hint=self.hint)

    # "No" is the answer that holds a revision; "yes" would let a rewound branch pass.
    def descends(self, tip: str, ancestor: str) -> bool:  # noqa: ARG002  the port's signature
        """No: nothing is known of it."""
        return False

    def leads_to(self, commit: str) -> bool:  # noqa: ARG002  the port's signature
        """No: nothing is known of it."""
        return False

    def accept(self, commit: str) -> None:
        """Nothing of it comes into force."""

    def accepted(self) -> str:
        """None: nothing of it was ever in force here."""
        return ""


class UnusableCluster(Struct):
    """Answers every question with `error`."""

    name: str
    error: ClusterError
    labels: Mapping[str, str] = {}
    enforce: bool = True
    settle: float = SETTLE

    def _fail(self) -> NoReturn:
        # A new one each time: an exception that is raised again keeps its tracebacks, and several threads may
        # ask.
        error = self.error
        raise ClusterError(
            str(error), retryable=error.retryable, code=error.code, detail=error.detail, hint=error.hint
        )

    # The port's signature.
    def facts(self, remembered: Remembered = NOTHING_REMEMBERED) -> ClusterFacts:  # noqa: ARG002
        """Raises ClusterError."""
        self._fail()

    def prefetch(self, kinds: Sequence[ApiKind]) -> None:
        """There is nothing to read."""

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:  # noqa: ARG002  the port's signature
        """Raises ClusterError."""
        self._fail()

    def find(self, keys: Sequence[ObjectKey]) -> Mapping[ObjectKey, Live]:  # noqa: ARG002
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
