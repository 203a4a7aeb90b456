"""What a TrafficPolicy decides for the connections to a destination (docs/kinds/trafficpolicy.md): the values
of its connection fields.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gitmesh.model.base import (
    CookiePath,
    HeaderName,
    Millis,
    Model,
    OnlyTrue,
    Path,
    SomeOf,
    Text,
    Token,
    exactly_one,
)
from gitmesh.model.matches import QueryName

# Meshes keep these in signed integers of 32 bits; a larger number would be refused at the write, not here.
Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
Positive = Annotated[int, Field(ge=1, le=2_147_483_647)]


class OutlierDetection(Model):
    """Eject pods that fail. What is omitted means the same on every mesh, whatever the mesh's own default."""

    consecutive_errors: Positive = Field(5, description="5xx answers in a row after which a pod is ejected.")
    interval: Millis = Field(10_000, description="Time between two looks.")
    base_ejection_time: Millis = Field(30_000, description="Least time out; grows with each ejection.")
    max_ejection_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        10, description="Greatest share of pods out at once."
    )
    min_health_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="Below this share of healthy pods nobody is ejected."
    )


class TcpKeepalive(Model):
    """TCP keepalive probes."""

    time: Millis | None = Field(None, description="Idle time before the first probe.")
    interval: Millis | None = Field(None, description="Time between probes.")
    probes: Positive | None = Field(
        None, description="Unanswered probes after which the connection is closed."
    )


class TcpPool(Model):
    """Limits of TCP connections to a destination."""

    max_connections: Positive | None = Field(None, description="Greatest number of connections.")
    connect_timeout: Millis | None = Field(None, description="Time to connect.")
    keepalive: TcpKeepalive | None = Field(None, description="Keepalive probes.")


class HttpPool(Model):
    """Limits of HTTP requests to a destination."""

    max_pending_requests: Positive | None = Field(
        None, description="Requests that may wait for a connection."
    )
    max_requests: Positive | None = Field(None, description="Requests under way at once.")
    max_requests_per_connection: Positive | None = Field(
        None, description="Requests after which a connection is closed."
    )
    max_retries: Count | None = Field(None, description="Retries under way at once.")
    idle_timeout: Millis | None = Field(None, description="Idle time after which a connection is closed.")


class ConnectionPool(Model):
    """Limits of the connections to a destination."""

    tcp: TcpPool | None = Field(None, description="Of TCP connections.")
    http: HttpPool | None = Field(None, description="Of HTTP requests.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.tcp is None and self.http is None:
            raise ValueError("give tcp or http")
        return self


class HashCookie(Model):
    """A cookie that holds the session; made if absent."""

    name: Token = Field(description="Name of the cookie.")
    path: CookiePath | None = Field(None, description="Path of the cookie.")
    ttl: Millis | None = Field(
        None, description="Life of a cookie that is made; omitted: a session cookie that must exist already."
    )


class ConsistentHash(Model):
    """Session affinity by a hash of exactly one thing."""

    header: HeaderName | None = Field(None, description="Of this header.")
    cookie: HashCookie | None = Field(None, description="Of this cookie.")
    query_param: QueryName | None = Field(None, description="Of this query parameter.")
    source_ip: OnlyTrue | None = Field(None, description="Of the caller's address.")
    # Envoy refuses larger rings.
    ring_size: Annotated[int, Field(ge=1, le=8_388_608)] | None = Field(
        None, description="Least number of entries of the hash ring."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "header", "cookie", "query_param", "source_ip")
        return self


class FailoverRegion(Model):
    """Where traffic of a region goes when its own pods are unhealthy."""

    from_: Text = Field(alias="from", description="Region of the caller.")
    to: Text = Field(description="Region to fail over to.")


class LocalityShare(Model):
    """How traffic of a locality is spread: shares in percent, with a sum of 100."""

    from_: Text = Field(
        alias="from", description="Locality of the caller, region/zone/subzone, with * for any."
    )
    to: dict[Text, Annotated[int, Field(ge=1, le=100)]] = Field(description="Locality -> share in percent.")

    @model_validator(mode="after")
    def _hundred(self) -> Self:
        # Istio refuses a DestinationRule in which they have another sum, and with it everything else in the
        # object.
        if sum(self.to.values()) != 100:
            raise ValueError("the shares of `to` must have a sum of 100")
        return self


class Locality(Model):
    """Preference by locality: exactly one form. Failover needs outlierDetection to know who is unhealthy."""

    failover: SomeOf[FailoverRegion] | None = Field(None, description="Region to region.")
    failover_priority: SomeOf[Text] | None = Field(
        None, description="Ordered pod labels; the more of them match the caller's, the sooner."
    )
    distribute: SomeOf[LocalityShare] | None = Field(None, description="Shares by locality.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "failover", "failover_priority", "distribute")
        return self


class LoadBalancing(Model):
    """How a pod is chosen."""

    algorithm: Literal["RoundRobin", "LeastRequest", "Random", "Passthrough"] | None = Field(
        None, description="Algorithm; excludes consistentHash."
    )
    consistent_hash: ConsistentHash | None = Field(None, description="Session affinity; excludes algorithm.")
    locality: Locality | None = Field(None, description="Preference by locality.")
    slow_start: Millis | None = Field(
        None, description="Time over which a new pod's share grows; with RoundRobin and LeastRequest."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        exactly_one(self, "algorithm", "consistent_hash", at_least=0)
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("give algorithm, consistentHash, locality or slowStart")
        # The proxies' other balancers do not know it, and would leave it out without a word.
        if self.slow_start is not None and (
            self.consistent_hash or self.algorithm in ("Random", "Passthrough")
        ):
            raise ValueError("slowStart works with RoundRobin and LeastRequest only")
        return self


class Tls(Model):
    """TLS of the connections to the destination; files are paths in the client's proxy."""

    mode: Literal["Disable", "Simple", "Mutual", "MeshMutual"] = Field(
        description="Plaintext, TLS, TLS with a client certificate, or the mesh's own mTLS."
    )
    sni: Text | None = Field(None, description="Server name to ask for.")
    client_certificate: Path | None = Field(None, description="Client certificate file; with Mutual.")
    private_key: Path | None = Field(None, description="Private key file; with Mutual.")
    ca_certificates: Path | None = Field(
        None, description="Certificates to verify the server with; with Simple and Mutual."
    )
    subject_alt_names: SomeOf[Text] | None = Field(
        None, description="Names of which the server's certificate must carry one."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode == "Mutual" and not (self.client_certificate and self.private_key):
            raise ValueError("Mutual needs clientCertificate and privateKey")
        if self.mode != "Mutual" and (self.client_certificate or self.private_key):
            raise ValueError("clientCertificate and privateKey go with Mutual only")
        if self.mode in ("Disable", "MeshMutual") and (
            self.ca_certificates or self.sni or self.subject_alt_names
        ):
            raise ValueError(f"mode {self.mode} takes no further fields")
        return self
