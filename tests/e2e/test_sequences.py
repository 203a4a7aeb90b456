"""Every sequence, on real meshes: between the states of the policies, streams watch the very destination
whose policy changes.
"""

from __future__ import annotations

import pytest

from gitmesh.diagnostics import Severity
from tests.e2e.cases import repository
from tests.e2e.facts import world_facts
from tests.e2e.sending import send_rows
from tests.e2e.sequences import Journey, all_sequences, files_of
from tests.e2e.stage import BASE_WATCHES, LiveStage
from tests.e2e.summary import SuiteSummary
from tests.rendered import rendered

SEQUENCES = all_sequences()
REMARKS = frozenset({"GM213", "GM310"})
"""What a state about Services with the same pods, or a Deny by path, cannot be without."""


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda one: one.name)
def test_every_state_is_without_errors_and_warnings(sequence: Journey) -> None:
    for state in sequence.said.states:
        said = rendered(repository(files_of(state)), world_facts()).findings
        assert not [d.message for d in said if d.severity is not Severity.INFO and d.code not in REMARKS], (
            state.note
        )


@pytest.mark.e2e
@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda one: one.name)
def test_sequence(sequence: Journey, stage: LiveStage, summary: SuiteSummary) -> None:
    wrong: list[str] = []
    for number, state in enumerate(sequence.said.states):
        effect = stage.commit(
            repository(files_of(state)), sequence.watches(state) if number else BASE_WATCHES
        )
        sent = send_rows(stage.world, sequence.case(state), f"{sequence.name}-{number}") if state.then else []
        wrong += [
            f"{state.note}: {text}"
            for text in (*effect.broken, *(text for one in sent for text in one.disagreements))
        ]
        summary.requests += sum(len(one.answers) for one in sent)
    assert not wrong, "\n".join([sequence.said.proves, *wrong])
