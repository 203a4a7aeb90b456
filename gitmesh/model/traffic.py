"""TrafficPolicy: how requests to destinations behave (api.md, TrafficPolicy)."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gitmesh.model.base import (
    CookiePath,
    DnsLabel,
    HeaderName,
    HeaderValue,
    HostName,
    Inheritable,
    Labels,
    Method,
    Millis,
    Model,
    Path,
    Percent,
    PortNumber,
    PortRef,
    Regex,
    Seq,
    SomeOf,
    Text,
    Token,
    check_expression,
    exactly_one,
)
from gitmesh.model.selectors import DestinationSelector, WorkloadSelector

Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
Positive = Annotated[int, Field(ge=1, le=2_147_483_647)]
QueryName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s=&#]+$")]


class PathMatch(Model):
    """Exactly one form. `prefix` means whole segments: /foo matches /foo and /foo/x, never /foobar."""

    exact: Path | None = Field(None, description="The whole path.")
    prefix: Path | None = Field(None, description="Leading whole segments of the path.")
    string_prefix: Path | None = Field(None, description="Leading characters of the path.")
    suffix: Text | None = Field(None, description="Trailing characters of the path.")
    regex: Regex | None = Field(None, description="RE2 expression over the whole path.")
    ignore_case: bool = Field(False, description="Compare without regard to case.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "exact", "prefix", "string_prefix", "suffix", "regex")
        if self.regex is not None and self.ignore_case:
            check_expression(self.regex, ignore_case=True)
        return self


class StringMatch(Model):
    """Exactly one form."""

    exact: Text | None = Field(None, description="The whole value.")
    prefix: Text | None = Field(None, description="Leading characters.")
    suffix: Text | None = Field(None, description="Trailing characters.")
    regex: Regex | None = Field(None, description="RE2 expression over the whole value.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "exact", "prefix", "suffix", "regex")
        return self


class HeaderMatch(Model):
    """A condition on one request header: exactly one form."""

    name: HeaderName = Field(description="Header name; case does not matter.")
    exact: HeaderValue | None = Field(None, description="The whole value.")
    prefix: Text | None = Field(None, description="Leading characters of the value.")
    suffix: Text | None = Field(None, description="Trailing characters of the value.")
    regex: Regex | None = Field(None, description="RE2 expression over the whole value.")
    present: Literal[True] | None = Field(None, description="The header is there, with any value.")
    invert: bool = Field(
        False, description="Match requests that do not meet the condition; a missing header does not meet it."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "exact", "prefix", "suffix", "regex", "present")
        return self


class QueryParamMatch(Model):
    """A condition on one query parameter: exactly one form."""

    name: QueryName = Field(description="Parameter name; case matters.")
    exact: HeaderValue | None = Field(None, description="The whole value.")
    regex: Regex | None = Field(None, description="RE2 expression over the whole value.")
    present: Literal[True] | None = Field(None, description="The parameter is there, with any value.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "exact", "regex", "present")
        return self


class Match(Model):
    """Conditions on a request, all of which must hold; the list of matches is OR."""

    path: PathMatch | None = Field(None, description="Condition on the path, without the query.")
    headers: SomeOf[HeaderMatch] | None = Field(
        None, description="Conditions on headers, all of which must hold."
    )
    query_params: SomeOf[QueryParamMatch] | None = Field(
        None, description="Conditions on query parameters, all of which must hold."
    )
    method: Method | None = Field(None, description="HTTP method, in capitals.")
    port: PortRef | None = Field(None, description="Service port, number or name.")
    authority: StringMatch | None = Field(
        None, description="Condition on the Host or :authority of the request."
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("an empty match is ambiguous; omit `matches` to match every request")
        return self


class DestinationRef(Model):
    """A Service of the client's cluster, optionally a subset of its pods."""

    name: DnsLabel = Field(description="Name of the Service.")
    namespace: DnsLabel | None = Field(None, description="Its namespace; default the routed destination's.")
    subset: Labels | None = Field(
        None, description="Pod labels that select a part of the pods behind the Service."
    )
    port: PortRef | None = Field(
        None,
        description="Service port; needed where the Service has several and none equals the requested one.",
    )


def _distinct(headers: object) -> object:
    """Two spellings of one header would leave only the last one."""
    names = [name.lower() for name in headers if isinstance(name, str)] if isinstance(headers, dict) else []
    seen: dict[str, int] = Counter(names)
    doubled = min((name for name, count in seen.items() if count > 1), default=None)
    if doubled is not None:
        raise ValueError(f"the header {doubled[:40]} is here twice; case does not matter")
    return headers


HeaderValues = Annotated[dict[HeaderName, HeaderValue], BeforeValidator(_distinct)]


