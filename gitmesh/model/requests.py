"""What a TrafficPolicy decides for each request (docs/kinds/trafficpolicy.md): the values of its request
fields."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gitmesh.model.base import (
    DnsLabel,
    HeaderName,
    HeaderValue,
    HostName,
    Labels,
    Method,
    Millis,
    Model,
    Path,
    Percent,
    PortNumber,
    PortRef,
    Regex,
    SomeOf,
    Text,
    exactly_one,
)


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


# Before the names are put into lower case: after that one of the two is gone already.
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


def weights(split: tuple[SplitTarget, ...]) -> tuple[SplitTarget, ...]:
    """A split whose weights say something: not all 0. Raises ValueError."""
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

    # From 200: an answer of 1xx is not final (RFC 9110, section 15.2), so the client would go on waiting.
    status: Annotated[int, Field(ge=200, le=599)] = Field(description="HTTP status.")
    body: Annotated[str, Field(max_length=65536)] | None = Field(None, description="Body of the answer.")


class FaultDelay(Model):
    """Delay a share of the requests."""

    fixed: Millis = Field(description="How long.")
    # Without a default, here and for mirrors: where it is omitted, Istio delays and aborts none and mirrors
    # all.
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


# The names of Envoy's retry policies, for HTTP and for gRPC, which meshes on Envoy take over.
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
        # `isdigit` alone is true for digits of other scripts, which no proxy reads.
    ):
        return condition
    raise ValueError(
        f"{condition[:40]!r} is not a retry condition; use one of {', '.join(sorted(_RETRY_CONDITIONS))}, or"
        " a status code in quotes"
    )


RetryCondition = Annotated[str, AfterValidator(_retry_on)]


class Retries(Model):
    """Retries of failed requests."""

    # 0 is no omission: where nothing is said, Istio's proxies retry twice.
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
        # The header Access-Control-Max-Age counts seconds.
        if self.max_age is not None and self.max_age % 1000:
            raise ValueError("maxAge is in whole seconds")
        return self


class Mirror(Model):
    """Send a copy of a share of the requests elsewhere; its answers are dropped."""

    destination: DestinationRef = Field(description="Where the copy goes.")
    percent: Percent = Field(description="Share of the requests, 0-100; required.")
