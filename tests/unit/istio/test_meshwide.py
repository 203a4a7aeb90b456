"""Mesh-wide objects of a VirtualMesh, API versions, CRD gates, and what a unit may own."""

from __future__ import annotations

import gitmesh_istio
import pytest
from msgspec.structs import replace

from gitmesh.diagnostics import Severity
from gitmesh.model.facts import Mesh
from gitmesh.model.objects import ApiKind
from gitmesh.model.routes import Decided
from gitmesh.model.units import MeshUnit, RootReader
from gitmesh.model.virtualmesh import Mtls
from tests.unit.istio.units import (
    MESH,
    codes,
    decided,
    facts,
    only,
    origin,
    path,
    route,
    translated,
    unit,
    workload,
)

GATEWAY = workload(
    "edge",
    namespace="istio-system",
    labels={"istio": "ingressgateway", "pod-template-hash": "abc"},
    gateway=True,
)


def mesh_unit(
    mode: str = "", default: str = "MeshDefault", mesh: Mesh = MESH, readers: tuple[RootReader, ...] = ()
) -> MeshUnit:
    mtls = (
        Decided(value=Mtls.model_validate({"mode": mode}), origin=origin("spec.mtls.mode")) if mode else None
    )
    access = Decided(value=default, origin=origin("spec.accessDefault"))
    return MeshUnit(
        cluster="east", mesh=mesh, gateways=(GATEWAY,), access_default=access, mtls=mtls, readers=readers
    )


@pytest.mark.parametrize(
    ("mode", "expected"), [("Strict", "STRICT"), ("Permissive", "PERMISSIVE"), ("Disabled", "DISABLE")]
)
def test_mtls_of_the_mesh(mode: str, expected: str) -> None:
    fragment = only(translated(mesh_unit(mode)), "PeerAuthentication", "default")
    assert (fragment.key.namespace, fragment.spec) == ("istio-system", {"mtls": {"mode": expected}})


def test_P16_default_deny_spares_gateways_and_comes_last() -> None:
    translation = translated(mesh_unit(default="Deny"))
    denying = only(translation, "AuthorizationPolicy", "gitmesh-default-deny")
    assert (denying.key.namespace, denying.spec) == ("istio-system", {})
    gateway = only(translation, "AuthorizationPolicy", "edge-gitmesh-gateway")
    assert gateway.spec == {
        "selector": {"matchLabels": {"istio": "ingressgateway"}},
        "action": "ALLOW",
        "rules": [{}],
    }


def test_a_gateway_that_cannot_be_opened_is_an_error_and_holds_nothing_else() -> None:
    bare = replace(
        mesh_unit(default="Deny"), gateways=(replace(GATEWAY, labels={"pod-template-hash": "abc"}),)
    )
    translation = translated(bare)
    assert (codes(translation), bool(translation.held)) == (["GM315"], False)
    assert translation.diagnostics[0].severity is Severity.ERROR
    assert [made.key.name for made in translation.fragments] == ["gitmesh-default-deny"]
    assert [key.name for key in translation.stays] == ["edge-gitmesh-gateway"]


def test_a_gateway_whose_pods_differ_is_opened_once_by_what_they_share() -> None:
    shapes = tuple(
        replace(GATEWAY, labels={**GATEWAY.labels, "track": track}) for track in ("canary", "stable")
    )
    opened = only(
        translated(replace(mesh_unit(default="Deny"), gateways=shapes)),
        "AuthorizationPolicy",
        "edge-gitmesh-gateway",
    )
    assert opened.spec["selector"]["matchLabels"] == {"istio": "ingressgateway"}
    apart = tuple(replace(GATEWAY, labels={"track": track}) for track in ("canary", "stable"))
    translation = translated(replace(mesh_unit(default="Deny"), gateways=apart))
    assert (codes(translation), [key.name for key in translation.stays]) == (
        ["GM315"],
        ["edge-gitmesh-gateway"],
    )


