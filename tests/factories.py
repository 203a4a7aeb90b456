"""Values that many tests need."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, cast

from gitmesh.adapters.folder import blob_id
from gitmesh.adapters.revision import lies_below
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.kinds import KINDS, Spec
from gitmesh.model.policies import Policy, Positions
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.snapshot import File, Snapshot
from gitmesh.model.workloads import Workload
from gitmesh.parsing.parse import parse


def snapshot_of(
    files: Mapping[str, str | bytes], source: str = "policies", commit: str = "", paths: Iterable[str] = ("",)
) -> Snapshot:
    """A revision with these files, read for these paths of the configuration."""
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    made = tuple(
        File(path=path, blob=blob_id(content), content=content) for path, content in sorted(contents.items())
    )
    shares = {
        place: tuple(file.path for file in made if lies_below(file.path.encode(), place)) for place in paths
    }
    return Snapshot(source=source, commit=commit, files=made, paths=shares)


def policies_of(*texts: str, source: str = "policies") -> tuple[Policy, ...]:
    """The policies of these texts, a file each; a finding fails the test."""
    policies, findings = parse(
        snapshot_of({f"p{index}.yaml": text for index, text in enumerate(texts)}, source)
    )
    assert not findings, findings
    return policies


def policy(kind: str, name: str, namespace: str = "shop", **spec: Any) -> Policy:
    """A policy from its spec as YAML would give it; every field stands at its own made-up line."""
    model = KINDS[kind].model_validate(spec)
    places = Positions(source="policies", path=f"{name}.yaml", keys={}, values={(): (1, 1), **_lines(spec)})
    digest = hashlib.sha256(repr((kind, namespace, name, sorted(spec.items()))).encode()).hexdigest()
    return Policy(
        kind=kind, namespace=namespace, name=name, spec=cast(Spec, model), positions=places, digest=digest
    )


def _lines(
    value: Any, path: tuple[str | int, ...] = ("spec",)
) -> dict[tuple[str | int, ...], tuple[int, int]]:
    """A line for each value, in document order from 5 on."""
    paths: list[tuple[str | int, ...]] = [path]
    for current in paths:
        inner = functools.reduce(lambda found, part: found[part], current[1:], value)
        keys: Iterable[str | int] = (
            inner if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
        )
        paths.extend((*current, key) for key in keys)
    return {each: (line, 1) for line, each in enumerate(sorted(paths, key=repr), start=5)}


def traffic(name: str, to: str | list[dict[str, Any]] = "reviews", **spec: Any) -> Policy:
    """A TrafficPolicy on a Service by name, or on any selector items."""
    return policy("TrafficPolicy", name, destinations=[{"name": to}] if isinstance(to, str) else to, **spec)


def access(name: str, to: str | list[dict[str, Any]] = "reviews", **spec: Any) -> Policy:
    """An AccessPolicy on a Service by name, or on any selector items; by default it allows everybody."""
    destinations = [{"name": to}] if isinstance(to, str) else to
    return policy("AccessPolicy", name, destinations=destinations, **{"sources": [{"all": True}], **spec})


def service(name: str = "reviews", namespace: str = "shop", **fields: Any) -> Service:
    """A Service on port 80 -> 8080 that selects app=<name>."""
    defaults = {
        "selector": {"app": name},
        "labels": {"app": name},
        "ports": (ServicePort(number=80, name="http", target=8080, protocol="http"),),
    }
    return Service(namespace=namespace, name=name, **{**defaults, **fields})


def workload(name: str = "reviews", namespace: str = "shop", **fields: Any) -> Workload:
    """A Deployment of one pod in the mesh `istio`, labelled app=<name>."""
    defaults = {"labels": {"app": name}, "mesh": "istio", "pods": 1, "kind": "Deployment"}
    return Workload(namespace=namespace, name=name, **{**defaults, **fields})


def facts(
    cluster: str = "east", *objects: Service | Workload | Mesh, trust: str = "cluster.local", **fields: Any
) -> ClusterFacts:
    """Facts of a cluster with these objects; without a Mesh among them it has `istio`."""
    found: dict[type, list[Any]] = {Service: [], Workload: [], Mesh: []}
    for one in objects:
        found[type(one)].append(one)
    mesh = Mesh(
        translator="istio", name="istio", version="1.30.3", root_namespace="istio-system", trust_domain=trust
    )
    return ClusterFacts(
        cluster=cluster,
        services=tuple(found[Service]),
        workloads=tuple(found[Workload]),
        meshes=tuple(found[Mesh]) or (mesh,),
        **{"service_accounts": frozenset({("shop", "default")}), **fields},
    )


def shop(cluster: str = "east", *more: Service | Workload | Mesh, **fields: Any) -> ClusterFacts:
    """Facts with the Services reviews and ratings in namespace shop, a Deployment behind each, and `more`."""
    return facts(cluster, service(), workload(), service("ratings"), workload("ratings"), *more, **fields)
