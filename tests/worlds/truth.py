"""What really is in a world, pod by pod, read from its objects without any of the product's discovery."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import PortRange, Workload
from tests.soundness.requests import AskedRequest, CallingPod
from tests.soundness.unified import pairs
from tests.worlds.drawing import ACCOUNTS, CLUSTER, INJECTED, LEFT_PROBES, MODE, NAMESPACES, UNSEEN, World
from tests.worlds.objects import REVISION, ROOT, Object

_PROTOCOLS = {"http": "http", "grpc": "grpc", "tcp": "tcp"}
PORTS = (8080, 9090, 7070, 15999)
"""Every container port that a Service of a world may reach, and one that none does."""
REQUESTS = (
    AskedRequest(path="/api/x", method="GET", host="r.shop"),
    AskedRequest(path="/x", method="POST", host="r.shop:80"),
    AskedRequest(http=False),
)


def truth(world: World) -> ClusterFacts:
    """Facts in which each pod is a workload of its own."""
    injecting = _Injecting(world)
    return ClusterFacts(
        cluster=CLUSTER,
        meshes=tuple(_mesh(plane, world) for plane in _planes(world)),
        workloads=tuple(injecting.pod(body) for body in _of_kind(world, "Pod")),
        services=tuple(map(_service, _newest(_of_kind(world, "Service")))),
        service_accounts=frozenset((place, name) for place in NAMESPACES for name in ACCOUNTS),
    )


def _planes(world: World) -> list[Object]:
    found = [one for one in world.objects if one["metadata"].get("labels", {}).get("app") == "istiod"]
    return list(_newest(found))


def _mesh(plane: Object, world: World) -> Mesh:
    revision = plane["metadata"]["labels"].get(REVISION, "")
    return Mesh(
        translator="istio",
        name=_mesh_name(revision),
        revision=revision,
        root_namespace=ROOT,
        namespace=ROOT,
        trust_domain=trust_domain(world),
    )


def _mesh_name(revision: str) -> str:
    return f"istio-{revision}" if revision else "istio"


def _of_kind(world: World, kind: str) -> list[Object]:
    return [one for one in world.objects if one["kind"] == kind]


def _newest(objects: Iterable[Object]) -> Iterable[Object]:
    return {(one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in objects}.values()


def settings(world: World) -> str:
    """MeshConfig as it stands."""
    found = [one["data"]["mesh"] for one in world.objects if one["kind"] == "ConfigMap"]
    return found[-1] if found else ""


def trust_domain(world: World) -> str:
    """What MeshConfig says, or Istio's own default."""
    found = re.search(r"trustDomain: (\S+)", settings(world))
    return found[1] if found else "cluster.local"


class _Injecting:
    """Which proxies pods have: one each, of the revision that the injector wrote on them, that of their node,
    as labels of the pod or else of its namespace ask, or none.
    """

    def __init__(self, world: World) -> None:
        found = _newest(_of_kind(world, "Namespace"))
        self._places = {one["metadata"]["name"]: one["metadata"]["labels"] for one in found}

    def pod(self, body: Object) -> Workload:
        """A pod as it runs."""
        containers = body["spec"]["containers"]
        metadata = body["metadata"]
        proxied = any(one["name"] == "istio-proxy" for one in containers)
        ambient = not proxied and self._is_enrolled(metadata)
        said = json.loads(metadata.get("annotations", {}).get(INJECTED, "{}"))
        mesh = _mesh_name(said.get("revision", "")) if proxied or ambient else ""
        return Workload(
            kind="Pod",
            namespace=metadata["namespace"],
            name=metadata["name"],
            labels=metadata["labels"],
            service_account=body["spec"]["serviceAccountName"],
            ports={port["name"]: port["containerPort"] for port in containers[0]["ports"]},
            mesh=mesh,
            dataplane="ambient" if ambient else "sidecar",
            pods=1,
            unguarded=tuple(PortRange(first=port, last=port) for port in _unseen(body) if proxied),
        )

    def _is_enrolled(self, metadata: Object) -> bool:
        asked = metadata["labels"].get(MODE, self._places[metadata["namespace"]].get(MODE))
        return bool(asked == "ambient")


def probed(body: Object) -> int | None:
    """The port at which the kubelet asks a pod's proxy as anybody else would, if it does: by HTTP, while the
    injector was told to leave that as it is.
    """
    [app, *proxies] = body["spec"]["containers"]
    asked = app.get("readinessProbe", {}).get("httpGet")
    left = body["metadata"].get("annotations", {}).get(LEFT_PROBES) == "false"
    if not (asked and left and proxies):
        return None
    named = {port["name"]: port["containerPort"] for port in app["ports"]}
    port = asked["port"]
    return named.get(port) if isinstance(port, str) else int(port)


def _unseen(body: Object) -> list[int]:
    """The ports that the pod's proxy does not see; one that has none sees nothing anyway."""
    said = body["metadata"].get("annotations", {}).get(UNSEEN, "")
    return [int(port) for port in said.split(",") if port]


def _service(body: Object) -> Service:
    spec = body["spec"]
    return Service(
        namespace=body["metadata"]["namespace"],
        name=body["metadata"]["name"],
        labels=body["metadata"].get("labels", {}),
        selector=spec["selector"],
        ports=tuple(map(_port, spec["ports"])),
        type=spec.get("type", "ClusterIP"),
        headless=spec.get("clusterIP") == "None",
    )


def _port(port: Mapping[str, Any]) -> ServicePort:
    protocol = "udp" if port.get("protocol") == "UDP" else _PROTOCOLS.get(port["name"].partition("-")[0], "")
    return ServicePort(number=port["port"], name=port["name"], target=port["targetPort"], protocol=protocol)


def clients(world: World) -> tuple[CallingPod, ...]:
    """Every account, one that shows no identity, and one of a stranger's trust domain."""
    domain = trust_domain(world)
    known = [(place, name, domain) for place in NAMESPACES for name in ACCOUNTS]
    others: list[tuple[str, str, str | None]] = [("shop", "web", None), ("shop", "web", "evil.example")]
    return tuple(
        CallingPod(cluster=CLUSTER, namespace=place, account=name, trust_domain=whose)
        for place, name, whose in (*known, *others)
    )


def spoken(facts: ClusterFacts, pod: Workload, port: int) -> Iterator[AskedRequest]:
    """The requests that the pod's proxy may see at a container port, as its Services declare it."""
    said = [
        one.protocol
        for service in facts.services
        for one, workload, number in pairs(service, facts)
        if (workload, number) == (pod, port) and one.seen
    ]
    http = not said or any(protocol != "tcp" for protocol in said)
    raw = not said or any(protocol in ("tcp", "") for protocol in said)
    return (request for request in REQUESTS if (http if request.http else raw))


def spoken_at(port: ServicePort) -> Iterator[AskedRequest]:
    """The requests that a Service's port may carry."""
    return (one for one in REQUESTS if (port.protocol != "tcp" if one.http else port.protocol in ("tcp", "")))
