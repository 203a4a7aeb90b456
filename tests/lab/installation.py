"""The Kubernetes objects of a cluster with Istio: what an installation leaves behind, and what its
controllers would make.

No controller runs in the lab, so ReplicaSets, Pods, their status and EndpointSlices are written by hand.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.lab.apiclient import Object
from tests.lab.bookshop import HBONE_PORT, REVISION, WAYPOINT, LabCluster, LabService, LabWorkload, Proxy

SYSTEM = "istio-system"
ISTIO_VERSION = "1.31.0"
"""What the image tags say: the version whose API the pinned commit of Istio has."""
VALIDATION = "istiod-default-validator"
_ISTIOD_ENV = {
    "PILOT_CERT_PROVIDER": "istiod",
    "PILOT_ENABLE_ANALYSIS": "true",
    # Seconds between two analyses; less is not taken.
    "PILOT_ANALYSIS_INTERVAL": "1s",
    "PILOT_DEBOUNCE_AFTER": "20ms",
    "PILOT_DEBOUNCE_MAX": "500ms",
    # Filters that only Istio's own build of Envoy has, for telemetry and ALPN.
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
}
_AMBIENT_ENV = {
    "PILOT_ENABLE_AMBIENT": "true",
    # Both send waypoints what only Istio's own build of Envoy has.
    "AMBIENT_ENABLE_MULTI_NETWORK": "false",
    "AMBIENT_ENABLE_MULTI_NETWORK_WAYPOINT": "false",
    "AMBIENT_ENABLE_BAGGAGE": "false",
}
MARKS: Mapping[Proxy, Mapping[str, str]] = {
    "sidecar": {"sidecar.istio.io/status": json.dumps({"containers": ["istio-proxy"], "revision": REVISION})},
    "ztunnel": {"ambient.istio.io/redirection": "enabled"},
}
"""What an injector, or Istio's CNI plugin, writes on a pod."""
OWN_NAMESPACE: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gitmesh-system"}}
"""Where GitMesh keeps its ledger; whoever installs it makes this namespace."""
_HASH_LABEL = "pod-template-hash"


@dataclass(frozen=True)
class PodPlace:
    """A pod with its address."""

    workload: LabWorkload
    name: str
    ip: str


def pod_places(cluster: LabCluster) -> tuple[PodPlace, ...]:
    """All pods of the table with the addresses that they get, in order."""
    listed = [(workload, pod) for workload in cluster.workloads for pod in workload.pods]
    return tuple(
        PodPlace(workload, pod, f"{cluster.subnet}.0.{number}")
        for number, (workload, pod) in enumerate(listed, 10)
    )


def cluster_ips(cluster: LabCluster) -> dict[tuple[str, str], str]:
    """(namespace, name) of every Service to its cluster IP."""
    return {
        (service.namespace, service.name): f"10.96.1.{number}"
        for number, service in enumerate(cluster.services, 10)
    }


