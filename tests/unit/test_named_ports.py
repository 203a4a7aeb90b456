"""A named port is the one to which Kubernetes sends: of the Service port's protocol, in the first container
that has it. What is guarded in its place would leave the real one open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.folders import Body, Folders, allow, app, codes, service

FIRST = {"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}]}
LATER = {"name": "helper", "image": "helper:1", "ports": [{"name": "http", "containerPort": 7070}]}
DATAGRAMS = {"name": "stats", "ports": [{"name": "http", "containerPort": 9999, "protocol": "UDP"}]}
PROXY = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.3"}
SIDECAR = {**LATER, "restartPolicy": "Always"}


def pod(containers: list[Body], init: list[Body]) -> Body:
    spec = {"serviceAccountName": "api", "containers": [*containers, PROXY], "initContainers": init}
    return {**app("api"), "spec": spec}


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """A Service whose target is the name of a port."""
    made = Folders(tmp_path, ("east",))
    made.put("east", "services", service("api", ports=[{"name": "http", "port": 80, "targetPort": "http"}]))
    return made


@pytest.mark.parametrize(
    ("containers", "init", "number"),
    [
        pytest.param([FIRST, LATER], [], "8080", id="the first container that has the name"),
        pytest.param([LATER, FIRST], [], "7070", id="the other way round"),
        pytest.param([DATAGRAMS, FIRST], [], "8080", id="TCP, where UDP comes first"),
        pytest.param([FIRST, DATAGRAMS], [], "8080", id="TCP, where UDP comes last"),
        pytest.param([FIRST], [SIDECAR], "8080", id="containers before native sidecars"),
        pytest.param([DATAGRAMS], [SIDECAR], "7070", id="a native sidecar's, where no container has it"),
        pytest.param([FIRST], [LATER], "8080", id="none of an init container that ends"),
    ],
)
def test_the_port_that_kubernetes_sends_to_is_guarded(
    world: Folders, containers: list[Body], init: list[Body], number: str
) -> None:
    world.put("east", "pods", pod(containers, init))
    world.commit(allow("readers", "api", "web"))
    assert codes(world.settle()) == []
    admitted, rest = world.spec("east", "api-allow")["rules"]
    assert [one["operation"] for one in admitted["to"]] == [{"ports": [number]}]
    assert rest == {"to": [{"operation": {"notPorts": [number]}}]}


def test_a_port_that_carries_datagrams_keeps_its_name(world: Folders) -> None:
    """Nobody guards it; it is no unknown port, for which all others would be closed."""
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "stats", "port": 81, "targetPort": "stats", "protocol": "UDP"},
    ]
    stats = {"name": "stats", "ports": [{"name": "stats", "containerPort": 9999, "protocol": "UDP"}]}
    world.put("east", "services", service("api", ports=ports))
    world.put("east", "pods", pod([FIRST, stats], []))
    world.commit(allow("readers", "api", "web"))
    assert codes(world.settle()) == ["GM308"]
    assert {"to": [{"operation": {"notPorts": ["8080", "9999"]}}]} in world.spec("east", "api-allow")["rules"]
