"""Probes of the kubelet that come to a proxy as they are, and what refuses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.workloads import Probe
from tests.folders import Body, Folders, allow, app, deny, istiod, said, service, thing, virtual_mesh

LEFT = {"sidecar.istio.io/rewriteAppHTTPProbers": "false"}
HTTP = {"httpGet": {"path": "/ready?deep=yes", "port": 8080}}
STRICT: Body = {"mtls": {"mode": "Strict"}}
CLOSED: Body = {"accessDefault": "Deny"}


@pytest.fixture
def shop(tmp_path: Path) -> Folders:
    found = Folders(tmp_path, names=("east",))
    found.put("east", "meter", service("meter"), thing("ServiceAccount", "meter", "shop"))
    return found


def meter(
    shop: Folders, probe: Body | None = None, annotations: Body | None = None, field: str = "readinessProbe"
) -> None:
    """One pod, of which the application's container is probed."""
    pod = app("meter")
    pod["metadata"]["annotations"] = LEFT if annotations is None else annotations
    pod["spec"]["containers"][0][field] = HTTP if probe is None else probe
    shop.put("east", "pod", pod)


def refused(shop: Folders, *policies: Body) -> list[Diagnostic]:
    shop.commit(*policies)
    return said(shop.run(), "GM316")


def fields(found: list[Diagnostic]) -> set[tuple[str, str]]:
    return {(one.policy.partition("/")[0], one.field) for one in found}


def test_strict_mtls_is_told_where_it_refuses_the_kubelet(shop: Folders) -> None:
    meter(shop)
    [told] = refused(shop, virtual_mesh(**STRICT))
    assert (told.severity, told.field, told.policy) == (
        Severity.WARNING,
        "spec.mtls.mode",
        "VirtualMesh/shop/all",
    )
    assert "port 8080 of Pod shop/meter-0" in told.message
    assert "sidecar.istio.io/rewriteAppHTTPProbers" in told.hint


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([allow("front", "meter", "web")], {("AccessPolicy", "spec")}),
        ([deny("not", "meter", "web")], {("AccessPolicy", "spec")}),
        ([virtual_mesh(**CLOSED)], {("VirtualMesh", "spec.accessDefault")}),
        (
            [virtual_mesh(**STRICT, **CLOSED), allow("front", "meter", "web")],
            {("VirtualMesh", "spec.mtls.mode"), ("AccessPolicy", "spec")},
        ),
        (
            [virtual_mesh(**STRICT, **CLOSED)],
            {("VirtualMesh", "spec.mtls.mode"), ("VirtualMesh", "spec.accessDefault")},
        ),
    ],
)
def test_each_line_that_refuses_it_is_told(
    shop: Folders, policies: list[Body], expected: set[tuple[str, str]]
) -> None:
    meter(shop)
    assert fields(refused(shop, *policies)) == expected


@pytest.mark.parametrize(
    "policies",
    [
        [],
        [virtual_mesh(mtls={"mode": "Permissive"})],
        [allow("all", "meter", sources=[{"all": True}], rules=[{"paths": ["/ready"], "methods": ["GET"]}])],
        [virtual_mesh(**CLOSED, accessExempt={"ports": [80]})],
        [virtual_mesh(**CLOSED), allow("all", "meter", sources=[{"all": True}])],
        [allow("other", "api", "web")],
    ],
)
def test_what_admits_it_says_nothing(shop: Folders, policies: list[Body]) -> None:
    meter(shop)
    assert not refused(shop, *policies)


@pytest.mark.parametrize("annotations", [{}, {"sidecar.istio.io/rewriteAppHTTPProbers": "true"}])
@pytest.mark.parametrize("probe", [HTTP, {"grpc": {"port": 8080}}])
def test_what_the_injector_rewrites_is_the_agents(shop: Folders, annotations: Body, probe: Body) -> None:
    meter(shop, probe, annotations)
    assert not refused(shop, virtual_mesh(**STRICT, **CLOSED))


@pytest.mark.parametrize(
    "probe",
    [
        {"exec": {"command": ["true"]}},
        {"tcpSocket": {"port": 8080}},
        {"httpGet": {"port": 15020}},
        {"httpGet": {"port": "missing"}},
        {"httpGet": {"port": 8080, "host": "127.0.0.1"}},
        {},
    ],
)
def test_probes_that_no_decision_touches(shop: Folders, probe: Body) -> None:
    """A proxy takes every TCP connection, so a probe by TCP succeeds whatever is decided."""
    meter(shop, probe)
    assert not refused(shop, virtual_mesh(**STRICT, **CLOSED))


def test_a_port_that_the_proxy_does_not_see(shop: Folders) -> None:
    meter(shop, annotations={**LEFT, "traffic.sidecar.istio.io/excludeInboundPorts": "8080"})
    assert not refused(shop, virtual_mesh(**STRICT, **CLOSED))


@pytest.mark.parametrize("field", ["livenessProbe", "readinessProbe", "startupProbe"])
@pytest.mark.parametrize("probe", [{"httpGet": {"port": "http"}}, {"grpc": {"port": 8080}}])
def test_every_probe_of_the_kubelet_counts(shop: Folders, field: str, probe: Body) -> None:
    meter(shop, probe, field=field)
    assert refused(shop, virtual_mesh(**STRICT))


