"""Files that others rotate: a kubeconfig, tokens, CAs and client certificates are used as they are now, not
as they were at the start.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.cluster import KubeCluster, connect
from gitmesh.adapters.kube.credentials import Endpoint, stamp
from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.adapters.kube.tokens import StaticToken
from gitmesh.adapters.kube.transport import Pool
from gitmesh.diagnostics import Severity
from gitmesh.errors import ClusterError
from gitmesh.model.config_clusters import ClusterConfig
from tests.integration.faultserver import FaultServer, Handler, Reply
from tests.integration.kube_support import KINDS, WRITER

GET = ApiRequest(method="GET", path="/api/v1/namespaces")


class RotatingServer:
    """An API server with one ServiceAccount, which counts the requests that it refused."""

    def __init__(self, uid: str = "uid-1") -> None:
        self.uid = uid
        self.token = ""
        self.services = [("default", "kubernetes")]
        self.refused = 0

    def __call__(self, handler: Handler) -> None:
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            self.refused += 1
            handler.send(401, b"{}")
        else:
            handler.send(200, json.dumps(self._answer(handler.path.partition("?")[0])).encode())

    def _answer(self, path: str) -> Any:
        if path == "/apis":
            return {"kind": "APIGroupDiscoveryList", "items": []}
        objects = {"/api/v1/namespaces": [("", "kube-system")], "/api/v1/services": self.services}
        if path not in objects:
            place = {"namespace": "gitmesh-system", "name": "gitmesh-default"}
            return {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"uid": "l", "resourceVersion": "1", **place},
                "items": [],
                "data": {"ledger.json": ""},
            }
        items = [
            {"metadata": {"name": name, "namespace": namespace, "uid": self.uid}}
            for namespace, name in objects[path]
        ]
        return {"metadata": {}, "items": items}


@contextmanager
def serving(reply: Reply) -> Iterator[FaultServer]:
    with FaultServer(reply) as server:
        yield server


def content(server: FaultServer, **cluster: Any) -> str:
    """A kubeconfig without credentials: plain HTTP on loopback takes none."""
    return yaml.safe_dump(
        {
            "current-context": "main",
            "contexts": [{"name": "main", "context": {"cluster": "c"}}],
            "clusters": [{"name": "c", "cluster": {"server": server.url, **cluster}}],
        }
    )


def put(path: Path, text: str) -> None:
    """Replace a file as careful programs do."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


@contextmanager
def reached_by(folder: Path, path: str = "kc") -> Iterator[KubeCluster]:
    config = ClusterConfig.model_validate({"name": "east", "kubeconfig": {"path": path}, "timeout": "5s"})
    cluster = connect(config, [WRITER], folder=folder, environment={})
    try:
        yield cluster
    finally:
        cluster.close()


def cycle(cluster: KubeCluster) -> tuple[tuple[str, Severity], ...]:
    """What one cycle asks of a cluster before it plans: code and severity of the findings that came with
    it.
    """
    cluster.load("default")
    cluster.facts()
    return tuple((one.code, one.severity) for one in cluster.observe(KINDS).diagnostics)


def failure(work: Callable[[], object]) -> ClusterError:
    with pytest.raises(ClusterError) as found:
        work()
    return found.value


def test_a_kubeconfig_that_comes_late_is_used_in_the_next_cycle(tmp_path: Path) -> None:
    with serving(RotatingServer()) as server, reached_by(tmp_path) as cluster:
        missing = failure(lambda: cycle(cluster))
        assert (missing.code, "does not exist" in str(missing), "path" in missing.hint) == (
            "GM502",
            True,
            True,
        )
        put(tmp_path / "kc", "clusters: [")
        assert "cannot be used" in str(failure(lambda: cycle(cluster)))
        put(tmp_path / "kc", content(server))
        assert cycle(cluster) == ()


@pytest.mark.parametrize("damage", ["clusters: [", "", "{}", "insecure"])
def test_the_last_good_kubeconfig_serves_while_the_new_one_is_unfit_and_that_is_told(
    damage: str, tmp_path: Path
) -> None:
    path = tmp_path / "kc"
    with serving(RotatingServer()) as server, reached_by(tmp_path) as cluster:
        put(path, content(server))
        assert cycle(cluster) == ()
        put(path, content(server, **{"insecure-skip-tls-verify": True}) if damage == "insecure" else damage)
        assert [cycle(cluster), cycle(cluster)] == [(("GM502", Severity.WARNING),)] * 2
        path.unlink()
        assert cycle(cluster) == (("GM502", Severity.WARNING),)
        put(path, content(server))
        assert cycle(cluster) == ()


def test_an_address_that_changed_is_taken_up_between_cycles_and_nobody_reconnects_without_need(
    tmp_path: Path,
) -> None:
    with serving(RotatingServer()) as old, serving(RotatingServer()) as new, reached_by(tmp_path) as cluster:
        put(tmp_path / "kc", content(old))
        cycle(cluster)
        pool = cluster.client._started().pool
        put(tmp_path / "kc", content(old))
        cycle(cluster)
        assert cluster.client._started().pool is pool, "the same content again keeps the connections"
        cluster.load("default")
        put(tmp_path / "kc", content(new))
        cluster.facts()
        assert new.seen == [], "a cycle ends at the server where it began"
        cycle(cluster)
        asked = len(old.seen)
        cycle(cluster)
        assert len(old.seen) == asked
        assert new.seen


