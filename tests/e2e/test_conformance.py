"""The Gateway API's conformance suite for meshes on a real Istio, with its own routes and with ours."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.expected import ROUTES, UNSAID
from tests.conformance.translated import Translated, translated
from tests.lab.bookshop import Dataplane
from tests.lab.build import Binaries, ConformancePrograms
from tests.lab.conformance import ConformanceCluster, SuiteRun, conformance_cluster
from tests.lab.fixtures import conformance_programs
from tests.lab.process import wait_until

__all__ = ["conformance_programs"]

pytestmark = pytest.mark.e2e

SKIPPED: Mapping[Dataplane, Sequence[str]] = {
    "sidecar": ["MeshFrontendHostname"],
    "ambient": ["MeshConsumerRoute"],
}
"""The only test each of the suite that asks for a feature which Istio lacks there. Every list of clusters has
them in this order, so that pytest starts each once.
"""
TESTS = 21
POD_SECONDS = 60.0


def _swap(rules: Any) -> None:
    for backend in (one for rule in rules for one in rule["backendRefs"]):
        backend["name"] = {"echo-v1": "echo-v2", "echo-v2": "echo-v1"}[backend["name"]]


def _answer_the_rest(rules: Any) -> None:
    rules.append({"backendRefs": [{"name": "echo-v1", "port": 8080}]})


SPOILT = [
    ("MeshHTTPRouteMatching", "tests/mesh/httproute-matching.yaml", _swap),
    ("MeshHTTPRouteQueryParamMatching", "tests/mesh/httproute-query-param-matching.yaml", _answer_the_rest),
]


@pytest.fixture(scope="module")
def cluster(
    request: pytest.FixtureRequest, mesh_binaries: Binaries, conformance_programs: ConformancePrograms
) -> Iterator[ConformanceCluster]:
    with conformance_cluster(mesh_binaries, conformance_programs, request.param) as started:
        yield started


@pytest.fixture(scope="module")
def made(
    conformance_programs: ConformancePrograms, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[Dataplane, Translated]:
    """The suite's routes as ours."""
    folder = tmp_path_factory.mktemp("facts")
    return {one: translated(conformance_programs.manifests, one, folder / one) for one in UNSAID}


@pytest.mark.parametrize(("dataplane", "unsaid"), UNSAID.items(), ids=UNSAID)
def test_which_routes_of_the_suite_are_not_said(
    made: Mapping[Dataplane, Translated], dataplane: Dataplane, unsaid: Mapping[str, str]
) -> None:
    assert made[dataplane].unsaid == unsaid
    assert len(made[dataplane].objects) + len(unsaid) == ROUTES


@pytest.mark.parametrize("cluster", ["sidecar"], indirect=True)
def test_controllers_and_kubelet_make_pods_of_deployments(cluster: ConformanceCluster) -> None:
    api = cluster.api
    namespace = api.new_namespace("kubelet")
    labels = {"app": "echo"}
    container = {"name": "echo", "image": "example.test/echo-advanced:1", "args": ["--port=8080"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    meta = {"name": "echo", "namespace": namespace}
    api.apply(
        [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": meta,
                "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": meta,
                "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
            },
        ]
    )
    api.kubectl("rollout", "status", "-n", namespace, "deployment/echo", f"--timeout={POD_SECONDS:.0f}s")
    pods = api.kubectl("get", "pods", "-n", namespace, "-o", "name").stdout.split()
    assert len(pods) == 2
    command = ("exec", "-n", namespace, pods[0], "--", "client", "http://echo/")
    wait_until(
        lambda: "StatusCode=200" in api.kubectl(*command, check=False).stdout, "answer of the pods", 20.0
    )
    assert api.kubectl(*command[:-1], "no-such-scheme", check=False).returncode != 0
    before = cluster.networks()
    api.kubectl("delete", "namespace", namespace, "--wait=false")
    wait_until(lambda: api.get("v1", "Namespace", "", namespace) is None, "end of the namespace", POD_SECONDS)
    wait_until(lambda: len(before - cluster.networks()) == 2, "end of the pods' networks", POD_SECONDS)


@pytest.mark.parametrize("cluster", SKIPPED, indirect=True)
def test_the_suite_passes_with_its_own_routes(cluster: ConformanceCluster) -> None:
    run = cluster.run()
    assert run.passed, _failures(run)
    assert run.tests("SKIP") == SKIPPED[cluster.dataplane]
    assert len(run.tests("PASS")) >= TESTS


@pytest.mark.parametrize("cluster", SKIPPED, indirect=True)
def test_the_suite_passes_with_our_routes(
    cluster: ConformanceCluster, made: Mapping[Dataplane, Translated], tmp_path: Path
) -> None:
    _passes(cluster, made[cluster.dataplane], tmp_path)


@pytest.mark.parametrize("cluster", ["sidecar"], indirect=True)
def test_sidecars_read_our_routes_for_waypoints_alike(
    cluster: ConformanceCluster, made: Mapping[Dataplane, Translated], tmp_path: Path
) -> None:
    _passes(cluster, made["ambient"], tmp_path)


@pytest.mark.parametrize("cluster", SKIPPED, indirect=True)
@pytest.mark.parametrize(("test", "file", "spoil"), SPOILT, ids=[test for test, _, _ in SPOILT])
def test_a_spoilt_route_of_ours_fails(
    cluster: ConformanceCluster,
    made: Mapping[Dataplane, Translated],
    tmp_path: Path,
    test: str,
    file: str,
    spoil: Callable[[Any], None],
) -> None:
    (route,) = copy.deepcopy(made["ambient"].objects[file])
    spoil(route["spec"]["rules"])
    run = cluster.run(overlay=Translated({file: [route]}, {}).write(tmp_path), only=test, patience=3)
    assert not run.passed
    assert run.tests("FAIL") == [test]


def _passes(cluster: ConformanceCluster, routes: Translated, folder: Path) -> None:
    run = cluster.run(overlay=routes.write(folder))
    assert run.passed, _failures(run)
    assert run.tests("SKIP") == SKIPPED[cluster.dataplane]
    assert len(run.tests("PASS")) >= TESTS
    for objects in routes.objects.values():
        assert objects
        assert all(f"Creating {one['metadata']['name']} {one['kind']}\n" in run.text for one in objects)


def _failures(run: SuiteRun) -> str:
    """The tests that failed, and what the suite wrote last."""
    return f"failed: {', '.join(run.tests('FAIL')) or '-'}\n{run.text[-6000:]}"
