"""Every case on real waypoints and the lab's ztunnels: it passes as it stands, or is answered by the findings
that are promised, with access closed. What istiod tells ztunnels is what the calculator says, for every pod.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.cases import all_cases, repository
from tests.e2e.promises import SAID_BY_MESHES, DirectCall, Promise, connections, rows, wrong
from tests.e2e.sending import send_rows
from tests.e2e.stage import LiveStage
from tests.e2e.summary import SuiteSummary
from tests.e2e.test_cases import watches
from tests.lab.wire import WireRequest

NOT_IN_FORCE = "GM314"
"""Follows from others: of a policy, that all that it acts on is held."""


@pytest.mark.e2e
@pytest.mark.parametrize("promised", [Promise(case) for case in all_cases()], ids=lambda one: one.case.name)
def test_case(promised: Promise, ambient_stage: LiveStage, summary: SuiteSummary) -> None:
    case, stage = promised.case, ambient_stage
    said = []
    if promised.holds and not case.before:
        stage.commit(repository({}))  # what is held would stay as the case before has left it
    if case.before:
        said += stage.commit(repository(case.before)).broken
    watched = [one for one in watches(case) if not (one.admitted and promised.beside)]
    said += stage.commit(repository(case.after), watched).broken
    sent = send_rows(stage.world, rows(promised), case.name)
    for one in sent:
        found = wrong(promised, case.said.requests[one.number - 1], one.answers, one.disagreements)
        said += [f"request {one.number} {one.row.note}: {text}".replace(" :", ":") for text in found]
    said += _findings(promised, stage)
    said += _connections(promised, stage)
    if case.said.interrupts:
        said += stage.commit(repository({}), watched).broken
    summary.cases += 1
    summary.requests += sum(len(one.answers) for one in sent)
    summary.disagreements += len(said)
    assert not said, "\n".join([case.said.proves, *said])


def _findings(promised: Promise, stage: LiveStage) -> list[str]:
    """Differences in the findings; what a mesh may say of a case is written in it."""
    wanted = {place for place in promised.told if place[0] not in SAID_BY_MESHES}
    heard = {(one.code, one.at) for one in promised.case.said.findings if one.code in SAID_BY_MESHES}
    found = stage.findings(promised.case.after)
    follows = {place for place in found if place[0] == NOT_IN_FORCE and promised.holds}
    missing = [f"no finding {code} at {at}" for code, at in sorted(wanted - found.keys())]
    return missing + [
        f"unexpected finding {code} at {at}: {found[code, at]}"
        for code, at in sorted(found.keys() - wanted - heard - follows)
    ]


def _connections(promised: Promise, stage: LiveStage) -> Iterator[str]:
    """Where a pod's ztunnel decides otherwise than the calculator."""
    pods = stage.world.clusters[promised.case.said.cluster].pods
    by_client: dict[str, list[DirectCall]] = {}
    for one in connections(promised):
        by_client.setdefault(one.client, []).append(one)
    for client, wanted in by_client.items():
        requests = [WireRequest(f"http://{pods[one.pod].ip}:{one.port}/", authority="pod") for one in wanted]
        for one, answer in zip(wanted, pods[client].send(requests, parallel=8), strict=True):
            if (answer.seen is not None) != one.allowed:
                text = (
                    "is taken" if answer.seen is not None else f"is refused ({answer.error or answer.status})"
                )
                yield f"{one} {text}, and the calculator says otherwise"
