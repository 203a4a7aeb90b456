"""Which pods are in a mesh of Istio, how, and what their proxies do not see.

The proxy may be a container or, as a native sidecar, an init container; a pod in ambient has none.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import mapping
from gitmesh.model.workloads import PortRange
from gitmesh.ports import Membership, PodFact
from gitmesh_istio.detect import TRANSLATOR
from gitmesh_istio.ignored import ignores
from gitmesh_istio.kinds import DEFAULT_REVISION, REVISION
from gitmesh_istio.probes import PROXY, plain_probes
from gitmesh_istio.readers import names_of

# The init container that redirects to the proxy, or that checks what Istio's CNI plugin has redirected.
_REDIRECTORS = ("istio-init", "istio-validation")
_GATEWAYS = frozenset({"ingressgateway", "egressgateway", "eastwestgateway"})
_LAST_PORT, _DIGITS = 65535, 5
_ROLES = frozenset({"waypoint", "ztunnel"})
"""Arguments by which a proxy is ambient's own, and no pod's."""
_MODE, _REDIRECTED = "istio.io/dataplane-mode", "ambient.istio.io/redirection"


def member(pod: PodFact, namespace_labels: Mapping[str, str], meshes: Sequence[Mesh]) -> Membership | None:
    """The mesh whose proxy the pod carries, or whose ztunnels take its connections; None for a pod in none,
    and for one that the mesh ignores with its namespace.

    A gateway stays one there too: a mesh-wide default closes it, wherever it stands.
    """
    own = [mesh for mesh in meshes if mesh.translator == TRANSLATOR]
    native = any(name == PROXY for name, _ in pod.init_containers)
    if not native and not any(name == PROXY for name, _ in pod.containers):
        return _ambient_member(pod, namespace_labels, own)
    role = next((word for word in pod.args.get(PROXY, ()) if word in _ROLES), "")
    mesh = None if role == "ztunnel" else _mesh_of(_revisions(pod, namespace_labels), own)
    # It obeys no object that selects its pods, as a sidecar would: what counts for it names it or a Service.
    if mesh is not None and role == "waypoint":
        return Membership(mesh=mesh.name, dataplane="ambient")
    gateway = _is_gateway(pod)
    # A gateway stays one in an ignored namespace, too: a mesh-wide default closes it, wherever it stands.
    if mesh is None or (ignores(mesh, pod.namespace) and not gateway):
        return None
    return Membership(
        mesh=mesh.name,
        gateway=gateway,
        native_sidecar=native,
        unguarded=_unguarded(pod),
        probes=plain_probes(pod, mesh),
    )


def _ambient_member(
    pod: PodFact, namespace_labels: Mapping[str, str], meshes: Sequence[Mesh]
) -> Membership | None:
    """The mesh whose ztunnels take the connections of a pod without a proxy: as Istio's CNI plugin says that
    it has redirected them, and before that as labels ask (istio.io, 'Add workloads to an ambient mesh').
    """
    # It shares the packets of its node, among which Istio's CNI plugin redirects none, whatever is asked for
    # or noted at the pod (cni/pkg/util, PodRedirectionEnabled; istio/istio#51711).
    if pod.host_network:
        return None
    asked = pod.labels.get(_MODE, namespace_labels.get(_MODE))
    if pod.annotations.get(_REDIRECTED, "enabled" if asked == "ambient" else "") != "enabled":
        return None
    mesh = _mesh_of(_revisions(pod, namespace_labels), [mesh for mesh in meshes if mesh.ambient])
    if mesh is None or ignores(mesh, pod.namespace):
        return None
    return Membership(mesh=mesh.name, dataplane="ambient")


def _unguarded(pod: PodFact) -> tuple[PortRange, ...]:
    """The ports that the pod's redirection leaves out; what is excluded counts only where all are
    included.
    """
    mode, included, excluded = _redirection(pod)
    # Which interface a client comes by is no fact, so none of the ports counts as guarded.
    if mode.upper() == "NONE" or _excluded_interfaces(pod):
        return (PortRange(first=1, last=_LAST_PORT),)
    if included != "*":
        # What is listed is redirected; all that lies between, before and behind comes past the proxy.
        bounds = (0, *_port_list(included), _LAST_PORT + 1)
        return tuple(
            PortRange(first=one + 1, last=two - 1) for one, two in itertools.pairwise(bounds) if two - one > 1
        )
    return tuple(PortRange(first=port, last=port) for port in _port_list(excluded))


def _excluded_interfaces(pod: PodFact) -> str:
    """The network interfaces that the redirection leaves out, with all that comes in by them; which one a
    client comes by, facts do not tell."""
    flags = dict(itertools.pairwise(_told(pod)))
    return flags.get("-c", pod.annotations.get("traffic.sidecar.istio.io/excludeInterfaces", "")).strip()


def _told(pod: PodFact) -> Sequence[str]:
    """The arguments of the container that redirects."""
    return next((pod.args[name] for name in _REDIRECTORS if name in pod.args), ())


def _redirection(pod: PodFact) -> tuple[str, str, str]:
    """Mode, included and excluded inbound ports (injection-template.yaml, `istio-iptables`)."""
    # As the injector told the init container, which knows the mesh's defaults too; else as annotations ask
    # (istio.io, 'Resource Annotations').
    flags = dict(itertools.pairwise(_told(pod)))
    prefix, asked = "traffic.sidecar.istio.io", pod.annotations
    mode = flags.get("-m", asked.get("sidecar.istio.io/interceptionMode", ""))
    included = flags.get("-b", asked.get(f"{prefix}/includeInboundPorts", "*"))
    return mode.strip(), included.strip(), flags.get("-d", asked.get(f"{prefix}/excludeInboundPorts", ""))


def _port_list(text: str) -> list[int]:
    """The ports of a list, sorted; the injector lets nothing else into it."""
    numbers = {
        int(word)
        for part in text.split(",")
        if (word := part.strip()).isascii() and word.isdigit() and len(word) <= _DIGITS
    }
    return sorted(number for number in numbers if 1 <= number <= _LAST_PORT)


def _revisions(pod: PodFact, namespace_labels: Mapping[str, str]) -> Iterable[str]:
    """Revisions that the pod may be of, the surest first."""
    try:
        status = json.loads(pod.annotations.get("sidecar.istio.io/status", "{}"))
    except ValueError:
        status = {}
    # What the injector wrote comes before what was asked of it, which may be a tag.
    yield str(mapping(status).get("revision") or "")
    yield pod.labels.get(REVISION, "")
    yield namespace_labels.get(REVISION, "")
    yield DEFAULT_REVISION if namespace_labels.get("istio-injection") == "enabled" else ""


def _mesh_of(revisions: Iterable[str], meshes: Sequence[Mesh]) -> Mesh | None:
    """The mesh of the first revision that exists; the only mesh there is, where none of them does."""
    # Of two that have a name, the one whose own it is.
    tagged = {name: mesh for mesh in meshes for name in names_of(mesh)}
    known = {**tagged, **{mesh.revision or DEFAULT_REVISION: mesh for mesh in meshes}}
    found = next((known[revision] for revision in revisions if revision in known), None)
    return found or (meshes[0] if len(meshes) == 1 else known.get(DEFAULT_REVISION))


def _is_gateway(pod: PodFact) -> bool:
    """Whether the proxy runs as a router."""
    named = pod.labels.get("istio") in _GATEWAYS or "gateway.networking.k8s.io/gateway-name" in pod.labels
    return named or "router" in pod.args.get(PROXY, ())