IGNORING = replace(MESH, settings={"ignoredNamespaces": "istio-system"})


@pytest.mark.parametrize(("mode", "default"), [("Strict", "MeshDefault"), ("", "Deny")])
def test_what_holds_mesh_wide_is_held_where_the_mesh_ignores_its_root_namespace(
    mode: str, default: str
) -> None:
    translation = translated(mesh_unit(mode, default, IGNORING), IGNORING)
    assert (set(codes(translation)), bool(translation.held)) == ({"GM312"}, True)


def test_a_gateway_in_a_namespace_that_the_mesh_ignores_holds_the_default_deny() -> None:
    mesh = replace(MESH, settings={"ignoredNamespaces": "edge"})
    away = replace(mesh_unit(default="Deny", mesh=mesh), gateways=(replace(GATEWAY, namespace="edge"),))
    translation = translated(away, mesh)
    assert (codes(translation), bool(translation.held)) == (["GM312"], True)
    assert "namespace edge" in translation.diagnostics[0].message


def test_routes_in_a_namespace_that_every_mesh_ignores_are_told() -> None:
    mesh, other = (
        replace(MESH, settings={"ignoredNamespaces": "shop"}),
        replace(MESH, name="istio-canary", revision="canary"),
    )
    alone, both = translated(ONE, mesh), translated(ONE, mesh, other)
    assert ([found.severity for found in alone.diagnostics], codes(alone), bool(alone.held)) == (
        [Severity.WARNING],
        ["GM312"],
        False,
    )
    assert (codes(both), len(both.fragments), len(alone.fragments)) == ([], 1, 1)


def test_ports_of_a_gateway_that_an_allow_governs_are_not_opened() -> None:
    governed = replace(mesh_unit(default="Deny"), governed_ports={GATEWAY.key: (8443,)})
    gateway = only(translated(governed), "AuthorizationPolicy", "edge-gitmesh-gateway")
    assert gateway.spec["rules"] == [{"to": [{"operation": {"notPorts": ["8443"]}}]}]


def test_a_gateway_whose_labels_others_carry_too_is_not_opened_anew_and_stays_where_it_is_open() -> None:
    """What opens the gateway would open them; and whoever may start a pod there must not hold the default
    deny.
    """
    other = workload("billing", namespace="istio-system", labels={**GATEWAY.labels, "app": "billing"})
    translation = translated(replace(mesh_unit(default="Deny"), neighbours=(other,)))
    assert (codes(translation), bool(translation.held)) == (["GM315"], False)
    assert [key.name for key in translation.stays] == ["edge-gitmesh-gateway"]
    assert "Deployment istio-system/billing" in translation.diagnostics[0].message


@pytest.mark.parametrize("default", ["Allow", "MeshDefault"])
def test_other_defaults_need_no_object(default: str) -> None:
    assert translated(mesh_unit(default=default)).fragments == ()


def test_root_namespace_of_mesh_config() -> None:
    mesh = replace(MESH, root_namespace="mesh-root")
    assert (
        only(translated(mesh_unit("Strict", mesh=mesh), mesh), "PeerAuthentication").key.namespace
        == "mesh-root"
    )


GREEN = replace(MESH, name="istio-green", revision="green")


@pytest.mark.parametrize(("mesh", "label"), [(GREEN, "green"), (MESH, "default")])
def test_what_is_mesh_wide_is_for_the_revision_alone_where_another_one_reads_it(
    mesh: Mesh, label: str
) -> None:
    readers = (RootReader(mesh="istio-blue"),)
    translation = translated(
        mesh_unit("Strict", "Deny", mesh, readers), mesh, replace(MESH, name="istio-blue")
    )
    assert codes(translation) == []
    assert {made.key.name: made.labels for made in translation.fragments} == {
        "default": {"istio.io/rev": label},
        "gitmesh-default-deny": {"istio.io/rev": label},
        "edge-gitmesh-gateway": {},
    }


