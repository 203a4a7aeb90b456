"""Who is admitted, by what Istio documents and does (pilot/pkg/security/authz, authn): objects in, a decision
out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from gitmesh.model.facts import Mesh
from gitmesh.model.workloads import Shape
from tests.soundness.requests import ArrivingCall

Body = Mapping[str, Any]
_network = lru_cache(ipaddress.ip_network)
_address = lru_cache(ipaddress.ip_address)

_FIELDS = {"ports", "notPorts", "hosts", "methods", "paths"}
_SOURCES = {"principals", "notPrincipals", "namespaces", "ipBlocks", "notIpBlocks"}


class NotHttpError(Exception):
    """An HTTP condition in a place where the proxy sees TCP."""


@dataclass(frozen=True)
class Istio:
    """The objects of one cluster."""

    objects: Sequence[Body]
    meshes: Sequence[Mesh]
    _acting: dict[tuple[str, Shape], tuple[Body, ...]] = field(default_factory=dict)

    def admitted(self, call: ArrivingCall) -> bool:
        """DENY, then ALLOW, then yes. A pod without proxy admits everything, and so does a port that its
        proxy does not see.
        """
        mesh = next((mesh for mesh in self.meshes if mesh.name == call.workload.mesh), None)
        if mesh is None or not call.workload.guards(call.port):
            return True
        mode = self.mode(mesh, call)
        # Ztunnels keep mTLS where sidecars are told to leave it.
        plain = mode == "DISABLE" and call.workload.dataplane == "sidecar"
        principal = None if plain else call.client.principal
        if mode == "STRICT" and principal is None:
            return False
        return decides(self._on("AuthorizationPolicy", mesh, call), call, principal, mesh)

    def _on(self, kind: str, mesh: Mesh, call: ArrivingCall) -> tuple[Body, ...]:
        """The objects of a kind that act on the pod."""
        place = (kind, call.workload.shape)
        if place not in self._acting:
            self._acting[place] = tuple(o for o in self.objects if o["kind"] == kind and _acts(o, mesh, call))
        return self._acting[place]

    def mode(self, mesh: Mesh, call: ArrivingCall) -> str:
        """Of the narrowest PeerAuthentication: workload, where it may name the port, namespace, root
        namespace; PERMISSIVE without one.
        """
        found = self._on("PeerAuthentication", mesh, call)
        ranked = sorted(
            found,
            key=lambda o: (
                "selector" not in o["spec"],
                o["metadata"]["namespace"] != call.workload.namespace,
            ),
        )
        said = (
            o["spec"].get("portLevelMtls", {}).get(str(call.port)) or o["spec"].get("mtls") for o in ranked
        )
        return next((str(one["mode"]) for one in said if one), "PERMISSIVE")


def decides(acting: Sequence[Body], call: ArrivingCall, principal: str | None, mesh: Mesh) -> bool:
    """What these AuthorizationPolicies say of a call."""
    asked = _AskedIstio(call, principal, mesh)
    if any(asked.denied(rule) for o in acting if _action(o) == "DENY" for rule in _rules(o)):
        return False
    allows = [o for o in acting if _action(o) == "ALLOW"]
    return not allows or any(asked.allowed(rule) for o in allows for rule in _rules(o))


def _acts(body: Body, mesh: Mesh, call: ArrivingCall) -> bool:
    if body.get("spec", {}).get("targetRefs"):
        return False  # for a waypoint, which is none of the pods
    if body["metadata"]["namespace"] not in (mesh.root_namespace, call.workload.namespace):
        return False
    own = mesh.revision or "default"
    if body["metadata"].get("labels", {}).get("istio.io/rev", own) != own:
        return False  # another control plane reads it (pkg/config/model.go, ObjectInRevision)
    selector = body.get("spec", {}).get("selector", {}).get("matchLabels", {})
    return bool(selector.items() <= call.workload.labels.items())


def _action(body: Body) -> str:
    return str(body.get("spec", {}).get("action", "ALLOW"))


def _rules(body: Body) -> list[Body]:
    return list(body.get("spec", {}).get("rules", ()))


class _AskedIstio:
    """One request, asked against rules."""

    def __init__(self, call: ArrivingCall, principal: str | None, mesh: Mesh) -> None:
        self.call, self.principal, self.mesh = call, principal, mesh

    def allowed(self, rule: Body) -> bool:
        """A rule of ALLOW with anything HTTP in it is dropped as a whole on TCP (authz/model checkError)."""
        try:
            return self._matches(rule, drop=False)
        except NotHttpError:
            return False

    def denied(self, rule: Body) -> bool:
        """A rule of DENY loses on TCP only what is HTTP in it."""
        return self._matches(rule, drop=True)

    def _matches(self, rule: Body, *, drop: bool) -> bool:
        when = [self._when(condition, drop) for condition in rule.get("when", ())]
        operations = [self._operation(one["operation"], drop) for one in rule.get("to", ())]
        sources = [self._source(one["source"]) for one in rule.get("from", ())]
        return all(when) and (any(operations) or not operations) and (any(sources) or not sources)

    def _operation(self, operation: Body, drop: bool) -> bool:
        unknown = operation.keys() - _FIELDS
        assert not unknown, f"the evaluator does not know {unknown}"
        ports = str(self.call.port)
        request = self.call.request
        answers = [ports in operation.get("ports", [ports]), ports not in operation.get("notPorts", ())]
        named: tuple[tuple[str, str, Callable[[str, str], bool]], ...] = (
            ("hosts", request.host, _host_matches),
            ("methods", request.method, _header_matches),
            ("paths", request.path, _path_matches),
        )
        for name, value, compare in named:
            if name in operation:
                answers.append(self._http(drop, partial(_some, compare, operation[name], value)))
        return all(answers)

    def _http(self, drop: bool, ask: Callable[[], bool]) -> bool:
        if self.call.request.http:
            return ask()
        if drop:
            return True
        raise NotHttpError

    def _when(self, condition: Body, drop: bool) -> bool:
        found = re.fullmatch(r"request\.headers\[(.+)\]", condition["key"])
        assert found, f"the evaluator does not know {condition['key']}"
        value = self.call.request.headers.get(found[1])

        def ask() -> bool:
            meets = [value is not None and _header_matches(p, value) for p in condition.get("values", ())]
            avoids = [value is not None and _header_matches(p, value) for p in condition.get("notValues", ())]
            return (any(meets) or not meets) and not any(avoids)

        return self._http(drop, ask)

    def _source(self, source: Body) -> bool:
        unknown = source.keys() - _SOURCES
        assert not unknown, f"the evaluator does not know {unknown}"
        address = _address(self.call.client.ip)
        answers = [
            any(self._principal(p) for p in source.get("principals", ())) or "principals" not in source,
            not any(self._principal(p) for p in source.get("notPrincipals", ())),
            any(self._namespace(n) for n in source.get("namespaces", ())) or "namespaces" not in source,
            _inside(address, source.get("ipBlocks", ())) or "ipBlocks" not in source,
            not _inside(address, source.get("notIpBlocks", ())),
        ]
        return all(answers)

    def _principal(self, pattern: str) -> bool:
        if self.principal is None:
            return False
        name = self.principal
        return any(_text_matches(each, name) for each in self._replaced(pattern))

    def _replaced(self, pattern: str) -> list[str]:
        """trustdomain/bundle.go: a full principal of one of the mesh's own names, or of cluster.local, means
        all of them.
        """
        own = [
            self.mesh.trust_domain,
            *filter(None, self.mesh.settings.get("trustDomainAliases", "").split(",")),
        ]
        parts = pattern.split("/")
        if len(parts) != 5 or parts[0] == "*" or parts[0] not in (*own, "cluster.local"):
            return [pattern]
        return ["/".join([domain, *parts[1:]]) for domain in own]

    def _namespace(self, pattern: str) -> bool:
        expression = ".*".join(re.escape(part) for part in pattern.split("*"))
        return self.principal is not None and bool(
            re.fullmatch(f".*/ns/{expression}/.*", f"spiffe://{self.principal}")
        )


def _some(compare: Callable[[str, str], bool], patterns: Iterable[str], value: str) -> bool:
    return any(compare(pattern, value) for pattern in patterns)


def _inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address, blocks: Iterable[str]) -> bool:
    return any(address in _network(block) for block in blocks)


def _text_matches(pattern: str, value: str) -> bool:
    if pattern == "*":
        return bool(value)
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def _path_matches(pattern: str, value: str) -> bool:
    assert "{" not in pattern, "a path template"
    return _text_matches(pattern, value)


def _header_matches(pattern: str, value: str) -> bool:
    return pattern == "*" or _text_matches(pattern, value)


def _host_matches(pattern: str, value: str) -> bool:
    return _header_matches(pattern.lower(), value.lower())
