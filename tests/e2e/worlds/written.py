"""A world's objects as they stand in a real cluster: with what an injector, a CNI plugin, a scheduler and
istiod's own deployment of waypoints add to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gitmesh.model.workloads import Workload
from tests.lab.apiclient import Object
from tests.lab.bookshop import GATEWAY_NAME, HBONE_PORT, REVISION, LabCluster, LabWorkload, Proxy
from tests.lab.installation import ISTIO_VERSION, MARKS
from tests.worlds.drawing import CLUSTER, World
from tests.worlds.truth import PORTS, settings, trust_domain, truth

NODE = f"{CLUSTER}-1"
CALLER_IP = "10.0.0.9"
"""Where the judge's callers are (tests/soundness/requests.py)."""
SUBNET = "10.24"
_INSTALLED = frozenset({"Deployment", "ConfigMap", "DaemonSet"})
"""Kinds of which a world has those of the mesh's installation alone: the lab writes its own."""


@dataclass(frozen=True)
class Stood:
    """The tables of a world for the lab: its control planes, each of a revision; `revisions`: pod -> that of
    its proxy; `unseen`: pod -> ports that do not come to it.
    """

    planes: tuple[LabCluster, ...]
    objects: tuple[Object, ...]
    workloads: tuple[LabWorkload, ...]
    """One for each pod."""
    revisions: Mapping[str, str]
    unseen: Mapping[str, tuple[int, ...]]
    settings: Mapping[str, object]

    @property
    def ambient(self) -> bool:
        """Whether some of its pods may be in ambient."""
        return self.planes[0].dataplane == "ambient"


def stood(world: World) -> Stood:
    """What the lab has to bring up."""
    facts = truth(world)
    bodies = _newest(world)
    doors = [one for one in bodies if one["kind"] == "Gateway" and _is_programmed(one)]
    workloads = (*map(_workload, facts.workloads), *map(_waypoint, doors))
    written = [_written(one, facts.workloads) for one in bodies if _is_written(one)]
    objects = (*written, *(part for door in doors for part in _deployed(door)))
    return Stood(
        tuple(_plane(world, mesh.revision or REVISION) for mesh in facts.meshes),
        objects,
        workloads,
        {one.name: _revision(one) for one in facts.workloads},
        {one.name: tuple(p for p in PORTS if one.mesh and not one.guards(p)) for one in facts.workloads},
        yaml.safe_load(settings(world)) or {},
    )


def refused(world: World) -> int:
    """How many of its objects Istio's validation refuses: a DENY without rules, which would deny nobody."""
    return sum(map(_is_idle, _newest(world)))


def _is_written(body: Object) -> bool:
    return body["kind"] not in _INSTALLED and not _is_idle(body)


def _is_idle(body: Object) -> bool:
    is_deny = body["kind"] == "AuthorizationPolicy" and body["spec"].get("action") == "DENY"
    return is_deny and "rules" not in body["spec"]


def _plane(world: World, revision: str) -> LabCluster:
    return LabCluster(
        name=CLUSTER,
        trust_domain=trust_domain(world),
        region="eu",
        subnet=SUBNET,
        namespaces={},
        workloads=(),
        services=(),
        dataplane="ambient" if world.manner.ambient else "sidecar",
        revision=revision,
    )


def _newest(world: World) -> list[Object]:
    named = {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in world.objects
    }
    return sorted(named.values(), key=lambda one: one["kind"] != "Namespace")


def _is_programmed(gateway: Object) -> bool:
    return bool(gateway["status"]["conditions"][0]["status"] == "True")


def _workload(pod: Workload) -> LabWorkload:
    proxy: Proxy = "" if not pod.mesh else "ztunnel" if pod.dataplane == "ambient" else "sidecar"
    return LabWorkload(
        pod.namespace, pod.name, pod.service_account, (pod.name,), pod.labels, PORTS, proxy=proxy
    )


def _revision(pod: Workload) -> str:
    """Of the control plane that the pod's proxy listens to."""
    return pod.mesh.removeprefix("istio").removeprefix("-") or REVISION


def _waypoint(gateway: Object) -> LabWorkload:
    name, namespace = gateway["metadata"]["name"], gateway["metadata"]["namespace"]
    pod = door_pod(namespace, name)
    return LabWorkload(namespace, name, name, (pod,), _door_labels(name), proxy="waypoint")


def door_pod(namespace: str, waypoint: str) -> str:
    """The name of a waypoint's pod: in the lab, names of namespaces do not tell pods apart."""
    return f"{waypoint}-{namespace}"


def _door_labels(name: str) -> dict[str, str]:
    return {"app": name, GATEWAY_NAME: name}


def _written(body: Object, pods: tuple[Workload, ...]) -> Object:
    """An object as the API server takes it."""
    found = {name: part for name, part in body.items() if name != "status"}
    if body["kind"] == "Pod":
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        return _scheduled(found, next(one for one in pods if (one.namespace, one.name) == key))
    if body["kind"] == "Gateway":
        listener = {"name": "mesh", "port": HBONE_PORT, "protocol": "HBONE"}
        return {**found, "spec": {**found["spec"], "listeners": [listener]}}
    return found


def _scheduled(body: Object, pod: Workload) -> Object:
    proxy = _workload(pod).proxy
    meta = body["metadata"]
    # Without tlsMode the callers of a pod use no mTLS.
    injected = {"security.istio.io/tlsMode": "istio", "istio.io/rev": _revision(pod)}
    added: dict[str, Any] = {
        "labels": {**meta["labels"], **(injected if proxy == "sidecar" else {})},
        "annotations": {**MARKS.get(proxy, {}), **meta.get("annotations", {})},
    }
    return {**body, "metadata": {**meta, **added}, "spec": {**body["spec"], "nodeName": NODE}}


def _deployed(gateway: Object) -> Iterator[Object]:
    """What istiod makes for a Gateway of its class, if it has the templates of an installation."""
    name, namespace = gateway["metadata"]["name"], gateway["metadata"]["namespace"]
    meta = {"name": name, "namespace": namespace}
    proxy = {
        "name": "istio-proxy",
        "image": f"docker.io/istio/proxyv2:{ISTIO_VERSION}",
        "args": ["proxy", "waypoint"],
    }
    labels = _door_labels(name)
    pod = {**meta, "name": door_pod(namespace, name), "labels": labels}
    spec = {"serviceAccountName": name, "nodeName": NODE, "containers": [proxy]}
    port = {"name": "mesh", "port": HBONE_PORT, "appProtocol": "hbone"}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": spec}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**meta, "labels": labels},
        "spec": {"selector": labels, "ports": [port]},
    }
