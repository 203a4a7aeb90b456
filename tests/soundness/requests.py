"""One request, as both evaluators see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gitmesh.model.workloads import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class CallingPod:
    """Who calls: a pod of some cluster. `trust_domain` is None for a caller that shows no identity
    (plaintext).
    """

    cluster: str
    namespace: str
    account: str
    trust_domain: str | None
    ip: str = "10.0.0.9"
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def principal(self) -> str | None:
        """As Istio writes it, without spiffe://."""
        return (
            None
            if self.trust_domain is None
            else f"{self.trust_domain}/ns/{self.namespace}/sa/{self.account}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRequest:
    """What is asked. `http` is false for a connection in which the proxy sees no HTTP."""

    http: bool = True
    path: str = "/"
    query: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    host: str = "reviews"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivingCall:
    """A request of a client that arrives at a port of a pod."""

    client: CallingPod
    cluster: str
    workload: Workload
    port: int
    request: AskedRequest
