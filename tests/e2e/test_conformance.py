"""The Gateway API's conformance suite for meshes on a real Istio, with its own routes and with ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.build import Binaries, ConformancePrograms
from tests.lab.conformance import ConformanceCluster, SuiteRun, conformance_cluster
from tests.lab.fixtures import conformance_programs
from tests.lab.process import wait_until

__all__ = ["conformance_programs"]

pytestmark = pytest.mark.e2e

SKIPPED_ON_SIDECARS = ["MeshFrontendHostname"]
"""The only test of the suite that asks for a feature which Istio's sidecars lack."""
POD_SECONDS = 60.0


@pytest.fixture(scope="module")
def cluster(
    mesh_binaries: Binaries, conformance_programs: ConformancePrograms
) -> Iterator[ConformanceCluster]:
    with conformance_cluster(mesh_binaries, conformance_programs) as made:
        yield made


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


def test_the_suite_passes_with_its_own_routes(cluster: ConformanceCluster) -> None:
    run = cluster.run()
    assert run.passed, _failures(run)
    assert run.tests("SKIP") == SKIPPED_ON_SIDECARS
    assert len(run.tests("PASS")) >= 21


def _failures(run: SuiteRun) -> str:
    """The tests that failed, and what the suite wrote last."""
    return f"failed: {', '.join(run.tests('FAIL')) or '-'}\n{run.text[-6000:]}"
