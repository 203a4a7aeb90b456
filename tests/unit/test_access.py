"""AccessPolicies and VirtualMesh defaults, resolved for one destination."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.grants import Access, Principal
from gitmesh.model.policies import Policy
from gitmesh.model.services import ServicePort
from gitmesh.model.units import AccessUnit
from gitmesh.model.workloads import PortRange
from gitmesh.resolution.resolve import Resolution, resolve
from tests.factories import access, facts, policy, service, shop, workload
from tests.rendered import rendered

MIXED = (
    ServicePort(number=80, name="http", target="web"),
    ServicePort(number=81, target=0),
    ServicePort(number=82, target="gone"),
)


def resolved(policies: list[Policy], *clusters: ClusterFacts, unknown: tuple[str, ...] = ()) -> Resolution:
    known: dict[str, ClusterFacts | None] = {known.cluster: known for known in clusters or (shop(),)}
    known |= dict.fromkeys(unknown)
    return resolve(policies, known, {name: {} for name in known})


def decision(resolution: Resolution, name: str = "reviews") -> Access:
    found = [u for u in resolution.units["east"] if isinstance(u, AccessUnit) and u.service.name == name]
    assert found, resolution.diagnostics
    return found[0].access


def codes(resolution: Resolution) -> list[str]:
    return [diagnostic.code for diagnostic in resolution.diagnostics]


def sources(*items: dict[str, Any], **spec: Any) -> Policy:
    return access("a", sources=list(items), **spec)


def principals(
    *items: dict[str, Any], west: str = "west.local", action: str = "Allow"
) -> tuple[tuple[Principal, ...], str]:
    accounts = frozenset({("shop", "default"), ("shop", "client")})
    east, other = shop(service_accounts=accounts), shop("west", trust=west, service_accounts=accounts)
    found = decision(resolved([sources(*items, action=action)], east, other))
    caller = (found.allows or found.denies)[0].callers[0]
    return caller.principals, caller.inexpressible


def deny_mesh(**spec: Any) -> Policy:
    return policy("VirtualMesh", "vm", meshes=[{"selector": {"all": True}}], accessDefault="Deny", **spec)


def test_targets_are_workload_ports() -> None:
    pods = (
        workload(ports={"web": 8001}),
        workload("reviews-v2", labels={"app": "reviews"}, ports={"web": 8002}),
    )
    found = decision(resolved([access("a")], facts("east", service(ports=MIXED), *pods)))
    assert found.targets == (81, 8001, 8002)
    assert found.unresolved_targets == ("gone",)
    assert found.governed_ports == (81, 8001, 8002)


def test_rule_ports_become_targets() -> None:
    found = decision(resolved([access("a", rules=[{"ports": ["http"], "methods": ["PUT", "GET"]}])]))
    assert found.allows[0].operations[0].targets == (8080,)
    assert found.allows[0].operations[0].methods == ("GET", "PUT")


def test_missing_rule_port_holds_the_unit() -> None:
    resolution = resolved([access("a", rules=[{"ports": ["grpc"]}])])
    assert codes(resolution) == ["GM208"]
    assert [key.name for key in resolution.held["east"]] == ["reviews"]


def test_guarded_includes_services_that_could_share_pods_later() -> None:
    other = service("other", selector={"tier": "web"}, ports=(ServicePort(number=90, target=9090),))
    apart = service(
        "apart", selector={"app": "apart", "tier": "web"}, ports=(ServicePort(number=70, target=7070),)
    )
    resolution = resolved(
        [access("d", action="Deny"), access("a", "other"), access("b", "apart")],
        facts("east", service(), other, apart, workload()),
    )
    found = decision(resolution)
    assert not found.governed
    assert found.governed_ports == (9090,)


def test_shared_workload_is_named() -> None:
    twin = service("twin", selector={"app": "reviews"})
    resolution = resolved([access("a")], shop("east", twin))
    assert codes(resolution) == ["GM213"]
    assert "shop/twin" in resolution.diagnostics[0].message
    both = resolved([access("a", [{"name": "reviews"}, {"name": "twin"}])], shop("east", twin))
    assert codes(both) == []


def test_account_without_cluster_has_every_trust_domain_in_an_allow() -> None:
    found, inexpressible = principals({"serviceAccounts": [{"name": "client"}]})
    assert found == tuple(
        Principal(trust_domain=td, namespace="shop", service_account="client")
        for td in ("cluster.local", "west.local")
    )
    assert inexpressible == ""


def test_deny_without_cluster_means_any_trust_domain() -> None:
    assert principals({"serviceAccounts": [{"name": "client"}]}, action="Deny")[0] == (
        Principal(namespace="shop", service_account="client"),
    )


def test_account_bound_to_a_cluster_needs_its_own_trust_domain() -> None:
    item = {"serviceAccounts": [{"name": "client", "cluster": "east"}]}
    assert principals(item)[0] == (
        Principal(trust_domain="cluster.local", namespace="shop", service_account="client"),
    )
    found, inexpressible = principals(item, west="cluster.local")
    assert found == ()
    assert inexpressible == "clusters east and west share the trust domain cluster.local"


@pytest.mark.parametrize("hostile", ["*", "west.local/ns/shop/sa/client#", "a b", ""])
def test_a_trust_domain_that_would_be_a_pattern_is_nobodys(hostile: str) -> None:
    """Whoever may configure one mesh must not become everybody in the policies of the others."""
    own = (Principal(trust_domain="cluster.local", namespace="shop", service_account="client"),)
    assert principals({"serviceAccounts": [{"name": "client"}]}, west=hostile) == (own, "")
    found, inexpressible = principals(
        {"serviceAccounts": [{"name": "client", "cluster": "west"}]}, west=hostile
    )
    assert (found, inexpressible) == ((), "cluster west has no mesh with a trust domain")


def test_namespaces_and_clusters_are_anded() -> None:
    assert principals({"namespaces": ["web"], "clusters": ["west"]})[0] == (
        Principal(trust_domain="west.local", namespace="web"),
    )
    assert principals({"clusters": ["west"]})[0] == (Principal(trust_domain="west.local"),)


def test_addresses_alone_and_with_identities() -> None:
    items = [{"ipBlocks": ["10.0.0.0/8"]}, {"namespaces": ["web"], "notIpBlocks": ["10.0.0.1"]}]
    callers = decision(resolved([sources(*items)])).allows[0].callers
    assert [(c.kind, c.ip_blocks, c.not_ip_blocks) for c in callers] == [
        ("address", ("10.0.0.0/8",), ()),
        ("principals", (), ("10.0.0.1",)),
    ]


def test_identity_of_an_unknown_cluster_holds() -> None:
    resolution = resolved([sources({"clusters": ["west"]})], shop(), unknown=("west",))
    assert "reviews" in [key.name for key in resolution.held["east"]]
    assert "GM216" in codes(resolution)


def test_workloads_outside_the_mesh_are_unenforced() -> None:
    bare = workload("bare", labels={"app": "reviews"}, mesh="")
    resolution = resolved([access("a")], facts("east", service(), workload(), bare))
    assert codes(resolution) == ["GM308"]
    assert "Deployment shop/bare" in resolution.diagnostics[0].message
    assert decision(resolution).governed


@pytest.mark.parametrize(("pods", "bare"), [(3, 1), (4, 2)])
def test_pods_without_a_proxy_beside_others_with_one_are_unenforced(pods: int, bare: int) -> None:
    """How many they are is no part of what is said: it moves while a workload grows."""
    resolution = resolved(
        [access("a")], facts("east", service(), workload(pods=pods - bare), workload(pods=bare, mesh=""))
    )
    (said,) = resolution.diagnostics
    assert (said.code, said.detail) == ("GM308", f"{bare} of {pods} pods of reviews")
    assert (
        said.message
        == "behind Service shop/reviews these are in no mesh: Deployment shop/reviews (some of its pods)"
    )
    assert decision(resolution).governed


def test_ports_that_proxies_do_not_see_are_unenforced() -> None:
    def said(first: int, last: int) -> list[str]:
        unseen = workload(unguarded=(PortRange(first=first, last=last),))
        return [d.message for d in resolved([access("a")], facts("east", service(), unseen)).diagnostics]

    assert said(1, 65535) == [
        "behind Service shop/reviews mesh istio guards no port of Deployment shop/reviews"
    ]
    assert said(8080, 8080) == [
        "behind Service shop/reviews the proxies do not see port 8080 of Deployment shop/reviews"
    ]
    assert said(1, 8079) == said(8081, 65535) == []


def test_service_without_selector_has_nothing_to_guard() -> None:
    resolution = resolved([access("a")], facts("east", service(selector={})))
    assert codes(resolution) == ["GM308"]
    assert not any(isinstance(unit, AccessUnit) for unit in resolution.units["east"])


def test_no_pods_yet_is_no_finding() -> None:
    resolution = resolved([access("a"), deny_mesh()], facts("east", service()))
    assert codes(resolution) == []
    assert decision(resolution).default == "Deny"


def test_the_strictest_default_of_several_meshes() -> None:
    meshes = [
        Mesh(translator="istio", name=name, root_namespace=name, trust_domain="t")
        for name in ("istio", "istio-2")
    ]
    mesh = policy("VirtualMesh", "v", meshes=[{"cluster": "east", "name": "istio"}], accessDefault="Deny")
    pods = (workload(), workload("two", labels={"app": "reviews"}, mesh="istio-2"))
    found = decision(resolved([access("a"), mesh], facts("east", service(), *pods, *meshes)))
    assert found.default == "Deny"


def named_port_world() -> ClusterFacts:
    """Port web of reviews is 8080 on one workload and 9090 on the other; ratings has 9090 on the first."""
    ports = (ServicePort(number=80, name="http", target="web", protocol="http"),)
    one = workload("one", labels={"app": "reviews", "tier": "x"}, ports={"web": 8080})
    two = workload("two", labels={"app": "reviews"}, ports={"web": 9090})
    side = service("ratings", selector={"tier": "x"}, ports=(ServicePort(number=80, target=9090),))
    return facts("east", service(ports=ports), side, one, two)


def test_a_named_port_of_some_pods_is_not_opened_where_the_default_denies() -> None:
    assert decision(resolved([access("a"), deny_mesh()], named_port_world())).mixed == (8080, 9090)


def test_a_named_port_of_some_pods_is_not_opened_where_another_destination_governs_it() -> None:
    assert decision(resolved([access("a"), access("b", "ratings")], named_port_world())).mixed == (9090,)
    assert decision(resolved([access("a")], named_port_world())).mixed == ()


def test_exemption_by_port_on_destinations_without_policies() -> None:
    resolution = resolved([deny_mesh(accessExempt={"ports": ["http"]})])
    exempt = decision(resolution).exempt
    assert exempt
    assert exempt.targets == (8080,)
    assert decision(resolution, "ratings").exempt
    assert resolved([deny_mesh(accessExempt={"ports": [9999]})]).units["east"][:-1] == ()


def test_exemption_never_opens_what_an_allow_governs() -> None:
    twin = service("twin", selector={"app": "reviews"})
    resolution = resolved(
        [access("a"), deny_mesh(accessExempt={"sources": [{"all": True}]})], shop("east", twin)
    )
    assert decision(resolution).exempt is None
    assert not [u for u in resolution.units["east"] if isinstance(u, AccessUnit) and u.service.name == "twin"]


def test_deny_default_without_exemption_needs_no_unit() -> None:
    assert [unit.key.half for unit in resolved([deny_mesh()]).units["east"]] == ["mesh"]


def test_P05_deny_by_path_depends_on_normalisation() -> None:
    rules = [{"paths": ["/admin*"]}]
    assert codes(resolved([access("a", action="Deny", rules=rules)])) == ["GM310"]
    assert codes(resolved([access("a", rules=rules)])) == []


def test_P17_allow_and_deny_are_both_kept() -> None:
    found = decision(resolved([access("a"), access("d", action="Deny", sources=[{"namespaces": ["web"]}])]))
    assert (len(found.allows), len(found.denies), found.governed) == (1, 1, True)


def swapped() -> tuple[Any, ...]:
    """The same two container ports, which stand for `http` and `admin` on one pod and for `admin` and `http`
    on the other.
    """
    ports = (
        ServicePort(number=80, name="http", target="web"),
        ServicePort(number=81, name="admin", target="admin"),
    )
    one = workload("one", labels={"app": "reviews"}, ports={"web": 8080, "admin": 9090})
    two = workload("two", labels={"app": "reviews"}, ports={"web": 9090, "admin": 8080})
    return service(ports=ports), one, two


def test_a_port_that_stands_for_another_one_on_other_pods_is_not_opened() -> None:
    """Found by the calculator: an Allow on `http` opened `admin` of every pod, and nothing was said."""
    found = rendered({"a.yaml": _text("Allow")}, {"east": facts("east", *swapped())})
    (rest,) = found.bodies[0]["spec"]["rules"]
    assert rest == {"to": [{"operation": {"notPorts": ["8080", "9090"]}}]}
    assert [finding.code for finding in found.findings] == ["GM304"]


def test_a_deny_on_such_a_port_denies_both() -> None:
    found = rendered({"a.yaml": _text("Deny")}, {"east": facts("east", *swapped())})
    assert found.bodies[0]["spec"]["rules"] == [{"to": [{"operation": {"ports": ["8080", "9090"]}}]}]


def test_such_a_port_is_not_exempt() -> None:
    mesh = {
        "meshes": [{"selector": {"all": True}}],
        "accessDefault": "Deny",
        "accessExempt": {"ports": ["http"]},
    }
    found = rendered({"m.yaml": _document("VirtualMesh", mesh)}, {"east": facts("east", *swapped())})
    assert "reviews-allow" not in [body["metadata"]["name"] for body in found.bodies]
    assert [finding.code for finding in found.findings] == ["GM304"]


def _text(action: str) -> str:
    rules = [{"ports": ["http"]}]
    return _document(
        "AccessPolicy",
        {"action": action, "sources": [{"all": True}], "destinations": [{"name": "reviews"}], "rules": rules},
    )


def _document(kind: str, spec: dict[str, Any]) -> str:
    return json.dumps(
        {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": "page", "namespace": "shop"},
            "spec": spec,
        }
    )