class HeaderOps(Model):
    """Changes of headers; names ignore case."""

    set: HeaderValues | None = Field(None, description="Set, replacing what is there.")
    add: HeaderValues | None = Field(None, description="Append a value.")
    remove: SomeOf[HeaderName] | None = Field(None, description="Remove.")


class Headers(Model):
    """Changes of request headers before forwarding and of response headers before answering."""

    request: HeaderOps | None = Field(None, description="On the request.")
    response: HeaderOps | None = Field(None, description="On the response.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.request is None and self.response is None:
            raise ValueError("give request or response")
        return self


class SplitTarget(Model):
    """One share of a split."""

    destination: DestinationRef = Field(description="Where this share goes.")
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        1, description="Relative weight; the sum over the split must be above 0."
    )
    headers: Headers | None = Field(
        None, description="Header changes for this share only; those of the field `headers` come after them."
    )


def _weights(split: tuple[SplitTarget, ...]) -> tuple[SplitTarget, ...]:
    if sum(target.weight for target in split) <= 0:
        raise ValueError("the weights of a split must have a sum above 0")
    return split


class PathRewrite(Model):
    """Exactly one form; names as in the Gateway API."""

    replace_prefix_match: Path | None = Field(
        None,
        description="Replace the matched prefix by this; needs a match on path.prefix or path.stringPrefix.",
    )
    replace_full_path: Path | None = Field(None, description="Replace the whole path.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "replace_prefix_match", "replace_full_path")
        return self


class Rewrite(Model):
    """Rewrite before forwarding."""

    path: PathRewrite | None = Field(None, description="New path.")
    hostname: HostName | None = Field(None, description="New Host header.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.path is None and self.hostname is None:
            raise ValueError("give path or hostname")
        return self


class Redirect(Model):
    """Answer with a redirect; what is omitted stays as requested."""

    scheme: Literal["http", "https"] | None = Field(None, description="Scheme of the new address.")
    hostname: HostName | None = Field(None, description="Host of the new address.")
    port: PortNumber | None = Field(None, description="Port of the new address.")
    path: PathRewrite | None = Field(None, description="Path of the new address.")
    status_code: Literal[301, 302, 303, 307, 308] = Field(302, description="Status of the answer.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not (self.scheme or self.hostname or self.port or self.path):
            raise ValueError("give scheme, hostname, port or path; a redirect to the same address never ends")
        return self


class DirectResponse(Model):
    """Answer without calling the destination."""

    status: Annotated[int, Field(ge=200, le=599)] = Field(description="HTTP status.")
    body: Annotated[str, Field(max_length=65536)] | None = Field(None, description="Body of the answer.")


class FaultDelay(Model):
    """Delay a share of the requests."""

    fixed: Millis = Field(description="How long.")
    percent: Percent = Field(description="Share of the requests, 0-100; required.")


class FaultAbort(Model):
    """Answer a share of the requests with an error."""

    http_status: Annotated[int, Field(ge=200, le=599)] = Field(description="Status of the answer.")
    percent: Percent = Field(description="Share of the requests, 0-100; required.")


class Fault(Model):
    """Fault injection."""

    delay: FaultDelay | None = Field(None, description="Delay.")
    abort: FaultAbort | None = Field(None, description="Abort.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.delay is None and self.abort is None:
            raise ValueError("give delay or abort")
        return self


_RETRY_CONDITIONS = frozenset(
    [
        "5xx",
        "gateway-error",
        "connect-failure",
        "reset",
        "retriable-4xx",
        "refused-stream",
        "envoy-ratelimited",
        "retriable-headers",
        "reset-before-request",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ]
)


def _retry_on(condition: str) -> str:
    if condition in _RETRY_CONDITIONS or (
        condition.isascii() and condition.isdigit() and len(condition) == 3 and "100" <= condition <= "599"
    ):
        return condition
    raise ValueError(
        f"{condition[:40]!r} is not a retry condition; use one of {', '.join(sorted(_RETRY_CONDITIONS))}, or"
        " a status code in quotes"
    )


RetryCondition = Annotated[str, AfterValidator(_retry_on)]


class Retries(Model):
    """Retries of failed requests."""

    attempts: Annotated[int, Field(ge=0, le=100)] = Field(
        description="Retries after the first try; 0 switches the mesh's own retries off."
    )
    per_try_timeout: Millis | None = Field(None, description="Timeout of each try.")
    retry_on: SomeOf[RetryCondition] | None = Field(
        None, description="Conditions to retry on; default the mesh's."
    )
    backoff: Millis | None = Field(None, description="Smallest pause between tries.")

    @model_validator(mode="after")
    def _none_wanted(self) -> Self:
        if self.attempts == 0 and (self.per_try_timeout or self.retry_on or self.backoff):
            raise ValueError(
                "attempts: 0 switches retries off, so perTryTimeout, retryOn and backoff have no meaning"
            )
        return self


class OriginMatch(Model):
    """Exactly one form."""

    exact: Text | None = Field(None, description="The whole origin, or * for any.")
    prefix: Text | None = Field(None, description="Leading characters.")
    regex: Regex | None = Field(None, description="RE2 expression over the whole origin.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "exact", "prefix", "regex")
        return self


class Cors(Model):
    """Cross-origin requests from browsers."""

    allow_origins: SomeOf[OriginMatch] = Field(description="Origins that may call.")
    allow_methods: SomeOf[Method] | None = Field(None, description="Methods that may be used.")
    allow_headers: SomeOf[HeaderName] | None = Field(None, description="Headers that may be sent.")
    expose_headers: SomeOf[HeaderName] | None = Field(None, description="Headers that scripts may read.")
    max_age: Millis | None = Field(None, description="How long a browser may keep the answer; whole seconds.")
    allow_credentials: bool = Field(False, description="Whether cookies and credentials may be sent.")

    @model_validator(mode="after")
    def _whole_seconds(self) -> Self:
        if self.max_age is not None and self.max_age % 1000:
            raise ValueError("maxAge is in whole seconds")
        return self


class Mirror(Model):
    """Send a copy of a share of the requests elsewhere; its answers are dropped."""

    destination: DestinationRef = Field(description="Where the copy goes.")
    percent: Percent = Field(description="Share of the requests, 0-100; required.")


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
    source_ip: Literal[True] | None = Field(None, description="Of the caller's address.")
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


REQUEST_FIELDS = (
    "split",
    "redirect",
    "direct_response",
    "rewrite",
    "fault",
    "timeout",
    "retries",
    "cors",
    "mirror",
    "headers",
)
"""Decided for each request."""
ROUTING_FIELDS = ("split", "redirect", "direct_response")
"""Of these a policy sets at most one; in precedence they are one field."""
CONNECTION_FIELDS = ("outlier_detection", "connection_pool", "load_balancing", "tls")
"""Decided for each destination and port."""


class TrafficPolicySpec(Model):
    """How requests to destinations behave."""

    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(0, description="Higher decides first.")
    sources: SomeOf[WorkloadSelector] | None = Field(
        None, description="Workloads whose requests are meant; omitted: all."
    )
    destinations: SomeOf[DestinationSelector] = Field(description="Destinations whose requests are meant.")
    matches: SomeOf[Match] | None = Field(
        None, description="Requests that are meant; omitted: all. OR between items."
    )
    split: Inheritable[Annotated[SomeOf[SplitTarget], AfterValidator(_weights)]] | None = Field(
        None, description="Share the requests among destinations and subsets."
    )
    redirect: Inheritable[Redirect] | None = Field(None, description="Answer with a redirect.")
    direct_response: Inheritable[DirectResponse] | None = Field(
        None, description="Answer without calling the destination."
    )
    rewrite: Inheritable[Rewrite] | None = Field(None, description="Rewrite path or host before forwarding.")
    fault: Inheritable[Fault] | None = Field(None, description="Inject faults.")
    timeout: Inheritable[Millis] | None = Field(
        None, description="Timeout of the whole request, with all its retries."
    )
    retries: Inheritable[Retries] | None = Field(None, description="Retry failed requests.")
    cors: Inheritable[Cors] | None = Field(None, description="Cross-origin requests from browsers.")
    mirror: Inheritable[SomeOf[Mirror]] | None = Field(None, description="Send copies of requests elsewhere.")
    headers: Inheritable[Headers] | None = Field(
        None, description="Change headers; merges over policies per header name."
    )
    outlier_detection: Inheritable[OutlierDetection] | None = Field(None, description="Eject pods that fail.")
    connection_pool: Inheritable[ConnectionPool] | None = Field(None, description="Limit connections.")
    load_balancing: Inheritable[LoadBalancing] | None = Field(None, description="How a pod is chosen.")
    tls: Inheritable[Tls] | None = Field(None, description="TLS of the connections.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        exactly_one(self, *ROUTING_FIELDS, at_least=0)
        if not any(getattr(self, name) is not None for name in (*REQUEST_FIELDS, *CONNECTION_FIELDS)):
            raise ValueError("the policy sets nothing; give at least one of split, timeout, retries, ...")
        return self

    def given(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the fields that this policy sets."""
        return tuple(name for name in names if getattr(self, name) is not None)


__all__ = ["CONNECTION_FIELDS", "REQUEST_FIELDS", "ROUTING_FIELDS", "Seq", "TrafficPolicySpec"]
