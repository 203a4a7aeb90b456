"""What a policy did stays while it names something that is not there (docs/concepts.md#what-an-error-holds).

Its destinations are then not all known: the one that it acted on until now may well be the one that is meant.
A letter too many in a name must not withdraw a Deny, so nothing is withdrawn before the name is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.model.manifests import Build, Narrowing
from gitmesh.model.units import RoutingUnit
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.holding import is_mesh_wide
from gitmesh.planning.ownership import ours_in, policies_behind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Entry, Ledger
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.model.units import Unit, UnitKey
    from gitmesh.planning.holding import Owners


def keep_back(
    built: Build, observed: Observed, facts: ClusterFacts, ledger: Ledger, owners: Owners
) -> Adapted:
    """The build with all those units held of which a policy would be withdrawn that names what is not there,
    or that is gone from this cluster alone; the same build where there is none."""
    # Of a cluster that is held for what was read of it, that is said already.
    gone = [one for one in built.gone if one.hold not in ledger.approved and not built.doubtful]
    waiting = built.pending.union(one.policy for one in gone)
    rebuilt = not ledger.entries
    mine = {
        key: live
        for key, live in observed.live.items()
        if ours_in(live, built.cluster, ledger, rebuilt=rebuilt)
    }
    entries = ledger.entries
    # Only where something would be lost: a policy that never acted on more is not worth a hold.
    losing = {
        key: lost for key, live in mine.items() if (lost := _lost(live, entries.get(key), built, waiting))
    }
    if not losing:
        return Adapted(built=built)
    # What an object in a tenant's namespace says of itself holds nothing mesh-wide.
    concerned = {
        unit
        for key, lost in losing.items()
        for unit in owners.known(key)
        if (is_mesh_wide(lost) if unit.half == "mesh" else (unit.namespace, unit.name) in facts.service_index)
    }
    # A route of another destination may lead to a subset of a held one, which does not get that subset now.
    units = _with_dependants(concerned, built.units)
    owned = {key: owners.of(key) & units for key in owners.owned(units)}
    # What is held for an error already knows more of what is withheld, so that wins.
    narrowing = {**_narrowing(losing, owned, built), **built.narrowing}
    told = tuple(one for one in gone if any(one.policy in lost for lost in losing.values()))
    made = replace(
        built,
        held=built.held.union(losing, owned),
        held_units=built.held_units | units,
        waiting=built.waiting.union(*losing.values()),
        narrowing=narrowing,
    )
    return Adapted(built=made, diagnostics=told)


def _narrowing(
    losing: Mapping[ObjectKey, frozenset[str]],
    owned: Mapping[ObjectKey, frozenset[UnitKey]],
    built: Build,
) -> dict[ObjectKey, Narrowing]:
    """What may become narrower of the objects that are held for this alone: nothing is wanted of one whose
    Service is not there."""
    withheld = dict(losing)
    by_unit: dict[UnitKey, set[str]] = {}
    for key, units in owned.items():
        for unit in units:
            by_unit.setdefault(unit, set()).update(losing.get(key, ()))
    for key, units in owned.items():
        if access := [unit for unit in units if unit.half == "access"]:
            withheld[key] = frozenset[str]().union(*(by_unit[unit] for unit in access))
    return {
        key: Narrowing(wanted=built.manifests.get(key), withheld=lost)
        for key, lost in withheld.items()
        if key not in built.held
    }


def _lost(live: Live, entry: Entry | None, built: Build, waiting: frozenset[str]) -> frozenset[str]:
    """The waiting policies that the object comes from and would not any more."""
    manifest = built.manifests.get(live.key)
    return (waiting & policies_behind(live, entry)).difference(manifest.policies if manifest else ())


def _with_dependants(units: Iterable[UnitKey], decided: Iterable[Unit]) -> frozenset[UnitKey]:
    """These units and those that route to subsets of them: a held destination gets no new subset."""
    routing = {unit.key: unit for unit in decided if isinstance(unit, RoutingUnit)}
    asking = {
        key: {origin.policy for subset in unit.subsets for origin in subset.origins}
        for key, unit in routing.items()
    }
    acting: dict[str, set[UnitKey]] = {}
    for key, unit in routing.items():
        for policy in unit.policies:
            acting.setdefault(policy, set()).add(key)
    found, waiting = set(units), list(units)
    # To the end of the chain, each unit once: subsets of subsets may be routed to in a circle.
    while waiting:
        more = {key for policy in asking.get(waiting.pop(), ()) for key in acting.get(policy, ())} - found
        found |= more
        waiting += more
    return frozenset(found)
