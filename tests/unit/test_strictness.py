"""`tls` other than the mesh's own towards pods that take nothing else: a finding at its line, and `can` says
so.
"""

from __future__ import annotations

from typing import Any

import pytest

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.policies import Policy
from gitmesh.model.services import ServicePort
from gitmesh.model.units import half_key
from gitmesh.model.workloads import PortRange
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Ruling
from gitmesh.resolution.resolve import Resolution, resolve
from tests.asking import PLAIN, asked, known
from tests.factories import access, facts, policy, service, shop, traffic, workload

FILES = {"clientCertificate": "/etc/a.pem", "privateKey": "/etc/a.key"}
BROAD: list[dict[str, Any]] = [{"namespaces": ["shop"]}]
HELD = half_key("routing", "east", ("shop", "reviews"))


def mesh(mode: str | None = "Strict") -> Policy:
    given: dict[str, Any] = {"mtls": {"mode": mode}} if mode else {}
    return policy("VirtualMesh", "all", meshes=[{"selector": {"all": True}}], **given)


def resolved(*policies: Policy, of: ClusterFacts | None = None) -> Resolution:
    return resolve(policies, {"east": of or shop()}, {"east": {}})


def said(resolution: Resolution) -> list[Diagnostic]:
    return [diagnostic for diagnostic in resolution.diagnostics if diagnostic.code == "GM220"]


@pytest.mark.parametrize("mode", ["Disable", "Simple"])
def test_what_every_pod_of_a_named_destination_refuses_is_an_error_and_held(mode: str) -> None:
    plain = traffic("plain", tls={"mode": mode})
    resolution = resolved(plain, mesh())
    [finding] = said(resolution)
    assert (finding.is_error, finding.policy, finding.field) == (True, "TrafficPolicy/shop/plain", "spec.tls")
    assert finding.at == plain.at("tls")
    assert f"tls {mode}" in finding.message
    assert "VirtualMesh/shop/all (all.yaml:" in finding.message
    assert resolution.held["east"] == (HELD,)


@pytest.mark.parametrize(
    ("one", "of"),
    [
        (traffic("plain", BROAD, tls={"mode": "Disable"}), shop()),
        (traffic("plain", tls={"mode": "Mutual", **FILES}), shop()),
        (
            traffic("plain", tls={"mode": "Disable"}),
            shop("east", workload("old", labels={"app": "reviews"}, mesh="")),
        ),
        (
            traffic("plain", tls={"mode": "Disable"}),
            facts("east", service(), workload(), workload(mesh="")),
        ),
    ],
)
def test_what_some_may_take_is_a_warning(one: Policy, of: ClusterFacts) -> None:
    resolution = resolved(one, mesh(), of=of)
    assert {(finding.is_error, finding.policy) for finding in said(resolution)} == {
        (False, "TrafficPolicy/shop/plain")
    }
    assert not resolution.held["east"]


@pytest.mark.parametrize(
    ("one", "owner"),
    [
        (traffic("own", tls={"mode": "MeshMutual"}), mesh()),
        (traffic("none", tls={"disabled": True}), mesh()),
        (traffic("plain", tls={"mode": "Disable"}), mesh("Permissive")),
        (traffic("plain", tls={"mode": "Disable"}), mesh("Disabled")),
        (traffic("plain", tls={"mode": "Disable"}), mesh(None)),
        (traffic("other", timeout="1s"), mesh()),
    ],
)
def test_what_is_taken_is_nothing_to_report(one: Policy, owner: Policy) -> None:
    assert not said(resolved(one, owner))


def test_a_port_that_proxies_do_not_see_and_pods_of_no_mesh_refuse_nothing() -> None:
    plain = traffic("plain", tls={"mode": "Disable"})
    unseen = facts("east", service(), workload(unguarded=(PortRange(first=8080, last=8080),)))
    assert not said(resolved(plain, mesh(), of=unseen))
    assert not said(resolved(plain, mesh(), of=facts("east", service(), workload(mesh=""))))


def test_it_is_told_when_the_mesh_becomes_strict_and_forgotten_when_it_does_not() -> None:
    memo: dict[Any, Any] = {}
    plain = traffic("plain", tls={"mode": "Disable"})
    found = [
        len(said(resolve([plain, mesh(mode)], {"east": shop()}, {"east": {}}, memo)))
        for mode in ("Permissive", "Strict", "Permissive")
    ]
    assert found == [0, 1, 0]


def ruling(*policies: Policy, **request: Any) -> Ruling:
    found = can(
        asked(**request), known(policies, shop(service_accounts=frozenset({("shop", "web")})))["east"]
    )
    [(_, _, ruling)] = found.pods
    return ruling


@pytest.mark.parametrize("to", ["reviews", BROAD])
@pytest.mark.parametrize("mode", ["Disable", "Simple"])
def test_can_says_that_the_connection_is_refused_also_where_it_is_held_for_that(mode: str, to: Any) -> None:
    plain = traffic("plain", to, tls={"mode": mode})
    told = ruling(plain, mesh())
    assert (told.answer.value, told.basis.value) == ("Denied", "Mtls")
    assert f"tls {mode}" in told.text
    assert [origin.policy for origin in told.deciding] == ["TrafficPolicy/shop/plain", "VirtualMesh/shop/all"]
    allow = access("web", sources=[{"serviceAccounts": [{"name": "web"}]}])
    assert ruling(plain, mesh(), allow).answer.value == "Denied"


def test_of_a_destination_whose_routing_is_held_for_other_errors_too_nothing_is_said_of_its_connections() -> (
    None
):
    plain = traffic("plain", tls={"mode": "Disable"}, timeout="1s")
    assert ruling(plain, mesh(), traffic("other", timeout="2s")).basis.value != "Mtls"


def test_can_knows_that_plaintext_shows_no_identity_where_it_is_taken() -> None:
    allow = access("web", sources=[{"serviceAccounts": [{"name": "web"}]}])
    assert ruling(allow, mesh("Permissive")).answer.value == "Allowed"
    told = ruling(allow, mesh("Permissive"), traffic("plain", tls={"mode": "Disable"}))
    assert (told.answer.value, told.basis.value) == ("Denied", "NoAllow")
    assert "tls Disable" in told.text


def test_can_does_not_know_whose_certificate_a_file_holds() -> None:
    told = ruling(mesh(), traffic("own", tls={"mode": "Mutual", **FILES}))
    assert (told.answer.value, told.basis.value, told.deciding[0].field) == ("Unknown", "Mtls", "spec.tls")


def test_clients_without_a_proxy_and_ports_of_others_are_not_concerned() -> None:
    plain = traffic("plain", BROAD, tls={"mode": "Disable"})
    assert "shows no identity" in ruling(plain, mesh(), who=PLAIN).text
    other = traffic("other", BROAD, matches=[{"port": 81}], tls={"mode": "Disable"})
    ports = (ServicePort(number=80, target=8080), ServicePort(number=81, target=8081))
    two = known([other, mesh()], facts("east", service(ports=ports), workload()))["east"]
    assert [can(asked(port=port), two).answer.value for port in (80, 81)] == ["Allowed", "Denied"]
