"""Clusters: Kubernetes, a directory, or memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gitmesh.model.facts import NOTHING_REMEMBERED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gitmesh.model.facts import ClusterFacts, Remembered
    from gitmesh.model.ledger import Ledger, Stored
    from gitmesh.model.objects import ApiKind, ObjectKey
    from gitmesh.model.plan import Live, Observed, Outcome, Plan


class Cluster(Protocol):
    """One cluster: Kubernetes, a directory, or memory. Every method may raise ClusterError.

    `settle` is the number of seconds in which every proxy is taken to learn of a write.
    """

    name: str
    labels: Mapping[str, str]
    enforce: bool
    settle: float

    def facts(self, remembered: Remembered = NOTHING_REMEMBERED) -> ClusterFacts:
        """What lives there, without our own objects, given what was known before. The same object again while
        nothing changed.
        """

    def prefetch(self, kinds: Sequence[ApiKind]) -> None:
        """Begin to read what `observe` will be asked for: servers answer while other clusters are read.
        Reports nothing itself.
        """

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:
        """Every live object of these kinds, ours or not."""

    def find(self, keys: Sequence[ObjectKey]) -> Mapping[ObjectKey, Live]:
        """Those of these objects that are there now, each asked for by name, of kinds that `observe` found:
        what answers a list may be a while behind.
        """

    def predict(self, plan: Plan) -> Plan:
        """Drop the updates that the cluster itself says change nothing (a server's dry run of what
        differs).
        """

    def apply(self, plan: Plan) -> tuple[Outcome, ...]:
        """Carry out the plan's writes in order; a failure stops the later steps that its policies' units
        need.
        """

    @property
    def clock(self) -> Callable[[], float] | None:
        """What tells the cluster's own time at its last answer, in seconds since the epoch (0 = it did not
        tell); None where nothing runs, so that no mesh could say anything."""

    def load(self, instance: str) -> Stored:
        """The ledger; an empty one if there is none."""

    def save(self, ledger: Ledger, version: str) -> str:
        """Compare-and-set the ledger; returns its new version. Raises ClusterError on a lost race."""


class Fleet(Protocol):
    """All clusters of the configuration, several at once, each failing alone."""

    clusters: Mapping[str, Cluster]

    def each(self, work: Callable[[Cluster], Any], names: Iterable[str] | None = None) -> Mapping[str, Any]:
        """Run `work` on the clusters at the same time; a ClusterError becomes the result of its cluster."""
