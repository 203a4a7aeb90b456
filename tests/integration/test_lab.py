"""The lab itself: what other tests take for granted of its servers is shown here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import build
from tests.lab.apiclient import LabApiError
from tests.lab.apiserver import ApiServer
from tests.lab.build import Binaries
from tests.lab.process import Process

pytestmark = pytest.mark.lab

ISTIO = "networking.istio.io/v1"


def virtual_service(namespace: str, name: str = "web", **spec: Any) -> dict[str, Any]:
    """A VirtualService that Istio's schema takes."""
    route = [{"route": [{"destination": {"host": name}}]}]
    return {
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": [name], "http": route, **spec},
    }


def exists(server: ApiServer, namespace: str, name: str = "web") -> bool:
    """Whether the VirtualService is stored."""
    return server.get(ISTIO, "VirtualService", namespace, name) is not None


class TestApiServer:
    """kube-apiserver and etcd."""

    def test_is_ready_and_knows_its_version(self, apiserver: ApiServer) -> None:
        assert apiserver.request("GET", "/readyz").body == b"ok"
        version = apiserver.request("GET", "/version").json()
        assert (version["major"], version["gitVersion"][:3]) == ("1", "v1.")

    def test_refuses_who_has_no_valid_token(self, apiserver: ApiServer) -> None:
        assert apiserver.request("GET", "/api/v1/secrets", token=None).status == 403
        assert apiserver.request("GET", "/api/v1/secrets", token="wrong").status == 401

    def test_server_side_apply_creates_and_owns(self, apiserver: ApiServer) -> None:
        namespace = apiserver.new_namespace()
        [made] = apiserver.apply(yaml.safe_dump(virtual_service(namespace)), field_manager="tester")
        assert made["metadata"]["managedFields"][0]["manager"] == "tester"
        assert made["metadata"]["managedFields"][0]["operation"] == "Apply"
        assert exists(apiserver, namespace)

    def test_dry_run_changes_nothing(self, apiserver: ApiServer) -> None:
        namespace = apiserver.new_namespace()
        mark = apiserver.audit_mark()
        apiserver.apply(virtual_service(namespace), dry_run=True)
        assert not exists(apiserver, namespace)
        [event] = [e for e in apiserver.audit_events(mark) if e.verb == "patch"]
        assert event.is_dry_run
        assert not event.is_write

    def test_strict_validation_names_the_unknown_field(self, apiserver: ApiServer) -> None:
        namespace = apiserver.new_namespace()
        with pytest.raises(LabApiError, match=r"\.spec\.hostz: field not declared in schema") as refused:
            apiserver.apply(virtual_service(namespace, hostz=["web"]))
        assert refused.value.status == 500
        with pytest.raises(
            LabApiError, match=r'strict decoding error: unknown field "spec\.hostz"'
        ) as refused:
            apiserver.client.call(
                "POST",
                apiserver.client.resource_path(ISTIO, "VirtualService", namespace)
                + "?fieldValidation=Strict",
                virtual_service(namespace, hostz=["web"]),
            )
        assert refused.value.status == 400
        assert not exists(apiserver, namespace)

    def test_comes_back_with_its_data(self, apiserver: ApiServer) -> None:
        namespace = apiserver.new_namespace()
        apiserver.apply(virtual_service(namespace))
        with apiserver.down(), pytest.raises(ConnectionRefusedError):
            apiserver.request("GET", "/readyz")
        assert exists(apiserver, namespace)

    def test_hangs_and_recovers(self, apiserver: ApiServer) -> None:
        with apiserver.hanging(), pytest.raises(TimeoutError):
            apiserver.request("GET", "/readyz", timeout=0.5)
        assert apiserver.request("GET", "/readyz").ok

    def test_service_account_may_what_rbac_says(self, apiserver: ApiServer, tmp_path: Path) -> None:
        namespace = apiserver.new_namespace()
        config = apiserver.serviceaccount_kubeconfig(namespace, "reader", tmp_path / "reader.yaml")
        token = yaml.safe_load(config.read_text())["users"][0]["user"]["token"]
        path = apiserver.client.resource_path(ISTIO, "VirtualService", namespace)
        assert apiserver.request("GET", path, token=token).status == 403
        apiserver.apply(_read_grant(namespace, "reader"))
        assert apiserver.request("GET", path, token=token).status == 200
        refused = apiserver.request("POST", path, virtual_service(namespace), token=token)
        assert refused.status == 403
        assert f"system:serviceaccount:{namespace}:reader" in refused.message

    def test_kubectl_works_with_a_written_kubeconfig(self, apiserver: ApiServer, tmp_path: Path) -> None:
        namespace = apiserver.new_namespace()
        config = apiserver.kubeconfig(tmp_path / "admin.yaml")
        manifest = yaml.safe_dump(virtual_service(namespace))
        done = apiserver.kubectl("apply", "-f", "-", stdin=manifest, kubeconfig=config)
        assert done.stdout.split() == ["virtualservice.networking.istio.io/web", "created"]
        assert config.stat().st_mode & 0o077 == 0

    def test_audit_log_tells_who_did_what(self, apiserver: ApiServer) -> None:
        namespace = apiserver.new_namespace()
        mark = apiserver.audit_mark()
        apiserver.apply(virtual_service(namespace))
        path = apiserver.client.resource_path(ISTIO, "VirtualService", namespace, "web")
        apiserver.client.call("DELETE", path)
        events = [e for e in apiserver.audit_events(mark) if e.resource == "virtualservices"]
        assert [(e.verb, e.user, e.code) for e in events] == [
            ("patch", "admin", 201),
            ("delete", "admin", 200),
        ]
        assert {(e.namespace, e.name, e.stage) for e in events} == {(namespace, "web", "ResponseComplete")}
        assert events[0].request_object["spec"]["hosts"] == ["web"]
        assert [e for e in apiserver.audit_events(apiserver.audit_mark()) if e.is_write] == []

    def test_two_clusters_are_two(self, apiserver_pair: tuple[ApiServer, ApiServer]) -> None:
        one, two = apiserver_pair
        namespace = one.new_namespace()
        assert two.get("v1", "Namespace", "", namespace) is None
        assert two.request("GET", "/readyz", token=one.token()).status == 401

    def test_a_process_dies_with_its_parent(self, binaries: Binaries, tmp_path: Path) -> None:
        """Killed as hard as can be, the parent leaves nothing behind."""
        script = f"""
            import sys, time
            from pathlib import Path
            from tests.lab.process import Process
            print(Process(["sleep", "600"], Path({str(tmp_path / "log")!r})).pid, flush=True)
            time.sleep(600)
        """
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            parent.kill()
        end = time.monotonic() + 10
        while _alive(child) and time.monotonic() < end:
            time.sleep(0.02)
        assert not _alive(child)

    def test_a_paused_process_can_be_killed(self, tmp_path: Path) -> None:
        process = Process(["sleep", "600"], tmp_path / "log")
        process.signal(signal.SIGSTOP)
        process.kill()
        assert not process.running