def test_what_is_mesh_wide_is_for_all_where_all_are_selected_alike() -> None:
    readers = (RootReader(mesh="istio-blue", alike=True, mtls=True, denied=True),)
    translation = translated(mesh_unit("Strict", "Deny", GREEN, readers), GREEN)
    assert (codes(translation), [made.labels for made in translation.fragments]) == ([], [{}, {}, {}])


@pytest.mark.parametrize(
    "readers",
    [
        (RootReader(mesh="istio-blue", mtls=True),),
        (RootReader(mesh="istio-blue"), RootReader(mesh="istio-red", alike=True, mtls=True)),
    ],
)
def test_one_object_cannot_be_for_some_revisions_of_several(readers: tuple[RootReader, ...]) -> None:
    translation = translated(mesh_unit("Strict", mesh=GREEN, readers=readers), GREEN)
    assert (codes(translation), bool(translation.held)) == (["GM301"], True)
    assert translation.fragments == ()


def test_revisions_of_which_each_wants_another_object_share_the_namespace() -> None:
    readers = (RootReader(mesh="istio-blue", denied=True),)
    translation = translated(mesh_unit("Strict", mesh=GREEN, readers=readers), GREEN)
    assert (codes(translation), [made.labels for made in translation.fragments]) == (
        [],
        [{"istio.io/rev": "green"}],
    )


def test_a_mesh_of_another_translator_is_none_of_ours() -> None:
    other = replace(MESH, translator="linkerd", name="linkerd")
    known = facts(MESH, other)
    assert gitmesh_istio.translate(mesh_unit("Strict", mesh=other), (MESH,), known).fragments == ()


# --- what the cluster serves


def kind(
    name: str, *versions: str, group: str = "networking.istio.io", fields: frozenset[str] = frozenset()
) -> ApiKind:
    return ApiKind(group=group, kind=name, plural=f"{name.lower()}s", versions=versions, fields=fields)


ONE = unit(route(path("exact", "/a"), timeout="1s"))


@pytest.mark.parametrize(
    ("versions", "expected"), [(("v1", "v1beta1", "v1alpha3"), "v1"), (("v1beta1", "v1alpha3"), "v1beta1")]
)
def test_api_version_that_the_cluster_serves(versions: tuple[str, ...], expected: str) -> None:
    assert (
        only(translated(ONE, kinds=[kind("VirtualService", *versions)]), "VirtualService").version == expected
    )


@pytest.mark.parametrize("kinds", [[kind("VirtualService", "v1alpha3")], [kind("DestinationRule", "v1")]])
def test_K09_kind_that_the_cluster_does_not_serve(kinds: list[ApiKind]) -> None:
    translation = translated(ONE, kinds=kinds)
    assert (codes(translation), bool(translation.held), translation.fragments) == (["GM504"], True, ())


def test_field_that_the_crd_lacks_would_be_pruned_in_silence() -> None:
    old = kind(
        "VirtualService",
        "v1",
        fields=frozenset({"spec", "spec.hosts", "spec.http", "spec.http.match", "spec.http.route"}),
    )
    translation = translated(ONE, kinds=[old])
    assert (codes(translation), bool(translation.held)) == (["GM302"], True)
    assert any(
        "spec.http.timeout" in found.message and found.field == "spec.timeout"
        for found in translation.diagnostics
    )


def test_gated_field_names_what_it_needs() -> None:
    rule = kind(
        "DestinationRule",
        "v1",
        fields=frozenset({"spec", "spec.host", "spec.trafficPolicy", "spec.trafficPolicy.loadBalancer"}),
    )
    slow = unit(settings={0: decided(loadBalancing={"slowStart": "30s"})})
    unknown = replace(MESH, version="")
    translation = translated(slow, unknown, kinds=[rule])
    assert codes(translation) == ["GM302"]
    assert "spec.trafficPolicy.loadBalancer.warmup" in translation.diagnostics[0].message
