"""Every case, on real meshes: `pytest -m e2e tests/e2e -k <folder>` runs one."""

from __future__ import annotations

import contextlib

import pytest

from tests.e2e.cases import Case, all_cases, repository
from tests.e2e.sending import request_of, send_rows
from tests.e2e.stage import BASE_WATCHES, PATIENCE, LiveStage, Watch
from tests.e2e.summary import SuiteSummary
from tests.lab.process import LabError, wait_until

VERDICT = 30.0
"""Seconds that a mesh may take to say what it thinks of an object."""


@pytest.mark.e2e
@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_case(case: Case, stage: LiveStage, summary: SuiteSummary) -> None:
    wrong = stage.commit(repository(case.before)).broken if case.before else []
    effect = stage.commit(repository(case.after), watches(case))
    sent = send_rows(stage.world, case.said, case.name)
    wrong += [
        f"request {one.number} {one.row.note}: {text}".replace(" :", ":")
        for one in sent
        for text in one.disagreements
    ]
    wrong += _findings(case, stage) + effect.broken + _restless(stage)
    if case.said.interrupts:
        wrong += stage.commit(repository({}), watches(case)).broken
    summary.cases += 1
    summary.requests += sum(len(one.answers) for one in sent)
    summary.disagreements += len(wrong)
    assert not wrong, "\n".join([case.said.proves, *wrong])
    _verdicts(case, stage)


def watches(case: Case) -> list[Watch]:
    """The base's streams and the case's own; where the mesh interrupts traffic by itself, only those that
    must not get through.
    """
    said = case.said
    streams = [(call, False) for call in said.never] + [(call, True) for call in said.always]
    own = [
        Watch(
            cluster=said.cluster,
            client=call.from_ or said.from_,
            request=request_of(call, said, timeout=PATIENCE),
            admitted=admitted,
        )
        for call, admitted in streams
    ]
    return [watch for watch in (*BASE_WATCHES, *own) if not (watch.admitted and said.interrupts)]


def _findings(case: Case, stage: LiveStage) -> list[str]:
    """Differences in the findings. Those that rest on what the mesh says come a while after the change, so
    they are waited for.
    """
    wanted = {(one.code, one.at) for one in case.said.findings}
    with contextlib.suppress(LabError):
        wait_until(lambda: wanted <= stage.findings(case.after).keys(), "expected findings", VERDICT)
    found = stage.findings(case.after)
    missing = [f"no finding {code} at {at}" for code, at in sorted(wanted - found.keys())]
    return missing + [
        f"unexpected finding {code} at {at}: {found[code, at]}" for code, at in sorted(found.keys() - wanted)
    ]


def _restless(stage: LiveStage) -> list[str]:
    """What the agent corrected although nobody had changed it: objects that the cluster keeps in other words
    than ours.
    """
    count = stage.new_heals()
    return (
        [f"{count:g} objects were healed that nobody changed, in this case or after the one before"]
        if count
        else []
    )


def _verdicts(case: Case, stage: LiveStage) -> None:
    for policy, verdict in case.said.verdict.items():
        stage.agent.until(
            lambda p=policy, v=verdict: stage.verdict(p, case.said.cluster) == v,
            f"verdict {verdict} of {policy}",
            VERDICT,
        )
