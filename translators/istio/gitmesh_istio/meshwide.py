"""Mesh-wide settings of a VirtualMesh -> PeerAuthentication and the default deny, in the mesh's root namespace.

An AuthorizationPolicy with an empty spec allows nothing, everywhere: the default deny. It would cut off gateways, which the
default never covers; so each gets an object that allows all, written before the default deny and deleted after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gitmesh.model.facts import ClusterFacts, Mesh, Workload
from gitmesh.model.manifests import Fragment, Phase
from gitmesh.model.policies import Origin
from gitmesh.model.units import Decided, MeshUnit
from gitmesh.model.virtualmesh import Mtls
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, PEER_AUTHENTICATION
from gitmesh_istio.names import MESH_WIDE
from gitmesh_istio.scope import Notes, Part, fragment

DEFAULT_DENY = f"{MESH_WIDE}-deny"
GATEWAY_SUFFIX = "-gitmesh-gateway"
PEER_DEFAULT = "default"
_MODES = {"Strict": "STRICT", "Permissive": "PERMISSIVE", "Disabled": "DISABLE"}
_PASSING_LABELS = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation"})
"""Labels that change with every rollout."""


def root_of(mesh: Mesh) -> str:
    """Where mesh-wide objects live; the control plane's own namespace unless MeshConfig says otherwise."""
    return mesh.root_namespace or mesh.namespace


def gateway_place(gateway: Workload) -> tuple[str, str]:
    """(namespace, name) of the object that opens a gateway under a default of Deny."""
    return gateway.namespace, f"{gateway.name}{GATEWAY_SUFFIX}"


def gateways_of(facts: ClusterFacts, mesh: Mesh) -> Iterable[Workload]:
    """The gateways of a mesh."""
    return (workload for workload in facts.workloads if workload.gateway and workload.mesh == mesh.name)


def mtls(unit: MeshUnit, decided: Decided, version: str, notes: Notes) -> Fragment:
    """PeerAuthentication `default` of the root namespace."""
    value: Mtls = decided.value
    _note_neighbours(unit, decided.origin, notes)
    spec = Part({"mtls": {"mode": _MODES[value.mode]}}, {"": decided.origin, "mtls.mode": decided.origin})
    return fragment(PEER_AUTHENTICATION, (root_of(unit.mesh), PEER_DEFAULT), version, Phase.TRUST, spec)


def default_deny(unit: MeshUnit, origin: Origin, version: str, notes: Notes) -> tuple[Fragment, ...]:
    """The default deny, and one object for each gateway; a gateway that cannot be opened is an error, for the deny would close it."""
    _note_neighbours(unit, origin, notes)
    gateways = tuple(_gateway(gateway, unit, origin, version, notes) for gateway in unit.gateways)
    place = (root_of(unit.mesh), DEFAULT_DENY)
    return (*gateways, fragment(AUTHORIZATION_POLICY, place, version, Phase.DEFAULT_DENY, Part({}, {"": origin})))


def _gateway(gateway: Workload, unit: MeshUnit, origin: Origin, version: str, notes: Notes) -> Fragment:
    """Opens the gateway, but not its ports that an Allow governs: those have rules of their own."""
    labels = {key: value for key, value in sorted(gateway.labels.items()) if key not in _PASSING_LABELS}
    name = f"gateway {gateway.namespace}/{gateway.name}"
    if not labels:
        notes.add("GM301", f"{name} has no labels to open it by; a default of Deny would close it", origin)
    meant = [w for w in (*unit.gateways, *unit.neighbours) if w.namespace == gateway.namespace and labels.items() <= w.labels.items()]
    others = ", ".join(f"{w.kind} {w.namespace}/{w.name}" for w in meant if not w.gateway)
    if others and labels:
        notes.add("GM301", f"{name} has no labels of its own: what opens it under a default of Deny would open {others}", origin)
    guarded = sorted({port for workload in meant for port in unit.guarded.get(workload.key, ())})
    rule: dict[str, Any] = {"to": [{"operation": {"notPorts": [str(port) for port in guarded]}}]} if guarded else {}
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}, "action": "ALLOW", "rules": [rule]}
    return fragment(AUTHORIZATION_POLICY, gateway_place(gateway), version, Phase.ALLOW, Part(spec, {"": origin}))


def _note_neighbours(unit: MeshUnit, origin: Origin, notes: Notes) -> None:
    """Revisions that share a root namespace share its objects."""
    if unit.alone:
        return
    root = root_of(unit.mesh)
    others = sorted(mesh.name for mesh in notes.scope.meshes if mesh.name != unit.mesh.name and root_of(mesh) == root)
    if others:
        notes.add("GM303", f"objects in namespace {root} act on mesh {', '.join(others)} too, which shares it", origin)
