"""The cluster of the conformance suite as GitMesh reads it: the suite's own Services and Deployments, with
the pods and the mesh that an installation would add.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from msgspec.structs import replace

from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.model.facts import ClusterFacts
from tests.lab.conformance import CLUSTER
from tests.lab.installation import SYSTEM, control_plane
from tests.rendered import translators

Object = dict[str, Any]
Mode = Literal["sidecars", "waypoint"]

WAYPOINT = "waypoint"
AMBIENT = {"istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": WAYPOINT}
"""Labels of a namespace whose pods are in ambient, and whose Services are bound to a waypoint."""
_ZTUNNEL: Object = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "ztunnel", "namespace": SYSTEM, "labels": {"app": "ztunnel"}},
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "istio-proxy", "image": "ztunnel", "args": ["proxy", "ztunnel"]}]
            }
        }
    },
}
_PROXIED = {
    "sidecars": {"sidecar.istio.io/status": '{"containers":["istio-proxy"],"revision":"default"}'},
    "waypoint": {"ambient.istio.io/redirection": "enabled"},
}


def facts(manifests: Sequence[Object], mode: Mode, folder: Path) -> ClusterFacts:
    """What is discovered where the suite's base manifests are in force, with sidecars or behind waypoints."""
    folder.mkdir(parents=True)
    mesh = [
        *control_plane(CLUSTER, "https://localhost/validate"),
        *([_ZTUNNEL] if mode == "waypoint" else []),
    ]
    objects = [*_based(manifests, mode), *mesh]
    (folder / "live.yaml").write_text(yaml.safe_dump_all(objects))
    return DirectoryCluster("discovered", folder, list(translators().values())).facts()


def named(known: ClusterFacts, cluster: str) -> ClusterFacts:
    """The same facts of another cluster, apart from the first."""
    return replace(known, cluster=cluster, uid=cluster)


def _based(manifests: Sequence[Object], mode: Mode) -> Iterator[Object]:
    for one in manifests:
        if one["kind"] == "Namespace" and mode == "waypoint":
            labels = {**one["metadata"].get("labels", {}), **AMBIENT}
            yield {**one, "metadata": {**one["metadata"], "labels": labels}}
            yield waypoint(one["metadata"]["name"])
            continue
        yield one
        if one["kind"] == "Deployment":
            yield _pod(one, mode)


def waypoint(namespace: str) -> Object:
    """The waypoint of a namespace, as istiod leaves it when it is ready."""
    labels = {"istio.io/waypoint-for": "service"}
    condition = {"type": "Programmed", "status": "True", "reason": "Programmed", "message": ""}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": WAYPOINT, "namespace": namespace, "labels": labels},
        "spec": {
            "gatewayClassName": "istio-waypoint",
            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
        },
        "status": {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }


def _pod(deployment: Object, mode: Mode) -> Object:
    """One of its pods."""
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    sidecar = [{"name": "istio-proxy", "image": "istio/proxyv2"}] if mode == "sidecars" else []
    spec = {"serviceAccountName": "default", "containers": [*template["spec"]["containers"], *sidecar]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-0",
            "namespace": meta["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": _PROXIED[mode],
        },
        "spec": spec,
        "status": {"phase": "Running"},
    }
