"""Control planes and members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gitmesh_istio
import pytest
from msgspec.structs import replace

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body
from gitmesh.ports import ControlObjects, PodFact


def istiod(revision: str = "", image: str = "docker.io/istio/pilot:1.30.3", **more: Any) -> Body:
    name = "istiod" if revision in ("", "default") else f"istiod-{revision}"
    labels = {"app": "istiod", **({"istio.io/rev": revision} if revision else {}), **more.pop("labels", {})}
    container = {"name": "discovery", "image": image, **more}
    return {
        "metadata": {"namespace": "istio-system", "name": name, "labels": labels},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def config(text: str, name: str = "istio") -> Mapping[tuple[str, str], Body]:
    return {
        ("istio-system", name): {
            "metadata": {"namespace": "istio-system", "name": name},
            "data": {"mesh": text},
        }
    }


def detected(*deployments: Body, **more: Any) -> tuple[Mesh, ...]:
    return gitmesh_istio.detect(ControlObjects(deployments=deployments, **more))


def test_default_control_plane() -> None:
    (mesh,) = detected(istiod("default"))
    assert (mesh.translator, mesh.name, mesh.version, mesh.revision) == (
        "istio",
        "istio",
        "1.30.3",
        "default",
    )
    assert (mesh.namespace, mesh.root_namespace, mesh.trust_domain) == (
        "istio-system",
        "istio-system",
        "cluster.local",
    )
    assert not mesh.ambient


def test_each_revision_is_a_mesh() -> None:
    assert [mesh.name for mesh in detected(istiod("canary"), istiod())] == ["istio", "istio-canary"]


def test_istiod_by_name_alone() -> None:
    bare = {**istiod(), "metadata": {"namespace": "istio-system", "name": "istiod-x"}}
    assert [mesh.name for mesh in detected(bare)] == ["istio"]


@pytest.mark.parametrize(
    "other",
    [
        {"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": {}},
        {"metadata": {"name": "istiodish", "namespace": "shop"}, "spec": istiod()["spec"]},
        {
            "metadata": {"name": "istiod", "namespace": "shop"},
            "spec": {"template": {"spec": {"containers": [{"name": "web"}]}}},
        },
        {"metadata": None, "spec": None},
    ],
)
def test_other_deployments_are_no_control_planes(other: Body) -> None:
    assert detected(other) == ()


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("docker.io/istio/pilot:1.30.3-distroless", "1.30.3"),
        ("registry:5000/istio/pilot:1.31.0-rc.0", "1.31.0-rc.0"),
        ("istio/pilot:1.31.0-rc.0-distroless", "1.31.0-rc.0"),
        ("istio/pilot:1.29-debug", "1.29"),
        ("istio/pilot:1.30.3@sha256:0123", "1.30.3"),
        ("istio/pilot@sha256:0123", "9.9.9"),
        ("istio/pilot:latest", "9.9.9"),
        ("registry:5000/istio/pilot", "9.9.9"),
    ],
)
def test_version_from_tag_or_label(image: str, version: str) -> None:
    (mesh,) = detected(istiod(image=image, labels={"operator.istio.io/version": "9.9.9"}))
    assert mesh.version == version


def test_unknown_version() -> None:
    assert detected(istiod(image="istio/pilot:latest"))[0].version == ""


def test_mesh_config() -> None:
    text = "rootNamespace: mesh-root\ntrustDomain: corp.example\ntrustDomainAliases: [old, older]\n"
    (mesh,) = detected(istiod(), configmaps=config(text))
    assert (mesh.root_namespace, mesh.trust_domain) == ("mesh-root", "corp.example")
    assert mesh.settings["trustDomainAliases"] == "old,older"


def test_mesh_config_of_a_revision() -> None:
    both = {**config("trustDomain: a"), **config("trustDomain: b", "istio-canary")}
    assert [mesh.trust_domain for mesh in detected(istiod(), istiod("canary"), configmaps=both)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("['.']", "."), ("[a, '.']", "a,."), ("['*']", "*"), ("[]", None), ("'.'", None), ("null", None)],
)
def test_who_sees_objects_that_do_not_say(text: str, expected: str | None) -> None:
    for key in ("defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo"):
        assert detected(istiod(), configmaps=config(f"{key}: {text}"))[0].settings.get(key) == expected


@pytest.mark.parametrize(
    "text", ["", "[", "- a", "trustDomain: [1]", "!!python/object:os.system {}", "a: " + "[" * 5000]
)
def test_Y05_mesh_config_that_cannot_be_read(text: str) -> None:
    assert detected(istiod(), configmaps=config(text))[0].trust_domain == "cluster.local"


@pytest.mark.parametrize(
    "arguments", [["discovery", "--domain", "corp.example"], ["discovery", "--domain=corp.example"]]
)
def test_cluster_domain_from_istiods_arguments(arguments: Sequence[str]) -> None:
    assert detected(istiod(args=arguments))[0].settings["clusterDomain"] == "corp.example"


@pytest.mark.parametrize(
    "labels", [{"metadata": {"name": "ztunnel"}}, {"metadata": {"name": "z", "labels": {"app": "ztunnel"}}}]
)
def test_ambient_by_ztunnel(labels: Body) -> None:
    assert detected(istiod(), daemonsets=(labels,))[0].ambient


def test_ambient_by_environment() -> None:
    assert detected(istiod(env=[{"name": "PILOT_ENABLE_AMBIENT", "value": "true"}]))[0].ambient


@pytest.mark.parametrize(
    ("variable", "value", "setting"),
    [
        ("PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES", "true", "headlessIsBalanced"),
        ("PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES", "1", "headlessIsBalanced"),
        ("PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES", "false", ""),
        ("ENABLE_EXTERNAL_NAME_ALIAS", "false", "externalNameHasCluster"),
        ("ENABLE_EXTERNAL_NAME_ALIAS", "F", "externalNameHasCluster"),
        ("ENABLE_EXTERNAL_NAME_ALIAS", "true", ""),
        ("ENABLE_EXTERNAL_NAME_ALIAS", "no", ""),
    ],
)
def test_what_istiod_was_told_of_services_without_a_cluster_of_endpoints(
    variable: str, value: str, setting: str
) -> None:
    [mesh] = detected(istiod(env=[{"name": variable, "value": value}]))
    told = {key for key in mesh.settings if key in ("headlessIsBalanced", "externalNameHasCluster")}
    assert told == ({setting} if setting else set())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("istio", True),
        ("istio-canary", True),
        ("istio-ca-root-cert", False),
        ("istio-sidecar-injector", True),
        ("web", False),
    ],
)
def test_configmaps_to_read(name: str, wanted: bool) -> None:
    assert gitmesh_istio.configmaps("istio-system", name) is wanted


# --- members

MESHES = (
    Mesh(translator="istio", name="istio", revision="default"),
    Mesh(translator="istio", name="istio-canary", revision="canary"),
)
POD = PodFact(
    namespace="shop", name="web-1", containers=(("web", "web:1"), ("istio-proxy", "istio/proxyv2:1.30.3"))
)
STATUS = "sidecar.istio.io/status"


def mesh_of(pod: PodFact, meshes: Sequence[Mesh] = MESHES, **labels: str) -> str:
    found = gitmesh_istio.member(pod, {key.replace("_", "-"): value for key, value in labels.items()}, meshes)
    return found.mesh if found else ""


def test_pod_without_a_proxy_is_no_member() -> None:
    assert mesh_of(replace(POD, containers=(("web", "web:1"),)), istio_injection="enabled") == ""


def test_native_sidecar_is_an_init_container() -> None:
    pod = replace(
        POD, containers=(("web", "web:1"),), init_containers=(("istio-proxy", "istio/proxyv2:1.30.3"),)
    )
    found = gitmesh_istio.member(pod, {}, MESHES)
    assert found is not None
    assert (found.native_sidecar, found.gateway) == (True, False)


@pytest.mark.parametrize(
    ("annotations", "ports"),
    [
        ({}, []),
        ({"includeInboundPorts": "*"}, []),
        ({"excludeInboundPorts": ""}, []),
        ({"excludeInboundPorts": "9090, 8080,8080"}, [(8080, 8080), (9090, 9090)]),
        ({"excludeInboundPorts": "0,65535,65536,x,-1,\u0663,999999999999"}, [(65535, 65535)]),
        ({"includeInboundPorts": ""}, [(1, 65535)]),
        ({"includeInboundPorts": "8080,1"}, [(2, 8079), (8081, 65535)]),
        ({"includeInboundPorts": "80,65535", "excludeInboundPorts": "80"}, [(1, 79), (81, 65534)]),
        ({"interceptionMode": "NONE"}, [(1, 65535)]),
        ({"interceptionMode": "TPROXY"}, []),
    ],
)
def test_ports_that_the_sidecar_does_not_see(
    annotations: dict[str, str], ports: list[tuple[int, int]]
) -> None:
    prefix = {"interceptionMode": "sidecar.istio.io"}
    pod = replace(
        POD,
        annotations={
            f"{prefix.get(key, 'traffic.sidecar.istio.io')}/{key}": value
            for key, value in annotations.items()
        },
    )
    found = gitmesh_istio.member(pod, {}, MESHES)
    assert found is not None
    assert [(one.first, one.last) for one in found.unguarded] == ports


@pytest.mark.parametrize("container", ["istio-init", "istio-validation"])
def test_ports_that_the_injector_left_out_for_the_whole_mesh(container: str) -> None:
    """What it told the init container holds; annotations may have been edited since."""
    told = (
        "istio-iptables",
        "-m",
        "REDIRECT",
        "-x",
        "",
        "-b",
        "*",
        "-d",
        "15090,15021,9090",
        "--log_output_level=default:info",
    )
    pod = replace(
        POD,
        args={container: told, "web": ("-d", "80")},
        annotations={"traffic.sidecar.istio.io/excludeInboundPorts": "81"},
    )
    found = gitmesh_istio.member(pod, {}, MESHES)
    assert found is not None
    assert [one.first for one in found.unguarded] == [9090, 15021, 15090]


def test_what_the_injector_wrote_beats_what_was_asked_for() -> None:
    """istio.io/rev may be a tag, such as prod-stable; the status has the revision."""
    pod = replace(POD, annotations={STATUS: '{"revision":"canary"}'}, labels={"istio.io/rev": "prod-stable"})
    assert mesh_of(pod, istio_injection="enabled") == "istio-canary"


def test_revision_by_labels() -> None:
    assert mesh_of(replace(POD, labels={"istio.io/rev": "canary"})) == "istio-canary"
    assert gitmesh_istio.member(POD, {"istio.io/rev": "canary"}, MESHES) is not None
    assert mesh_of(POD, istio_injection="enabled") == "istio"


@pytest.mark.parametrize("status", ["", "{", "[]", '{"revision": 1}', "null"])
def test_status_annotation_that_cannot_be_read(status: str) -> None:
    assert mesh_of(replace(POD, annotations={STATUS: status}), istio_injection="enabled") == "istio"


def test_unknown_revision_with_one_mesh_only() -> None:
    pod = replace(POD, labels={"istio.io/rev": "prod-stable"})
    assert mesh_of(pod, MESHES[1:]) == "istio-canary"
    assert mesh_of(pod) == "istio"


def test_no_mesh_of_ours() -> None:
    assert mesh_of(POD, (Mesh(translator="linkerd", name="linkerd"),)) == ""


@pytest.mark.parametrize(
    "more",
    [
        {"labels": {"istio": "ingressgateway"}},
        {"labels": {"istio": "eastwestgateway"}},
        {"labels": {"gateway.networking.k8s.io/gateway-name": "edge"}},
        {"args": {"istio-proxy": ("proxy", "router", "--domain", "x")}},
    ],
)
def test_gateways(more: Any) -> None:
    found = gitmesh_istio.member(replace(POD, **more), {}, MESHES)
    assert found is not None
    assert found.gateway


def test_an_application_that_is_told_to_be_a_router_is_no_gateway() -> None:
    found = gitmesh_istio.member(
        replace(POD, args={"web": ("router",), "istio-proxy": ("proxy", "sidecar")}), {}, MESHES
    )
    assert found is not None
    assert not found.gateway


# --- what the mesh ignores

NAMESPACES = {
    "shop": {"team": "a", "istio-injection": "enabled"},
    "office": {"team": "b"},
    "istio-system": {},
}


def ignored(text: str) -> str:
    return detected(istiod(), configmaps=config(text), namespaces=NAMESPACES)[0].settings.get(
        "ignoredNamespaces", ""
    )


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ("[]", ""),
        ("[{}]", ""),
        ("[{matchLabels: {team: a}}]", "istio-system,office"),
        ("[{matchLabels: {team: a}}, {matchLabels: {team: b}}]", "istio-system"),
        ("[{matchLabels: {team: a, istio-injection: disabled}}]", "istio-system,office,shop"),
        ("[{matchLabels: {kubernetes.io/metadata.name: office}}]", "istio-system,shop"),
        ("[{matchExpressions: [{key: team, operator: In, values: [b, c]}]}]", "istio-system,shop"),
        ("[{matchExpressions: [{key: team, operator: NotIn, values: [b]}]}]", "office"),
        ("[{matchExpressions: [{key: team, operator: Exists}]}]", "istio-system"),
        ("[{matchExpressions: [{key: team, operator: DoesNotExist}]}]", "office,shop"),
        (
            "[{matchLabels: {team: a}, matchExpressions: [{key: team, operator: DoesNotExist}]}]",
            "istio-system,office,shop",
        ),
    ],
)
def test_namespaces_that_the_discovery_selectors_leave_out(selectors: str, expected: str) -> None:
    assert ignored(f"discoverySelectors: {selectors}") == expected


@pytest.mark.parametrize(
    "selectors",
    [
        "all",
        "[all]",
        "[{matchLabels: {team: a}}, null]",
        "[{matchExpressions: all}]",
        "[{matchExpressions: [{key: team, operator: Like, values: [a]}]}]",
        "[{matchExpressions: [{key: team, operator: In}]}]",
        "[{matchExpressions: [{key: team, operator: Exists, values: [a]}]}]",
        "[{matchExpressions: [{key: [team], operator: Exists}]}]",
        "[{matchExpressions: [{key: team, operator: In, values: a}]}]",
    ],
)
def test_Y05_selectors_that_istiod_does_not_take_leave_nothing_out(selectors: str) -> None:
    assert ignored(f"discoverySelectors: {selectors}") == ""


@pytest.mark.parametrize(
    ("version", "told", "scoped"),
    [
        ("1.21.6", "", False),
        ("1.21.6", "true", True),
        ("1.22.0", "", True),
        ("1.30.3", "false", True),
        ("latest", "", True),
    ],
)
def test_objects_were_read_everywhere_before_istio_1_22(version: str, told: str, scoped: bool) -> None:
    env = [{"name": "ENABLE_ENHANCED_RESOURCE_SCOPING", "value": told}]
    selectors = config("discoverySelectors: [{matchLabels: {a: b}}]")
    (mesh,) = detected(istiod(image=f"pilot:{version}", env=env), configmaps=selectors, namespaces=NAMESPACES)
    assert ("ignoredNamespaces" in mesh.settings) is scoped


def test_a_pod_that_the_mesh_ignores_is_no_member_but_a_gateway_is() -> None:
    meshes = (replace(MESHES[0], settings={"ignoredNamespaces": "office,shop"}), MESHES[1])
    assert mesh_of(POD, meshes, istio_injection="enabled") == ""
    assert mesh_of(replace(POD, labels={"istio.io/rev": "canary"}), meshes) == "istio-canary"
    assert mesh_of(replace(POD, labels={"istio": "ingressgateway"}), meshes) == "istio"


def test_who_validates_and_analyses_is_a_setting_of_the_mesh() -> None:
    rule = {"apiGroups": ["*"], "resources": ["*"], "operations": ["*"]}
    validator = {
        "metadata": {"name": "istiod-default-validator"},
        "webhooks": [{"name": "validation.istio.io", "rules": [rule]}],
    }
    analysing = istiod("canary", env=[{"name": "PILOT_ENABLE_ANALYSIS", "value": "true"}])
    canary, default = sorted(
        detected(analysing, istiod(), validators=(validator,)), key=lambda mesh: mesh.name, reverse=True
    )
    assert canary.settings.items() >= {"analysisInterval": "10000", "validation": "Fail"}.items()
    assert default.settings["validation"] == "Fail"
    assert "analysisInterval" not in default.settings
    assert detected(istiod())[0].settings == {"clusterDomain": "cluster.local"}
