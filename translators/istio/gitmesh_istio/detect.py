"""Which Istio control planes a cluster has, and which pods carry their sidecars or are in ambient.

Several revisions may live in one cluster; each is a mesh. The proxy may be a container or, as a native
sidecar, an init container; a pod in ambient has none.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body
from gitmesh.model.workloads import PortRange
from gitmesh.ports import ControlObjects, Membership, PodFact
from gitmesh_istio.effects import told
from gitmesh_istio.ignored import ignored_namespaces, ignores, is_scoped
from gitmesh_istio.kinds import AUTO_MTLS, DEFAULT_REVISION, EXPORTS, REVISION
from gitmesh_istio.names import DEFAULT_DOMAIN
from gitmesh_istio.probes import INJECTOR, PROXY, plain_probes, probe_settings
from gitmesh_istio.reading import settings_of
from gitmesh_istio.verdict import analysis, validation
from gitmesh_istio.waypoints import waypoint_settings

TRANSLATOR = "istio"
HOMES = ("istio-system",)
"""Where istiod lives unless it was told otherwise."""
NAMING = frozenset({"clusterDomain"})
_REDIRECTORS = ("istio-init", "istio-validation")
"""The init container that redirects to the proxy, or that checks what Istio's CNI plugin has redirected."""
_GATEWAYS = frozenset({"ingressgateway", "egressgateway", "eastwestgateway"})
_OTHER_CONFIGMAPS = re.compile(
    r"istio-(ca-root-cert|ca-crl|sidecar-injector|leader|namespace-controller|gateway|cni|grafana|reader)"
)
_TAG = re.compile(r"(\d+\.\d+(?:\.\d+)?(?:-(?!distroless|debug)[0-9A-Za-z.-]+?)?)(?:-distroless|-debug)?\Z")
_LAST_PORT, _DIGITS = 65535, 5
_ROLES = frozenset({"waypoint", "ztunnel"})
"""Arguments by which a proxy is ambient's own, and no pod's."""
_MODE, _REDIRECTED = "istio.io/dataplane-mode", "ambient.istio.io/redirection"
_VERSION_LABELS = ("operator.istio.io/version", "app.kubernetes.io/version")


def mesh_name(revision: str) -> str:
    """`istio`, or `istio-<revision>`."""
    return "istio" if revision in ("", DEFAULT_REVISION) else f"istio-{revision}"


def configmaps(namespace: str, name: str) -> bool:  # noqa: ARG001 - the port gives both; MeshConfig may live in any namespace
    """Whether this may be a revision's MeshConfig, `istio` or `istio-<revision>`, or its injector's settings.
    Those a cluster is not asked for: what the injector has done stands on the pods.
    """
    if name == INJECTOR or name.startswith(f"{INJECTOR}-"):
        return True
    return name == "istio" or (name.startswith("istio-") and not _OTHER_CONFIGMAPS.match(name))


def configured_by(deployment: Body) -> tuple[str, ...]:
    """The MeshConfig of an istiod's revision."""
    return () if _discovery(deployment) is None else (mesh_name(_revision(deployment)),)


def detect(objects: ControlObjects) -> tuple[Mesh, ...]:
    """One mesh for each istiod revision, sorted by name."""
    ztunnel = any(_is_ztunnel(daemonset) for daemonset in objects.daemonsets)
    found: dict[str, Mesh] = {}
    for deployment in sorted(
        objects.deployments, key=lambda body: (_meta(body).get("namespace", ""), _meta(body).get("name", ""))
    ):
        container = _discovery(deployment)
        if container is not None:
            mesh = _mesh(deployment, container, objects, ztunnel)
            found.setdefault(mesh.name, mesh)
    return tuple(found[name] for name in sorted(found))


def _meta(body: Body) -> Mapping[str, Any]:
    return _mapping(body.get("metadata"))


def _mapping(value: object) -> Mapping[str, Any]:
    """Text from a cluster is whatever it is: what is no mapping is read as an empty one."""
    return value if isinstance(value, Mapping) else {}


def _discovery(deployment: Body) -> Mapping[str, Any] | None:
    """The container `discovery` of an istiod Deployment."""
    meta = _meta(deployment)
    labels = _mapping(meta.get("labels"))
    if labels.get("app") != "istiod" and not re.match(r"istiod(-|\Z)", str(meta.get("name", ""))):
        return None
    pod = _mapping(_mapping(_mapping(deployment.get("spec")).get("template")).get("spec"))
    return next((c for c in pod.get("containers") or () if _mapping(c).get("name") == "discovery"), None)


def _is_ztunnel(daemonset: Body) -> bool:
    meta = _meta(daemonset)
    return meta.get("name") == "ztunnel" or _mapping(meta.get("labels")).get("app") == "ztunnel"


