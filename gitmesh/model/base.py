"""Building blocks of the policy models: strict frozen base, durations, percentages, names, inheritance."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticKnownError

from gitmesh.model.expressions import MAX_LENGTH, MAX_PROGRAM, Malformed, TooLarge, compiled
from gitmesh.model.naming import camel

T = TypeVar("T")


class Model(BaseModel):
    """Closed, frozen and strict: an unknown field or a value of the wrong type is an error, never a guess."""

    model_config = ConfigDict(
        frozen=True,
        # A misspelt field that is passed over would leave a policy that says less than its author believes.
        extra="forbid",
        # Otherwise "5" would be taken for a number and 1 for true: a slip in YAML would change the meaning
        # silently.
        strict=True,
        alias_generator=camel,
        # With both spellings allowed, a document could give one field twice, with two values.
        validate_by_name=False,
        validate_by_alias=True,
        defer_build=True,
    )


def _only_true(value: object) -> object:
    # To a Literal they are equal: 1 would be taken for true.
    if value == 1 and value is not True:
        raise PydanticKnownError("literal_error", {"expected": "True"})
    return value


OnlyTrue = Annotated[Literal[True], BeforeValidator(_only_true)]
"""`true` and nothing else, not even 1."""

# `m(?!s)`: the m of `5ms` is no minute. `\Z`: `$` would also match before a line end. ASCII: `\d` means the
# digits of every script otherwise.
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?\Z", re.ASCII)
MAX_DURATION_MS = 365 * 24 * 3_600_000


def parse_duration(text: object) -> int:
    """`250ms`, `5s`, `1m30s` -> milliseconds, 1 ms to a year. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("a duration is text with a unit, such as 250ms, 5s or 1m30s")
    match = _DURATION.match(text)
    # Hundreds of digits make an infinite float, of which `int` below raises another error.
    if not text or len(text) > 32 or match is None:
        raise ValueError(f"{text[:32]!r} is not a duration; write for example 250ms, 5s or 1m30s")
    hours, minutes, seconds, millis = (float(g) if g else 0.0 for g in match.groups())
    total = hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + millis
    # A value that is rounded would not be the one that stands in Git, and would be compared with it for ever.
    if total != int(total) or not 1 <= total <= MAX_DURATION_MS:
        raise ValueError(f"{text!r} must be between 1ms and 8760h, in whole milliseconds")
    return int(total)


def spell_duration(millis: int) -> str:
    """Milliseconds as a policy would say them: `250ms`, `5s`, `90s`."""
    seconds, rest = divmod(millis, 1000)
    return f"{millis}ms" if rest else f"{seconds}s"


def format_duration(millis: int) -> str:
    """Milliseconds -> the normal form that protobuf's JSON prints for meshes: `0.250s`, `5s`, `90s`."""
    seconds, rest = divmod(millis, 1000)
    return f"{seconds}.{rest:03d}s" if rest else f"{seconds}s"


def check_expression(pattern: str, *, ignore_case: bool = False) -> str:
    """The same text. Raises ValueError where it is no RE2, or makes a program that proxies refuse."""
    # Before it is compiled: what that costs is bounded for such lengths only.
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"a regular expression has at most {MAX_LENGTH} characters")
    found = compiled(pattern, ignore_case=ignore_case)
    if isinstance(found, Malformed):
        raise ValueError(f"not an RE2 regular expression: {found.reason}")
    if isinstance(found, TooLarge):
        raise ValueError(
            f"the expression makes more than {MAX_PROGRAM:,} instructions, which proxies refuse; repeat less,"
            " or smaller classes"
        )
    return pattern


_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_DNS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Millis = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(spell_duration, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?([0-9]+ms)?$",
            "examples": ["250ms", "5s", "1m30s"],
        }
    ),
]
Percent = Annotated[float, Field(ge=0, le=100)]
Regex = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH), AfterValidator(check_expression)]
DnsLabel = Annotated[str, Field(pattern=_DNS_LABEL, max_length=63)]
DnsName = Annotated[str, Field(pattern=_DNS_NAME, max_length=253)]
HostName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?$", max_length=259)
]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
PortName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$", max_length=15)]
LabelKey = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        max_length=317,
    ),
]
LabelValue = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$", max_length=63)
]
Labels = Annotated[dict[LabelKey, LabelValue], Field(min_length=1)]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", min_length=1, max_length=128)]
"""A token of RFC 9110, section 5.6.2, which names of headers and of cookies are: nothing in it ends the name.
"""
HeaderName = Annotated[Token, AfterValidator(str.lower)]
"""Header names ignore case, so they are kept in lower case."""
HeaderValue = Annotated[str, Field(max_length=4096, pattern=r"^[^\r\n\x00]*$")]
Path = Annotated[str, Field(pattern=r"^/[^\s\x00]*$", max_length=1024)]
RelativePath = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00\r\n]+$")]
"""Of a file on the machine, from the folder of the file that names it."""
Text = Annotated[str, Field(min_length=1, max_length=1024)]
CookiePath = Annotated[str, Field(pattern=r"^/[^\s\x00-\x1f;]*$", max_length=1024)]
Method = Annotated[str, Field(pattern=r"^[A-Z]{1,16}$")]
Seq = Annotated[tuple[T, ...], Field(strict=False)]
"""A list in YAML, a tuple in memory."""
SomeOf = Annotated[tuple[T, ...], Field(strict=False, min_length=1)]
"""As `Seq`, but empty is an error: an empty list never means 'all'."""

PortRef = Annotated[
    Annotated[PortNumber, Tag("number")] | Annotated[PortName, Tag("name")],
    # Without it pydantic tries both forms and reports the errors of both, one of which is nonsense to the
    # reader.
    Discriminator(lambda value: "name" if isinstance(value, str) else "number"),
]
"""A Service port by number or by name."""


class Disabled(Model):
    """`{disabled: true}` ends inheritance: lesser policies' values of the field do not apply."""

    disabled: OnlyTrue = Field(
        description="Ends inheritance of this field from lesser policies; stands alone."
    )


def _is_disabled(value: Any) -> str:
    return (
        "disabled"
        if isinstance(value, Disabled) or (isinstance(value, dict) and "disabled" in value)
        else "value"
    )


Inheritable = Annotated[
    Annotated[T, Tag("value")] | Annotated[Disabled, Tag("disabled")], Discriminator(_is_disabled)
]
"""A field of a TrafficPolicy: a value, or `{disabled: true}`."""

UNION_TAGS = frozenset({"value", "disabled", "number", "name"})
"""Elements that pydantic puts into an error's location for the unions above; they are no part of the YAML
path.
"""


# A rule of its own and no union of types, whose errors would name every form at once.
def exactly_one(model: Model, *names: str, at_least: int = 1) -> None:
    """Raise ValueError unless exactly one (or, with at_least=0, at most one) of the fields is given."""
    given = [name for name in names if getattr(model, name) is not None]
    if not at_least <= len(given) <= 1:
        shown = ", ".join(camel(name) for name in names)
        found = " and ".join(camel(name) for name in given) or "none"
        raise ValueError(f"give {'exactly' if at_least else 'at most'} one of {shown}; found {found}")
