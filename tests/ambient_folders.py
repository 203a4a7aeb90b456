"""A cluster of `tests.folders` of which the pods are in Istio's ambient mode, and its waypoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.folders import APPS, Body, Folders, istiod, thing

MODE, USE = "istio.io/dataplane-mode", "istio.io/use-waypoint"


def pod(name: str, *, sidecar: bool = False, labels: Mapping[str, str] | None = None) -> Body:
    """A pod without a proxy of its own, unless it has a `sidecar`; `labels` are further ones."""
    containers = [{"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}]}]
    containers += [{"name": "istio-proxy", "image": "proxyv2:1.30.3"}] if sidecar else []
    spec = {"serviceAccountName": name, "containers": containers}
    mine = {"app": name, **(labels or {})}
    return thing("Pod", f"{name}-0", "shop", labels=mine, spec=spec, status={"phase": "Running"})


def ztunnel() -> Body:
    """What takes the connections of such pods."""
    proxy = {"name": "istio-proxy", "image": "ztunnel:1.30.3", "args": ["proxy", "ztunnel"]}
    spec = {"template": {"spec": {"containers": [proxy]}}}
    return thing("DaemonSet", "ztunnel", "istio-system", "apps/v1", {"app": "ztunnel"}, spec=spec)


def waypoint(labels: Mapping[str, str] | None = None, *, ready: bool = True, programmed: bool = True) -> Body:
    """A waypoint; `ready`: it has an address, which istiod never takes back."""
    address = {"addresses": [{"type": "Hostname", "value": "waypoint.shop.svc.cluster.local"}]}
    return thing(
        "Gateway",
        "waypoint",
        "shop",
        "gateway.networking.k8s.io/v1",
        labels,
        spec={"gatewayClassName": "istio-waypoint"},
        status={
            "conditions": [{"type": "Programmed", "status": str(programmed)}],
            **(address if ready else {}),
        },
    )


def in_ambient(folder: Path, **labels: str) -> Folders:
    """One cluster with all pods of `shop` in ambient; `labels` are further ones of the namespace."""
    made = Folders(folder, ("east",))
    shop = thing("Namespace", "shop", labels={MODE: "ambient", **labels})
    made.put("east", "namespaces", thing("Namespace", "istio-system"), shop)
    made.put("east", "istiod", istiod(), ztunnel())
    made.put("east", "pods", *map(pod, APPS))
    return made
