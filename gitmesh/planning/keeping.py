"""What a policy did stays while it names something that is not there (api.md, What an error holds back).

Its destinations are then not all known: the one that it acted on until now may well be the one that is meant.
A letter too many in a name must not withdraw a Deny, so nothing is withdrawn before the name is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.model.manifests import Build, Narrowing
from gitmesh.model.units import HALVES, UnitKey
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.ownership import claims, is_ours, policies_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Ledger
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.model.units import Unit
    from gitmesh.ports import Translator


_MESH_WIDE = "VirtualMesh/"


def keep_back(
    built: Build,
    observed: Observed,
    facts: ClusterFacts,
    translators: Mapping[str, Translator],
    ledger: Ledger,
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
        if is_ours(live, built.cluster, ledger, rebuilt=rebuilt)
    }
    losing = {key: lost for key, live in mine.items() if (lost := _lost(live, built, waiting))}
    if not losing:
        return Adapted(built=built)
    claimed = dict(_claimed(facts, translators))
    # What an object in a tenant's namespace says of itself holds nothing mesh-wide.
    meshwide = {key for key, lost in losing.items() if any(policy.startswith(_MESH_WIDE) for policy in lost)}
    lost_by = {unit: meshwide if unit.kind == "Mesh" else losing.keys() for unit in claimed}
    concerned = {unit for unit, keys in claimed.items() if not lost_by[unit].isdisjoint(keys)}
    units = _with_dependants(concerned, built.units)
    narrowing = {**_narrowing(losing, units, claimed, built), **built.narrowing}
    held = built.held.union(losing, *(claimed.get(unit, ()) for unit in units))
    said = tuple(one for one in gone if any(one.policy in lost for lost in losing.values()))
    waits = built.waiting.union(*losing.values())
    made = replace(built, held=held, held_units=built.held_units | units, waiting=waits, narrowing=narrowing)
    return Adapted(built=made, diagnostics=said)


def _narrowing(
    losing: Mapping[ObjectKey, frozenset[str]],
    units: Iterable[UnitKey],
    claimed: Mapping[UnitKey, frozenset[ObjectKey]],
    built: Build,
) -> dict[ObjectKey, Narrowing]:
    """What may become narrower of the objects that are held for this alone: nothing is wanted of one whose
    Service is not there."""
    withheld: dict[ObjectKey, frozenset[str]] = dict(losing)
    for unit in units:
        mine = claimed.get(unit, frozenset()) if unit.half == "access" else frozenset()
        lost = frozenset[str]().union(*(losing[key] for key in mine & losing.keys()))
        withheld |= dict.fromkeys(mine, lost)
    return {
        key: Narrowing(wanted=built.manifests.get(key), withheld=lost)
        for key, lost in withheld.items()
        if key not in built.held
    }


def _lost(live: Live, built: Build, waiting: frozenset[str]) -> frozenset[str]:
    """The waiting policies that the object comes from and would not any more."""
    manifest = built.manifests.get(live.key)
    return waiting.intersection(policies_of(live)).difference(manifest.policies if manifest else ())


def _claimed(
    facts: ClusterFacts, translators: Mapping[str, Translator]
) -> Iterator[tuple[UnitKey, frozenset[ObjectKey]]]:
    """Every half of a destination and every mesh that may be, and the objects that it may own."""
    keys = [
        UnitKey(kind="Destination", namespace=service.namespace, name=service.name, half=half)
        for service in facts.services
        for half in HALVES
    ]
    keys += [UnitKey(kind="Mesh", namespace="", name=mesh.name) for mesh in facts.meshes]
    for key in keys:
        yield (
            key,
            frozenset(
                claim
                for name, one in translators.items()
                for claim in claims(one, key, facts.meshes_of(name), facts)
            ),
        )


def routing(unit: UnitKey) -> UnitKey:
    """The half of a destination that subsets belong to; a mesh is of one piece."""
    return replace(unit, half="routing") if unit.kind == "Destination" else unit


def _with_dependants(units: Iterable[UnitKey], decided: Iterable[Unit]) -> frozenset[UnitKey]:
    """These units and those that route to subsets of them: a held destination gets no new subset."""
    asking = {
        routing(unit.key): {o.policy for subset in getattr(unit, "subsets", ()) for o in subset.origins}
        for unit in decided
    }
    acting: dict[str, set[UnitKey]] = {}
    for unit in decided:
        for policy in unit.policies:
            acting.setdefault(policy, set()).add(routing(unit.key))
    found, waiting = set(units), list(units)
    while waiting:
        more = {key for policy in asking.get(waiting.pop(), ()) for key in acting.get(policy, ())} - found
        found |= more
        waiting += more
    return frozenset(found)
