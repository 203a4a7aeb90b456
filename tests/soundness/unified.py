"""Who is admitted, by docs/concepts.md#who-may-call alone: brute force over policies as YAML gives them.
Nothing of the product's resolver is used.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Shape, Workload
from tests.soundness.requests import ArrivingCall, AskedRequest, CallingPod

Document = Mapping[str, Any]
_network = lru_cache(ipaddress.ip_network)
_address = lru_cache(ipaddress.ip_address)


def behind(service: Service, facts: ClusterFacts) -> list[Workload]:
    """The workloads whose pods a Service selects; one without selector selects none."""
    selector = service.selector.items()
    return [
        w
        for w in facts.workloads
        if selector and w.namespace == service.namespace and selector <= w.labels.items()
    ]


def target(port: ServicePort, workload: Workload) -> int | None:
    """The container port of this workload behind a Service port."""
    if isinstance(port.target, str):
        return workload.ports.get(port.target)
    return port.target or port.number


def pairs(service: Service, facts: ClusterFacts) -> Iterator[tuple[ServicePort, Workload, int]]:
    """(Service port, workload, container port) behind a Service."""
    for port in service.ports:
        for workload in behind(service, facts):
            number = target(port, workload)
            if number is not None:
                yield port, workload, number


def selects(policy: Document, cluster: str, service: Service) -> bool:
    """Whether one item of `destinations` means this Service of this cluster."""
    return any(
        _destination(item, policy["metadata"]["namespace"], cluster, service)
        for item in policy["spec"]["destinations"]
    )


def _destination(item: Document, namespace: str, cluster: str, service: Service) -> bool:
    if cluster not in item.get("clusters", [cluster]):
        return False
    if "name" in item and (
        item["name"] != service.name or service.namespace not in item.get("namespaces", [namespace])
    ):
        return False
    if service.namespace not in item.get("namespaces", [service.namespace]):
        return False
    return bool(item.get("labels", {}).items() <= service.labels.items())


@dataclass(frozen=True)
class SelectedPort:
    """A container port of a pod: the policies that select a Service which reaches it, and by which Service
    ports.
    """

    reached: tuple[ServicePort, ...]
    selecting: tuple[tuple[Document, tuple[ServicePort, ...]], ...]

    def by(self, action: str) -> Iterator[tuple[Document, tuple[ServicePort, ...]]]:
        """The AccessPolicies with this action."""
        return (
            (policy, ports)
            for policy, ports in self.selecting
            if policy["spec"].get("action", "Allow") == action
        )


@dataclass(frozen=True)
class Unified:
    """A set of policies over a world: cluster -> what is there.

    `closed`: an identity bound to a cluster that shares its trust domain cannot be expressed, so an Allow
    admits nobody for it, and a Deny denies everybody (the security law).
    """

    policies: Sequence[Document]
    world: Mapping[str, ClusterFacts]
    closed: bool = False
    _pairs: dict[tuple[str, Shape, int], SelectedPort] = field(default_factory=dict)
    _owners: dict[tuple[str, str], Document | None] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Document]:
        """The documents of a kind."""
        return [policy for policy in self.policies if policy["kind"] == kind]

    # --- access

    def admitted(self, call: ArrivingCall) -> bool:
        """Whether the policies let the request through."""
        mode = self.mtls(call.cluster, call.workload.mesh)
        if mode == "Strict" and call.client.trust_domain is None:
            return False
        client = _stripped(call.client) if mode == "Disabled" else call.client
        pair = self.pair(call.cluster, call.workload, call.port)
        if any(self._says(*found, call, client, "Deny", mode) for found in pair.by("Deny")):
            return False
        allows = tuple(pair.by("Allow"))
        if allows:
            return any(self._says(*found, call, client, "Allow", mode) for found in allows)
        return self._default(call, client, pair)

    def pair(self, cluster: str, workload: Workload, port: int) -> SelectedPort:
        """What is said of a container port, which all Services share that reach it."""
        place = (cluster, workload.shape, port)
        if place not in self._pairs:
            self._pairs[place] = self._find_pair(cluster, workload, port)
        return self._pairs[place]

    def _find_pair(self, cluster: str, workload: Workload, port: int) -> SelectedPort:
        facts = self.world[cluster]
        reached = [
            (s, p)
            for s in facts.services
            for p, w, number in pairs(s, facts)
            if w == workload and number == port
        ]
        selecting = []
        for policy in self.of_kind("AccessPolicy"):
            ports = tuple(p for service, p in reached if selects(policy, cluster, service))
            if ports:
                selecting.append((policy, ports))
        return SelectedPort(tuple(p for _, p in reached), tuple(selecting))

    def _says(
        self,
        policy: Document,
        ports: Sequence[ServicePort],
        call: ArrivingCall,
        client: CallingPod,
        action: str,
        mode: str,
    ) -> bool:
        """Whether the policy means this caller and request."""
        if not self._means(
            policy["spec"]["sources"], policy, client, deny=action == "Deny", strict=mode == "Strict"
        ):
            return False
        rules = policy["spec"].get("rules")
        return rules is None or any(_rule(rule, ports, call.request, action) for rule in rules)

    def _default(self, call: ArrivingCall, client: CallingPod, pair: SelectedPort) -> bool:
        owner = self.owner(call.cluster, call.workload.mesh)
        if (
            owner is None
            or owner["spec"].get("accessDefault", "MeshDefault") != "Deny"
            or call.workload.gateway
        ):
            return True
        exempt = owner["spec"].get("accessExempt")
        if exempt is None:
            return False
        if "ports" in exempt and not _names(exempt["ports"], pair.reached):
            return False
        return "sources" not in exempt or self._means(
            exempt["sources"], owner, client, deny=False, strict=False
        )

    # --- meshes

    def owner(self, cluster: str, mesh: str) -> Document | None:
        """The VirtualMesh of a mesh."""
        if (cluster, mesh) not in self._owners:
            mine = (
                p
                for p in self.of_kind("VirtualMesh")
                if any(_mesh(m, cluster, self.world[cluster], mesh) for m in p["spec"]["meshes"])
            )
            self._owners[cluster, mesh] = next(mine, None) if mesh else None
        return self._owners[cluster, mesh]

    def mtls(self, cluster: str, mesh: str) -> str:
        """The mode where a VirtualMesh says one; Istio's own default else."""
        owner = self.owner(cluster, mesh)
        return str(owner["spec"].get("mtls", {}).get("mode", "Permissive")) if owner else "Permissive"

    # --- identities

    def trust_domains(self, cluster: str | None = None) -> set[str]:
        """Of the managed meshes, of one cluster or of all."""
        return {
            m.trust_domain
            for name, facts in self.world.items()
            if cluster in (None, name)
            for m in facts.meshes
        }

    def own_domains(self, cluster: str) -> set[str]:
        """Trust domains of the cluster that no other has."""
        others = {domain for name in self.world if name != cluster for domain in self.trust_domains(name)}
        return self.trust_domains(cluster) - others

    def _told_apart(self, cluster: str) -> bool:
        return bool(self.trust_domains(cluster)) and self.own_domains(cluster) == self.trust_domains(cluster)

    def _said(self, names: Document, client: CallingPod) -> bool:
        """Whether a client of the named cluster, if one is named, can be told from those of the others."""
        return (
            not self.closed
            or not names.keys() & {"cluster", "clusters"}
            or client.trust_domain in self.own_domains(client.cluster)
        )

    def _means(
        self, items: Iterable[Document], policy: Document, client: CallingPod, *, deny: bool, strict: bool
    ) -> bool:
        return any(
            self._identity(item, policy["metadata"]["namespace"], client, deny, strict) for item in items
        )

    def _identity(self, item: Document, namespace: str, client: CallingPod, deny: bool, strict: bool) -> bool:
        """A Deny by identity means callers without identity too, unless mTLS is strict, and strangers of the
        same name.
        """
        address = _address(client.ip)
        if "ipBlocks" in item and not any(address in _network(block) for block in item["ipBlocks"]):
            return False
        if any(address in _network(block) for block in item.get("notIpBlocks", ())):
            return False
        if not {"serviceAccounts", "namespaces", "clusters", "authenticated"} & item.keys():
            return True
        bound = {
            *item.get("clusters", ()),
            *(a["cluster"] for a in item.get("serviceAccounts", ()) if "cluster" in a),
        }
        if self.closed and deny and any(not self._told_apart(name) for name in bound):
            return True
        if client.trust_domain is None:
            return deny and not strict
        if item.get("authenticated"):
            return True
        if not deny and client.trust_domain not in self.trust_domains(client.cluster):
            return False
        if "serviceAccounts" in item:
            return any(
                _account(account, namespace, client) and self._said(account, client)
                for account in item["serviceAccounts"]
            )
        here = client.namespace in item.get("namespaces", [client.namespace]) and client.cluster in item.get(
            "clusters", [client.cluster]
        )
        return here and self._said(item, client)


