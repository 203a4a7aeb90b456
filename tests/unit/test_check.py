"""Static findings across the policies of one revision."""

from __future__ import annotations

from typing import Any

import pytest

from gitmesh.diagnostics import Severity
from gitmesh.model.policies import Policy
from gitmesh.resolution.check import check
from tests.factories import access, policy, traffic

CLUSTERS: dict[str, dict[str, str]] = {"east": {}, "west": {}}


def found(*policies: Policy, clusters: dict[str, dict[str, str]] | None = None) -> list[tuple[str, str]]:
    return [(d.code, d.field) for d in check(policies, CLUSTERS if clusters is None else clusters)]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (
            traffic("t", [{"all": True}, {"clusters": ["eats"]}], timeout="1s"),
            "spec.destinations[1].clusters[0]",
        ),
        (traffic("t", timeout="1s", sources=[{"clusters": ["east", "eats"]}]), "spec.sources[0].clusters[1]"),
        (access("a", sources=[{"clusters": ["eats"]}]), "spec.sources[0].clusters[0]"),
        (
            access("a", sources=[{"serviceAccounts": [{"name": "x", "cluster": "eats"}]}]),
            "spec.sources[0].serviceAccounts[0].cluster",
        ),
        (policy("VirtualMesh", "v", meshes=[{"cluster": "eats"}]), "spec.meshes[0].cluster"),
        (
            policy("VirtualMesh", "v", meshes=[{"selector": {"clusters": ["eats"]}}]),
            "spec.meshes[0].selector.clusters[0]",
        ),
    ],
)
def test_unknown_cluster_names(wrong: Policy, field: str) -> None:
    [diagnostic] = check([wrong], CLUSTERS)
    assert (diagnostic.code, diagnostic.field, diagnostic.hint) == ("GM207", field, "did you mean east?")


def test_all_that_are_equally_near_are_suggested() -> None:
    [diagnostic] = check([traffic("t", [{"clusters": ["eest"]}], timeout="1s")], CLUSTERS)
    assert diagnostic.hint == "did you mean east or west?"


def test_an_adoption_that_names_no_cluster_is_told_and_refuses_nothing() -> None:
    ids = [f"{name}/networking.istio.io/VirtualService/shop/reviews" for name in ("eats", "east")]
    adoption = policy("Adoption", "a", objects=ids)
    [diagnostic] = check([adoption], CLUSTERS)
    assert (diagnostic.code, diagnostic.field, diagnostic.hint) == (
        "GM207",
        "spec.objects[0]",
        "did you mean east?",
    )
    assert diagnostic.severity is Severity.WARNING
    assert check([adoption], {}) == ()


def test_without_configuration_cluster_names_are_not_checked() -> None:
    assert found(traffic("t", [{"clusters": ["any"]}], timeout="1s"), clusters={}) == []


@pytest.mark.parametrize("match", [{"path": {"prefix": "/"}}, {"port": 80, "method": "GET"}])
def test_connection_fields_with_other_matches(match: dict[str, Any]) -> None:
    assert found(traffic("t", tls={"mode": "Disable"}, matches=[{"port": 80}, match])) == [
        ("GM203", "spec.tls")
    ]
    assert found(traffic("t", tls={"mode": "Disable"}, matches=[{"port": 80}])) == []


@pytest.mark.parametrize("field", ["rewrite", "redirect"])
def test_prefix_replacement_needs_a_prefix(field: str) -> None:
    value: dict[str, Any] = {field: {"path": {"replacePrefixMatch": "/"}}}
    at = [("GM203", f"spec.{field}.path.replacePrefixMatch")]
    assert found(traffic("t", **value)) == at
    assert found(traffic("t", matches=[{"path": {"prefix": "/a"}}, {"path": {"exact": "/a"}}], **value)) == at
    assert (
        found(traffic("t", matches=[{"path": {"prefix": "/a"}}, {"path": {"stringPrefix": "/a"}}], **value))
        == []
    )


def test_mesh_in_two_virtual_meshes_by_name() -> None:
    def mesh(owner: str, **reference: Any) -> Policy:
        return policy("VirtualMesh", owner, meshes=[reference])

    one = mesh("a", cluster="east", name="istio")
    assert [code for code, _ in found(one, mesh("b", cluster="east"))] == ["GM214", "GM214"]
    assert found(one, mesh("b", cluster="east", name="istio-2"), mesh("c", cluster="west")) == []


def test_P17_contradictions_by_exact_name() -> None:
    a, b = traffic("a", timeout="1s"), traffic("b", timeout="2s")
    assert found(a, b) == [("GM210", "spec.timeout"), ("GM210", "spec.timeout")]
    assert found(b, a, clusters={}) == found(a, b)
    assert found(a, traffic("b", timeout="1s")) == []
    assert found(a, traffic("b", timeout="2s", priority=1)) == []
    assert found(a, traffic("b", retries={"attempts": 1})) == []


def test_P17_contradiction_needs_a_common_cluster() -> None:
    def in_cluster(name: str, timeout: str, **places: Any) -> Policy:
        return traffic(name, [{"name": "reviews", **places}], timeout=timeout)

    assert found(in_cluster("a", "1s", clusters=["east"]), in_cluster("b", "2s", clusters=["west"])) == []
    assert found(in_cluster("a", "1s", clusters=["east"]), in_cluster("b", "2s")) != []
    assert found(in_cluster("a", "1s"), in_cluster("b", "2s", namespaces=["other"])) == []
    one = traffic("a", timeout="1s", sources=[{"clusters": ["east"]}])
    assert found(one, traffic("b", timeout="2s", sources=[{"clusters": ["west"]}])) == []


def test_selectors_are_left_to_facts() -> None:
    by_label: list[dict[str, Any]] = [{"labels": {"app": "reviews"}}]
    assert found(traffic("a", by_label, timeout="1s"), traffic("b", by_label, timeout="2s")) == []


def test_a_port_name_and_a_number_may_differ() -> None:
    a, b = (
        traffic(n, timeout=t, matches=[{"port": p}]) for n, t, p in (("a", "1s", 80), ("b", "2s", "http"))
    )
    assert found(a, b) == []
    same = traffic("c", timeout="3s", matches=[{"port": "http"}])
    assert [code for code, _ in found(b, same)] == ["GM210", "GM210"]
