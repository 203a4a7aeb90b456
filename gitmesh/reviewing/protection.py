"""What guards meshes and destinations, made weaker or stronger: mTLS, the default, exemptions, gateways, what
a Deny says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.model.comparison import ProtectionChange
from gitmesh.model.grants import Access, Grant
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided
from gitmesh.model.units import AccessUnit, MeshUnit, RoutingUnit
from gitmesh.render.values import counted
from gitmesh.reviewing.connections import connection_changes

# Where nobody says a mode, the mesh's own counts, which is Permissive if it was not changed.
_MTLS: Mapping[str, int] = {"Disabled": 0, "": 1, "Permissive": 1, "Strict": 2}
_DEFAULTS: Mapping[str, int] = {"Allow": 0, "MeshDefault": 0, "": 0, "Deny": 1}


def mesh_changes(before: MeshUnit | None, after: MeshUnit | None) -> tuple[ProtectionChange, ...]:
    """What a VirtualMesh guards otherwise in one mesh of a cluster."""
    return tuple(_mesh_changes(before, after))


def _mesh_changes(before: MeshUnit | None, after: MeshUnit | None) -> Iterator[ProtectionChange]:
    unit = after or before
    subject = f"mesh {unit.mesh.name}" if unit else ""
    sides = (before.mtls if before else None, after.mtls if after else None)
    yield from _moved(subject, "mTLS", tuple(one.value.mode if one else "" for one in sides), _MTLS, sides)
    sides = (before.access_default if before else None, after.access_default if after else None)
    yield from _moved(
        subject, "accessDefault", tuple(str(one.value) if one else "" for one in sides), _DEFAULTS, sides
    )
    old, new = (frozenset(w.key for w in unit.gateways) if unit else frozenset() for unit in (before, after))
    if sides[1] is not None and sides[1].value == "Deny":
        yield from _gateways(subject, new - old, (sides[1].origin,), weaker=True)
        yield from _gateways(subject, old - new, (sides[1].origin,), weaker=False)


def _gateways(
    subject: str, keys: frozenset[tuple[str, str, str]], origins: tuple[Origin, ...], *, weaker: bool
) -> Iterator[ProtectionChange]:
    for _, namespace, name in sorted(keys):
        what = (
            "counts as a gateway, which a default of Deny does not cover"
            if weaker
            else "no longer counts as a gateway"
        )
        yield ProtectionChange(
            subject=subject, text=f"{namespace}/{name} {what}", weaker=weaker, origins=origins
        )


def _moved(
    subject: str, what: str, values: Sequence[str], ranks: Mapping[str, int], sides: Sequence[Decided | None]
) -> Iterator[ProtectionChange]:
    old, new = values
    if old != new:
        yield ProtectionChange(
            subject=subject,
            text=f"{what}: {old or '(not managed)'} -> {new or '(not managed)'}",
            weaker=ranks.get(new, 0) < ranks.get(old, 0),
            origins=tuple(sorted({side.origin for side in sides if side})),
        )


def destination_changes(
    service: tuple[str, str],
    routing: tuple[RoutingUnit | None, RoutingUnit | None],
    access: tuple[AccessUnit | None, AccessUnit | None],
) -> tuple[ProtectionChange, ...]:
    """What guards one Service (namespace, name) otherwise: each half before and after."""
    return tuple(_destination_changes("/".join(service), routing, access))


def _destination_changes(
    subject: str,
    routing: tuple[RoutingUnit | None, RoutingUnit | None],
    access: tuple[AccessUnit | None, AccessUnit | None],
) -> Iterator[ProtectionChange]:
    old, new = (unit.access if unit else Access() for unit in access)
    yield from _grants(subject, old.denies, new.denies)
    yield from connection_changes(subject, *routing)
    if old.governed != new.governed:
        text = (
            "an Allow governs it now: what no Allow admits is denied"
            if new.governed
            else "no Allow governs it any more"
        )
        origins = tuple(sorted({grant.origin for grant in (*old.allows, *new.allows)}))
        yield ProtectionChange(subject=subject, text=text, weaker=not new.governed, origins=origins)
    if old.exempt and not new.exempt and new.default == "Deny":
        yield ProtectionChange(
            subject=subject,
            text="no longer exempt from the default of Deny",
            weaker=False,
            origins=(old.exempt.origin,),
        )
    if new.exempt and (not old.exempt or replace(old.exempt, origin=new.exempt.origin) != new.exempt):
        text = (
            "exempt from the default of Deny"
            if not old.exempt
            else "exempt from the default of Deny otherwise than before"
        )
        yield ProtectionChange(subject=subject, text=text, weaker=True, origins=(new.exempt.origin,))


def _grants(subject: str, old: Sequence[Grant], new: Sequence[Grant]) -> Iterator[ProtectionChange]:
    """Rules of Denies that came or went; that another policy says the same is no change."""
    was, now = ({_meaning(grant): grant.origin for grant in side} for side in (old, new))
    gone = [origin for meaning, origin in was.items() if meaning not in now]
    come = [origin for meaning, origin in now.items() if meaning not in was]
    if gone:
        yield ProtectionChange(
            subject=subject,
            text=f"{counted(len(gone), 'Deny')} taken back",
            weaker=True,
            origins=tuple(sorted(gone)),
        )
    if come:
        yield ProtectionChange(
            subject=subject,
            text=f"{counted(len(come), 'Deny')} added",
            weaker=False,
            origins=tuple(sorted(come)),
        )


def _meaning(grant: Grant) -> object:
    return frozenset(grant.callers), frozenset(grant.operations)
