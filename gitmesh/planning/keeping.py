"""What a policy did stays while it names something that is not there (api.md, What an error holds back).

Its destinations are then not all known: the one that it acted on until now may well be the one that is meant. A letter too many
in a name must not withdraw a Deny, so nothing is withdrawn before the name is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.model.units import UnitKey
from gitmesh.planning.ownership import claims, is_marked, policies_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.model.units import Unit
    from gitmesh.ports import Translator


def keep_back(built: Build, observed: Observed, facts: ClusterFacts, translators: Mapping[str, Translator], instance: str) -> Build:
    """The build with all those units held of which a pending policy would be withdrawn; the same one where there is none."""
    losing = {key for key, live in observed.live.items() if is_marked(live, built.cluster, instance) and _loses(live, built)}
    if not losing:
        return built
    claimed = dict(_claimed(facts, translators))
    concerned = {unit for unit, keys in claimed.items() if not losing.isdisjoint(keys)}
    units = _with_dependants(concerned, built.units)
    held = built.held.union(losing, *(claimed.get(unit, ()) for unit in units))
    return replace(built, held=held, held_units=built.held_units | units)


def _loses(live: Live, built: Build) -> bool:
    """Whether the object comes from a pending policy and would not any more."""
    manifest = built.manifests.get(live.key)
    return not built.pending.intersection(policies_of(live)) <= set(manifest.policies if manifest else ())


def _claimed(facts: ClusterFacts, translators: Mapping[str, Translator]) -> Iterator[tuple[UnitKey, frozenset[ObjectKey]]]:
    """Every unit that may be, and the objects that it may own."""
    keys = [UnitKey(kind="Destination", namespace=service.namespace, name=service.name) for service in facts.services]
    keys += [UnitKey(kind="Mesh", namespace="", name=mesh.name) for mesh in facts.meshes]
    for key in keys:
        yield key, frozenset(claim for name, one in translators.items() for claim in claims(one, key, facts.meshes_of(name), facts))


def _with_dependants(units: Iterable[UnitKey], decided: Iterable[Unit]) -> frozenset[UnitKey]:
    """These units and those that route to subsets of them: a held destination gets no new subset."""
    asking = {unit.key: {o.policy for subset in getattr(unit, "subsets", ()) for o in subset.origins} for unit in decided}
    acting: dict[str, set[UnitKey]] = {}
    for unit in decided:
        for policy in unit.policies:
            acting.setdefault(policy, set()).add(unit.key)
    found, waiting = set(units), list(units)
    while waiting:
        more = {key for policy in asking.get(waiting.pop(), ()) for key in acting.get(policy, ())} - found
        found |= more
        waiting += more
    return frozenset(found)
