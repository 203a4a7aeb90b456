"""The values of the lab's traffic: what a pod's application is asked to send, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WireIdentity:
    """Who a pod without a proxy says that it is, as a proxy would: by a certificate of the mesh's CA."""

    principal: str = ""
    """TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT; empty: nobody, and a plain connection."""
    ca: str = ""
    """The folder with the CA's ca-cert.pem and ca-key.pem."""
    protocol: str = ""
    """What is spoken inside, as sidecars tell each other (ALPN): istio-http/1.1 or istio."""
    tunnel: str = ""
    """HOST:PORT of a ztunnel or waypoint that carries the connection on; empty: none does."""


NOBODY = WireIdentity()


@dataclass(frozen=True)
class WireRequest:
    """One HTTP exchange. Host and port of ``url`` decide where it goes."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent as given."""
    authority: str = ""
    """Another Host header than the URL's host and port."""
    body: str = ""
    timeout: float = 5.0
    """Seconds for the whole exchange."""
    identity: WireIdentity = NOBODY
    raw: bool = False
    """Send what is no HTTP instead: what answers tells who it is, and nothing else."""


@dataclass(frozen=True)
class Seen:
    """What the application of the server saw of a request."""

    pod: str
    service_account: str
    method: str
    path: str
    query: str
    authority: str
    port: int
    headers: Mapping[str, str]
    """Lower-case names; several values joined by ``, ``."""
    body: str


@dataclass(frozen=True)
class WireAnswer:
    """What came back for one request."""

    status: int
    """0 where no HTTP answer came."""
    error: str
    """Empty, ``refused``, ``reset``, ``timeout``, ``eof``, ``dns``, or another cause in its own words."""
    headers: Mapping[str, str]
    """Lower-case names; several values joined by ``, ``."""
    body: str
    seconds: float
    seen: Seen | None
    """Parsed from the application's echo; None where a proxy answered itself or no answer came."""


@dataclass(frozen=True)
class Tally:
    """What became of a steady stream of requests."""

    sent: int
    by_status: Mapping[int, int]
    """How many answers of each status; 0 counts those without an HTTP answer."""
    errors: Mapping[str, int]
    """How many requests ended in each kind of error, in the words of :class:`WireAnswer`."""
    gaps: tuple[float, ...]
    """Seconds of every pause between two sendings that was much longer than the stream's rate allows."""
