"""Units with what others wrote around their destinations (docs/design.md#facts): the translators know what
objects of their mesh do to each other, here it is asked. Called by build; no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.model.strangers import ALONE, Around
from gitmesh.model.units import AccessUnit, DestinationUnit, MeshUnit, RoutingUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.strangers import ClientTls
    from gitmesh.model.units import Unit, UnitKey
    from gitmesh.ports import Translator


def surrounded(
    units: Sequence[Unit], facts: ClusterFacts, translators: Mapping[str, Translator]
) -> tuple[Unit, ...]:
    """The units of a cluster, each destination with its surroundings; the same where there are none."""
    asked = [
        one.surroundings(facts, meshes)
        for name, one in sorted(translators.items())
        if (meshes := facts.meshes_of(name))
    ]
    # Without mTLS a client that insists on it is refused, so what strangers' objects say of that comes to
    # matter.
    plain = frozenset(
        unit.mesh.name
        for unit in units
        if isinstance(unit, MeshUnit) and unit.mtls is not None and unit.mtls.value.mode == "Disabled"
    )
    return tuple(unit if isinstance(unit, MeshUnit) else _surrounded(unit, asked, plain) for unit in units)


def client_tls(
    units: Sequence[Unit],
    held: Collection[UnitKey],
    facts: ClusterFacts,
    translators: Mapping[str, Translator],
) -> Mapping[tuple[str, str], tuple[ClientTls, ...]]:
    """With which TLS clients connect to the cluster's Services where no policy says it; those left out for
    whom the mesh chooses."""
    asked = [
        telling
        for name, one in sorted(translators.items())
        if (meshes := facts.meshes_of(name)) and (telling := one.client_tls(facts, meshes))
    ]
    if not asked:
        return {}
    routing = {
        unit.service.key: unit
        for unit in units
        if isinstance(unit, RoutingUnit) and unit.home == facts.cluster
    }
    found: dict[tuple[str, str], tuple[ClientTls, ...]] = {}
    for service in facts.services:
        unit = routing.get(service.key)
        links = [link for one in asked for link in one(service, unit)]
        if unit is not None and unit.key in held:
            # What is live of ours goes before what all others would find, and nobody knows what it says.
            links = [link for link in links if link.namespace]
        if links:
            found[service.key] = tuple(links)
    return found


def _surrounded(
    unit: RoutingUnit | AccessUnit,
    asked: Iterable[Callable[[DestinationUnit], Around]],
    plain: frozenset[str],
) -> RoutingUnit | AccessUnit:
    found = [around for one in asked if (around := one(unit)) is not ALONE and around != ALONE]
    plaintext = isinstance(unit, RoutingUnit) and not plain.isdisjoint(unit.meshes)
    # The same unit where nothing stands around it, for translations are remembered by what they were made
    # of; and that is nearly every one of thousands.
    if not found and not plaintext and unit.around is ALONE:
        return unit
    around = Around(
        overrides=tuple(sorted(one for each in found for one in each.overrides)),
        contenders=tuple(sorted(one for each in found for one in each.contenders)),
        displaced=tuple(one for each in found for one in each.displaced),
        ways=tuple(sorted(one for each in found for one in each.ways)),
        shut=tuple(sorted(one for each in found for one in each.shut)),
        direct=any(each.direct for each in found),
        common=any(each.common for each in found),
        seen_as=next((each.seen_as for each in found if each.seen_as), None),
        plaintext=plaintext,
    )
    return unit if around == unit.around else replace(unit, around=around)
