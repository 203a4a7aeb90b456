"""What somebody else says of the TLS of connections, beside Strict of ours: real proxies refuse them, and it
is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.e2e.asks import FILE, Ask, files, hold
from tests.e2e.stage import ARRIVAL, LiveStage
from tests.lab.apiserver import ApiServer
from tests.shop import policy

pytestmark = pytest.mark.e2e
REFUSED_IN_TLS = "GM327"
STRICT = policy("VirtualMesh", "east", {"meshes": [{"cluster": "east"}], "mtls": {"mode": "Strict"}})
PLAINLY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "plainly", "namespace": "office"},
    "spec": {
        "host": "ratings.bookshop.svc.cluster.local",
        "trafficPolicy": {"tls": {"mode": "DISABLE"}},
    },
}
"""Of somebody else: for clients in office alone."""
CLERK, PAGE = Ask("ratings.bookshop", client="clerk"), Ask("ratings")


@contextlib.contextmanager
def somebody(api: ApiServer) -> Iterator[None]:
    api.apply([PLAINLY])
    try:
        yield
    finally:
        api.kubectl("delete", "destinationrule", "plainly", "-n", "office")


def codes(stage: LiveStage) -> set[str]:
    return {code for code, _ in stage.findings([FILE])}


def test_strict_refuses_whom_somebody_else_tells_to_connect_plainly(stage: LiveStage) -> None:
    with somebody(stage.world.clusters["east"].api):
        stage.commit(files())
        hold(stage, CLERK, PAGE)
        stage.commit(files(STRICT), ())
        stage.agent.until(lambda: codes(stage) == {REFUSED_IN_TLS}, "finding", ARRIVAL)
        hold(stage, Ask(CLERK.host, client="clerk", status=503), PAGE)
    stage.agent.until(lambda: not codes(stage), "end of the finding", ARRIVAL)
    stage.settle()
    hold(stage, CLERK, PAGE)
