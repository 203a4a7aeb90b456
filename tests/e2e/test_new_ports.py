"""A Service gets a port while its routing is held, so that what is live was made for the ports of before."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.asks import files
from tests.e2e.stage import BASE_WATCHES, PATIENCE, LiveStage, Watch
from tests.lab.apiserver import ApiServer
from tests.lab.bookshop import ADMIN_PORT, APP_PORT, SERVICE_PORT
from tests.lab.wire import WireAnswer, WireRequest
from tests.shop import traffic

pytestmark = pytest.mark.e2e
NEW_PORT = 9191


def on(service: str, name: str, **spec: Any) -> dict[str, Any]:
    return traffic(name, destinations=[{"name": service, "clusters": ["east"]}], **spec)


OF_SEVERAL, OF_ONE = "details", "details-twin"
"""Services with two ports and with one, over the same pods."""
GOOD = (
    on(
        OF_SEVERAL,
        "moved",
        matches=[{"path": {"exact": "/old"}}],
        redirect={"path": {"replaceFullPath": "/new"}},
    ),
    on(OF_ONE, "itself", split=[{"destination": {"name": OF_ONE}}]),
)
NOWHERE = tuple(
    on(
        service,
        f"{service}-nowhere",
        matches=[{"path": {"exact": "/nowhere"}}],
        split=[{"destination": {"name": "nobody"}}],
    )
    for service in (OF_SEVERAL, OF_ONE)
)
"""An error for both Services, which holds their routing as it is."""


@contextlib.contextmanager
def further_port(api: ApiServer, service: str, target: int) -> Iterator[None]:
    """While the block runs the Service has one port more, which leads to another one of its pods."""
    patches = {
        f"service/{service}": ("/spec/ports", {"port": NEW_PORT, "targetPort": target}),
        f"endpointslice/{service}-lab": ("/ports", {"port": target}),
    }
    for resource, (path, more) in patches.items():
        port = {"name": "further", "protocol": "TCP", "appProtocol": "http", **more}
        _patched(api, resource, {"op": "add", "path": f"{path}/-", "value": port})
    try:
        yield
    finally:
        for resource, (path, _) in patches.items():
            _patched(api, resource, {"op": "remove", "path": f"{path}/{2 if service == OF_SEVERAL else 1}"})


def _patched(api: ApiServer, resource: str, change: dict[str, Any]) -> None:
    api.kubectl("patch", resource, "-n", "bookshop", "--type=json", "-p", json.dumps([change]))


def answer(stage: LiveStage, service: str, port: int, path: str = "/") -> WireAnswer:
    return (
        stage.world.clusters["east"]
        .pods["productpage"]
        .send([WireRequest(f"http://{service}:{port}{path}")])[0]
    )


@pytest.mark.parametrize("plane", ["stage", "ambient_stage"], ids=["sidecars", "ambient"])
def test_a_new_port_is_served_while_the_routing_is_held_and_routed_once_it_is_not(
    plane: str, request: pytest.FixtureRequest
) -> None:
    """Without us, as no policy knows of the port yet; the ports of before are routed all the time."""
    stage: LiveStage = request.getfixturevalue(plane)
    api = stage.world.clusters["east"].api
    stage.commit(files(*GOOD))
    held = stage.commit(files(*GOOD, *NOWHERE))
    with further_port(api, OF_SEVERAL, APP_PORT), further_port(api, OF_ONE, ADMIN_PORT):
        stage.agent.ticks(2)
        stage.settle()
        assert answer(stage, OF_SEVERAL, SERVICE_PORT, "/old").status == 302
        assert seen(stage, OF_SEVERAL, NEW_PORT, "/old") == seen(stage, OF_SEVERAL, NEW_PORT) == APP_PORT
        assert (seen(stage, OF_ONE, SERVICE_PORT), seen(stage, OF_ONE, NEW_PORT)) == (APP_PORT, ADMIN_PORT)
        stream = WireRequest(f"http://{OF_SEVERAL}:{NEW_PORT}/", timeout=PATIENCE)
        watch = Watch(cluster="east", client="productpage", request=stream, admitted=True)
        released = stage.commit(files(*GOOD), [*BASE_WATCHES, watch])
        assert answer(stage, OF_SEVERAL, NEW_PORT, "/old").status == 302
        assert seen(stage, OF_ONE, NEW_PORT) == ADMIN_PORT
    assert held.broken + released.broken == []


def seen(stage: LiveStage, service: str, port: int, path: str = "/") -> int:
    """The port at which a pod was asked; 0 where no pod was."""
    found = answer(stage, service, port, path)
    return found.seen.port if found.status == 200 and found.seen else 0
