"""One reading of a cluster's objects of the kinds that matter, asked for again where it is not believed.
Called by converge, and by whoever reads without a plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.planning.guard import vanished
from gitmesh.planning.readings import by_name, unseen

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Ledger
    from gitmesh.model.objects import ApiKind
    from gitmesh.model.plan import Observed
    from gitmesh.planning.converge import Cycle
    from gitmesh.ports import Cluster, Translator


def kinds_of(
    facts: ClusterFacts, translators: Mapping[str, Translator], ledger: Ledger | None
) -> tuple[ApiKind, ...]:
    """The kinds that translators write there, and those of which we have written objects, as the cluster
    serves them, or as translators say where that is unknown."""
    ours = {(key.group, key.kind) for key in ledger.entries} if ledger else set()
    written = {
        (kind.group, kind.kind): kind
        for t in translators.values()
        for kind in t.resources
        if kind in t.writes(facts) or (kind.group, kind.kind) in ours
    }
    return tuple(facts.kind_index.get(name, written[name]) for name in sorted(written))


def observed_of(
    cluster: Cluster,
    facts: ClusterFacts,
    ledger: Ledger,
    cycle: Cycle,
    memo: MutableMapping[Any, Any],
) -> tuple[Observed, list[Diagnostic]]:
    kinds = kinds_of(facts, cycle.translators, ledger)
    observed = cycle.observed.get(cluster.name) or cluster.observe(kinds)
    if vanished(observed, ledger):
        # All gone at once is more likely a wrong answer than a wish: a second reading is asked for (K11).
        observed = cluster.observe(kinds)
    observed = by_name(cluster, observed, unseen(ledger, observed), ledger, memo, "unseen")
    if not vanished(observed, ledger):
        return observed, []
    text = (
        f"all {len(ledger.entries)} objects of ours are gone from cluster {cluster.name}; they are created"
        " again"
    )
    return observed, [finding("GM409", text, cluster=cluster.name, severity=Severity.WARNING)]