def test_a_port_of_no_service_is_closed_by_the_default_alone(shop: Folders) -> None:
    meter(shop, {"httpGet": {"path": "/health", "port": 9000}})
    assert not refused(shop, allow("front", "meter", "web"))
    assert fields(refused(shop, virtual_mesh(**CLOSED))) == {("VirtualMesh", "spec.accessDefault")}


def test_what_the_injector_did_stands_on_the_pod(shop: Folders) -> None:
    """It was at work, and the probe does not lead to the agent: whatever its settings, it left it."""
    meter(shop, annotations={"sidecar.istio.io/status": "{}"})
    assert refused(shop, virtual_mesh(**STRICT))


@pytest.mark.parametrize(("rewrites", "told"), [(False, True), (True, False)])
@pytest.mark.parametrize("revision", ["", "green"])
def test_the_injectors_own_setting(shop: Folders, rewrites: bool, told: bool, revision: str) -> None:
    values = json.dumps({"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": rewrites}})
    name = f"istio-sidecar-injector{f'-{revision}' if revision else ''}"
    shop.put("east", "istiod", istiod(revision=revision))
    shop.put("east", "injector", thing("ConfigMap", name, "istio-system", data={"values": values}))
    meter(shop, annotations={})
    assert bool(refused(shop, virtual_mesh(**STRICT))) is told
    meter(shop, annotations={"sidecar.istio.io/rewriteAppHTTPProbers": "true"})
    assert not refused(shop, virtual_mesh(**STRICT))


def test_facts_know_the_probe_and_not_its_query(shop: Folders) -> None:
    meter(shop)
    shop.commit(allow("front", "meter", "web"))
    report = shop.run()
    facts = report.clusters["east"].facts
    assert facts is not None
    [pod] = [one for one in facts.workloads if one.name == "meter-0"]
    assert pod.probes == (Probe(port=8080, path="/ready"),)


def test_many_refused_probes_are_one_finding(shop: Folders) -> None:
    pods: list[Any] = []
    for number in range(12):
        pod = app("meter", pod=f"meter-{number}")
        pod["metadata"]["annotations"] = LEFT
        pod["spec"]["containers"][0]["livenessProbe"] = HTTP
        pods.append(pod)
    shop.put("east", "pod", *pods)
    [told] = refused(shop, virtual_mesh(**STRICT))
    assert "and 4 more" in told.message


def test_an_allow_for_other_pods_that_closes_the_probed_port_too_is_told(shop: Folders) -> None:
    """No label tells the probed pod from one that the guarded Service may get."""
    meter(shop)
    admin = service("admin")
    admin["spec"]["selector"] = {"app": "meter", "tier": "admin"}
    peers = service("peers")
    peers["spec"] |= {
        "selector": {"app": "meter"},
        "ports": [{"name": "http", "port": 90, "targetPort": 9090}],
    }
    shop.put("east", "further", admin, peers)
    [told] = refused(shop, allow("admins", "admin", "web"), allow("peers", "peers", "web"))
    assert (told.policy, "port 8080 of Pod shop/meter-0" in told.message) == ("AccessPolicy/shop/peers", True)


@pytest.mark.parametrize(("mode", "told"), [("PERMISSIVE", False), ("DISABLE", False), ("STRICT", True)])
def test_a_mode_that_somebody_else_sets_for_the_pods_goes_before_ours(
    shop: Folders, mode: str, told: bool
) -> None:
    spec = {"selector": {"matchLabels": {"app": "meter"}}, "mtls": {"mode": mode}}
    shop.put("east", "theirs", thing("PeerAuthentication", "m", "shop", "security.istio.io/v1", spec=spec))
    meter(shop)
    assert bool(refused(shop, virtual_mesh(**STRICT))) is told


@pytest.mark.parametrize(("target", "told"), [("nowhere", True), (8080, False)])
def test_a_port_of_no_service_that_an_allow_for_others_closes_is_told(
    shop: Folders, target: int | str, told: bool
) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": target}]
    shop.put("east", "meter", service("meter", selector={"app": "meter"}, ports=ports))
    meter(shop, {"httpGet": {"path": "/", "port": 9999}})
    found = refused(shop, allow("meter", "meter", "web"))
    assert [one.policy for one in found] == (["AccessPolicy/shop/meter"] if told else [])


@pytest.mark.parametrize("hook", ["postStart", "preStop"])
def test_hooks_that_the_kubelet_calls_are_refused_as_probes_are(shop: Folders, hook: str) -> None:
    meter(shop, {hook: HTTP}, field="lifecycle")
    assert fields(refused(shop, virtual_mesh(**STRICT))) == {("VirtualMesh", "spec.mtls.mode")}


@pytest.mark.parametrize(
    ("said", "left"), [("0", True), ("F", True), ("False", True), ("1", False), ("T", False), ("no", False)]
)
def test_the_annotation_says_what_istiod_reads_in_it(shop: Folders, said: str, left: bool) -> None:
    meter(shop, annotations={"sidecar.istio.io/rewriteAppHTTPProbers": said})
    assert bool(refused(shop, virtual_mesh(**STRICT))) is left
