"""Mesh-wide settings of a VirtualMesh -> PeerAuthentication and the default deny, in the mesh's root
namespace.

An AuthorizationPolicy with an empty spec allows nothing, everywhere: the default deny. It would cut off
gateways, which the default never covers; so each gets an object that allows all, written before the default
deny and deleted after it.

Every revision that reads the root namespace reads what is mesh-wide there, unless a label names the one that
it is for (pkg/config/model.go, ObjectInRevision).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.facts import Mesh
from gitmesh.model.manifests import Fragment
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided
from gitmesh.model.units import MeshUnit, RootReader
from gitmesh.model.virtualmesh import Mtls
from gitmesh.model.workloads import ROLLING_LABELS, Workload, by_controller
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, DEFAULT_REVISION, PEER_AUTHENTICATION, REVISION
from gitmesh_istio.names import MESH_WIDE
from gitmesh_istio.scope import Notes, Part, fragment

_MOST_NAMED = 8
DEFAULT_DENY = f"{MESH_WIDE}-deny"
GATEWAY_SUFFIX = "-gitmesh-gateway"
PEER_DEFAULT = "default"
_MODES = {"Strict": "STRICT", "Permissive": "PERMISSIVE", "Disabled": "DISABLE"}


def root_of(mesh: Mesh) -> str:
    """Where mesh-wide objects live; the control plane's own namespace unless MeshConfig says otherwise."""
    return mesh.root_namespace or mesh.namespace


def gateway_place(gateway: Workload) -> tuple[str, str]:
    """(namespace, name) of the object that opens a gateway under a default of Deny."""
    return gateway.namespace, f"{gateway.name}{GATEWAY_SUFFIX}"


def mtls(unit: MeshUnit, decided: Decided, version: str, notes: Notes) -> Fragment:
    """PeerAuthentication `default` of the root namespace."""
    value: Mtls = decided.value
    # Ztunnels speak HBONE among themselves whatever a PeerAuthentication says.
    if value.mode == "Disabled" and notes.scope.facts.is_ambient and unit.mesh.ambient:
        text = "pods in ambient keep mTLS among themselves, and take plaintext from others"
        notes.add("GM303", text, decided.origin)
    spec = Part({"mtls": {"mode": _MODES[value.mode]}}, {"": decided.origin, "mtls.mode": decided.origin})
    made = fragment(PEER_AUTHENTICATION, (root_of(unit.mesh), PEER_DEFAULT), version, spec)
    return _scoped(made, unit, lambda reader: reader.mtls, decided.origin, notes)


class DefaultDeny(Struct, frozen=True, kw_only=True):
    """The default deny with the objects that open gateways; `stays` are those that stay where they are live,
    with a finding.
    """

    fragments: tuple[Fragment, ...]
    stays: Mapping[tuple[str, str], Diagnostic]


def default_deny(unit: MeshUnit, origin: Origin, version: str, notes: Notes, doors: Notes) -> DefaultDeny:
    """The default deny, and one object for each gateway. What only calls itself a gateway, or cannot be told
    from other pods, is not opened anew; where it is open already it stays so with an error, for closing it
    would cut off whoever comes through it. What is said of the `doors` holds nothing.
    """
    opened = {
        # One object for a controller, whose shapes all have its name.
        gateway_place(shapes[0]): _gateway(shapes, unit, origin, version)
        for shapes in by_controller(unit.gateways).values()
    }
    place = (root_of(unit.mesh), DEFAULT_DENY)
    # An empty spec selects all workloads of the mesh and has no rule: nothing is allowed
    # (authorization_policy.proto).
    made = fragment(AUTHORIZATION_POLICY, place, version, Part({}, {"": origin}))
    deny = _scoped(made, unit, lambda reader: reader.denied, origin, notes)
    stays = {door: why for door, why in opened.items() if isinstance(why, str)}
    stays |= {
        gateway_place(one): f"{_called(one)} calls itself a gateway, and nothing says that it is one"
        for one in unit.doubtful
    }
    line = _line(unit)
    _note_closed(unit, stays, origin, doors, line)
    return DefaultDeny(
        fragments=(*(one for one in opened.values() if not isinstance(one, str)), deny),
        stays={place: _stays(text, line, origin) for place, text in stays.items()},
    )


def _called(gateway: Workload) -> str:
    return f"{gateway.kind} {gateway.namespace}/{gateway.name}"


