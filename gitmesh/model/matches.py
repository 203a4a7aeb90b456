"""Conditions by which a TrafficPolicy tells requests apart (docs/kinds/trafficpolicy.md): `matches`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from gitmesh.model.base import (
    HeaderName,
    HeaderValue,
    Method,
    Model,
    OnlyTrue,
    Path,
    PortRef,
    Regex,
    SomeOf,
    Text,
    check_expression,
    exactly_one,
)

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
        # Without regard to case every letter becomes a class: the program may be too large although the plain
        # one, which the type has checked, is not.
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
    present: OnlyTrue | None = Field(None, description="The header is there, with any value.")
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
    present: OnlyTrue | None = Field(None, description="The parameter is there, with any value.")

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
