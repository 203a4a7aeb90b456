"""What a real API server refuses or has not finished, told by its cause, and told once: no commit while
nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.adapters.kube.cluster import KubeCluster, connect
from gitmesh.diagnostics import Severity
from gitmesh.model.config_clusters import ClusterConfig
from tests.integration.kube_support import KINDS, WRITER
from tests.integration.test_kube_world_faults import Mixed, mixed
from tests.lab.apiserver import ApiServer
from tests.lab.process import wait_until
from tests.shop import SyncReport, traffic

pytestmark = pytest.mark.lab

ADMISSION = "admissionregistration.k8s.io/v1"
HOLD = ["example.com/backup"]
DEADLINE = 180.0


@pytest.fixture
def world(apiserver: ApiServer, tmp_path: Path) -> Mixed:
    return mixed(apiserver, tmp_path)


def finalizers(world: Mixed, names: list[str] | None) -> None:
    """What holds the VirtualService in lab."""
    world.server.client.call(
        "PATCH",
        world.path(),
        {"metadata": {"finalizers": names}},
        content_type="application/merge-patch+json",
    )


def in_lab(report: SyncReport) -> list[tuple[str, str]]:
    """Code and severity of the findings on lab."""
    return [(one["code"], one["severity"]) for one in report.findings if one.get("cluster") == "lab"]


def commits(world: Mixed) -> int:
    """How many status commits there are."""
    return len(world.shop.repo.log("gitmesh-status"))


def again(world: Mixed, times: int = 3) -> list[SyncReport]:
    """Cycles in which nothing changes: no write is tried in lab and no status commit made."""
    mark, before = world.server.audit_mark(), commits(world)
    reports = [world.shop.sync() for _ in range(times)]
    writes = [e for e in world.server.audit_events(mark) if e.is_write and e.namespace == world.namespace]
    assert (writes, commits(world)) == ([], before)
    return reports


def test_an_unwanted_object_with_a_finalizer_is_told_until_it_is_gone(world: Mixed) -> None:
    finalizers(world, HOLD)
    world.shop.commit(
        traffic("details", timeout="1s", destinations=[{"name": "details", "clusters": ["east"]}])
    )
    first = world.shop.sync("--approve-prune", world.shop.repo.tip())
    before = commits(world)
    assert (in_lab(first), first.state("lab")) == ([("GM505", "warning")], "Pending")
    for report in again(world):
        assert (in_lab(report), report.state("lab")) == ([("GM505", "warning")], "Pending")
        assert HOLD[0] in report.one("GM505")["message"]
    assert commits(world) == before
    finalizers(world, None)
    assert world.shop.sync(code=0).state("lab") == "Synced"


def test_a_wanted_object_with_a_finalizer_is_made_again_once_it_is_gone(world: Mixed) -> None:
    finalizers(world, HOLD)
    world.server.client.call("DELETE", world.path())
    world.shop.sync()
    for report in again(world):
        assert (in_lab(report), report.state("lab")) == ([("GM514", "warning")], "Pending")
    finalizers(world, None)
    assert world.shop.sync(code=0).state("lab") == "Synced"
    assert world.timeout() == "1s"


def test_a_namespace_that_is_being_deleted_is_one_warning_and_nothing_is_tried(world: Mixed) -> None:
    world.server.client.call("DELETE", world.path())
    world.server.client.call("DELETE", f"/api/v1/namespaces/{world.namespace}")
    world.shop.sync()
    for report in again(world):
        assert (in_lab(report), report.state("lab")) == ([("GM514", "warning")], "Pending")
        assert world.namespace in report.one("GM514")["message"]
        assert "deleted by hand" not in str(report.document)


@contextmanager
def uncallable(server: ApiServer, namespace: str) -> Iterator[str]:
    """A webhook that nobody serves, for one namespace."""
    name = f"down-{namespace}"
    rule = {
        "apiGroups": ["networking.istio.io"],
        "apiVersions": ["*"],
        "operations": ["*"],
        "resources": ["*"],
    }
    webhook = {
        "name": "down.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 5,
        "clientConfig": {"url": "https://127.0.0.1:1/validate"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [rule],
    }
    path = server.client.resource_path(ADMISSION, "ValidatingWebhookConfiguration", "", name)
    server.apply(
        {
            "apiVersion": ADMISSION,
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [webhook],
        }
    )
    probe = server.client.resource_path("networking.istio.io/v1", "VirtualService", namespace, "ratings")
    wait_until(
        lambda: server.request("DELETE", f"{probe}?dryRun=All").status == 500,
        "the webhook to be asked",
        DEADLINE,
    )
    try:
        yield name
    finally:
        server.client.call("DELETE", path)


def test_a_webhook_that_cannot_be_called_is_named_at_the_line_that_changed(world: Mixed) -> None:
    with uncallable(world.server, world.namespace) as name:
        world.commit("7s")
        report = world.shop.sync(code=2)
        found = report.one("GM505")
        assert (
            f"could not call the webhook down.example.com of ValidatingWebhookConfiguration {name}"
            in found["message"]
        )
        assert "connection refused" in found["detail"]
        assert report.state("lab") == "Failed"
        lines = world.shop.repo.files()["policies/all.yaml"].decode().splitlines()
        assert lines[found["line"] - 1].strip() == "timeout: 7s"
        before = commits(world)
        for _ in range(2):
            world.shop.sync(code=2)
        assert commits(world) == before


def test_a_quota_is_no_missing_right(world: Mixed) -> None:
    server, count = world.server, "count/virtualservices.networking.istio.io"
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": world.namespace},
    }
    server.apply({**quota, "spec": {"hard": {count: "0"}}})
    path = server.client.resource_path("v1", "ResourceQuota", world.namespace, "small")
    used = {"status": {"hard": {count: "0"}, "used": {count: "0"}}}
    server.client.call("PATCH", f"{path}/status", used, content_type="application/merge-patch+json")
    body = {**world.live(), "metadata": {"name": "probe", "namespace": world.namespace}}
    create = world.path().rpartition("/")[0]
    wait_until(
        lambda: server.request("POST", f"{create}?dryRun=All", body).status == 403,
        "the quota to count",
        DEADLINE,
    )
    server.client.call("DELETE", world.path())
    found = world.shop.sync(code=2).one("GM505")
    assert "exceeded quota: small" in found["message"]
    assert "small" in found["hint"]


def test_objects_that_were_restored_from_a_backup_are_one_finding_and_a_fresh_ledger_takes_them_up(
    world: Mixed,
) -> None:
    server = world.server
    saved = world.live()
    server.client.call("DELETE", world.path())
    metadata = {key: saved["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    server.apply(
        {**{k: v for k, v in saved.items() if k != "status"}, "metadata": metadata}, field_manager="velero"
    )
    report = world.shop.sync()
    assert in_lab(report) == [("GM401", "warning")]
    assert "another uid than the ledger: was the cluster restored" in report.one("GM401")["message"]
    server.client.call(
        "DELETE",
        server.client.resource_path("v1", "ConfigMap", "gitmesh-system", f"gitmesh-{world.namespace}"),
    )
    world.shop.sync()
    assert "GM401" not in {one["code"] for one in world.shop.sync().findings}


def serviceaccount(server: ApiServer, namespace: str, path: Path) -> None:
    """A ServiceAccount made anew: tokens of the one before are void. It may read everything."""
    target = server.client.resource_path("v1", "ServiceAccount", namespace, "agent")
    server.request("DELETE", target)
    server.serviceaccount_kubeconfig(namespace, "agent", path)
    subject = {"kind": "ServiceAccount", "name": "agent", "namespace": namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": namespace},
    }
    server.apply({**binding, "roleRef": ref, "subjects": [subject]})


def asked(cluster: KubeCluster) -> Any:
    """One cycle's readings."""
    cluster.load("default")
    cluster.facts()
    return cluster.observe(KINDS).diagnostics


def test_a_token_that_was_rotated_in_the_kubeconfig_is_taken_up_by_who_runs_on(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    namespace, path = apiserver.new_namespace(), tmp_path / "kc"
    serviceaccount(apiserver, namespace, path)
    config = ClusterConfig.model_validate({"name": "east", "kubeconfig": {"path": "kc"}, "timeout": "10s"})
    cluster = connect(config, [WRITER], folder=tmp_path, environment={})
    assert asked(cluster) == ()
    serviceaccount(apiserver, namespace, path)
    assert asked(cluster) == ()
    content = yaml.safe_load(path.read_text())
    content["clusters"][0]["cluster"]["certificate-authority-data"] = "bm9uZQ=="
    good = path.read_text()
    path.write_text(yaml.safe_dump(content))
    (said,) = asked(cluster)
    assert (said.code, said.severity, "CA or client certificate" in said.message) == (
        "GM502",
        Severity.WARNING,
        True,
    )
    path.write_text(good)
    assert asked(cluster) == ()
    cluster.close()
