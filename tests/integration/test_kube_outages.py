"""A real API server that is down, hangs, comes back or refuses our token; and the ledger and Events that it
keeps.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from gitmesh.adapters.kube.cluster import KubeCluster
from gitmesh.adapters.kube.credentials import Endpoint, in_cluster
from gitmesh.adapters.kube.deadline import Deadline
from gitmesh.adapters.kube.events import EventPublisher
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.adapters.kube.tokens import FileToken, StaticToken
from gitmesh.diagnostics import finding
from gitmesh.errors import ClusterError
from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.plan import Action, Observed
from gitmesh.model.report import Report, Stage
from tests.integration.kube_support import (
    KINDS,
    carry_out,
    cluster_at,
    create,
    edit,
    lab_cluster,
    step,
    vs_key,
    vs_spec,
)
from tests.lab.apiserver import ApiServer
from tests.lab.installation import OWN_NAMESPACE
from tests.lab.process import wait_until
from tests.patience import GIVEN_UP

pytestmark = pytest.mark.lab


@pytest.fixture
def cluster(apiserver: ApiServer, tmp_path: Path) -> Iterator[KubeCluster]:
    with lab_cluster(apiserver, tmp_path, timeout=2.0) as found:
        yield found


def observed(cluster: KubeCluster) -> Observed:
    """What a server that is up tells, however busy the machine is: the cluster's deadline is short for the
    servers that are not.
    """
    found: list[Observed] = []

    def answers() -> bool:
        with contextlib.suppress(ClusterError):
            found.append(cluster.observe(KINDS))
        return bool(found)

    wait_until(answers, "answer of the API server", 60.0)
    return found[-1]


def test_K07_a_server_that_hangs_is_given_up_at_the_deadline_and_used_again_after(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    observed(cluster)
    with apiserver.hanging():
        start = time.monotonic()
        with pytest.raises(ClusterError, match="does not answer") as failure:
            cluster.observe(KINDS)
        assert time.monotonic() - start < GIVEN_UP
    assert (failure.value.code, failure.value.retryable) == ("GM501", True)
    assert "no answer within 2 s" in failure.value.detail
    assert observed(cluster).missing_kinds == frozenset()


def test_K19_a_reading_that_fails_ahead_is_told_by_who_asks_and_tried_again(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    with apiserver.down():
        cluster.prefetch(KINDS)
        cluster.prefetch(KINDS)
        with pytest.raises(ClusterError, match="does not answer"):
            cluster.observe(KINDS)
    assert observed(cluster).missing_kinds == frozenset()


def test_K19_a_server_that_is_down_is_an_error_and_the_plan_is_not_half_lost(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    namespace = apiserver.new_namespace()
    observed(cluster)
    steps = [step(Action.CREATE, vs_key(namespace, f"web-{number}"), vs_spec()) for number in range(80)]
    with apiserver.down():
        start = time.monotonic()
        outcomes = carry_out(cluster, *steps)
        with pytest.raises(ClusterError, match="does not answer"):
            cluster.observe(KINDS)
        assert time.monotonic() - start < GIVEN_UP
    assert not any(o.ok for o in outcomes)
    assert {o.code for o in outcomes} == {"GM501"}
    assert "cannot connect" in outcomes[0].detail
    observed(cluster)
    assert all(o.ok for o in carry_out(cluster, *steps))


def test_K32_a_token_file_that_is_rotated_is_read_again(apiserver: ApiServer, tmp_path: Path) -> None:
    namespace = apiserver.new_namespace()
    file = tmp_path / "token"
    file.write_text("an-old-token-that-nobody-takes\n")
    cluster = cluster_at(
        Endpoint(server=apiserver.url, ca=apiserver.ca_file, tokens=FileToken(file, wait=0.01))
    )
    with pytest.raises(ClusterError) as refused:
        cluster.load("none")
    assert refused.value.code == "GM502"
    file.write_text(apiserver.serviceaccount_token(namespace, "agent") + "\n")
    with pytest.raises(ClusterError) as known:
        cluster.load("none")
    assert (known.value.code, f"system:serviceaccount:{namespace}:agent" in str(known.value)) == (
        "GM503",
        True,
    )
    file.write_text("")
    mark = apiserver.audit_mark()
    with pytest.raises(ClusterError, match="token file"):
        cluster.load("none")
    cluster.close()
    assert apiserver.audit_events(mark) == [], "nothing is asked as system:anonymous"


def test_K17_a_refused_token_is_renewed_once(apiserver: ApiServer) -> None:
    class Renewable(StaticToken, frozen=True):
        def token(self, renew: bool, deadline: Deadline) -> str:
            return self.value if renew else "expired"

    mark = apiserver.audit_mark()
    cluster = cluster_at(
        Endpoint(server=apiserver.url, ca=apiserver.ca_file, tokens=Renewable(apiserver.token()))
    )
    assert cluster.load("none").version == ""
    cluster.close()
    assert [e.code for e in apiserver.audit_events(mark) if e.name == "gitmesh-none"] == [404]


def test_the_credentials_of_a_pod_are_found_and_used(apiserver: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(apiserver.ca_file.read_bytes())
    (tmp_path / "token").write_text(apiserver.token())
    address = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(apiserver.port)}
    cluster = cluster_at(in_cluster(address, tmp_path))
    assert cluster.load("none").version == ""
    cluster.close()


def test_a_server_with_another_certificate_is_not_trusted(apiserver: ApiServer, cluster: KubeCluster) -> None:
    stranger = cluster_at(Endpoint(server=apiserver.url, ca=None, tokens=StaticToken(apiserver.token())))
    with pytest.raises(ClusterError, match="certificate is not trusted"):
        stranger.load("default")
    stranger.close()


def test_K24_exec_credentials_work_with_allow_exec_only(apiserver: ApiServer, tmp_path: Path) -> None:
    program = tmp_path / "login"
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": apiserver.token()},
    }
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat <<'E'\n{json.dumps(answer)}\nE\n")
    program.chmod(0o700)
    config = yaml.safe_load(apiserver.kubeconfig(tmp_path / "config").read_text())
    config["users"][0]["user"] = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login"}
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    with pytest.raises(ClusterError, match="allowExec"):
        read_kubeconfig(tmp_path / "config")
    endpoint = read_kubeconfig(tmp_path / "config", allow_exec=True)
    assert not (tmp_path / "ran").exists(), "reading the file runs nothing"
    cluster = cluster_at(endpoint)
    assert cluster.load("none").version == ""
    cluster.close()
    assert (tmp_path / "ran").exists()


def ledger(instance: str, entries: int = 1) -> Ledger:
    """A ledger of so many objects."""
    uid = "0f5d0c5e-0000-4000-8000-"
    found = {
        vs_key("shop", f"web-{n}"): Entry(
            uid=f"{uid}{n:012d}", digest=sha256(str(n).encode()).hexdigest()[:16], commit="a" * 40
        )
        for n in range(entries)
    }
    return Ledger(instance=instance, cluster_uid="u", sources={"main": "a" * 40}, entries=found)


def test_the_ledger_is_kept_by_compare_and_set(
    apiserver: ApiServer, cluster: KubeCluster, tmp_path: Path
) -> None:
    instance = apiserver.new_namespace()
    missing = cluster.load(instance)
    assert (missing.version, missing.corrupt, missing.ledger) == ("", False, Ledger(instance=instance))
    apiserver.apply(OWN_NAMESPACE)
    first = cluster.save(ledger(instance), "")
    assert cluster.load(instance).ledger == ledger(instance)
    assert cluster.load(instance) is cluster.load(instance)
    with lab_cluster(apiserver, tmp_path) as other:
        read = other.load(instance)
        assert (read.version, read.ledger) == (first, ledger(instance))
        other.save(ledger(instance, 2), first)
    with pytest.raises(ClusterError, match="another agent") as lost:
        cluster.save(ledger(instance, 3), first)
    assert lost.value.code == "GM505"
    with pytest.raises(ClusterError, match="another agent"):
        cluster.save(ledger(instance, 3), "")
    assert len(cluster.load(instance).ledger.entries) == 2


def test_K06_a_ledger_whose_answer_was_lost_counts_as_saved(
    apiserver: ApiServer, cluster: KubeCluster
) -> None:
    instance = apiserver.new_namespace()
    apiserver.apply(OWN_NAMESPACE)
    first = cluster.save(ledger(instance), "")
    assert cluster.save(ledger(instance), "") == first


def test_a_large_ledger_is_packed_and_a_damaged_one_is_told(
    apiserver: ApiServer, cluster: KubeCluster, tmp_path: Path
) -> None:
    instance = apiserver.new_namespace()
    apiserver.apply(OWN_NAMESPACE)
    large = ledger(instance, 12_000)
    version = cluster.save(large, "")
    stored = apiserver.get("v1", "ConfigMap", "gitmesh-system", f"gitmesh-{instance}") or {}
    assert list(stored["binaryData"]) == ["ledger.json.gz"]
    with lab_cluster(apiserver, tmp_path) as other:
        assert other.load(instance).ledger == large
    for damage in (
        {"binaryData": {"ledger.json.gz": stored["binaryData"]["ledger.json.gz"][:4000]}},
        {"data": {"ledger.json": "{"}},
    ):
        edit(
            apiserver,
            vs_key("gitmesh-system", f"gitmesh-{instance}")._replace(group="", kind="ConfigMap"),
            damage,
        )
        found = cluster.load(instance)
        assert (found.corrupt, found.ledger, found.version != version) == (
            True,
            Ledger(instance=instance),
            True,
        )


def test_a_missing_namespace_for_the_ledger_is_named(second_apiserver: ApiServer, tmp_path: Path) -> None:
    with (
        lab_cluster(second_apiserver, tmp_path) as cluster,
        pytest.raises(ClusterError, match="kubectl create namespace gitmesh-system"),
    ):
        cluster.save(ledger("default"), "")


def test_failures_become_events_of_the_deployment_once(apiserver: ApiServer, cluster: KubeCluster) -> None:
    namespace = apiserver.new_namespace()
    labels = {"app": "gitmesh"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "agent", "image": "gitmesh"}]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "gitmesh", "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": pod},
    }
    apiserver.apply(deployment)
    clock = [0.0]

    def publisher() -> EventPublisher:
        now = lambda: datetime(2026, 11, 23, tzinfo=UTC)  # noqa: E731 - a fixed time for the Event
        return EventPublisher(
            cluster.client, namespace, "gitmesh", now=now, clock=lambda: clock[0], instance="default"
        )

    report = Report(
        instance="default",
        until=Stage.APPLY,
        diagnostics=(
            finding("GM501", "west is\x1b[31m down", cluster="west"),
            finding("GM401", "only a warning"),
        ),
    )
    first = publisher()
    mark = apiserver.audit_mark()
    assert first.publish(report) is report
    first.publish(report)
    publisher().publish(report)
    path = apiserver.client.resource_path("events.k8s.io/v1", "Event", namespace)
    (event,) = apiserver.client.call("GET", path)["items"]
    assert event["note"] == "GM501 west is [31m down"
    assert (event["reason"], event["type"], event["regarding"]["name"]) == (
        "Unreachable",
        "Warning",
        "gitmesh",
    )
    assert [e.code for e in apiserver.audit_events(mark) if e.verb == "create"] == [201, 409]
    clock[0] = 3600.0
    first.publish(report)
    assert len([e for e in apiserver.audit_events(mark) if e.verb == "create"]) == 3
    described = apiserver.kubectl("describe", "deployment", "gitmesh", "-n", namespace).stdout
    assert "west is" in described


def test_events_that_cannot_be_written_hurt_nobody(apiserver: ApiServer, cluster: KubeCluster) -> None:
    publisher = EventPublisher(
        cluster.client,
        "no-such-namespace",
        "gitmesh",
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        instance="default",
    )
    report = Report(instance="default", until=Stage.APPLY, diagnostics=(finding("GM501", "west is down"),))
    assert publisher.publish(report) is report


def test_closing_a_client_leaves_no_connection_and_no_thread(apiserver: ApiServer, tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    with lab_cluster(apiserver, tmp_path) as cluster:
        create(cluster, vs_key(apiserver.new_namespace()), vs_spec())
        assert open_files() > before
    assert open_files() <= before
