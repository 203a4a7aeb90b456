"""Which Istio control planes a cluster has, and which pods carry their sidecars or are in ambient.

Several revisions may live in one cluster; each is a mesh. The proxy may be a container or, as a native
sidecar, an init container; a pod in ambient has none.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body, mapping
from gitmesh.ports import ControlObjects
from gitmesh_istio.effects import told
from gitmesh_istio.ignored import ignored_namespaces, is_scoped
from gitmesh_istio.kinds import AUTO_MTLS, DEFAULT_REVISION, EXPORTS, REVISION, TRUE
from gitmesh_istio.names import DEFAULT_DOMAIN
from gitmesh_istio.probes import INJECTOR, probe_settings
from gitmesh_istio.readers import tags
from gitmesh_istio.reading import settings_of
from gitmesh_istio.verdict import analysis, validation
from gitmesh_istio.waypoints import waypoint_settings

TRANSLATOR = "istio"
HOMES = ("istio-system",)
"""Where istiod lives unless it was told otherwise."""
NAMING = frozenset({"clusterDomain"})
_UNCHECKED = "PILOT_SKIP_VALIDATE_TRUST_DOMAIN"
"""In istiod's environment: proxies take identities of any trust domain (pilot/pkg/features)."""
_OTHER_CONFIGMAPS = re.compile(
    r"istio-(ca-root-cert|ca-crl|sidecar-injector|leader|namespace-controller|gateway|cni|grafana|reader)"
)
_TAG = re.compile(r"(\d+\.\d+(?:\.\d+)?(?:-(?!distroless|debug)[0-9A-Za-z.-]+?)?)(?:-distroless|-debug)?\Z")
_VERSION_LABELS = ("operator.istio.io/version", "app.kubernetes.io/version")


def mesh_name(revision: str) -> str:
    """`istio`, or `istio-<revision>`."""
    return "istio" if revision in ("", DEFAULT_REVISION) else f"istio-{revision}"


# The port gives both; MeshConfig may live in any namespace.
def configmaps(namespace: str, name: str) -> bool:  # noqa: ARG001
    """Whether this may be a revision's MeshConfig, `istio` or `istio-<revision>`, or its injector's
    settings.
    """
    # A cluster is not asked for these (`configured_by`): what the injector has done stands on the pods.
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
    # By namespace and name, so that of two Deployments of one revision the same one counts at each reading.
    for deployment in sorted(
        objects.deployments, key=lambda body: (_meta(body).get("namespace", ""), _meta(body).get("name", ""))
    ):
        container = _discovery(deployment)
        if container is not None:
            mesh = _mesh(deployment, container, objects, ztunnel)
            found.setdefault(mesh.name, mesh)
    return tuple(found[name] for name in sorted(found))


def _meta(body: Body) -> Mapping[str, Any]:
    return mapping(body.get("metadata"))


def _discovery(deployment: Body) -> Mapping[str, Any] | None:
    """The container `discovery` of an istiod Deployment."""
    meta = _meta(deployment)
    labels = mapping(meta.get("labels"))
    # Charts and operators differ in the labels, and revisions add their name to the Deployment's.
    if labels.get("app") != "istiod" and not re.match(r"istiod(-|\Z)", str(meta.get("name", ""))):
        return None
    pod = mapping(mapping(mapping(deployment.get("spec")).get("template")).get("spec"))
    return next((c for c in pod.get("containers") or () if mapping(c).get("name") == "discovery"), None)


def _is_ztunnel(daemonset: Body) -> bool:
    meta = _meta(daemonset)
    return meta.get("name") == "ztunnel" or mapping(meta.get("labels")).get("app") == "ztunnel"


def _mesh(deployment: Body, container: Mapping[str, Any], objects: ControlObjects, ztunnel: bool) -> Mesh:
    meta = _meta(deployment)
    labels = {str(key): str(value) for key, value in mapping(meta.get("labels")).items()}
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
        **tags(objects.injectors, revision),
    }
    settings |= probe_settings(objects.configmaps, namespace, name)
    if is_scoped(version, environment):
        settings |= ignored_namespaces(config.get("discoverySelectors"), objects.namespaces)
    domain = _text(config, "trustDomain") or DEFAULT_DOMAIN
    ambient = ztunnel or environment.get("PILOT_ENABLE_AMBIENT") == "true"
    if ambient:
        settings |= waypoint_settings(objects.gateways, objects.namespaces)
        # Waypoints are Gateways: without a list of them every Service would seem to have none.
        unread = unread or ("Gateways may not be listed" if "Gateway" in objects.unread else "")
    return Mesh(
        translator=TRANSLATOR,
        name=name,
        version=version,
        revision=revision,
        namespace=namespace,
        # mesh/v1alpha1/config.proto, root_namespace: without one it is the control plane's own.
        root_namespace=_text(config, "rootNamespace") or namespace,
        trust_domain=domain,
        takes=() if unread or environment.get(_UNCHECKED) in TRUE else (domain, *_aliases(config)),
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
    return str(mapping(_meta(deployment).get("labels")).get(REVISION, DEFAULT_REVISION))


def _settings(config: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, str]:
    domains = _domains(container)
    names = _aliases(config)
    settings = {"clusterDomain": domains[0] if domains else DEFAULT_DOMAIN}
    hidden = {
        key: ",".join(map(str, value))
        for key in EXPORTS.values()
        if isinstance(value := config.get(key), list) and value
    }
    plain = {AUTO_MTLS: "false"} if config.get(AUTO_MTLS) is False else {}
    return {**settings, **hidden, **plain, **({"trustDomainAliases": ",".join(names)} if names else {})}


def _aliases(config: Mapping[str, Any]) -> list[str]:
    """The names that the mesh holds for its own trust domain."""
    aliases = config.get("trustDomainAliases")
    return sorted(str(alias) for alias in aliases) if isinstance(aliases, list) else []


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
    text = mapping(mapping(objects.configmaps.get(place)).get("data")).get("mesh")
    config = settings_of(text)
    return ({}, f"key mesh of {shown} cannot be read as settings") if config is None else (config, "")


def _version(image: str, labels: Mapping[str, str]) -> str:
    """From the image's tag, else from a label; "" where neither tells."""
    # A registry may have a port, so only what stands behind the last slash has a tag; a digest has none.
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    candidates = (tag, *(labels.get(label, "") for label in _VERSION_LABELS))
    # The image is what runs; labels are what somebody wrote.
    return next((match[1] for text in candidates if (match := _TAG.match(text))), "")


def injects(injectors: Sequence[Body], mesh: Mesh) -> bool:
    """Whether the injector of the mesh's revision, or a tag that points to it, is registered."""
    return any(
        mapping(_meta(one).get("labels")).get(REVISION) == (mesh.revision or DEFAULT_REVISION)
        for one in injectors
    ) or any(
        str(_meta(one).get("name", "")) == f"istio-sidecar-injector{mesh.name.removeprefix('istio')}"
        for one in injectors
    )
