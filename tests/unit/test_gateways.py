"""What a default of Deny does not cover: gateways by authority, not by what a pod says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.model.report import State
from tests.folders import AUTHORIZATION, Body, Folders, codes, said, thing, virtual_mesh

DENY = virtual_mesh(accessDefault="Deny")


def gateway(
    namespace: str,
    name: str = "gw",
    pod: str = "gw-0",
    owner: Body | None = None,
    labels: dict[str, str] | None = None,
) -> Body:
    """A pod whose proxy is a router, of a ServiceAccount of its own."""
    given = {"app": name, "istio": "ingressgateway"} if labels is None else labels
    spec = {
        "serviceAccountName": name,
        "containers": [{"name": "istio-proxy", "image": "istio/proxyv2:1.30.3", "args": ["proxy", "router"]}],
    }
    body = thing("Pod", pod, namespace, labels=given, spec=spec, status={"phase": "Running"})
    if owner:
        body["metadata"]["ownerReferences"] = [owner]
    return body


def opened(world: Folders) -> list[str]:
    return [path for path in world.live("east") if path.endswith("-gitmesh-gateway.yaml")]


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    return Folders(tmp_path, ("east",))


def test_a_gateway_beside_the_control_plane_is_one(world: Folders) -> None:
    world.put("east", "gw", gateway("istio-system"))
    world.commit(DENY)
    assert codes(world.settle()) == []
    assert opened(world) == ["istio-system/authorizationpolicy.security.istio.io/gw-0-gitmesh-gateway.yaml"]


@pytest.mark.parametrize("labels", [{"app": "gw", "istio": "ingressgateway"}, {"app": "gw"}, {}])
def test_a_label_or_an_argument_makes_no_gateway_and_holds_nothing(
    world: Folders, labels: dict[str, str]
) -> None:
    world.put("east", "gw", gateway("shop", labels=labels))
    world.commit(DENY)
    report = world.settle()
    assert opened(world) == []
    assert "istio-system/authorizationpolicy.security.istio.io/gitmesh-default-deny.yaml" in world.live(
        "east"
    )
    [told] = report.diagnostics
    assert (told.code, told.severity) == ("GM315", "warning")
    assert "Pod shop/gw-0" in told.message
    assert "gateways" in told.hint
    assert report.clusters["east"].state is State.SYNCED


def test_a_declared_gateway_is_one_and_others_are_none(world: Folders) -> None:
    world.put("east", "gw", gateway("istio-ingress"), gateway("istio-system"))
    world.commit(
        virtual_mesh(
            accessDefault="Deny", gateways=[{"namespaces": ["istio-ingress"], "labels": {"app": "gw"}}]
        )
    )
    assert codes(world.settle()) == []
    assert opened(world) == ["istio-ingress/authorizationpolicy.security.istio.io/gw-0-gitmesh-gateway.yaml"]


def test_one_that_is_open_stays_so_with_an_error_until_the_field_decides(world: Folders) -> None:
    world.put("east", "gw", gateway("istio-ingress"))
    world.commit(virtual_mesh(accessDefault="Deny", gateways=[{"namespaces": ["istio-ingress"]}]))
    world.settle()
    was = opened(world)
    world.commit(DENY)
    for _ in range(2):
        report = world.run()
        assert opened(world) == was
        assert sorted((one.code, str(one.severity)) for one in report.diagnostics) == [
            ("GM315", "error"),
            ("GM315", "warning"),
        ]
        assert report.clusters["east"].state is State.HELD
    world.commit(virtual_mesh(accessDefault="Deny", gateways=[{"namespaces": ["elsewhere"]}]))
    assert codes(world.settle()) == []
    assert opened(world) == []


def test_the_line_that_the_finding_names_opens_it_and_closes_no_other(world: Folders) -> None:
    world.put("east", "gw", gateway("istio-ingress"), gateway("istio-system"))
    world.commit(
        virtual_mesh(accessDefault="Deny", gateways=[{"namespaces": ["istio-ingress", "istio-system"]}])
    )
    world.settle()
    was = opened(world)
    world.commit(DENY)
    lines = {one.hint.rpartition("gateways: ")[2] for one in world.run().diagnostics}
    items = [
        {"namespaces": [namespace], "serviceAccounts": ["gw"]}
        for namespace in ("istio-ingress", "istio-system")
    ]
    assert [yaml.safe_load(line) for line in lines] == [items]
    world.commit(virtual_mesh(accessDefault="Deny", gateways=items))
    assert codes(world.settle()) == []
    assert opened(world) == was


def owned(programmed: str, **reference: Any) -> list[Body]:
    conditions = [{"type": "Programmed", "status": programmed}]
    made = thing(
        "Gateway",
        "door",
        "shop",
        "gateway.networking.k8s.io/v1",
        spec={"gatewayClassName": "istio"},
        status={"conditions": conditions},
    )
    deployment = thing(
        "Deployment",
        "door-istio",
        "shop",
        "apps/v1",
        spec={"template": {"metadata": {"labels": {"app": "gw"}}}},
    )
    owner = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "Gateway",
        "name": "door",
        "uid": "u",
        **reference,
    }
    deployment["metadata"]["ownerReferences"] = [owner]
    replicas = thing("ReplicaSet", "door-istio-5f", "shop", "apps/v1")
    replicas["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "door-istio", "controller": True}
    ]
    pod = gateway(
        "shop",
        owner={"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "door-istio-5f", "controller": True},
    )
    return [made, deployment, replicas, pod]


@pytest.mark.parametrize(("programmed", "reference", "opens"), [
    ("True", {}, True),
    ("False", {}, False),
    ("True", {"name": "other"}, False),
    ("True", {"apiVersion": "evil.example/v1"}, False),
])  # fmt: skip
def test_what_a_programmed_gateway_owns_is_one(
    world: Folders, programmed: str, reference: dict[str, str], opens: bool
) -> None:
    world.put("east", "gw", *owned(programmed, **reference))
    world.commit(DENY)
    report = world.settle()
    assert bool(opened(world)) is opens
    assert codes(report) == ([] if opens else ["GM315"])


def test_a_stranger_with_a_gateways_labels_holds_nothing(world: Folders) -> None:
    world.put(
        "east",
        "gw",
        gateway("istio-ingress"),
        gateway("istio-ingress", "other", "other-0", labels={"app": "gw", "istio": "ingressgateway"}),
    )
    world.commit(
        virtual_mesh(
            accessDefault="Deny", gateways=[{"serviceAccounts": ["gw"], "namespaces": ["istio-ingress"]}]
        )
    )
    report = world.settle()
    assert opened(world) == []
    assert [(one.code, str(one.severity)) for one in report.diagnostics] == [("GM315", "error")]
    assert "istio-system/authorizationpolicy.security.istio.io/gitmesh-default-deny.yaml" in world.live(
        "east"
    )


def test_many_of_them_are_one_finding(world: Folders) -> None:
    world.put("east", "gw", *(gateway("shop", f"gw{n}", f"gw{n}-0") for n in range(50)))
    world.commit(DENY)
    [told] = world.settle().diagnostics
    assert len(told.message) < 2_000
    assert "42 more" in told.message
    assert said(world.run(), "GM315")


def test_what_stays_and_was_changed_by_hand_is_told_as_such(world: Folders) -> None:
    world.put("east", "gw", gateway("istio-ingress"))
    world.commit(virtual_mesh(accessDefault="Deny", gateways=[{"namespaces": ["istio-ingress"]}]))
    world.settle()
    world.commit(DENY)
    assert not any("somebody changed it" in one.message for one in world.run().diagnostics)
    [path] = (world.root / "east" / "istio-ingress" / AUTHORIZATION).glob("*-gitmesh-gateway.yaml")
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**body, "spec": {"action": "ALLOW", "rules": [{}]}}), encoding="utf-8")
    [told] = [one for one in world.run().diagnostics if "somebody changed it" in one.message]
    assert (told.code, told.severity) == ("GM315", "error")