def service_names(namespace: str, ips: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """What the cluster's DNS would answer in a namespace; of one address the short names come first."""
    names: dict[str, str] = {}
    for (where, service), address in ips.items():
        short = [service] if where == namespace else []
        names |= dict.fromkeys(
            [*short, *(f"{service}.{where}{end}" for end in ("", ".svc", ".svc.cluster.local"))], address
        )
    return names


def istiod_env(cluster: LabCluster) -> dict[str, str]:
    """Environment of istiod, of the process and of the Deployment that stands for it."""
    revision = {"REVISION": cluster.revision}
    return {**_ISTIOD_ENV, **revision, **(_AMBIENT_ENV if cluster.dataplane == "ambient" else {})}


def backends(service: LabService, places: Iterable[PodPlace]) -> list[PodPlace]:
    """The pods behind a Service."""
    return [
        p
        for p in places
        if p.workload.namespace == service.namespace and p.workload.labels["app"] == service.app
    ]


def mesh_config(cluster: LabCluster, more: Mapping[str, object]) -> str:
    """MeshConfig as YAML, with `more` keys: in istiod's file and in the ConfigMap."""
    config = {
        "trustDomain": cluster.trust_domain,
        "rootNamespace": SYSTEM,
        "accessLogFile": "access.log",
        # What goes on only in Istio's own build of Envoy is off.
        "enablePrometheusMerge": False,
        "defaultProviders": {},
        **more,
    }
    return yaml.safe_dump(config, sort_keys=False)


def config_map(cluster: LabCluster, more: Mapping[str, object]) -> Object:
    """Where an installation keeps its MeshConfig."""
    data = {"mesh": mesh_config(cluster, more), "meshNetworks": "networks: {}"}
    meta = {"name": f"istio{_suffix(cluster)}", "namespace": SYSTEM, "labels": _labels(cluster)}
    return _object("v1", "ConfigMap", meta, data=data)


def _suffix(cluster: LabCluster) -> str:
    """What an installation appends to names of a revision."""
    return "" if cluster.revision == REVISION else f"-{cluster.revision}"


def _labels(cluster: LabCluster) -> dict[str, str]:
    return {"app": "istiod", "istio.io/rev": cluster.revision, "istio": "pilot"}


def control_plane(cluster: LabCluster, validation_url: str) -> list[Object]:
    """istiod's objects; its validation is open until istiod itself has found that it works, as after any
    installation.
    """
    meta = {"name": f"istiod{_suffix(cluster)}", "namespace": SYSTEM, "labels": _labels(cluster)}
    image = f"docker.io/istio/pilot:{ISTIO_VERSION}"
    env = [{"name": name, "value": value} for name, value in istiod_env(cluster).items()]
    containers = [
        {"name": "discovery", "image": image, "args": ["discovery", "--domain", "cluster.local"], "env": env}
    ]
    labels = {"app": "istiod", "istio.io/rev": cluster.revision}
    return [
        _object("v1", "Namespace", {"name": SYSTEM}),
        _object("v1", "ServiceAccount", {"name": "istiod", "namespace": SYSTEM}),
        config_map(cluster, {}),
        _deployment(meta, labels, {"serviceAccountName": "istiod", "containers": containers}, 1),
        _validation(cluster, validation_url),
        *([_ztunnels()] if cluster.dataplane == "ambient" else []),
    ]


def _ztunnels() -> Object:
    """The DaemonSet that an installation of ambient leaves; in the lab each pod has one of its own."""
    labels = {"app": "ztunnel"}
    image = f"docker.io/istio/ztunnel:{ISTIO_VERSION}"
    container = {"name": "istio-proxy", "image": image, "args": ["proxy", "ztunnel"]}
    pod = {"serviceAccountName": "ztunnel", "containers": [container]}
    return _object(
        "apps/v1",
        "DaemonSet",
        {"name": "ztunnel", "namespace": SYSTEM, "labels": labels},
        spec={
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    )


def _validation(cluster: LabCluster, url: str) -> Object:
    """As Istio's chart `base` writes it (templates/defaultrevision-validatingwebhookconfiguration.yaml), by
    URL.
    """
    groups = ["security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io"]
    webhook = {
        "name": "validation.istio.io",
        "clientConfig": {"url": url},
        "rules": [
            {
                "operations": ["CREATE", "UPDATE"],
                "apiGroups": groups,
                "apiVersions": ["*"],
                "resources": ["*"],
            }
        ],
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    labels = {"app": "istiod", "istio": "istiod", "istio.io/rev": cluster.revision}
    return _object(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        {"name": VALIDATION, "labels": labels},
        webhooks=[webhook],
    )


def world(cluster: LabCluster) -> list[Object]:
    """All other objects, in an order that the API server takes; the status of pods comes apart
    (`pod_status`).
    """
    places = pod_places(cluster)
    ips = cluster_ips(cluster)
    return [
        *(
            _object("v1", "Namespace", {"name": name, "labels": dict(labels)})
            for name, labels in cluster.namespaces.items()
        ),
        node(cluster),
        *_accounts(cluster),
        *(item for workload in cluster.workloads for item in _controllers(workload)),
        *(_pod(cluster, place) for place in places),
        *(_service(service, ips) for service in cluster.services),
        *(_slice(cluster, service, backends(service, places)) for service in cluster.services),
        *(waypoint_gateway(one.namespace) for one in cluster.workloads if one.proxy == "waypoint"),
    ]


def waypoint_gateway(namespace: str) -> Object:
    """The Gateway that asks for a waypoint (istio.io, 'Configure waypoint proxies')."""
    return _object(
        "gateway.networking.k8s.io/v1",
        "Gateway",
        {"name": WAYPOINT, "namespace": namespace, "labels": {"istio.io/waypoint-for": "service"}},
        spec={
            "gatewayClassName": "istio-waypoint",
            "listeners": [{"name": "mesh", "port": HBONE_PORT, "protocol": "HBONE"}],
        },
    )


def pod_labels(place: PodPlace) -> dict[str, str]:
    """The labels of a pod, as injection leaves them."""
    labels = {**place.workload.labels, _HASH_LABEL: _hash(place.workload)}
    name = {
        "service.istio.io/canonical-name": place.workload.labels["app"],
        "service.istio.io/canonical-revision": _version(place),
    }
    # Without tlsMode the callers of a pod use no mTLS.
    return (
        {**labels, **name, "security.istio.io/tlsMode": "istio", "istio.io/rev": REVISION}
        if place.workload.proxy == "sidecar"
        else labels
    )


def _version(place: PodPlace) -> str:
    return place.workload.labels.get("version", "latest")


def pod_status(place: PodPlace) -> Object:
    """The status that a kubelet would report."""
    ready = [
        {"type": kind, "status": "True"}
        for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    names = [str(container["name"]) for container in _containers(place.workload)]
    containers = [
        {"name": name, "image": "", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}
        for name in names
    ]
    address = {"podIP": place.ip, "podIPs": [{"ip": place.ip}]}
    return {"status": {"phase": "Running", **address, "conditions": ready, "containerStatuses": containers}}


def _accounts(cluster: LabCluster) -> Iterator[Object]:
    for namespace, name in sorted({(w.namespace, w.service_account) for w in cluster.workloads}):
        yield _object("v1", "ServiceAccount", {"name": name, "namespace": namespace})


def node(cluster: LabCluster) -> Object:
    """The one node of a cluster."""
    name = f"{cluster.name}-1"
    zone = {
        "topology.kubernetes.io/region": cluster.region,
        "topology.kubernetes.io/zone": f"{cluster.region}-1",
    }
    return _object("v1", "Node", {"name": name, "labels": {"kubernetes.io/hostname": name, **zone}})


def _controllers(workload: LabWorkload) -> list[Object]:
    meta = {"name": workload.name, "namespace": workload.namespace, "labels": dict(workload.labels)}
    containers = _containers(workload) if workload.proxy == "waypoint" else [_application(workload)]
    spec = {"serviceAccountName": workload.service_account, "containers": containers}
    hashed = {**workload.labels, _HASH_LABEL: _hash(workload)}
    owned = {
        **meta,
        "name": _replica_set(workload),
        "labels": hashed,
        "ownerReferences": [_owner("Deployment", workload.name)],
    }
    replicas = len(workload.pods)
    return [
        _deployment(meta, workload.labels, spec, replicas),
        {**_deployment(owned, hashed, spec, replicas), "kind": "ReplicaSet"},
    ]


def _deployment(
    meta: Mapping[str, Any], labels: Mapping[str, str], pod: Mapping[str, Any], replicas: int
) -> Object:
    template = {"metadata": {"labels": dict(labels)}, "spec": dict(pod)}
    spec = {"replicas": replicas, "selector": {"matchLabels": dict(labels)}, "template": template}
    return _object("apps/v1", "Deployment", meta, spec=spec)


def _pod(cluster: LabCluster, place: PodPlace) -> Object:
    workload = place.workload
    meta = {
        "name": place.name,
        "namespace": workload.namespace,
        "labels": pod_labels(place),
        "ownerReferences": [_owner("ReplicaSet", _replica_set(workload))],
    }
    if workload.proxy in MARKS:
        meta["annotations"] = MARKS[workload.proxy]
    spec = {
        "serviceAccountName": workload.service_account,
        "nodeName": f"{cluster.name}-1",
        "containers": _containers(workload),
    }
    return _object("v1", "Pod", meta, spec=spec)


def _containers(workload: LabWorkload) -> list[Object]:
    proxy = {
        "name": "istio-proxy",
        "image": f"docker.io/istio/proxyv2:{ISTIO_VERSION}",
        "args": ["proxy", workload.proxy],
    }
    return [
        *([_application(workload)] if workload.proxy != "waypoint" else []),
        *([proxy] if workload.proxy in ("sidecar", "waypoint") else []),
    ]


def _application(workload: LabWorkload) -> Object:
    ports = [{"containerPort": port} for port in workload.ports]
    return {
        "name": workload.labels["app"],
        "image": f"registry.example/bookshop/{workload.name}:1",
        **({"ports": ports} if ports else {}),
    }


def _service(service: LabService, ips: Mapping[tuple[str, str], str]) -> Object:
    ports = [
        {"name": name, "port": port, "targetPort": target, "protocol": "TCP", "appProtocol": service.protocol}
        for name, (port, target) in service.ports.items()
    ]
    spec = {
        "selector": {"app": service.app},
        "clusterIP": ips[service.namespace, service.name],
        "ports": ports,
    }
    return _object(
        "v1",
        "Service",
        {"name": service.name, "namespace": service.namespace, "labels": {"app": service.app}},
        spec=spec,
    )


def _slice(cluster: LabCluster, service: LabService, places: Iterable[PodPlace]) -> Object:
    meta = {
        "name": f"{service.name}-lab",
        "namespace": service.namespace,
        "labels": {"kubernetes.io/service-name": service.name},
    }
    ports = [
        {"name": name, "port": target, "protocol": "TCP", "appProtocol": service.protocol}
        for name, (_, target) in service.ports.items()
    ]
    endpoints = [
        {
            "addresses": [place.ip],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"{cluster.name}-1",
            "targetRef": {"kind": "Pod", "namespace": service.namespace, "name": place.name},
        }
        for place in places
    ]
    return _object(
        "discovery.k8s.io/v1", "EndpointSlice", meta, addressType="IPv4", ports=ports, endpoints=endpoints
    )


def _owner(kind: str, name: str) -> Object:
    # Nothing collects by this uid in a cluster without controllers; the API server wants one.
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": name,
        "uid": f"{zlib.crc32(name.encode()):08x}-0000-4000-8000-000000000000",
        "controller": True,
    }


def _hash(workload: LabWorkload) -> str:
    return f"{zlib.crc32(workload.name.encode()):08x}"


def _replica_set(workload: LabWorkload) -> str:
    return f"{workload.name}-{_hash(workload)}"


def _object(api_version: str, kind: str, metadata: Mapping[str, Any], **rest: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": dict(metadata), **rest}