def _mesh(deployment: Body, container: Mapping[str, Any], objects: ControlObjects, ztunnel: bool) -> Mesh:
    meta = _meta(deployment)
    labels = {str(key): str(value) for key, value in _mapping(meta.get("labels")).items()}
    revision = _revision(deployment)
    namespace = str(meta.get("namespace", ""))
    name = mesh_name(revision)
    config, unread = _mesh_config(objects, (namespace, name))
    version = _version(str(container.get("image", "")), labels)
    environment = {
        str(e.get("name")): str(e.get("value")) for e in container.get("env") or () if isinstance(e, Mapping)
    }
    settings = {
        **_settings(config, container),
        **told(environment),
        **analysis(environment),
        **validation(objects.validators),
    }
    settings |= probe_settings(objects.configmaps, namespace, name)
    if is_scoped(version, environment):
        settings |= ignored_namespaces(config.get("discoverySelectors"), objects.namespaces)
    ambient = ztunnel or environment.get("PILOT_ENABLE_AMBIENT") == "true"
    if ambient:
        settings |= waypoint_settings(objects.gateways, objects.namespaces)
    return Mesh(
        translator=TRANSLATOR,
        name=name,
        version=version,
        revision=revision,
        namespace=namespace,
        root_namespace=_text(config, "rootNamespace") or namespace,
        trust_domain=_text(config, "trustDomain") or DEFAULT_DOMAIN,
        ambient=ambient,
        settings=settings,
        assumed=_assumed(config, container),
        unread=unread,
    )


def _assumed(config: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[str, ...]:
    """What names depend on and neither MeshConfig nor the command line says."""
    given = {"trust_domain": _text(config, "trustDomain"), "root_namespace": _text(config, "rootNamespace")}
    given["clusterDomain"] = next(iter(_domains(container)), "")
    return tuple(name for name, value in given.items() if not value)


def _revision(deployment: Body) -> str:
    return str(_mapping(_meta(deployment).get("labels")).get(REVISION, DEFAULT_REVISION))


def _settings(config: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, str]:
    domains = _domains(container)
    aliases = config.get("trustDomainAliases")
    names = sorted(str(alias) for alias in aliases) if isinstance(aliases, list) else []
    settings = {"clusterDomain": domains[0] if domains else DEFAULT_DOMAIN}
    hidden = {
        key: ",".join(map(str, value))
        for key in EXPORTS.values()
        if isinstance(value := config.get(key), list) and value
    }
    plain = {AUTO_MTLS: "false"} if config.get(AUTO_MTLS) is False else {}
    return {**settings, **hidden, **plain, **({"trustDomainAliases": ",".join(names)} if names else {})}


def _domains(container: Mapping[str, Any]) -> list[str]:
    """The DNS suffix of Services, as the command line gives it."""
    arguments = [str(argument) for argument in container.get("args") or ()]
    domains = [after for flag, after in itertools.pairwise(arguments) if flag == "--domain"]
    return domains + [
        argument.partition("=")[2] for argument in arguments if argument.startswith("--domain=")
    ]


def _text(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    return value if isinstance(value, str) else ""


def _mesh_config(objects: ControlObjects, place: tuple[str, str]) -> tuple[Mapping[str, Any], str]:
    """MeshConfig, empty where there is none, and why it could not be read ("" = it was)."""
    shown = f"ConfigMap {place[0]}/{place[1]}"
    if place in objects.refused:
        return {}, f"{shown} may not be read"
    text = _mapping(_mapping(objects.configmaps.get(place)).get("data")).get("mesh")
    config = settings_of(text)
    return ({}, f"key mesh of {shown} cannot be read as settings") if config is None else (config, "")


def _version(image: str, labels: Mapping[str, str]) -> str:
    """From the image's tag, else from a label; "" where neither tells."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    candidates = (tag, *(labels.get(label, "") for label in _VERSION_LABELS))
    return next((match[1] for text in candidates if (match := _TAG.match(text))), "")


def injects(injectors: Sequence[Body], mesh: Mesh) -> bool:
    """Whether the injector of the mesh's revision, or a tag that points to it, is registered."""
    return any(
        _mapping(_meta(one).get("labels")).get(REVISION) == (mesh.revision or DEFAULT_REVISION)
        for one in injectors
    ) or any(
        str(_meta(one).get("name", "")) == f"istio-sidecar-injector{mesh.name.removeprefix('istio')}"
        for one in injectors
    )


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
    if mesh is not None and role == "waypoint":
        return Membership(mesh=mesh.name, dataplane="ambient")
    gateway = _is_gateway(pod)
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
    if mode.upper() == "NONE" or _excluded_interfaces(pod):
        return (PortRange(first=1, last=_LAST_PORT),)
    if included != "*":
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
    """Mode, included and excluded inbound ports: as the injector told the init container, which knows the
    mesh's defaults too (injection-template.yaml, `istio-iptables`), else as annotations ask (istio.io,
    'Resource Annotations').
    """
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
    """Revisions that the pod may be of, the surest first: what the injector wrote, then what was asked of it
    (which may be a tag).
    """
    try:
        status = json.loads(pod.annotations.get("sidecar.istio.io/status", "{}"))
    except ValueError:
        status = {}
    yield str(_mapping(status).get("revision") or "")
    yield pod.labels.get(REVISION, "")
    yield namespace_labels.get(REVISION, "")
    yield DEFAULT_REVISION if namespace_labels.get("istio-injection") == "enabled" else ""


def _mesh_of(revisions: Iterable[str], meshes: Sequence[Mesh]) -> Mesh | None:
    """The mesh of the first revision that exists; the only mesh there is, where none of them does."""
    known = {mesh.revision or DEFAULT_REVISION: mesh for mesh in meshes}
    found = next((known[revision] for revision in revisions if revision in known), None)
    return found or (meshes[0] if len(meshes) == 1 else known.get(DEFAULT_REVISION))


def _is_gateway(pod: PodFact) -> bool:
    """Whether the proxy runs as a router: a gateway has no workload of its own behind it."""
    named = pod.labels.get("istio") in _GATEWAYS or "gateway.networking.k8s.io/gateway-name" in pod.labels
    return named or "router" in pod.args.get(PROXY, ())
