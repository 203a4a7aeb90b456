"""Kubernetes objects as users and controllers write them, from a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]

ROOT = "istio-system"
PROXY = "docker.io/istio/proxyv2:1.30.3"
REVISION = "istio.io/rev"
PILOT = "docker.io/istio/pilot:1.30.3"


def thing(kind: str, name: str, namespace: str = "", api: str = "v1", **parts: Any) -> Object:
    """An object of any kind."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **parts.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **parts}


def namespace(name: str, labels: Mapping[str, str] | None = None) -> Object:
    """A Namespace."""
    return thing("Namespace", name, metadata={"labels": dict(labels or {})})


def account(name: str, namespace: str) -> Object:
    """A ServiceAccount."""
    return thing("ServiceAccount", name, namespace)


def control_plane(settings: str, revision: str = "") -> list[Object]:
    """istiod with the ConfigMap of its mesh (`settings`: YAML of MeshConfig)."""
    labels = {"app": "istiod", **({REVISION: revision} if revision else {})}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "discovery", "image": PILOT}]},
    }
    deployment = thing(
        "Deployment",
        f"istiod-{revision}" if revision else "istiod",
        ROOT,
        "apps/v1",
        metadata={"labels": labels},
        spec={"selector": {"matchLabels": labels}, "template": template},
    )
    config = (
        [thing("ConfigMap", f"istio-{revision}" if revision else "istio", ROOT, data={"mesh": settings})]
        if settings
        else []
    )
    return [deployment, *config]


def pod(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    ports: Mapping[str, int],
    *,
    owner: tuple[str, str] = ("", ""),
    service_account: str = "default",
    proxy: bool = True,
    annotations: Mapping[str, str] | None = None,
    probe: Object | None = None,
) -> Object:
    """A running Pod; `owner` is (kind, name) of its controller, `probe` its readinessProbe."""
    declared = [{"name": key, "containerPort": number} for key, number in ports.items()]
    probed = {"readinessProbe": probe} if probe else {}
    containers: list[Object] = [{"name": "app", "image": "app:1", "ports": declared, **probed}]
    if proxy:
        containers.append({"name": "istio-proxy", "image": PROXY})
    kind, owned_by = owner
    reference = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": owned_by,
        "uid": f"uid-of-{owned_by}",
        "controller": True,
    }
    metadata = {
        "labels": dict(labels),
        **({"annotations": dict(annotations)} if annotations else {}),
        **({"ownerReferences": [reference]} if kind else {}),
    }
    return thing(
        "Pod",
        name,
        namespace,
        metadata=metadata,
        spec={"serviceAccountName": service_account, "containers": containers},
        status={"phase": "Running"},
    )


def service(
    name: str,
    namespace: str,
    selector: Mapping[str, str],
    ports: Sequence[Object],
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> Object:
    """A Service; `ports` as Kubernetes has them."""
    metadata = {"labels": dict(labels)} if labels else {}
    return thing(
        "Service",
        name,
        namespace,
        metadata=metadata,
        spec={"selector": dict(selector), "ports": list(ports), **spec},
    )


def ztunnel() -> Object:
    """The proxies of ambient's nodes."""
    proxy = {"name": "istio-proxy", "image": "docker.io/istio/ztunnel:1.30.3", "args": ["proxy", "ztunnel"]}
    return thing(
        "DaemonSet",
        "ztunnel",
        ROOT,
        "apps/v1",
        metadata={"labels": {"app": "ztunnel"}},
        spec={"template": {"spec": {"containers": [proxy]}}},
    )


def waypoint(name: str, namespace: str, labels: Mapping[str, str], *, ready: bool = True) -> Object:
    """A Gateway that is a waypoint; `ready`: istiod has given it an address."""
    address = {"addresses": [{"type": "IPAddress", "value": "10.96.1.1"}]}
    return thing(
        "Gateway",
        name,
        namespace,
        "gateway.networking.k8s.io/v1",
        metadata={"labels": dict(labels)},
        spec={"gatewayClassName": "istio-waypoint"},
        status={
            "conditions": [{"type": "Programmed", "status": str(ready)}],
            **(address if ready else {}),
        },
    )


def istio(kind: str, name: str, namespace: str, spec: Object) -> Object:
    """A stranger's object of Istio's security or networking API."""
    group = "security" if kind in ("AuthorizationPolicy", "PeerAuthentication") else "networking"
    return thing(kind, name, namespace, f"{group}.istio.io/v1", spec=spec)


def policy(kind: str, name: str, namespace: str, spec: Object) -> Object:
    """A policy of GitMesh."""
    return thing(kind, name, namespace, "gitmesh.io/v1alpha1", spec=spec)