def _gateway(shapes: Sequence[Workload], unit: MeshUnit, origin: Origin, version: str) -> Fragment | str:
    """Opens the gateway, by the labels that all of its pods have, but not its ports that an Allow governs:
    those have rules of their own. A text where it cannot be opened.
    """
    gateway = shapes[0]
    shared = set(gateway.labels.items()).intersection(*(one.labels.items() for one in shapes))
    # A label that the next rollout changes would leave the new pods closed.
    labels = {key: value for key, value in sorted(shared) if key not in ROLLING_LABELS}
    if not labels:
        return f"gateway {_called(gateway)} has no labels to open it by"
    meant = [
        w
        for w in (*unit.gateways, *unit.neighbours)
        if w.namespace == gateway.namespace and w.may_carry(labels)
    ]
    if others := [w for w in meant if w not in unit.gateways]:
        named = ", ".join(list(dict.fromkeys(map(_called, others)))[:_MOST_NAMED])
        return (
            f"gateway {_called(gateway)} has no labels of its own: what opens it would open {named} as well"
        )
    covered = sorted({port for workload in meant for port in unit.governed_ports.get(workload.key, ())})
    rule: dict[str, object] = (
        {"to": [{"operation": {"notPorts": [str(port) for port in covered]}}]} if covered else {}
    )
    spec: dict[str, object] = {"selector": {"matchLabels": labels}, "action": "ALLOW", "rules": [rule]}
    made = fragment(AUTHORIZATION_POLICY, gateway_place(gateway), version, Part(spec, {"": origin}))
    # Whoever may keep the object of a Gateway in a namespace of its own from being written must not keep the
    # default deny away.
    return replace(
        made, apart=gateway.gateway and gateway.namespace not in (unit.mesh.namespace, root_of(unit.mesh))
    )


def _note_closed(
    unit: MeshUnit, stays: Mapping[tuple[str, str], str], origin: Origin, notes: Notes, line: str
) -> None:
    """One finding for all that a default of Deny closes, or leaves open for now, though it calls itself a
    gateway.
    """
    if stays:
        texts = sorted(stays.values())
        doubtful = {gateway_place(one) for one in unit.doubtful}
        more = f"; and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
        text = f"not opened anew under a default of Deny: {'; '.join(texts[:_MOST_NAMED])}{more}"
        notes.add("GM315", text, origin, Severity.ERROR if len(stays) > len(doubtful) else None, line)


def _stays(text: str, line: str, origin: Origin) -> Diagnostic:
    said = f"{text}; what opens it stays until `gateways` of the VirtualMesh decides about it"
    return origin.finding("GM315", said, severity=Severity.ERROR, hint=line)


def _line(unit: MeshUnit) -> str:
    """The line that declares the doubtful ones beside the gateways of all clusters, as the field replaces its
    default; "" where none is doubtful, or where they are too many for a line."""
    places = sorted(
        {*unit.vouched, *((gateway.namespace, gateway.service_account) for gateway in unit.doubtful)}
    )
    if not unit.doubtful or len(places) > _MOST_NAMED:
        return ""
    line = f"gateways: [{', '.join(_item(*place) for place in places)}]"
    return (
        "Declare it in the VirtualMesh, with the gateways that are open now, as what is not in the list is"
        f" none: {line}"
    )


def _item(namespace: str, account: str) -> str:
    return f"{{namespaces: [{namespace}]{f', serviceAccounts: [{account}]' if account else ''}}}"


def _scoped(
    made: Fragment, unit: MeshUnit, wants: Callable[[RootReader], bool], origin: Origin, notes: Notes
) -> Fragment:
    """The object for the unit's revision alone, where another mesh that is decided otherwise reads it too. As
    it has one name and one label, no further revision can then have one; that is an error.
    """
    strange = [reader.mesh for reader in unit.readers if not reader.alike]
    if not strange:
        return made
    others = [reader.mesh for reader in unit.readers if wants(reader)]
    if others:
        text = (
            f"{made.key.kind} {made.key.namespace}/{made.key.name} can be for every mesh that reads namespace"
            f" {made.key.namespace} or for one, and not as {', '.join(strange)} beside it is decided: it is"
            f" wanted for {unit.mesh.name} and {', '.join(others)}"
        )
        hint = f"Select one mesh of namespace {made.key.namespace}, or all in one VirtualMesh."
        notes.add("GM301", text, origin, hint=hint)
    return replace(made, labels={REVISION: unit.mesh.revision or DEFAULT_REVISION})
