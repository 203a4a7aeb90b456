"""AccessPolicy: who may call (docs/concepts.md#who-may-call)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gitmesh.model.base import (
    HeaderName,
    HeaderValue,
    Method,
    Model,
    OnlyTrue,
    PortRef,
    SomeOf,
    Text,
    exactly_one,
)
from gitmesh.model.selectors import DestinationSelector, IdentitySelector


def _pattern(text: str) -> str:
    """`/exact`, `/prefix*` or `*suffix`; `*` alone is any."""
    # Access rules of meshes know exact, prefix and suffix matches alone. A star in the middle would be
    # compared as a character, and a Deny would refuse less than it seems to.
    if text.count("*") > 1 or "*" in text[1:-1]:
        raise ValueError("* may stand at the beginning or at the end only")
    return text


def _path_pattern(text: str) -> str:
    if not text.startswith(("/", "*")):
        raise ValueError("a path starts with / or *")
    return _pattern(text)


PathPattern = Annotated[
    str, Field(min_length=1, max_length=1024, pattern=r"^[^\s\x00]+$"), AfterValidator(_path_pattern)
]
HostPattern = Annotated[
    str, Field(min_length=1, max_length=259, pattern=r"^[A-Za-z0-9.*:\[\]_-]+$"), AfterValidator(_pattern)
]


class HeaderRule(Model):
    """A condition on one request header: exactly one form."""

    name: HeaderName = Field(description="Header name; case does not matter.")
    exact: HeaderValue | None = Field(None, description="The whole value.")
    prefix: Text | None = Field(None, description="Leading characters of the value.")
    suffix: Text | None = Field(None, description="Trailing characters of the value.")
    present: OnlyTrue | None = Field(None, description="The header is there, with any value.")
    invert: bool = Field(
        False, description="Requests that do not meet the condition; a missing header does not meet it."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "exact", "prefix", "suffix", "present")
        # In such a condition of a mesh a star at an end is a wildcard, and nothing escapes it.
        for value in (self.exact, self.prefix, self.suffix):
            if value is not None and "*" in value:
                raise ValueError("a header value with * cannot be expressed exactly; use another form")
        return self


class AccessRule(Model):
    """Requests that are meant: AND between the keys, OR inside each list, but headers are AND."""

    paths: SomeOf[PathPattern] | None = Field(
        None, description="Paths: exact, prefix* or *suffix; * is textual."
    )
    # Their case counts (RFC 9110, section 9.1), so that a rule for `get` would never match anything.
    methods: SomeOf[Method] | None = Field(None, description="HTTP methods, in capitals.")
    ports: SomeOf[PortRef] | None = Field(None, description="Service ports, number or name.")
    hosts: SomeOf[HostPattern] | None = Field(None, description="Hosts: exact, prefix* or *suffix.")
    headers: SomeOf[HeaderRule] | None = Field(
        None, description="Conditions on headers, all of which must hold."
    )
    non_http: Literal["Deny", "Ignore"] | None = Field(
        None,
        description="Of a Deny with paths, methods, hosts or headers: what becomes of connections that are"
        " not HTTP, where a port carries them or may. Omitted: Deny; under a broad selector it must be said.",
    )

    @property
    def asks_http(self) -> bool:
        """Whether it asks for what only a request has."""
        return bool(self.paths or self.methods or self.hosts or self.headers)

    @model_validator(mode="after")
    def _about_requests(self) -> Self:
        if self.non_http is not None and not self.asks_http:
            raise ValueError(
                "nonHTTP goes with paths, methods, hosts or headers; without them every connection is meant"
            )
        return self

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        # Istio reads an empty rule as every request and an empty list of rules as none: nobody should have to
        # know which of the two they wrote.
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("an empty rule is ambiguous; omit `rules` to mean every request")
        return self


class AccessPolicySpec(Model):
    """Who may call destinations, or who may not."""

    action: Literal["Allow", "Deny"] = Field(
        "Allow",
        description="Deny beats Allow; a destination that an Allow selects denies what no Allow admits.",
    )
    enforcement: Literal["Enforce"] = Field("Enforce", description="Enforce the decision.")
    sources: SomeOf[IdentitySelector] = Field(description="Callers that are meant.")
    destinations: SomeOf[DestinationSelector] = Field(description="Destinations that are meant.")
    rules: SomeOf[AccessRule] | None = Field(
        None, description="Requests that are meant; omitted: every request. OR between items."
    )

    @model_validator(mode="after")
    def _of_a_deny(self) -> Self:
        if self.action == "Allow" and any(rule.non_http is not None for rule in self.rules or ()):
            raise ValueError("nonHTTP goes with action Deny; an Allow of requests admits nothing else")
        return self
