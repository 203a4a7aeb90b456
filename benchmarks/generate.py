"""A deterministic world of any size: P policies in a git repository, S services in each of C directory
clusters.

Half of the policies route, half grant access; 80% select one service by name, 15% ten by label, 5% a
namespace of 50. Each service has a Service, ServiceAccount, Deployment, two Pods and an EndpointSlice.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitmesh.yaml_text import dump, dump_all

PER_NAMESPACE = 50
PER_GROUP = 10
BY_LABEL_EVERY = (17, 14, 11)
"""Of twenty policies in a row these three select by label, the last one a namespace, the others a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    policies: int
    services: int
    clusters: int

    def __str__(self) -> str:
        return f"{self.policies} policies x {self.services} services x {self.clusters} clusters"


def place(number: int) -> tuple[str, str]:
    """(namespace, name) of a service."""
    return f"ns-{number // PER_NAMESPACE:03d}", f"svc-{number:05d}"


def make_world(folder: Path, size: Size, seed: int = 1) -> Path:
    """Write repository, clusters and configuration below `folder`; returns the path of gitmesh.yaml."""
    for number in range(size.clusters):
        make_cluster(folder / "clusters" / f"c{number:02d}", size.services, f"c{number:02d}.example")
    repository = folder / "repo"
    write(repository / "policies", policies(size, seed))
    git(repository, "init", "--quiet", "--initial-branch=main")
    commit(repository, "policies")
    git(folder, "clone", "--quiet", "--bare", "repo", "origin.git")
    git(repository, "remote", "add", "origin", str(folder / "origin.git"))
    config = folder / "gitmesh.yaml"
    config.write_text(dump(configuration(folder, size)))
    return config


def configuration(folder: Path, size: Size) -> dict[str, Any]:
    """gitmesh.yaml of the world."""
    clusters = [{"name": f"c{n:02d}", "directory": f"clusters/c{n:02d}"} for n in range(size.clusters)]
    source = {
        "name": "policies",
        "url": f"file://{folder / 'origin.git'}",
        "paths": ["policies"],
        "allowInsecure": True,
    }
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": "Config",
        "instance": "bench",
        "sources": [source],
        "clusters": clusters,
        "listen": ":0",
    }


def write(folder: Path, documents: dict[str, dict[str, Any]]) -> None:
    """One file a document."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.yaml").write_text(dump(document))


def git(folder: Path, *words: str) -> str:
    """Run git with an identity of its own."""
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def commit(repository: Path, message: str) -> str:
    """Commit everything; returns the commit."""
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", message)
    return git(repository, "rev-parse", "HEAD").strip()


# --- policies


def policies(size: Size, seed: int) -> dict[str, dict[str, Any]]:
    """Name -> document."""
    return {f"p{number:05d}": policy(number, size, seed) for number in range(size.policies)}


def policy(number: int, size: Size, seed: int, *, timeout: str = "") -> dict[str, Any]:
    """One policy. Where two of one form select one service, their paths are disjoint, so nothing
    conflicts.
    """
    chance = random.Random(f"{seed}-{number}")
    turn, kind = divmod(number, 2)
    destination, again = select(turn, size)
    spec = access(chance) if kind else traffic(number, chance, timeout, again)
    spec |= {"destinations": [destination]}
    names = ("TrafficPolicy", "AccessPolicy")
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": names[kind],
        "metadata": {"name": f"p{number:05d}", "namespace": "mesh"},
        "spec": spec,
    }


def select(turn: int, size: Size) -> tuple[dict[str, Any], int]:
    """The selector of the turn-th policy of a kind, and how often its form has gone round by then."""
    position = turn % 20
    if position == 19:
        spaces = max(1, size.services // PER_NAMESPACE)
        return {"namespaces": [f"ns-{turn // 20 % spaces:03d}"]}, turn // 20 // spaces
    if position in BY_LABEL_EVERY:
        groups = max(1, size.services // PER_GROUP)
        index = turn // 20 * 3 + BY_LABEL_EVERY.index(position)
        return {"labels": {"group": f"g{index % groups:04d}"}}, index // groups
    namespace, name = place(turn % size.services)
    return {"name": name, "namespaces": [namespace]}, turn // size.services


def traffic(number: int, chance: random.Random, timeout: str, again: int) -> dict[str, Any]:
    """One of four common shapes; a path of its own where the selector went round before."""
    seconds = timeout or f"{chance.randint(1, 30)}s"
    if again:
        return {"timeout": seconds, "matches": [{"path": {"prefix": f"/again/{again}"}}]}
    shapes: tuple[dict[str, Any], ...] = (
        {"timeout": seconds, "retries": {"attempts": chance.randint(1, 5), "perTryTimeout": "500ms"}},
        {
            "timeout": seconds,
            "matches": [{"path": {"prefix": f"/api/v{chance.randint(1, 3)}"}, "method": "GET"}],
        },
        {
            "timeout": seconds,
            "matches": [{"headers": [{"name": "x-tester", "exact": "yes"}]}],
            "headers": {"request": {"set": {"x-test": "1"}}},
        },
        {
            "timeout": seconds,
            "outlierDetection": {"consecutiveErrors": chance.randint(3, 9), "interval": "10s"},
        },
    )
    return dict(shapes[number // 2 % len(shapes)])


def access(chance: random.Random) -> dict[str, Any]:
    """Some callers may use some methods."""
    callers = [{"namespaces": [f"ns-{chance.randint(0, 9):03d}"]}]
    return {
        "sources": callers,
        "rules": [{"methods": ["GET", "HEAD"], "paths": [f"/api/v{chance.randint(1, 3)}*"]}],
    }


# --- clusters


def make_cluster(folder: Path, services: int, trust_domain: str) -> None:
    """Write a cluster with Istio and that many services, one file a service."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mesh.yaml").write_text(dump_all(list(control_plane(trust_domain, services))))
    for number in range(services):
        namespace, name = place(number)
        (folder / namespace).mkdir(exist_ok=True)
        (folder / namespace / f"{name}.yaml").write_text(dump_all(list(service(number))))


