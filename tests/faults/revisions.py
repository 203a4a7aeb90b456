"""What is committed: small revisions of the bookshop's policies, drawn by a seed, and what each of them
means.

What a revision wants is rendered in this process from its text; whom it admits is read from the text alone,
by `tests.soundness.unified`, which knows nothing of the product's resolver.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import decode
from tests.rendered import rendered
from tests.shop import policy, text_of, traffic
from tests.soundness.requests import ArrivingCall, AskedRequest, CallingPod
from tests.soundness.unified import Unified

Key = tuple[str, str, str]
"""Kind, namespace, name."""
Document = dict[str, Any]
SERVICES = ("details", "ratings", "reviews")
CLIENTS = ("productpage", "reviews", "details")
METHODS = ("GET", "POST", "DELETE")
FILE = "policies/all.yaml"
_MESH = policy(
    "VirtualMesh",
    "shop",
    {"meshes": [{"selector": {"all": True}}], "mtls": {"mode": "Strict"}, "accessDefault": "Deny"},
)


@dataclass(frozen=True)
class FoundCluster:
    """The cluster as it was found, and every call that is asked about."""

    facts: ClusterFacts

    @cached_property
    def calls(self) -> tuple[ArrivingCall, ...]:
        """Each account's and a stranger's requests to each pod."""
        return tuple(self._calls())

    def _calls(self) -> Iterator[ArrivingCall]:
        domain = self.facts.meshes[0].trust_domain
        clients = [
            CallingPod(cluster="east", namespace="bookshop", account=a, trust_domain=domain) for a in CLIENTS
        ]
        clients.append(CallingPod(cluster="east", namespace="bookshop", account="web", trust_domain=None))
        for workload in self.facts.workloads:
            if workload.mesh and workload.namespace == "bookshop":
                for port in sorted(set(workload.ports.values())):
                    for client in clients:
                        for method in METHODS:
                            request = AskedRequest(method=method, host="x.bookshop")
                            yield ArrivingCall(
                                client=client, cluster="east", workload=workload, port=port, request=request
                            )


@dataclass(frozen=True)
class Revision:
    """Policies with what they mean in a world."""

    documents: Sequence[Document]
    world: FoundCluster = field(repr=False)

    @property
    def files(self) -> Mapping[str, str]:
        """What is committed."""
        return {FILE: text_of(*self.documents)}

    @cached_property
    def specs(self) -> Mapping[Key, Any]:
        """The objects that must be live."""
        found = rendered(self.files, {"east": self.world.facts})
        wrong = [line for line in found.said if " error " in line]
        assert not wrong, wrong
        return {
            (key.kind, key.namespace, key.name): decode(manifest.body)["spec"]
            for key, manifest in found.builds["east"].manifests.items()
        }

    @cached_property
    def admitted(self) -> frozenset[int]:
        """The calls, by number, that the policies let through."""
        unified = Unified(self.documents, {"east": self.world.facts})
        return frozenset(n for n, call in enumerate(self.world.calls) if unified.admitted(call))


def draw(chance: random.Random, world: FoundCluster) -> Revision:
    """A revision: for each service perhaps a way of its requests, who may call it, and who may not."""
    documents = [_MESH]
    for service in SERVICES:
        documents += _routes(chance, service)
        documents += _access(chance, service)
    documents.append(traffic("productpage", timeout=f"{chance.randint(1, 30)}s"))
    return Revision(documents, world)


def _routes(chance: random.Random, service: str) -> list[Document]:
    if chance.random() < 0.3:
        return []
    more: Document = {"timeout": f"{chance.randint(1, 30)}s"}
    if service == "reviews" and chance.random() < 0.6:
        version = chance.choice(("v1", "v2"))
        more["split"] = [{"destination": {"name": service, "subset": {"version": version}}}]
    if chance.random() < 0.3:
        more["outlierDetection"] = {"consecutiveErrors": chance.randint(2, 9)}
    return [traffic(service, **more)]


def _access(chance: random.Random, service: str) -> list[Document]:
    found = []
    if chance.random() < 0.7:
        found.append(_rule(chance, service, "Allow", chance.sample(CLIENTS, chance.randint(1, 2))))
    if chance.random() < 0.3:
        found.append(_rule(chance, service, "Deny", chance.sample(CLIENTS, 1)))
    return found


def _rule(chance: random.Random, service: str, action: str, accounts: Sequence[str]) -> Document:
    spec: Document = {
        "action": action,
        "sources": [{"serviceAccounts": [{"name": account} for account in accounts]}],
        "destinations": [{"name": service}],
    }
    if chance.random() < 0.6:
        spec["rules"] = [{"methods": sorted(chance.sample(METHODS, chance.randint(1, 2)))}]
    return policy("AccessPolicy", f"{service}-{action.lower()}", spec)