def test_find_prefers_envtest_then_path(
    binaries: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PATH counts only where both programs lie in one folder."""
    split, whole, assets = tmp_path / "split", tmp_path / "whole", tmp_path / "assets"
    for folder, names in ((split, ["etcd"]), (whole, ["etcd", "kube-apiserver"])):
        _programs(folder, names)
    _programs(assets, ["etcd", "kube-apiserver", "kubectl"])
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", f"{split}{os.pathsep}{whole}")
    found = build.find()
    assert found is not None
    assert (found.apiserver, found.kubectl) == (whole / "kube-apiserver", None)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    found = build.find()
    assert found is not None
    assert (found.etcd, found.kubectl) == (assets / "etcd", assets / "kubectl")
    monkeypatch.delenv("KUBEBUILDER_ASSETS")
    monkeypatch.setenv("PATH", str(split))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert build.find() is None


def _read_grant(namespace: str, account: str) -> str:
    role = {"apiGroups": ["networking.istio.io"], "resources": ["*"], "verbs": ["get", "list", "watch"]}
    meta = {"name": "read", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return yaml.safe_dump_all(
        [
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": [role]},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "read"},
                "subjects": [subject],
            },
        ]
    )


def _alive(pid: int) -> bool:
    """Whether a process runs: one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _programs(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    for name in names:
        (folder / name).touch(mode=0o755)
