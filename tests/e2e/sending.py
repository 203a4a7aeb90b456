"""Rows of a case -> requests of the lab, and back: the calls that the servers counted."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.e2e.judging import call_disagreements, disagreements
from tests.e2e.schema import App, Call, CaseFile, CaseRow
from tests.lab.mesh import MeshCluster
from tests.lab.pod import Pod
from tests.lab.process import LabError, wait_until
from tests.lab.wire import WireAnswer, WireRequest
from tests.lab.world import LabWorld

PORT = 9080
COUNTED = 3.0
"""Seconds that copies of requests may take to arrive; what is waited for is the count itself."""

_APP_HEADERS = {
    "status": "x-lab-status",
    "delay": "x-lab-delay",
    "header": "x-lab-header",
    "fail": "x-lab-fail",
    "fail_status": "x-lab-fail-status",
    "fail_pod": "x-lab-fail-pod",
}
_RUNS = itertools.count(1)
"""Servers count for as long as they live, so every row that is sent has an id of its own."""


@dataclass(frozen=True)
class Sent:
    """A row that was sent: its number in the case, from 1, and what was different."""

    number: int
    row: CaseRow
    answers: Sequence[WireAnswer]
    disagreements: Sequence[str]


def send_rows(world: LabWorld, said: CaseFile, name: str) -> list[Sent]:
    """Send every row of a case, one after the other."""
    return [_send(world, said, row, number, name) for number, row in enumerate(said.requests, 1)]


def _send(world: LabWorld, said: CaseFile, row: CaseRow, number: int, name: str) -> Sent:
    cluster = world.clusters[said.cluster]
    mark = f"{name}#{number}-{next(_RUNS)}"
    request = request_of(row, said, {**_steering(row.app), "x-lab-id": mark}, row.timeout / 1000)
    answers = client(cluster, row.from_ or said.from_).send([request] * row.times, parallel=row.parallel)
    found = disagreements(row.expect, answers)
    if row.expect.calls is not None:
        found += _count(world, cluster, row, mark)
    return Sent(number, row, answers, found)


def request_of(
    call: Call, said: CaseFile, more: Mapping[str, str] | None = None, timeout: float = 5.0
) -> WireRequest:
    """What the client is asked to send."""
    host, _, port = (call.to or said.to).partition(":")
    return WireRequest(
        url=f"http://{host}:{port or PORT}{call.path}",
        method=call.method,
        headers={**(more or {}), **call.headers},
        authority=call.authority,
        body=call.body,
        timeout=timeout,
    )


def client(cluster: MeshCluster, name: str) -> Pod:
    """The pod of a cluster by its name."""
    return cluster.pods[name]


def _steering(app: App) -> dict[str, str]:
    """The headers that tell the server's application what to do."""
    given = {
        header: str(value)
        for name, header in _APP_HEADERS.items()
        if (value := getattr(app, name)) is not None
    }
    return {**given, **({"x-lab-fail-reset": "1"} if app.fail_reset else {})}


def _count(world: LabWorld, cluster: MeshCluster, row: CaseRow, mark: str) -> list[str]:
    """Differences in the servers' counts. Copies arrive after the answer, so counts that are too small are
    waited for.
    """
    wanted = row.expect.calls or {}
    accounts = {pod.name: pod.service_account for pod in cluster.pods.values()}

    def found() -> list[str]:
        return call_disagreements(wanted, world.calls(mark), lambda pod: accounts.get(pod, ""), row.times)

    try:
        wait_until(lambda: not found(), "expected counts", COUNTED)
    except LabError:
        return found()
    return []
