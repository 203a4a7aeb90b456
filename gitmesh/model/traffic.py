"""TrafficPolicy: how requests to destinations behave (docs/kinds/trafficpolicy.md)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gitmesh.model.base import (
    Inheritable,
    Millis,
    Model,
    SomeOf,
    exactly_one,
)
from gitmesh.model.connections import ConnectionPool, LoadBalancing, OutlierDetection, Tls
from gitmesh.model.matches import Match
from gitmesh.model.requests import (
    Cors,
    DirectResponse,
    Fault,
    Headers,
    Mirror,
    Redirect,
    Retries,
    Rewrite,
    SplitTarget,
    weights,
)
from gitmesh.model.selectors import DestinationSelector, WorkloadSelector

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
    split: Inheritable[Annotated[SomeOf[SplitTarget], AfterValidator(weights)]] | None = Field(
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
