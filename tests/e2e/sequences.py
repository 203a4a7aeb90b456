"""Sequences as data: `sequences/<name>.yaml` is a row of states of the policies, and who must get through, or
never, between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from tests.e2e.cases import HERE, CaseError
from tests.e2e.schema import Call, CaseFile, CaseRow, Data
from tests.e2e.sending import request_of
from tests.e2e.stage import BASE_WATCHES, PATIENCE, Watch
from tests.shop import policy, text_of

FOLDER = HERE / "sequences"
FILE = "sequence.yaml"
"""Where a state's policies lie in the repository."""
BESIDE = 25.0
"""Requests a second of those who are watched beside the first of their kind: all together must leave the
machine time to work.
"""
_Calls = Annotated[tuple[Call, ...], Field(strict=False)]


class SuitePolicy(Data):
    """A policy without what is the same for all of this suite."""

    kind: str
    name: str
    spec: dict[str, Any]


class SequenceState(Data):
    """What the repository says, what is watched on the way there, and what holds once it is in force."""

    note: str = Field(min_length=5, description="What changes.")
    policies: Annotated[tuple[SuitePolicy, ...], Field(strict=False)] = Field(
        (), description="All policies beside the base."
    )
    never: _Calls = Field((), description="Must not get through on the way from the state before.")
    always: _Calls = Field((), description="Must get through on the way from the state before.")
    interrupts: str = Field(
        "",
        description=(
            "Why the mesh itself loses requests on the way: then who must get through is not watched."
        ),
    )
    then: Annotated[tuple[CaseRow, ...], Field(strict=False)] = Field(
        (), description="Requests once it is in force."
    )


class JourneyFile(Data):
    """A whole file. `never` and `always` hold on every way."""

    proves: str = Field(min_length=10, description="One sentence.")
    cluster: str = "east"
    from_: str = Field("productpage", alias="from", description="Client of requests that name none.")
    to: str = Field("reviews", description="Destination of requests that name none.")
    never: _Calls = ()
    always: _Calls = ()
    states: Annotated[tuple[SequenceState, ...], Field(strict=False, min_length=2)]


@dataclass(frozen=True)
class Journey:
    """A file by its name."""

    name: str
    said: JourneyFile

    def case(self, state: SequenceState) -> CaseFile:
        """The requests of a state as those of a case."""
        said = self.said
        head = {
            "proves": said.proves,
            "rules": ["never-wider"],
            "cluster": said.cluster,
            "from": said.from_,
            "to": said.to,
        }
        return CaseFile.model_validate({**head, "requests": state.then or (CaseRow.model_validate({}),)})

    def watches(self, state: SequenceState) -> list[Watch]:
        """Everybody who is watched on the way to a state: the sequence's first of each kind at the full rate
        (the base's where it has none), the others beside them."""
        said, case = self.said, self.case(state)
        listed = (((*said.never, *state.never), False), ((*said.always, *state.always), True))
        found = [
            Watch(
                cluster=said.cluster,
                client=call.from_ or said.from_,
                request=request_of(call, case, timeout=PATIENCE),
                admitted=admitted,
            )
            for calls, admitted in listed
            for call in calls
        ]
        everybody = (*found, *BASE_WATCHES)
        first = [next(watch for watch in everybody if watch.admitted is admitted) for _, admitted in listed]
        rated = [watch if watch in first else replace(watch, per_second=BESIDE) for watch in everybody]
        return [watch for watch in rated if not (watch.admitted and state.interrupts)]


def files_of(state: SequenceState) -> Mapping[str, str]:
    """The policies of a state by file name; none for the base alone."""
    documents = [policy(one.kind, one.name, one.spec) for one in state.policies]
    return {FILE: text_of(*documents)} if documents else {}


@cache
def all_sequences() -> Sequence[Journey]:
    """Every sequence in the order of names. Raises CaseError where one cannot be read."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        try:
            said = JourneyFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, ValidationError) as error:
            raise CaseError(f"{path}: {error}") from error
        found.append(Journey(path.stem, said))
    return tuple(found)
