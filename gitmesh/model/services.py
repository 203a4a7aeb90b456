"""Services as they were discovered: their ports, what proxies see of them, and which pods they select."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gitmesh.model.empty import no_items

# Of https, tls and wss the proxy sees ciphertext, so that there are no requests to tell apart.
_NOT_HTTP = frozenset({"tcp", "udp", "sctp", "tls", "https", "mongo", "redis", "mysql", "kubernetes.io/wss"})

_DATAGRAMS = frozenset({"udp", "sctp"})


class ServicePort(Struct, frozen=True, kw_only=True, order=True):
    """A port of a Service. `target` is a container port number, or the name of one.

    `protocol` is the application protocol as appProtocol or the port's name prefix tell it, in lower case
    (http, http2, grpc, grpc-web, https, tls, tcp, udp, mongo, ...), or "" where the mesh must sniff.
    """

    number: int
    name: str = ""
    target: int | str = 0
    protocol: str = ""

    @property
    def seen(self) -> bool:
        """Whether a proxy sees what comes to it: sidecars take TCP alone."""
        return self.protocol not in _DATAGRAMS

    @property
    def http(self) -> bool:
        """Whether a proxy sees requests on it; a port without a protocol is sniffed, so it may."""
        return self.protocol not in _NOT_HTTP

    @property
    def raw(self) -> bool:
        """Whether a proxy may see connections without requests on it; where it sniffs, it may see either."""
        return self.seen and (not self.http or not self.protocol)


class Service(Struct, frozen=True, kw_only=True):
    """A Service: what a destination is. `selector` empty means that its endpoints are made by hand.

    `alias` is the full name that an ExternalName Service stands for, where it has the form of a Service's
    (`stock.depot.svc.cluster.local`), in lower case; "" for a host elsewhere, whose address is no fact.
    `conditions` are those of its status that a controller of a name of its own wrote (`example.com/Bound`):
    type -> True, False or Unknown.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = no_items()
    selector: Mapping[str, str] = no_items()
    ports: tuple[ServicePort, ...] = ()
    type: str = "ClusterIP"
    headless: bool = False
    alias: str = ""
    conditions: Mapping[str, str] = no_items()

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return (self.namespace, self.name)