def control_plane(trust_domain: str, services: int) -> Iterator[dict[str, Any]]:
    """Namespaces, istiod and its configuration."""
    spaces = -(-services // PER_NAMESPACE)
    yield named("v1", "Namespace", "", "istio-system", {"uid": "bench"})
    for number in range(max(spaces, 10)):
        yield named("v1", "Namespace", "", f"ns-{number:03d}", {"labels": {"istio-injection": "enabled"}})
    containers = [{"name": "discovery", "image": "example.test/pilot:1.30.3"}]
    labels = {"app": "istiod", "istio.io/rev": "default"}
    yield {
        **named("apps/v1", "Deployment", "istio-system", "istiod", {"labels": labels}),
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }
    yield {
        **named("v1", "ConfigMap", "istio-system", "istio"),
        "data": {"mesh": f"trustDomain: {trust_domain}\nrootNamespace: istio-system\n"},
    }


def named(
    version: str, kind: str, namespace: str, name: str, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The head of an object."""
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **where, **(metadata or {})}}


def service(number: int) -> Iterator[dict[str, Any]]:
    """The six objects of a service."""
    namespace, name = place(number)
    labels = {"app": name, "group": f"g{number // PER_GROUP:04d}", "version": "v1"}
    proxy = {"name": "istio-proxy", "image": "example.test/proxyv2:1.30.3"}
    app = {"name": "app", "image": "example.test/app:1", "ports": [{"name": "http", "containerPort": 8080}]}
    pod = {"serviceAccountName": name, "containers": [app]}
    yield {
        **named("v1", "Service", namespace, name, {"labels": labels}),
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    yield named("v1", "ServiceAccount", namespace, name)
    yield {
        **named("apps/v1", "Deployment", namespace, name, {"labels": labels}),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    for replica in range(2):
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": f"{name}-7d9f",
            "uid": f"{name}-rs",
            "controller": True,
        }
        metadata = {
            "labels": {**labels, "pod-template-hash": "7d9f"},
            "annotations": {"sidecar.istio.io/status": '{"revision":"default"}'},
            "ownerReferences": [owner],
        }
        yield {
            **named("v1", "Pod", namespace, f"{name}-7d9f-{replica}", metadata),
            "spec": {**pod, "containers": [app, proxy], "nodeName": "node-1"},
            "status": {"phase": "Running", "podIP": f"10.{number >> 8 & 255}.{number & 255}.{replica + 1}"},
        }
    endpoints = [
        {"addresses": [f"10.{number >> 8 & 255}.{number & 255}.{r + 1}"], "conditions": {"ready": True}}
        for r in range(2)
    ]
    yield {
        **named(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            namespace,
            f"{name}-abc",
            {"labels": {"kubernetes.io/service-name": name}},
        ),
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
