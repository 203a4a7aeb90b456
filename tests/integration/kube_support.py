"""What the tests of the Kubernetes adapter share: clusters on the lab's servers, objects, and plans of one
step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.cluster import KubeCluster
from gitmesh.adapters.kube.credentials import Endpoint
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.model.manifests import Phase
from gitmesh.model.objects import ApiKind, ObjectKey, canonical
from gitmesh.model.plan import Action, Change, Live, Outcome, Plan
from gitmesh.planning.ownership import marks
from gitmesh.ports import Translator
from tests.lab.apiserver import ApiServer

NETWORKING = "networking.istio.io"
VIRTUAL_SERVICE = ApiKind(
    group=NETWORKING, kind="VirtualService", plural="virtualservices", versions=("v1", "v1beta1")
)
DESTINATION_RULE = ApiKind(
    group=NETWORKING, kind="DestinationRule", plural="destinationrules", versions=("v1",)
)
KINDS = (VIRTUAL_SERVICE, DESTINATION_RULE)
DEADLINE = 60.0
HOME = "mesh-home"
"""Where control planes count, for `WRITER`."""

WRITER = cast(
    Translator,
    SimpleNamespace(
        name="test",
        homes=(HOME,),
        resources=KINDS,
        writes=lambda facts: KINDS,
        configmaps=lambda namespace, name: name == "mesh-settings",
        configured_by=lambda deployment: (
            ("mesh-settings",) if deployment["metadata"]["name"] == "control" else ()
        ),
        detect=lambda objects: (),
        member=lambda pod, labels, meshes: None,
    ),
)
"""A translator that says which kinds are written; the adapter asks no more of one."""


def cluster_at(endpoint: Endpoint, *, timeout: float = DEADLINE, enforce: bool = True) -> KubeCluster:
    """A cluster behind an endpoint."""
    client = KubeClient(endpoint, timeout=timeout, user_agent="gitmesh-tests", jitter=lambda: 0.5)
    return KubeCluster("lab", client, [WRITER], enforce=enforce)


@contextmanager
def lab_cluster(
    server: ApiServer, folder: Path, *, timeout: float = DEADLINE, enforce: bool = True
) -> Iterator[KubeCluster]:
    """The lab's server as admin."""
    cluster = cluster_at(
        read_kubeconfig(server.kubeconfig(folder / "admin")), timeout=timeout, enforce=enforce
    )
    try:
        yield cluster
    finally:
        cluster.close()


def vs_key(namespace: str, name: str = "web") -> ObjectKey:
    """A VirtualService's identity."""
    return ObjectKey(group=NETWORKING, kind="VirtualService", namespace=namespace, name=name)


def vs_spec(name: str = "web", **more: Any) -> dict[str, Any]:
    """A spec that Istio's schema takes."""
    return {"hosts": [name], "http": [{"route": [{"destination": {"host": name}}]}], **more}


def body(key: ObjectKey, spec: Mapping[str, Any], *, owned: bool = True) -> dict[str, Any]:
    """An object, with our marks if it is to be ours."""
    metadata: dict[str, Any] = {"name": key.name, "namespace": key.namespace}
    if owned:
        labels, annotations = marks("lab", "default", key, ())
        metadata |= {"labels": labels, "annotations": annotations}
    return {"apiVersion": f"{key.group}/v1", "kind": key.kind, "metadata": metadata, "spec": dict(spec)}


def step(
    action: Action,
    key: ObjectKey,
    spec: Mapping[str, Any] | None = None,
    live: Live | None = None,
    **more: Any,
) -> Change:
    """One step of a plan, made from a live object where there is one."""
    seen = {"before": live.body, "uid": live.uid, "resource_version": live.resource_version} if live else {}
    content = canonical(body(key, spec)) if spec is not None else None
    given: dict[str, Any] = {"phase": Phase.ROUTE, "version": "v1", "body": content, **seen, **more}
    return Change(action=action, key=key, **given)


def carry_out(cluster: KubeCluster, *steps: Change) -> tuple[Outcome, ...]:
    """The outcomes of a plan of these steps."""
    return cluster.apply(Plan(cluster="lab", changes=steps))


def live_of(cluster: KubeCluster, key: ObjectKey) -> Live:
    """A live object, read now."""
    return cluster.observe(KINDS).live[key]


def create(cluster: KubeCluster, key: ObjectKey, spec: Mapping[str, Any]) -> Live:
    """Make an object of ours and read it."""
    cluster.observe(KINDS)
    (outcome,) = carry_out(cluster, step(Action.CREATE, key, spec))
    assert outcome.ok, outcome
    return live_of(cluster, key)


def spec_of(server: ApiServer, key: ObjectKey) -> Any:
    """The spec as the server has it."""
    found = server.get(f"{key.group}/v1", key.kind, key.namespace, key.name)
    return found["spec"] if found else None


def edit(server: ApiServer, key: ObjectKey, patch: Mapping[str, Any], manager: str = "kubectl-edit") -> None:
    """What a person does with kubectl edit."""
    path = server.client.resource_path(
        f"{key.group}/v1" if key.group else "v1", key.kind, key.namespace, key.name
    )
    server.client.call(
        "PATCH", f"{path}?fieldManager={manager}", patch, content_type="application/merge-patch+json"
    )
