"""A small cluster of no mesh in particular, and what a translator makes of policies in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.features import decides_access
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import Unit
from gitmesh.model.workloads import PortRange, Workload
from gitmesh.ports import Translator
from gitmesh.resolution.resolve import resolve
from tests.factories import policies_of
from tests.rendered import Rendered, rendered

_HTTP = ServicePort(number=80, name="http", target=9080, protocol="http")
_ADMIN = ServicePort(number=81, name="http-admin", target=9081, protocol="http")
_RAW = ServicePort(number=9090, name="tcp-raw", target=9090, protocol="tcp")


def _pods(name: str, namespace: str = "shop", **labels: str) -> Workload:
    app = labels.pop("app", name)
    return Workload(
        kind="Deployment",
        namespace=namespace,
        name=name,
        labels={"app": app, **labels},
        service_account=app,
        ports={},
        pods=1,
    )


def _service(name: str, *ports: ServicePort) -> Service:
    labels = {"app": name}
    return Service(namespace="shop", name=name, labels=labels, selector=labels, ports=ports)


_EAST = ClusterFacts(
    cluster="east",
    namespaces={"shop": {}, "web": {}, "mesh-system": {}},
    service_accounts=frozenset({("shop", "reviews"), ("shop", "ratings"), ("web", "frontend")}),
    services=(_service("ratings", _HTTP, _RAW), _service("reviews", _HTTP, _ADMIN)),
    workloads=(
        _pods("ratings"),
        _pods("reviews-v1", app="reviews", version="v1"),
        _pods("reviews-v2", app="reviews", version="v2"),
        _pods("frontend", "web"),
    ),
)


@dataclass(frozen=True)
class Subject:
    """A translator that is to keep the contract."""

    translator: Translator

    @property
    def decides_access(self) -> bool:
        """Whether the mesh has any object by which it says who may call; else all of it is unenforced."""
        return decides_access(self.translator.supports)

    @property
    def facts(self) -> ClusterFacts:
        """The cluster, with a mesh of the translator in a version that nobody knows."""
        name = self.translator.name
        mesh = Mesh(
            translator=name,
            name=name,
            namespace="mesh-system",
            root_namespace="mesh-system",
            trust_domain="cluster.local",
        )
        open_ports = () if self.decides_access else (PortRange(first=1, last=65535),)
        pods = tuple(replace(one, mesh=name, unguarded=open_ports) for one in _EAST.workloads)
        return replace(_EAST, meshes=(mesh,), workloads=pods)

    def render(self, *policies: Mapping[str, Any], **changes: Any) -> Rendered:
        """What becomes of these policies, in one file each."""
        files = {f"{number}.yaml": yaml.safe_dump(one) for number, one in enumerate(policies)}
        facts = {"east": replace(self.facts, **changes)}
        return rendered(files, facts, by={self.translator.name: self.translator})

    def units(self, *policies: Mapping[str, Any]) -> Sequence[Unit]:
        """The units of these policies, as the translator is given them."""
        found = policies_of(*map(yaml.safe_dump, policies))
        return resolve(found, {"east": self.facts}, {"east": {}}).units["east"]


def document(kind: str, spec: Mapping[str, Any], name: str = "p") -> dict[str, Any]:
    """A policy as a user writes it."""
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": dict(spec),
    }
