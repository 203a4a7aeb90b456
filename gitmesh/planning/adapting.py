"""The build of one cluster as it must be beside what is live: the steps between a build and its plan, in
their order. Called by converge; no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitmesh.planning.adapted import Adapted
from gitmesh.planning.ledgers import rebuilt

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Stored
    from gitmesh.model.manifests import Build
    from gitmesh.model.plan import Observed
    from gitmesh.planning.converge import Cycle


def adapted_to(
    built: Build,
    observed: Observed,
    facts: ClusterFacts,
    stored: Stored,
    cycle: Cycle,
    memo: MutableMapping[Any, Any],
) -> Adapted:
    """The build as it must be beside what is live: without what a policy would withdraw that names something
    absent, with what absent sources said and what guards pods whose Service is missing, no wider than
    strangers' objects leave it, and with what stays at pods until others guard them. The same value again
    while nothing moved."""
    ledger, absent = stored.ledger, cycle.revisions.absent
    unwanted = ledger.entries.keys() - built.manifests.keys() - built.held
    hangs = absent or built.held_units or built.settled or _hangs_on_entries(built)
    told = ledger.entries if hangs else None
    same, equal = (built, observed, facts), (absent, ledger.approved, told, unwanted)
    found = memo.get("adapted")
    if (
        found is None
        or any(old is not new for old, new in zip(found[0], same, strict=True))
        or found[1] != equal
    ):
        found = memo["adapted"] = (same, equal, _adapt(built, observed, facts, stored, cycle))
    made: Adapted = found[2]
    return made


def _hangs_on_entries(built: Build) -> bool:
    """Whether held objects of the build may become narrower, for which the ledger knows whose rules are
    whose, or one object is wanted by several translators.
    """
    return bool(built.narrowing or built.pending or built.gone or built.rivals)


def _adapt(built: Build, observed: Observed, facts: ClusterFacts, stored: Stored, cycle: Cycle) -> Adapted:
    # Imported late: most builds need none of it.
    ledger, revisions, translators = stored.ledger, cycle.revisions, cycle.translators
    made = Adapted(built=built)
    if built.rivals:
        from gitmesh.planning.electing import elect

        made = made.then(elect(built, ledger))
    if built.held_units or built.settled or built.pending or built.gone:
        from gitmesh.planning.holding import Owners, hold
        from gitmesh.planning.keeping import keep_back

        entries = rebuilt(stored, observed).entries
        owners = Owners(entries, built, observed, facts, translators)
        made = made.then(hold(built, entries, owners, revisions.homes.keys()))
        if built.pending or built.gone:
            made = made.then(keep_back(made.built, observed, facts, ledger, owners))
    if revisions.absent:
        from gitmesh.planning.retaining import retain

        made = made.then(retain(made.built, observed, ledger, revisions, translators))
    if ledger.entries.keys() - made.built.manifests.keys():
        from gitmesh.planning.unserved import stand

        made = made.then(stand(made.built, observed, facts, ledger, revisions, translators))
    if made.built.narrowing:
        from gitmesh.planning.narrowing import narrow

        made = made.then(narrow(made.built, observed, ledger, revisions, translators))
    from gitmesh.planning.beside import beside
    from gitmesh.planning.relieving import relieve

    made = made.then(beside(made.built, observed, facts, ledger, translators))
    return made.then(relieve(made.built, observed, facts, ledger, translators))
