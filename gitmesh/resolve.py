"""From policies and facts to units: what each destination and each mesh of each cluster must do."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.policies import Policy
from gitmesh.model.units import Unit, UnitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Units by cluster, sorted by key; `held` are those that an error or unknown facts keep back."""

    units: Mapping[str, tuple[Unit, ...]] = field(default_factory=dict)
    held: Mapping[str, tuple[UnitKey, ...]] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()


def resolve(
    policies: Sequence[Policy],
    facts: Mapping[str, ClusterFacts | None],
    clusters: Mapping[str, Mapping[str, str]],
    memo: MutableMapping[Any, Any] | None = None,
) -> Resolution:
    """Decide, for every unit, what all policies together say of it.

    `facts` maps each managed cluster to what is known of it (None = unknown, never empty); `clusters` maps every
    configured cluster to its labels. `memo` keeps results between calls, so that a small change costs little.
    """
    return Resolution()
