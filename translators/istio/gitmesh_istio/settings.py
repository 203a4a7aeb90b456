"""DestinationRules of others behind ours: a client takes one whole, so what theirs set is out of force where
ours stands before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitmesh.model.policies import Origin
from gitmesh.model.strangers import Displaced
from gitmesh.model.units import RoutingUnit
from gitmesh_istio.kinds import AUTO_MTLS
from gitmesh_istio.links import subsets_of
from gitmesh_istio.scope import Notes, Part

_MUTUAL = "ISTIO_MUTUAL"
_COPIED = (_MUTUAL, "DISABLE")
"""Modes of TLS that need no certificates of their own."""


def mutual(traffic: Part, unit: RoutingUnit, notes: Notes) -> Part:
    """The settings with the TLS that clients would use without ours, where the mesh does not choose mTLS by
    itself: in every level, as a port's entry replaces the destination's. What a policy sets stays."""
    origin, theirs = _first(unit), next((one for one in unit.around.displaced if one.tls), None)
    levels = [traffic.value, *traffic.value.get("portLevelSettings", ())]
    asked = origin is not None and bool(traffic.value or unit.subsets)
    if not asked or all("tls" in level for level in levels) or not _is_by_hand(unit, theirs, notes):
        return traffic
    assert origin is not None
    mode = theirs.tls if theirs else _MUTUAL
    if theirs and mode not in _COPIED:
        _note_unknown(theirs, unit, origin, notes)
        return traffic
    return _with_tls(traffic, mode, origin)


def _with_tls(traffic: Part, mode: str, origin: Origin) -> Part:
    tls = {"tls": {"mode": mode}}
    # Ours last: what a policy says of TLS stays.
    value = {**tls, **traffic.value}
    if "portLevelSettings" in value:
        value["portLevelSettings"] = [{**tls, **level} for level in value["portLevelSettings"]]
    return Part(value, {"tls": origin, **traffic.origins})


def _first(unit: RoutingUnit) -> Origin | None:
    decided = [field.origin for settings in unit.settings.values() for field in settings.values()]
    return min([*decided, *(origin for subset in unit.subsets for origin in subset.origins)], default=None)


def _is_by_hand(unit: RoutingUnit, theirs: Displaced | None, notes: Notes) -> bool:
    """Whether clients use mTLS to the destination only if a DestinationRule says so, and one must: what
    theirs said stays so, and without theirs all of its pods take it.
    """
    # With enableAutoMtls istiod chooses mTLS itself wherever no DestinationRule says otherwise.
    if not _is_auto_off(notes):
        return False
    if theirs is None:
        return is_mutual(unit)
    proxied = [bool(one.mesh) for one in unit.workloads]
    return not unit.around.plaintext and (not proxied or any(proxied))


def is_mutual(unit: RoutingUnit) -> bool:
    """Whether ours says the mesh's own mTLS where the mesh does not choose it and nobody else has said
    anything: where all pods take it."""
    proxied = [bool(one.mesh) for one in unit.workloads]
    return bool(proxied) and all(proxied) and not unit.around.plaintext


def _is_auto_off(notes: Notes) -> bool:
    return any(mesh.settings.get(AUTO_MTLS) == "false" for mesh in notes.scope.meshes)


def _note_unknown(theirs: Displaced, unit: RoutingUnit, origin: Origin, notes: Notes) -> None:
    service = f"{unit.service.namespace}/{unit.service.name}"
    text = (
        f"{AUTO_MTLS} is off in MeshConfig, and {theirs.by} sets tls {theirs.tls} for {service}, whose"
        " certificates are not known: a DestinationRule of ours would switch it off"
    )
    notes.add("GM320", text, origin)


def note_displaced(spec: Mapping[str, Any], unit: RoutingUnit, origin: Origin, notes: Notes) -> None:
    """Note the settings of others that nobody follows any more once ours is there."""
    policy = spec.get("trafficPolicy", {})
    offered = subsets_of({"spec": dict(spec)})
    for one in unit.around.displaced:
        lost = [name for name in one.sets if name not in policy]
        if one.tls == _MUTUAL and not _is_auto_off(notes) and unit.meshes and "tls" in lost:
            lost.remove("tls")  # which the mesh chooses by itself
        lost += [f"subset {name}" for name in one.subsets if name not in offered]
        if lost:
            text = (
                f"{one.by} sets {', '.join(lost)} for {'/'.join(unit.service.key)} too; clients take one"
                " DestinationRule whole, and ours stands before it, so that is out of force there"
            )
            notes.add("GM224", text, origin)
