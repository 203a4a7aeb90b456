"""What a `case.yaml` may say. An unknown key or a value of the wrong type is an error: a case is data, and
read by people.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gitmesh.model.base import Millis
from gitmesh.model.naming import camel

NOBODY = "nobody"
"""In `by`: no application saw the request, a proxy answered it."""


class Data(BaseModel):
    """Closed, frozen and strict; camelCase in YAML."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=camel, validate_by_alias=True
    )


Names = Annotated[tuple[str, ...], Field(strict=False)]
Percent = Annotated[float, Field(ge=0, le=100)]


class Pattern(Data):
    """A value that is not known before."""

    matches: str = Field(description="Expression over the whole value.")


HeaderValues = dict[str, str | Pattern | None]
"""Header -> its value; null means that the header must not be there."""


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_list), Field(strict=False, min_length=1)]


class Count(Data):
    """How often: bounds, or a share in percent of the row's requests with a binomial bound."""

    at_least: int = Field(0, ge=0)
    at_most: int = Field(1_000_000, ge=0)
    percent: Percent | None = None


def _count(value: Any) -> Any:
    return {"atLeast": value, "atMost": value} if isinstance(value, int) else value


Often = Annotated[Count, BeforeValidator(_count)]


class App(Data):
    """What the server's application is asked to do with the row's requests."""

    status: int | None = Field(None, description="Answer with it.")
    delay: str | None = Field(None, description="Wait first, e.g. 300ms.")
    header: str | None = Field(None, description="Add a response header, name=value.")
    fail: int | None = Field(None, description="Each pod fails the first so many of the row's calls.")
    fail_status: int | None = Field(None, description="Status of those failures; 503 if not given.")
    fail_reset: bool = Field(False, description="Those failures close the connection instead.")
    fail_pod: str | None = Field(None, description="This pod fails always, the others never.")


class Took(Data):
    """Bounds on the seconds of every answer."""

    at_least: Millis = 0
    below: Millis | None = None


class Slow(Data):
    """Share of the answers that took at least so long."""

    at_least: Millis
    percent: Percent


class Received(Data):
    """What the application saw of every request."""

    method: str | None = None
    path: str | None = None
    query: str | None = None
    authority: str | None = None
    port: int | None = None
    body: str | None = None
    headers: HeaderValues = Field(default_factory=dict)


class Expect(Data):
    """What must come back for every request of a row."""

    status: int | None = Field(None, description="200 unless error or statuses is given.")
    error: OneOrMore | None = Field(
        None, description="No HTTP answer but one of these: refused, reset, eof, timeout."
    )
    statuses: dict[int, Often] | None = Field(
        None, description="How often each status came; others must not."
    )
    by: str | None = Field(
        None, description="Who answered: a pod, its workload or its ServiceAccount; or nobody."
    )
    shares: dict[str, Percent] | None = Field(
        None, description="Percent of the answers by each pod, workload or ServiceAccount."
    )
    sticks: bool | None = Field(None, description="true: one pod answered all; false: several did.")
    calls: dict[str, Often] | None = Field(
        None, description="How often each pod, workload or ServiceAccount was called in all."
    )
    server: Received | None = None
    headers: HeaderValues = Field(default_factory=dict, description="Headers of the answer; null: absent.")
    body: str | None = Field(None, description="The whole body of the answer.")
    took: Took | None = None
    slow: Slow | None = None

    @model_validator(mode="after")
    def _status_given(self) -> Self:
        given = [name for name in ("status", "error", "statuses") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of status, error, statuses; found {' and '.join(given)}")
        return self

    @property
    def only_status(self) -> int | None:
        """The status that every answer must have; None where another field says what may come."""
        return 200 if self.status is None and self.error is None and self.statuses is None else self.status


class Call(Data):
    """A request, as a client sends it. What is left out is the case's default."""

    from_: str | None = Field(None, alias="from", description="The client pod.")
    to: str | None = Field(None, description="Host, with :port unless 9080.")
    method: str = "GET"
    path: str = Field("/", description="Path with query.")
    headers: dict[str, str] = Field(default_factory=dict)
    authority: str = Field("", description="Another Host header than host:port.")
    body: str = ""


class CaseRow(Call):
    """Requests and what must come back."""

    note: str = Field("", description="Why, where it is not plain.")
    times: int = Field(1, ge=1, le=5000)
    parallel: int = Field(1, ge=1, le=64)
    timeout: Millis = 5000
    app: App = App.model_construct()
    expect: Expect = Field(default_factory=lambda: Expect.model_validate({}))


class ExpectedFinding(Data):
    """A finding on the case's policies."""

    code: str = Field(pattern=r"^GM\d{3}$")
    at: str = Field(description="file:line of the policy.")


class CaseFile(Data):
    """A whole case.yaml."""

    proves: str = Field(min_length=10, description="One sentence.")
    features: Names = Field((), description="Rows of the translator's table of supported features.")
    rules: Names = Field((), description="Rules of the policy API (tests/e2e/features.py).")
    traps: Names = Field((), description="Traps of the mesh (tests/e2e/features.py).")
    cluster: str = "east"
    from_: str = Field("productpage", alias="from", description="Client of rows that name none.")
    to: str = Field("reviews", description="Destination of rows that name none.")
    before: Names = Field(
        (), description="Files that are in force first; the change to the other files is then watched."
    )
    never: Annotated[tuple[Call, ...], Field(strict=False)] = Field(
        (), description="Must never get through while the policies change."
    )
    always: Annotated[tuple[Call, ...], Field(strict=False)] = Field(
        (), description="Must always get through while they change."
    )
    interrupts: str = Field(
        "",
        description=(
            "Why the mesh loses requests on the way here and back: who must get through is not watched."
        ),
    )
    findings: Annotated[tuple[ExpectedFinding, ...], Field(strict=False)] = Field(
        (), description="Errors and warnings; all of them."
    )
    verdict: dict[str, str] = Field(
        default_factory=dict, description="Kind/namespace/name -> what the mesh says of it."
    )
    requests: Annotated[tuple[CaseRow, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.features or self.rules or self.traps):
            raise ValueError("name at least one feature, rule or trap")
        if (self.never or self.always) and not self.before:
            raise ValueError("never and always watch a change: say with `before` what it starts from")
        return self
