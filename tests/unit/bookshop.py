"""A small cluster written by hand: bookshop's Services with Istio sidecars, and a translator that only
detects them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Translation
from gitmesh.model.objects import ApiKind, Body, ObjectKey, canonical
from gitmesh.model.plan import Action, Change, Live, Plan
from gitmesh.model.units import Unit, UnitKey
from gitmesh.model.workloads import PortRange
from gitmesh.ports import ControlObjects, Membership, PodFact, Translator
from tests.fake_mesh import FakeMesh

NETWORKING = "networking.istio.io"
VIRTUAL_SERVICE = ApiKind(group=NETWORKING, kind="VirtualService", plural="virtualservices", versions=("v1",))


class FakeTranslator(FakeMesh):
    """Detects istiod by its label and sidecars by their container's name, as a plain module would."""

    name = "istio"
    resources: Sequence[ApiKind] = (
        ApiKind(
            group=NETWORKING, kind="VirtualService", plural="virtualservices", versions=("v1", "v1beta1")
        ),
    )
    opt_out_keys: frozenset[str] = frozenset()

    def configmaps(self, namespace: str, name: str) -> bool:
        return name == "istio"

    def configured_by(self, deployment: Body) -> tuple[str, ...]:
        return ("istio",) if deployment["metadata"]["labels"].get("app") == "istiod" else ()

    def detect(self, objects: ControlObjects) -> tuple[Mesh, ...]:
        found = [d for d in objects.deployments if d["metadata"]["labels"].get("app") == "istiod"]
        return tuple(self._mesh(deployment, objects) for deployment in found)

    def _mesh(self, deployment: Body, objects: ControlObjects) -> Mesh:
        namespace, container = (
            deployment["metadata"]["namespace"],
            deployment["spec"]["template"]["spec"]["containers"][0],
        )
        config = objects.configmaps.get((namespace, "istio"), {"data": {}})
        env = {item["name"]: item["value"] for item in container["env"]}
        version = container["image"].rpartition(":")[2]
        return Mesh(
            translator=self.name,
            name="istio",
            version=version,
            revision=env.get("REVISION", ""),
            namespace=namespace,
            root_namespace=namespace,
            trust_domain="cluster.local"
            if "trustDomain: cluster.local" in config["data"].get("mesh", "")
            else "",
        )

    def member(
        self, pod: PodFact, namespace_labels: Mapping[str, str], meshes: Sequence[Mesh]
    ) -> Membership | None:
        native = any(name == "istio-proxy" for name, _ in pod.init_containers)
        if not native and all(name != "istio-proxy" for name, _ in pod.containers):
            return None
        ports = (int(number) for number in pod.annotations.get("unseen", "").split())
        unseen = tuple(PortRange(first=port, last=port) for port in ports)
        return Membership(
            mesh=meshes[0].name,
            gateway="router" in pod.args.get("istio-proxy", ()),
            native_sidecar=native,
            unguarded=unseen,
        )

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        return Translation()


TRANSLATORS: tuple[Translator, ...] = (FakeTranslator(),)
PROXY = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.3", "args": ["proxy", "sidecar"]}


def thing(api_version: str, kind: str, name: str, namespace: str = "bookshop", **rest: Any) -> dict[str, Any]:
    """An object; `labels` and `owner` (kind, name) go to its metadata."""
    metadata: dict[str, Any] = {"name": name, "labels": rest.pop("labels", {})}
    if namespace:
        metadata["namespace"] = namespace
    owner = rest.pop("owner", None)
    if owner:
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": "u", "controller": True}
        ]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def app_spec(name: str, *, proxy: bool) -> dict[str, Any]:
    """A pod spec with one application container."""
    app = {
        "name": name,
        "image": f"shop/{name}:1",
        "ports": [{"name": "http", "containerPort": 9080}, {"containerPort": 1}],
    }
    return {"serviceAccountName": name, "containers": [app, PROXY] if proxy else [app]}