def test_a_mounted_secret_is_swapped_by_a_link_to_a_folder(tmp_path: Path) -> None:
    with serving(RotatingServer()) as old, serving(RotatingServer()) as new, reached_by(tmp_path) as cluster:
        for name, server in (("v1", old), ("v2", new)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "kc").write_text(content(server))
        (tmp_path / "..data").symlink_to("v1")
        (tmp_path / "kc").symlink_to("..data/kc")
        cycle(cluster)
        (tmp_path / "..next").symlink_to("v2")
        (tmp_path / "..next").replace(tmp_path / "..data")
        cycle(cluster)
        assert new.seen


def test_a_kubeconfig_that_leads_to_another_cluster_is_refused_until_it_leads_back(tmp_path: Path) -> None:
    path = tmp_path / "kc"
    with (
        serving(RotatingServer("uid-1")) as east,
        serving(RotatingServer("uid-2")) as west,
        reached_by(tmp_path) as cluster,
    ):
        put(path, content(east))
        cycle(cluster)
        put(path, content(west))
        for ask in (lambda: cluster.load("default"), lambda: cycle(cluster), cluster.facts):
            found = failure(ask)
            assert (found.code, found.retryable, "uid-1" in str(found), "uid-2" in str(found)) == (
                "GM506",
                False,
                True,
                True,
            )
        assert all(method == "GET" for method, _ in west.seen)
        assert all("namespaces?" in target for _, target in west.seen), (
            "nothing but its identity is asked for"
        )
        put(path, content(east))
        assert cycle(cluster) == ()


class Tokens:
    """An access whose file changes without a trace: same time, size and inode."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[bool] = []
        self.now = Endpoint(server=url, tokens=StaticToken("old"))
        self.fault = None

    def endpoint(self, *, refused: bool = False) -> Endpoint:
        self.asked.append(refused)
        return self.now


def test_refused_credentials_are_read_again_at_once_and_used_from_then_on() -> None:
    world = RotatingServer()
    world.token = "old"
    with serving(world) as server:
        access = Tokens(server.url)
        client = KubeClient(access, timeout=5.0, user_agent="gitmesh-tests")
        assert client.send(GET).status == 200
        world.token, access.now = "new", Endpoint(server=server.url, tokens=StaticToken("new"))
        assert [client.send(GET).status, client.send(GET).status] == [200, 200]
        assert (world.refused, access.asked) == (1, [False, True])
        client.close()


def test_refused_credentials_never_lead_to_another_address_in_the_middle_of_a_cycle() -> None:
    world = RotatingServer()
    world.token = "old"
    with serving(world) as server, serving(RotatingServer()) as other:
        access = Tokens(server.url)
        client = KubeClient(access, timeout=5.0, user_agent="gitmesh-tests")
        client.send(GET)
        world.token, access.now = "new", Endpoint(server=other.url, tokens=StaticToken("new"))
        assert client.send(GET).status == 401
        assert other.seen == []
        client.refresh()
        assert client.send(GET).status == 200
        assert len(other.seen) == 1
        client.close()


@pytest.mark.parametrize("services", [[], [("shop", "kubernetes"), ("default", "web")]])
def test_a_list_of_services_without_the_api_servers_own_is_not_believed(
    services: list[tuple[str, str]], tmp_path: Path
) -> None:
    world = RotatingServer()
    with serving(world) as server, reached_by(tmp_path) as cluster:
        put(tmp_path / "kc", content(server))
        assert cycle(cluster) == ()
        assert cluster.facts().complete
        world.services = services
        assert cycle(cluster) == (("GM409", Severity.ERROR),)
        found = cluster.facts()
        assert (found.complete, found.services) == (False, ())
        world.services = [("default", "kubernetes")]
        assert cycle(cluster) == ()


def test_a_change_of_content_shows_in_time_size_or_inode_and_a_link_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert stamp(path) is None
    path.write_text("a")
    first = stamp(path)
    assert stamp(path) == first
    path.write_text("ab")
    assert first is not None
    os.utime(path, ns=(first[0], first[0]))
    assert stamp(path) != first


def _pem(folder: Path, name: str) -> Path:
    """Any certificate that the system trusts, as a CA of ours."""
    found = ssl.get_default_verify_paths().openssl_cafile
    context = ssl.create_default_context()
    context.load_verify_locations(found)
    der = context.get_ca_certs(binary_form=True)[0]
    path = folder / name
    path.write_text(ssl.DER_cert_to_PEM_cert(der))
    return path


def test_a_ca_is_read_again_when_its_file_changed_and_the_last_good_one_serves_while_it_is_unfit(
    tmp_path: Path,
) -> None:
    ca = _pem(tmp_path, "ca.crt")
    good = ca.read_text()
    pool = Pool(Endpoint(server="https://127.0.0.1:1", ca=ca))
    assert pool.refresh() is None, "nothing was read yet, and nothing is"
    assert pool._secure() is None
    first = pool._tls
    assert pool.refresh() is None
    assert pool._tls is first
    put(ca, "no certificate")
    fault = pool.refresh()
    assert fault is not None
    assert (fault.code, str(ca) in fault.hint, pool._tls is first) == ("GM502", True, True)
    put(ca, good)
    assert pool.refresh() is None
    assert pool._tls is not first
