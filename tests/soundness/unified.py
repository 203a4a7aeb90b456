"""Who is admitted, by shared/api.md alone: brute force over policies as YAML gives them. Nothing of the product's resolver is used."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitmesh.model.facts import ClusterFacts, Mesh, Service, ServicePort, Workload
from tests.soundness.requests import Call, Client, Request

Document = Mapping[str, Any]


def behind(service: Service, facts: ClusterFacts) -> list[Workload]:
    """The workloads whose pods a Service selects; one without selector selects none."""
    selector = service.selector.items()
    return [w for w in facts.workloads if selector and w.namespace == service.namespace and selector <= w.labels.items()]


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
    return any(_destination(item, policy["metadata"]["namespace"], cluster, service) for item in policy["spec"]["destinations"])


def _destination(item: Document, namespace: str, cluster: str, service: Service) -> bool:
    if cluster not in item.get("clusters", [cluster]):
        return False
    if "name" in item and (item["name"] != service.name or service.namespace not in item.get("namespaces", [namespace])):
        return False
    if service.namespace not in item.get("namespaces", [service.namespace]):
        return False
    return bool(item.get("labels", {}).items() <= service.labels.items())


@dataclass(frozen=True)
class Unified:
    """A set of policies over a world: cluster -> what is there."""

    policies: Sequence[Document]
    world: Mapping[str, ClusterFacts]

    def of_kind(self, kind: str) -> list[Document]:
        """The documents of a kind."""
        return [policy for policy in self.policies if policy["kind"] == kind]

    # --- access

    def admitted(self, call: Call) -> bool:
        """Whether the policies let the request through."""
        mode = self.mtls(call.cluster, call.workload.mesh)
        if mode == "Strict" and call.client.trust_domain is None:
            return False
        client = _stripped(call.client) if mode == "Disabled" else call.client
        if any(self._says(policy, call, client, "Deny", strict=mode == "Strict") for policy in self._access("Deny")):
            return False
        if self.governed(call.cluster, call.workload, call.port):
            return any(self._says(policy, call, client, "Allow", strict=False) for policy in self._access("Allow"))
        return self._default(call, client)

    def _access(self, action: str) -> list[Document]:
        return [policy for policy in self.of_kind("AccessPolicy") if policy["spec"].get("action", "Allow") == action]

    def governed(self, cluster: str, workload: Workload, port: int) -> bool:
        """Whether an Allow selects a destination behind which the pair stands."""
        return any(
            selects(policy, cluster, service) and port in [n for _, w, n in pairs(service, self.world[cluster]) if w == workload]
            for policy in self._access("Allow")
            for service in self.world[cluster].services
        )

    def _says(self, policy: Document, call: Call, client: Client, action: str, *, strict: bool) -> bool:
        """Whether the policy means this caller, pair and request."""
        ports = set(self._ports(policy, call))
        if not ports or not self._means(policy["spec"]["sources"], policy, client, denied=action == "Deny" and not strict):
            return False
        rules = policy["spec"].get("rules")
        return rules is None or any(_rule(rule, ports, call.request) for rule in rules)

    def _ports(self, policy: Document, call: Call) -> Iterator[tuple[int, str]]:
        """(number, name) of the Service ports, of selected Services, behind which the pair stands."""
        for service in self.world[call.cluster].services:
            if selects(policy, call.cluster, service):
                for port, workload, number in pairs(service, self.world[call.cluster]):
                    if workload == call.workload and number == call.port:
                        yield port.number, port.name

    def _default(self, call: Call, client: Client) -> bool:
        owner = self.owner(call.cluster, call.workload.mesh)
        if owner is None or owner["spec"].get("accessDefault", "MeshDefault") != "Deny" or call.workload.gateway:
            return True
        exempt = owner["spec"].get("accessExempt")
        if exempt is None:
            return False
        here = [
            p
            for s in self.world[call.cluster].services
            for p, w, n in pairs(s, self.world[call.cluster])
            if (w, n) == (call.workload, call.port)
        ]
        if "ports" in exempt and not any(reference in (p.number, p.name) for reference in exempt["ports"] for p in here):
            return False
        return "sources" not in exempt or self._means(exempt["sources"], owner, client, denied=False)

    # --- meshes

    def owner(self, cluster: str, mesh: str) -> Document | None:
        """The VirtualMesh of a mesh."""
        if not mesh:
            return None
        facts = self.world[cluster]
        return next((p for p in self.of_kind("VirtualMesh") if any(_mesh(m, cluster, facts, mesh) for m in p["spec"]["meshes"])), None)

    def mtls(self, cluster: str, mesh: str) -> str:
        """The mode where a VirtualMesh says one; Istio's own default else."""
        owner = self.owner(cluster, mesh)
        return str(owner["spec"].get("mtls", {}).get("mode", "Permissive")) if owner else "Permissive"

    # --- identities

    def trust_domains(self, cluster: str | None = None) -> set[str]:
        """Of the managed meshes, of one cluster or of all."""
        return {m.trust_domain for name, facts in self.world.items() if cluster in (None, name) for m in facts.meshes}

    def _means(self, items: Iterable[Document], policy: Document, client: Client, *, denied: bool) -> bool:
        return any(self._identity(item, policy["metadata"]["namespace"], client, denied=denied) for item in items)

    def _identity(self, item: Document, namespace: str, client: Client, *, denied: bool) -> bool:
        """`denied`: the item is of a Deny that also means callers without identity."""
        address = ipaddress.ip_address(client.ip)
        if "ipBlocks" in item and not any(address in ipaddress.ip_network(block) for block in item["ipBlocks"]):
            return False
        if any(address in ipaddress.ip_network(block) for block in item.get("notIpBlocks", ())):
            return False
        if not {"serviceAccounts", "namespaces", "clusters", "authenticated"} & item.keys():
            return True
        if client.trust_domain is None:
            return denied
        if item.get("authenticated"):
            return True
        if client.trust_domain not in self.trust_domains(client.cluster):
            return False
        if "serviceAccounts" in item:
            return any(_account(account, namespace, client) for account in item["serviceAccounts"])
        return client.namespace in item.get("namespaces", [client.namespace]) and client.cluster in item.get("clusters", [client.cluster])


def _stripped(client: Client) -> Client:
    return Client(cluster=client.cluster, namespace=client.namespace, account=client.account, trust_domain=None, ip=client.ip)


def _account(account: Document, namespace: str, client: Client) -> bool:
    wanted = (account["name"], account.get("namespace", namespace), account.get("cluster", client.cluster))
    return wanted == (client.account, client.namespace, client.cluster)


def _mesh(reference: Document, cluster: str, facts: ClusterFacts, mesh: str) -> bool:
    selector = reference.get("selector")
    if selector is None:
        return bool(reference["cluster"] == cluster and reference.get("name", mesh) == mesh)
    return cluster in selector.get("clusters", [cluster]) and bool(selector.get("labels", {}).items() <= facts.labels.items())


def _rule(rule: Document, ports: set[tuple[int, str]], request: Request) -> bool:
    if "ports" in rule and not any(reference in port for reference in rule["ports"] for port in ports):
        return False
    if rule.keys() <= {"ports"}:
        return True
    if not request.http:
        return False
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
        value == header.get("exact", value) and value.startswith(header.get("prefix", "")) and value.endswith(header.get("suffix", ""))
    )
    return met is not header.get("invert", False)


def mesh_named(facts: ClusterFacts, name: str) -> Mesh | None:
    """The mesh of that name."""
    return next((mesh for mesh in facts.meshes if mesh.name == name), None)
