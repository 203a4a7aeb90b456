"""What facts keep of a Service: its ports with what they carry, its alias, and what controllers say of it."""

from __future__ import annotations

from sys import intern

from gitmesh.model.objects import Body, listed, mapping, text
from gitmesh.model.services import ServicePort

_PROTOCOLS = frozenset(
    {
        "http",
        "http2",
        "https",
        "grpc",
        "grpc-web",
        "tls",
        "tcp",
        "udp",
        "sctp",
        "mongo",
        "mysql",
        "redis",
        "hbone",
    },
)
_APP_PROTOCOLS = {"kubernetes.io/h2c": "http2", "kubernetes.io/ws": "http", "kubernetes.io/wss": "https"}
"""Standard values of appProtocol (Kubernetes, Service, 'Application protocol')."""
_ANSWERS = frozenset({"True", "False", "Unknown"})
_TRANSPORTS = {"UDP": "udp", "SCTP": "sctp"}


def alias_of(spec: Body) -> str:
    """The Service that an ExternalName Service names; a host elsewhere is an address, which facts leave
    out.
    """
    # A DNS name may end with a dot, and its case does not matter.
    name = text(spec.get("externalName")).lower().rstrip(".")
    named = text(spec.get("type")) == "ExternalName" and name.split(".")[2:3] == ["svc"]
    return intern(name) if named else ""


def service_port(port: Body) -> ServicePort | None:
    """A port of a Service; None for one without a number."""
    number, target = port.get("port"), port.get("targetPort")
    if type(number) is not int:
        return None
    # Kubernetes, ServicePort.targetPort: without one it is the port itself.
    wanted = target if type(target) in (int, str) and target else number
    return ServicePort(
        number=number, name=intern(text(port.get("name"))), target=wanted, protocol=_protocol(port)
    )


def _protocol(port: Body) -> str:
    """UDP and SCTP by transport; else appProtocol, else the name up to `-` (istio.io, 'Protocol
    Selection').
    """
    transport = _TRANSPORTS.get(text(port.get("protocol")))
    if transport:
        return transport
    app = text(port.get("appProtocol")).lower()
    if app:
        known = _APP_PROTOCOLS.get(app, app)
        # An appProtocol wins over the name even where no mesh knows it: what is said is not guessed from a
        # name.
        return known if known in _PROTOCOLS else ""
    name = text(port.get("name")).lower()
    # The one protocol with a dash in it, which would else read as grpc.
    prefix = "grpc-web" if name == "grpc-web" or name.startswith("grpc-web-") else name.partition("-")[0]
    return prefix if prefix in _PROTOCOLS else ""


def own_conditions(service: Body) -> dict[str, str]:
    """Type -> status of the conditions whose type has the domain of a controller before it."""
    conditions = listed(mapping(service.get("status")).get("conditions"))
    found = ((text(one.get("type")), text(one.get("status"))) for one in conditions)
    return {kind: status for kind, status in sorted(found) if "/" in kind and status in _ANSWERS}
