"""The cluster of the conformance suite as GitMesh reads it: the suite's own Services and Deployments, with
the pods and the mesh that an installation would add.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from msgspec.structs import replace

from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.model.facts import ClusterFacts
from tests.lab.apiclient import Object
from tests.lab.bookshop import AMBIENT, Dataplane
from tests.lab.conformance import CLUSTER
from tests.lab.installation import MARKS, control_plane, waypoint_gateway
from tests.rendered import translators


def facts(manifests: Sequence[Object], dataplane: Dataplane, folder: Path) -> ClusterFacts:
    """What is discovered where the suite's base manifests are in force, with sidecars or in ambient behind
    waypoints.
    """
    folder.mkdir(parents=True)
    mesh = control_plane(dataclasses.replace(CLUSTER, dataplane=dataplane), "https://localhost/validate")
    (folder / "live.yaml").write_text(yaml.safe_dump_all([*_based(manifests, dataplane), *mesh]))
    return DirectoryCluster("discovered", folder, list(translators().values())).facts()


def named(known: ClusterFacts, cluster: str) -> ClusterFacts:
    """The same facts of another cluster, apart from the first."""
    return replace(known, cluster=cluster, uid=cluster)


def _based(manifests: Sequence[Object], dataplane: Dataplane) -> Iterator[Object]:
    for one in manifests:
        if one["kind"] == "Namespace" and dataplane == "ambient":
            labels = {**one["metadata"].get("labels", {}), **AMBIENT}
            yield {**one, "metadata": {**one["metadata"], "labels": labels}}
            yield _ready(waypoint_gateway(one["metadata"]["name"]))
            continue
        yield one
        if one["kind"] == "Deployment":
            yield _pod(one, dataplane)


def _ready(gateway: Object) -> Object:
    """A Gateway as istiod leaves it when its waypoint is ready."""
    conditions = [{"type": "Programmed", "status": "True"}]
    return {**gateway, "status": {"conditions": conditions, "addresses": [{"value": "10.96.1.1"}]}}


def _pod(deployment: Object, dataplane: Dataplane) -> Object:
    """One of its pods."""
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    sidecar = [{"name": "istio-proxy", "image": "istio/proxyv2"}] if dataplane == "sidecar" else []
    spec = {"serviceAccountName": "default", "containers": [*template["spec"]["containers"], *sidecar]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-0",
            "namespace": meta["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": dict(MARKS["sidecar" if dataplane == "sidecar" else "ztunnel"]),
        },
        "spec": spec,
        "status": {"phase": "Running"},
    }