def _stripped(client: CallingPod) -> CallingPod:
    return CallingPod(
        cluster=client.cluster,
        namespace=client.namespace,
        account=client.account,
        trust_domain=None,
        ip=client.ip,
    )


def _account(account: Document, namespace: str, client: CallingPod) -> bool:
    wanted = (account["name"], account.get("namespace", namespace), account.get("cluster", client.cluster))
    return wanted == (client.account, client.namespace, client.cluster)


def _mesh(reference: Document, cluster: str, facts: ClusterFacts, mesh: str) -> bool:
    selector = reference.get("selector")
    if selector is None:
        return bool(reference["cluster"] == cluster and reference.get("name", mesh) == mesh)
    return cluster in selector.get("clusters", [cluster]) and bool(
        selector.get("labels", {}).items() <= facts.labels.items()
    )


def _names(references: Iterable[int | str], ports: Iterable[ServicePort]) -> bool:
    return any(reference in (port.number, port.name) for port in ports for reference in references)


def _rule(rule: Document, ports: Sequence[ServicePort], request: AskedRequest, action: str) -> bool:
    if "ports" in rule and not _names(rule["ports"], ports):
        return False
    if rule.keys() <= {"ports"}:
        return True
    if not request.http:
        return action == "Deny" and rule.get("nonHTTP") != "Ignore"
    if "methods" in rule and request.method not in rule["methods"]:
        return False
    if "paths" in rule and not any(pattern(p, request.path) for p in rule["paths"]):
        return False
    if "hosts" in rule and not any(_host(p, request.host) for p in rule["hosts"]):
        return False
    return all(_header(header, request.headers) for header in rule.get("headers", ()))


def pattern(text: str, value: str) -> bool:
    """exact, `prefix*`, `*suffix` or `*`, textual."""
    if text == "*":
        return True
    if text.startswith("*"):
        return value.endswith(text[1:])
    return value.startswith(text[:-1]) if text.endswith("*") else value == text


def _host(text: str, host: str) -> bool:
    """Hosts ignore case; a pattern that names no port means the host with any port."""
    text, host = text.lower(), host.lower()
    return pattern(text, host) or (":" not in text and pattern(text, host.partition(":")[0]))


def _header(header: Document, headers: Mapping[str, str]) -> bool:
    value = headers.get(header["name"].lower())
    met = value is not None and (
        value == header.get("exact", value)
        and value.startswith(header.get("prefix", ""))
        and value.endswith(header.get("suffix", ""))
    )
    return met is not header.get("invert", False)
