"""The one result of a run: everything that a screen, a status commit or a metric shows."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitmesh.diagnostics import Diagnostic
    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Ledger
    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Outcome, Plan
    from gitmesh.model.policies import Policy


class Stage(IntEnum):
    """How far a run goes."""

    PARSE = 1
    BUILD = 2
    PLAN = 3
    APPLY = 4


class State(StrEnum):
    """State of a policy, a cluster or an instance (docs/concepts.md#the-status-branch)."""

    SYNCED = "Synced"
    DRIFTED = "Drifted"
    PENDING = "Pending"
    INVALID = "Invalid"
    FAILED = "Failed"
    HELD = "Held"
    UNREACHABLE = "Unreachable"


_FROM_GOOD = (
    State.SYNCED,
    State.DRIFTED,
    State.PENDING,
    State.HELD,
    State.INVALID,
    State.FAILED,
    State.UNREACHABLE,
)
"""A policy, cluster or instance is in the worst state of its parts."""


def worst(states: Iterable[State]) -> State:
    """The worst of some states; Synced for none."""
    # Without parts there is none that is in a bad state.
    return max(states, key=_FROM_GOOD.index, default=State.SYNCED)


class Verdict(StrEnum):
    """What the mesh itself said of an object."""

    ACCEPTED = "Accepted"
    WARNED = "Warned"
    REJECTED = "Rejected"
    UNKNOWN = "Unknown"


class MeshStatus(Struct, frozen=True, kw_only=True):
    """What a mesh says now of the newest content of a live object. `text` are its words, which may differ
    each time: people read them. `reason` is what of them stays the same while the mesh means the same: its
    codes, condition types and reasons.

    `silence`: how many seconds without a word against that content mean that the mesh accepts it; None where
    they mean nothing, as nobody validates it.
    """

    verdict: Verdict = Verdict.UNKNOWN
    text: str = ""
    reason: str = ""
    silence: float | None = None


class SourceResult(Struct, frozen=True, kw_only=True):
    """One source: the tip that was seen, and the commit that is in force. They differ while the tip is
    refused or held.
    """

    name: str
    seen: str = ""
    accepted: str = ""
    refused: bool = False
    unavailable: bool = False


class ClusterResult(Struct, frozen=True, kw_only=True):
    """One cluster: what it should hold, what the plan was, what came of it.

    `ledger` is the one after the run, `verdicts` what the meshes said of our objects; both only where they
    are known.
    """

    name: str
    state: State
    facts: ClusterFacts | None = None
    build: Build | None = None
    plan: Plan | None = None
    outcomes: tuple[Outcome, ...] = ()
    observe_only: bool = False
    ledger: Ledger | None = None
    verdicts: Mapping[ObjectKey, tuple[Verdict, str]] = {}


def verdict_counts(result: ClusterResult) -> Mapping[Verdict, int]:
    """Objects of one cluster by verdict, every verdict present; empty where none was given."""
    counts = Counter(verdict for verdict, _ in result.verdicts.values())
    return {verdict: counts[verdict] for verdict in Verdict} if counts else {}


class Report(Struct, frozen=True, kw_only=True):
    """The result of one run. `seconds` maps phases to durations, for metrics and progress only."""

    instance: str
    until: Stage
    sources: Mapping[str, SourceResult] = {}
    policies: tuple[Policy, ...] = ()
    clusters: Mapping[str, ClusterResult] = {}
    diagnostics: tuple[Diagnostic, ...] = ()
    seconds: Mapping[str, float] = {}

    @property
    def unreachable(self) -> tuple[str, ...]:
        """Clusters that did not answer."""
        return tuple(name for name, result in self.clusters.items() if result.state is State.UNREACHABLE)
