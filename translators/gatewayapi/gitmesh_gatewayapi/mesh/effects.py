"""What can have no effect on a Service as it is: routes are for requests of HTTP that a mesh sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.routes import Laid, Target
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.traffic import REQUEST_FIELDS


def carries_requests(port: ServicePort) -> bool:
    """Whether a route may be for the port: it is declared to carry HTTP or gRPC, or the mesh finds out."""
    return port.seen and port.http


# The port gives them.
def inert(laid: Laid, meshes: Sequence[Mesh], facts: ClusterFacts) -> str:  # noqa: ARG001
    """Why a field can have no effect where it is laid; "" where it can."""
    if isinstance(laid.value, Target):
        return _unreached(laid.value)
    if laid.field not in REQUEST_FIELDS:
        return ""
    if laid.service.type == "ExternalName":
        return "an ExternalName Service is an alias of DNS, and no parent of routes (GEP-1294)"
    if not any(map(carries_requests, laid.ports)):
        return f"routes are for ports of HTTP and gRPC, and it has {_shown(laid.ports)}"
    return ""


def _unreached(target: Target) -> str:
    service: Service = target.service
    if service.type == "ExternalName":
        return "an ExternalName Service is an alias of DNS, and routes may not lead to it (CVE-2021-25740)"
    asked = [port for port in service.ports if target.port in (0, port.number)]
    return "" if any(port.seen for port in asked) else f"proxies see nothing of it: it has {_shown(asked)}"


def _shown(ports: Iterable[ServicePort]) -> str:
    listed = ", ".join(f"{port.number} ({port.protocol or 'tcp'})" for port in ports)
    return f"port {listed}" if listed else "no ports"
