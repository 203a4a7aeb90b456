"""The lab itself: that its mesh is a real one, that its steering works, and that nothing of it is left
behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import netns
from tests.lab.apiclient import LabApiError
from tests.lab.build import Binaries
from tests.lab.mesh import MeshCluster
from tests.lab.process import LabError, wait_until
from tests.lab.wire import WireAnswer, WireRequest
from tests.lab.world import LabWorld
from tests.shop import Shop

pytestmark = pytest.mark.e2e
NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
REVIEWS = "http://reviews:9080/"


@pytest.fixture
def east(world: LabWorld) -> MeshCluster:
    return world.clusters["east"]


class TestMesh:
    def test_calls_carry_the_identity_of_the_caller(self, east: MeshCluster) -> None:
        answer = _send(east, "productpage", "http://reviews:9080/books/1%2f2?q=a%20b&x")
        assert (answer.status, answer.error) == (200, "")
        seen = answer.seen
        assert seen is not None
        assert seen.pod in ("reviews-v1-0", "reviews-v2-0", "reviews-v2-1")
        assert (seen.service_account, seen.method, seen.path, seen.query) == (
            "reviews",
            "GET",
            "/books/1%2f2",
            "q=a%20b&x",
        )
        assert (seen.authority, seen.port) == ("reviews:9080", 8080)
        assert "By=spiffe://east.local/ns/bookshop/sa/reviews;" in seen.headers["x-forwarded-client-cert"]
        assert "URI=spiffe://east.local/ns/bookshop/sa/productpage" in seen.headers["x-forwarded-client-cert"]

    def test_every_service_answers(self, east: MeshCluster) -> None:
        names = [
            "reviews",
            "reviews-next",
            "ratings",
            "details",
            "details-twin",
            "vault",
            "lighthouse",
            "ledger.office",
        ]
        answers = east.pods["probe"].send(
            [WireRequest(f"http://{name}:9080/") for name in names] + [WireRequest("http://details:9090/")],
            parallel=4,
        )
        assert [answer.status for answer in answers] == [200] * 9
        assert [a.seen.port for a in answers if a.seen] == [8080] * 8 + [9090]

    def test_a_pod_without_proxy_calls_by_plain_text(self, east: MeshCluster) -> None:
        answer = _send(east, "plain", "http://ledger.office:9080/")
        assert answer.seen is not None
        assert "x-forwarded-client-cert" not in answer.seen.headers
        assert _send(east, "plain", "http://no-such-service:9080/").error == "dns"

    def test_strict_refuses_plain_text(self, east: MeshCluster) -> None:
        with _applied(east, SECURITY, "PeerAuthentication", {"mtls": {"mode": "STRICT"}}):
            assert _send(east, "plain", "http://reviews.bookshop:9080/").error == "reset"
            assert _send(east, "productpage", REVIEWS).status == 200
        assert _send(east, "plain", "http://reviews.bookshop:9080/").status == 200

    def test_an_authorization_policy_holds_as_soon_as_the_mesh_is_settled(self, east: MeshCluster) -> None:
        """Every answer on both sides of the change is the right one, through connections that the proxies
        keep.
        """
        rule = {
            "from": [{"source": {"principals": ["east.local/ns/bookshop/sa/productpage"]}}],
            "to": [{"operation": {"paths": ["/open"]}}],
        }
        spec = {"selector": {"matchLabels": {"app": "vault"}}, "rules": [rule]}
        many = [WireRequest("http://vault:9080/open"), WireRequest("http://vault:9080/shut")] * 10
        assert {answer.status for answer in east.pods["probe"].send(many, parallel=4)} == {200}
        with _applied(east, SECURITY, "AuthorizationPolicy", spec):
            assert [answer.status for answer in east.pods["productpage"].send(many, parallel=4)] == [
                200,
                403,
            ] * 10
            refused = east.pods["probe"].send(many, parallel=4)
            assert {(answer.status, answer.seen) for answer in refused} == {(403, None)}
        assert {answer.status for answer in east.pods["probe"].send(many, parallel=4)} == {200}

    def test_subsets_faults_and_mirrors(self, east: MeshCluster, world: LabWorld) -> None:
        call = uuid.uuid4().hex
        subsets = {"host": "reviews", "subsets": [{"name": "v2", "labels": {"version": "v2"}}]}
        fault = {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
        to_v2 = [{"destination": {"host": "reviews", "subset": "v2"}}]
        routes = [
            {"match": [{"headers": {"x-who": {"exact": "teapot"}}}], "fault": fault, "route": to_v2},
            {"route": to_v2, "mirrors": [{"destination": {"host": "reviews-next"}}]},
        ]
        with (
            _applied(east, NETWORKING, "DestinationRule", subsets),
            _applied(east, NETWORKING, "VirtualService", {"hosts": ["reviews"], "http": routes}),
        ):
            teapot = _send(east, "productpage", REVIEWS, {"x-who": "teapot"})
            assert (teapot.status, teapot.seen) == (418, None)
            answers = east.pods["productpage"].send([WireRequest(REVIEWS, headers={"x-lab-id": call})] * 10)
            assert {answer.seen.pod for answer in answers if answer.seen} <= {"reviews-v2-0", "reviews-v2-1"}
            wait_until(lambda: world.calls(call).get("reviews-next-0") == 10, "mirrored calls", 5.0)
        mirrored = [seen for seen in world.seen(call) if seen.pod == "reviews-next-0"]
        assert {seen.path for seen in mirrored} == {"/"}

    def test_istio_refuses_what_is_invalid_to_it(self, east: MeshCluster) -> None:
        with pytest.raises(
            LabApiError, match=r'admission webhook "validation.istio.io" denied the request'
        ) as refused:
            _apply(east, NETWORKING, "VirtualService", {"hosts": ["reviews"], "http": [{"timeout": "1s"}]})
        assert "route" in refused.value.message

    def test_istio_says_what_it_finds(self, east: MeshCluster) -> None:
        spec = {
            "hosts": ["reviews"],
            "http": [{"route": [{"destination": {"host": "reviews", "subset": "v9"}}]}],
        }
        with _applied(east, NETWORKING, "VirtualService", spec) as name:

            def codes() -> set[str]:
                found = east.api.get(NETWORKING, "VirtualService", "bookshop", name)
                assert found is not None
                return {
                    message["type"]["code"]
                    for message in (found.get("status") or {}).get("validationMessages", [])
                }

            wait_until(lambda: "IST0101" in codes(), "message of the analysis", 20.0)

    def test_settled_waits_for_every_proxy(self, east: MeshCluster) -> None:
        """A proxy that hangs keeps the mesh from being settled."""
        (envoy,) = (pid for pid in _pids(east.pods["ratings-v1-0"].netns) if _command(pid) == "envoy")
        with contextlib.ExitStack() as end:
            end.callback(east.settled)
            with _stopped(envoy):
                name = _apply(east, SECURITY, "PeerAuthentication", {"mtls": {"mode": "STRICT"}})
                end.callback(_delete, east, SECURITY, "PeerAuthentication", name)
                with pytest.raises(LabError, match=r"not acknowledged or not in effect by .*ratings-v1-0"):
                    east.settled(10.0)
            east.settled()


class TestSteering:
    def test_the_request_steers_the_answer(self, east: MeshCluster) -> None:
        headers = {"x-lab-status": "299", "x-lab-delay": "300ms", "x-lab-header": "x-made=to order"}
        answer = _send(east, "productpage", "http://details:9080/", headers)
        assert (answer.status, answer.headers["x-made"]) == (299, "to order")
        assert 0.3 <= answer.seconds < 5

    def test_the_first_calls_of_an_id_fail(self, east: MeshCluster, world: LabWorld) -> None:
        call = uuid.uuid4().hex
        headers = {"x-lab-id": call, "x-lab-fail": "2", "x-lab-fail-status": "500"}
        answers = east.pods["productpage"].send([WireRequest("http://details:9080/", headers=headers)] * 3)
        assert [answer.status for answer in answers] == [500, 500, 200]
        assert world.calls(call) == {"details-v1-0": 3}

    def test_a_failing_call_can_end_in_a_reset(self, east: MeshCluster) -> None:
        headers = {"x-lab-id": uuid.uuid4().hex, "x-lab-fail": "1", "x-lab-fail-reset": "1"}
        answers = east.pods["plain"].send([WireRequest("http://plain:1/", timeout=1.0)])
        assert answers[0].error == "refused"
        assert _send(east, "probe", "http://details:9080/", headers).status in (200, 503)

    def test_one_pod_can_fail(self, east: MeshCluster) -> None:
        answers = east.pods["plain"].send(
            [WireRequest("http://reviews.bookshop:9080/", headers={"x-lab-fail-pod": "reviews-v1-0"})] * 30
        )
        found = {(answer.seen.pod, answer.status) for answer in answers if answer.seen}
        assert found == {("reviews-v1-0", 503), ("reviews-v2-0", 200), ("reviews-v2-1", 200)}

    def test_bodies_methods_and_authorities_arrive(self, east: MeshCluster) -> None:
        sent = WireRequest(
            REVIEWS, "POST", {"X-Case": "a, b"}, authority="reviews.bookshop.svc.cluster.local", body="ä\n"
        )
        seen = east.pods["probe"].send([sent])[0].seen
        assert seen is not None
        assert (seen.method, seen.body, seen.authority) == (
            "POST",
            "ä\n",
            "reviews.bookshop.svc.cluster.local",
        )
        assert seen.headers["x-case"] == "a, b"

    def test_a_slow_answer_is_a_timeout(self, east: MeshCluster) -> None:
        answer = east.pods["probe"].send([WireRequest(REVIEWS, headers={"x-lab-delay": "3s"}, timeout=0.3)])[
            0
        ]
        assert (answer.status, answer.error) == (0, "timeout")

    def test_a_stream_keeps_its_rate_while_policies_change(self, east: MeshCluster) -> None:
        with east.pods["productpage"].stream(
            WireRequest("http://lighthouse:9080/"), per_second=200
        ) as stream:
            with _applied(east, SECURITY, "PeerAuthentication", {"mtls": {"mode": "STRICT"}}):
                pass
            tally = stream.stop()
        assert tally.by_status == {200: tally.sent}
        assert tally.sent > 400
        assert tally.errors == {}
        assert max(tally.gaps, default=0.0) < 2


class TestMeshConfig:
    @pytest.mark.parametrize(
        ("home", "discovered"), [("bookshop", "istio-system"), ("istio-system", "bookshop")]
    )
    def test_istiod_ignores_what_gitmesh_takes_for_ignored(
        self, east: MeshCluster, tmp_path: Path, home: str, discovered: str
    ) -> None:
        """A Deny denies nothing where it stands in a namespace that the discoverySelectors leave out, be it
        the root namespace.
        """
        selectors = [
            {
                "matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [discovered]}
                ]
            }
        ]
        with _applied(east, SECURITY, "AuthorizationPolicy", {"action": "DENY", "rules": [{}]}, home):
            assert _plain_status(east) == 403
            with east.configured(discoverySelectors=selectors):
                wait_until(lambda: _plain_status(east) == 200, "an istiod that ignores the object", 30.0)
                facts = _discovered(east, tmp_path)
                assert home in facts["meshes"][0]["settings"]["ignoredNamespaces"].split(",")
                assert discovered not in facts["meshes"][0]["settings"]["ignoredNamespaces"].split(",")
                assert any(
                    one.get("mesh") for one in facts["workloads"] if one["namespace"] == "bookshop"
                ) is (discovered == "bookshop")
            wait_until(lambda: _plain_status(east) == 403, "an istiod that reads the object again", 30.0)
        assert "ignoredNamespaces" not in _discovered(east, tmp_path)["meshes"][0]["settings"]

    def test_mesh_config_hides_objects_that_do_not_export_themselves(self, east: MeshCluster) -> None:
        abort = {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
        spec = {
            "hosts": ["ledger"],
            "http": [{"fault": abort, "route": [{"destination": {"host": "ledger"}}]}],
        }

        def status(**more: object) -> int:
            with _applied(east, NETWORKING, "VirtualService", {**spec, **more}, "office"):
                return _send(east, "probe", "http://ledger.office:9080/").status

        assert status() == 418
        with east.configured(defaultVirtualServiceExportTo=["."]):
            # Objects that it has already are shown as before, whatever is configured since.
            wait_until(lambda: status() == 200, "an istiod that shows it to its own namespace alone", 30.0)
            assert status(exportTo=["*"]) == 418


def test_a_killed_run_leaves_nothing_behind(mesh_binaries: Binaries, tmp_path: Path) -> None:
    """Killed as hard as can be: its processes end by themselves, and the next start removes the rest."""
    script = """
        import time
        from tests.lab.build import find
        from tests.lab.world import bookshop
        with bookshop(find(), ("west",)) as world:
            print(world.folder.name, flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = {**os.environ, "TMPDIR": "/tmp"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        tag = holder.stdout.readline().strip()
        names = [path.name for path in Path("/run/netns").glob(f"{tag}-*")]
        assert len(names) == 5
        assert sum(_command(pid) == "envoy" for name in names for pid in _pids(name)) == 3
        netns.sweep()
        assert all(Path("/run/netns", name).exists() for name in names), "what lives is left alone"
        holder.kill()
    wait_until(lambda: not any(_pids(name) for name in names), "end of all processes", 10.0)
    assert set(names) <= set(netns.sweep())
    left = [
        *Path("/run/netns").glob(f"{tag}*"),
        *Path("/etc/netns").glob(f"{tag}*"),
        *Path("/tmp").glob(f"{tag}*"),
    ]
    assert left == []


def _send(cluster: MeshCluster, client: str, url: str, headers: dict[str, str] | None = None) -> WireAnswer:
    return cluster.pods[client].send([WireRequest(url, headers=headers or {})])[0]


def _plain_status(cluster: MeshCluster) -> int:
    return _send(cluster, "plain", "http://vault.bookshop:9080/").status


def _discovered(cluster: MeshCluster, folder: Path) -> Any:
    """What `gitmesh discover` finds in a cluster."""
    path = cluster.kubeconfig(folder / f"{cluster.name}.kubeconfig")
    ran = Shop(folder, [{"name": cluster.name, "kubeconfig": {"path": str(path)}}]).gitmesh(
        "discover", "-o", "json", code=0
    )
    return json.loads(ran.out)["clusters"][0]


@contextlib.contextmanager
def _applied(
    cluster: MeshCluster, api_version: str, kind: str, spec: dict[str, Any], namespace: str = "bookshop"
) -> Iterator[str]:
    """An object, taken up within the block and gone after it."""
    name = _apply(cluster, api_version, kind, spec, namespace)
    try:
        cluster.settled()
        yield name
    finally:
        _delete(cluster, api_version, kind, name, namespace)
        cluster.settled()


def _apply(
    cluster: MeshCluster, api_version: str, kind: str, spec: dict[str, Any], namespace: str = "bookshop"
) -> str:
    name = f"lab-{uuid.uuid4().hex[:8]}"
    name = "default" if kind == "PeerAuthentication" else name
    cluster.api.apply(
        {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
    )
    return name


def _delete(
    cluster: MeshCluster, api_version: str, kind: str, name: str, namespace: str = "bookshop"
) -> None:
    client = cluster.api.client
    client.call("DELETE", client.resource_path(api_version, kind, namespace, name))


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """A process does nothing while the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _pids(namespace: str) -> list[int]:
    done = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def _command(pid: int) -> str:
    """The name of a process; "" when it has just ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