def service(name: str, index: int = 0, version: str = "v1") -> list[dict[str, Any]]:
    """A Service with its ServiceAccount, Deployment, ReplicaSet, two Pods and EndpointSlice."""
    labels = {"app": name, "version": version}
    hashed = {**labels, "pod-template-hash": "6f9d"}
    template = {"metadata": {"labels": labels}, "spec": app_spec(name, proxy=False)}
    pod_spec = app_spec(name, proxy=True)
    return [
        thing(
            "v1",
            "Service",
            name,
            labels={"app": name},
            spec={
                "selector": {"app": name},
                "clusterIP": f"10.0.{index % 200}.1",
                "ports": [{"name": "http", "port": 9080, "targetPort": "http"}],
            },
        ),
        thing("v1", "ServiceAccount", name),
        thing(
            "apps/v1",
            "Deployment",
            f"{name}-{version}",
            labels=labels,
            spec={"replicas": 2, "template": template},
        ),
        thing(
            "apps/v1",
            "ReplicaSet",
            f"{name}-{version}-6f9d",
            owner=("Deployment", f"{name}-{version}"),
            spec={"template": template},
        ),
        *(
            thing(
                "v1",
                "Pod",
                f"{name}-{version}-6f9d-{node}",
                labels=hashed,
                owner=("ReplicaSet", f"{name}-{version}-6f9d"),
                spec={**pod_spec, "nodeName": node},
                status={"phase": "Running", "podIP": "10.1.2.3"},
            )
            for node in ("node-a", "node-b")
        ),
        thing(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            f"{name}-x",
            addressType="IPv4",
            endpoints=[{"addresses": ["10.1.2.3"]}],
        ),
    ]


def control_plane() -> list[dict[str, Any]]:
    """istiod, its ConfigMap, namespaces and nodes."""
    istiod = {
        "name": "discovery",
        "image": "docker.io/istio/pilot:1.30.3",
        "args": ["discovery"],
        "env": [
            {"name": "REVISION", "value": "default"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
    }
    template = {
        "metadata": {"labels": {"app": "istiod"}},
        "spec": {"serviceAccountName": "istiod", "containers": [istiod]},
    }
    nodes = {
        "node-a": {
            "topology.kubernetes.io/region": "eu",
            "topology.kubernetes.io/zone": "eu-1",
            "topology.istio.io/subzone": "rack",
        },
        "node-b": {
            "failure-domain.beta.kubernetes.io/region": "eu",
            "failure-domain.beta.kubernetes.io/zone": "eu-2",
        },
    }
    kube_system = thing("v1", "Namespace", "kube-system", "")
    kube_system["metadata"]["uid"] = "11111111-2222-4333-8444-555555555555"
    return [
        kube_system,
        thing("v1", "Namespace", "bookshop", "", labels={"istio-injection": "enabled"}),
        thing("v1", "Namespace", "istio-system", ""),
        thing(
            "apps/v1",
            "Deployment",
            "istiod",
            "istio-system",
            labels={"app": "istiod"},
            spec={"template": template},
        ),
        thing("v1", "ConfigMap", "istio", "istio-system", data={"mesh": "trustDomain: cluster.local\n"}),
        thing("v1", "ConfigMap", "passwords", "bookshop", data={"root": "hunter2"}),
        *(thing("v1", "Node", name, "", labels=labels) for name, labels in nodes.items()),
    ]


def bookshop() -> list[dict[str, Any]]:
    """The whole cluster."""
    return [*control_plane(), *service("reviews"), *service("ratings", 1)]


def route(name: str = "reviews", timeout: str = "5s") -> dict[str, Any]:
    """A VirtualService as GitMesh writes it."""
    return thing(
        f"{NETWORKING}/v1",
        "VirtualService",
        name,
        labels={"app.kubernetes.io/managed-by": "gitmesh"},
        spec={"hosts": [name], "http": [{"route": [{"destination": {"host": name}}], "timeout": timeout}]},
    )


def key(name: str = "reviews", namespace: str = "bookshop") -> ObjectKey:
    """The key of `route(name)`."""
    return ObjectKey(group=NETWORKING, kind="VirtualService", namespace=namespace, name=name)


def create(body: dict[str, Any], *units: UnitKey) -> Change:
    """A step that creates an object."""
    target = key(body["metadata"]["name"], body["metadata"]["namespace"])
    return Change(action=Action.CREATE, key=target, decides="routing", body=canonical(body), units=units)


def update(live: Live, body: dict[str, Any], *units: UnitKey) -> Change:
    """A step that replaces a live object."""
    return Change(
        action=Action.UPDATE,
        key=live.key,
        decides="routing",
        body=canonical(body),
        before=live.body,
        uid=live.uid,
        resource_version=live.resource_version,
        units=units,
    )


def delete(live: Live, *units: UnitKey) -> Change:
    """A step that deletes a live object."""
    return Change(
        action=Action.DELETE,
        key=live.key,
        decides="routing",
        before=live.body,
        uid=live.uid,
        resource_version=live.resource_version,
        units=units,
    )


def plan(*changes: Change, cluster: str = "east") -> Plan:
    """A plan of these steps."""
    return Plan(cluster=cluster, changes=changes)
