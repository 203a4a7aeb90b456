"""AuthorizationPolicies: what is admitted on which port, and that what cannot be said closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gitmesh.model.conditions import NamedCondition, TextCondition
from gitmesh.model.facts import Mesh
from gitmesh.model.grants import Caller, Exemption, Operation, Principal
from gitmesh.model.manifests import Fragment
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import AccessUnit
from tests.unit.istio.units import SLEEP, caller, codes, grant, guarded, only, origin, service, translated

ANYBODY = caller(kind="all")
PORTS = {"to": [{"operation": {"ports": ["8080"]}}]}
REST = {"to": [{"operation": {"notPorts": ["8080"]}}]}


def allow(one: AccessUnit, *meshes: Mesh) -> Fragment:
    return only(translated(one, *meshes), "AuthorizationPolicy", "reviews-allow")


def deny(one: AccessUnit, *meshes: Mesh) -> Fragment:
    return only(translated(one, *meshes), "AuthorizationPolicy", "reviews-deny")


def rules(fragment: Fragment) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fragment.spec.get("rules", [])
    return found


def granted(*callers: Caller, operations: Sequence[Operation] = (), **more: Any) -> list[dict[str, Any]]:
    """The Allow's rules of one grant, under a default of Deny, so without the rule for other ports."""
    return rules(allow(guarded([grant(*callers, operations=operations)], default="Deny", **more)))


def refused(*callers: Caller, operations: Sequence[Operation] = (), **more: Any) -> list[dict[str, Any]]:
    """The Deny's rules of one grant."""
    return rules(deny(guarded((), [grant(*callers, operations=operations)], **more)))


def header(name: str, form: Any, value: str = "", invert: bool = False) -> NamedCondition:
    return NamedCondition(name=name, condition=TextCondition(form=form, value=value), invert=invert)


# --- the objects


def test_objects_of_a_destination() -> None:
    one = guarded([grant(caller(SLEEP))], [grant(ANYBODY)], of=service(app="reviews", tier="x"))
    allowing, denying = allow(one), deny(one)
    assert (allowing.key.group, allowing.key.namespace, allowing.version) == (
        "security.istio.io",
        "shop",
        "v1",
    )
    for fragment, action in ((allowing, "ALLOW"), (denying, "DENY")):
        assert fragment.spec["action"] == action
        assert fragment.spec["selector"] == {"matchLabels": {"app": "reviews", "tier": "x"}}


def test_every_grant_carries_its_target_ports_as_text() -> None:
    assert granted(ANYBODY) == [PORTS]


def test_other_ports_of_the_pod_keep_their_default() -> None:
    assert rules(allow(guarded([grant(ANYBODY)], default="MeshDefault"))) == [REST, PORTS]
    assert rules(allow(guarded([grant(ANYBODY)], default="Allow"))) == [REST, PORTS]


def test_ports_that_another_services_allow_guards_are_not_opened() -> None:
    found = rules(allow(guarded([grant(ANYBODY)], governed_ports=(8080, 9090))))
    assert {"to": [{"operation": {"notPorts": ["8080", "9090"]}}]} in found


def test_a_default_of_deny_closes_other_ports() -> None:
    assert granted(ANYBODY) == [PORTS]


def test_unknown_ports_close_the_pod_and_say_so() -> None:
    one = guarded([grant(ANYBODY)], unresolved_targets=("web",))
    translation = translated(one)
    assert codes(translation) == ["GM304"]
    assert rules(only(translation, "AuthorizationPolicy")) == [PORTS]


def test_P03_grant_that_cannot_be_said_still_closes() -> None:
    nobody = Caller(kind="principals", inexpressible="cluster west shares its trust domain")
    translation = translated(guarded([grant(nobody)]))
    assert codes(translation) == ["GM301"]
    assert not bool(translation.held)
    assert rules(only(translation, "AuthorizationPolicy")) == [REST]


def test_P03_allow_without_rules_denies_all_under_a_default_of_deny() -> None:
    nobody = Caller(kind="principals", inexpressible="x")
    fragment = allow(guarded([grant(nobody)], default="Deny"))
    assert fragment.spec == {"selector": {"matchLabels": {"app": "reviews"}}, "action": "ALLOW"}


def test_no_deny_no_object() -> None:
    names = [fragment.key.name for fragment in translated(guarded([grant(ANYBODY)])).fragments]
    assert names == ["reviews-allow"]


def test_P04_service_without_selector_gets_no_object_that_would_select_the_namespace() -> None:
    bare = Service(namespace="shop", name="reviews", ports=service().ports)
    assert translated(guarded([grant(ANYBODY)], of=bare)).fragments == ()


# --- exemptions


def exempted(exempt: Exemption, **more: Any) -> list[dict[str, Any]]:
    found = translated(guarded((), **{"default": "Deny", "exempt": exempt, **more})).fragments
    return rules(found[0]) if found else []


def test_exempt_port_under_a_default_of_deny() -> None:
    assert exempted(Exemption(targets=(8080,), origin=origin())) == [PORTS]


def test_exempt_callers_on_all_ports_of_the_destination() -> None:
    found = exempted(Exemption(callers=(caller(SLEEP),), origin=origin()))
    assert found == [{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/sleep"]}}], **PORTS}]


def test_exemptions_never_open_a_guarded_port() -> None:
    assert exempted(Exemption(targets=(8080, 9090), origin=origin()), governed_ports=(8080,)) == [
        {"to": [{"operation": {"ports": ["9090"]}}]}
    ]
    assert exempted(Exemption(targets=(8080,), origin=origin()), governed_ports=(8080,)) == []


def test_exempt_caller_that_cannot_be_said_is_not_exempt() -> None:
    assert exempted(Exemption(callers=(Caller(kind="principals", inexpressible="x"),), origin=origin())) == []


# --- callers


@pytest.mark.parametrize(
    ("who", "source"),
    [
        (caller(kind="authenticated"), {"principals": ["*"]}),
        (caller(SLEEP), {"principals": ["cluster.local/ns/shop/sa/sleep"]}),
        (caller(Principal(trust_domain="td", namespace="shop")), {"principals": ["td/ns/shop/*"]}),
        (caller(Principal(trust_domain="td")), {"principals": ["td/*"]}),
        (
            caller(Principal(namespace="shop", service_account="sleep")),
            {"principals": ["*/ns/shop/sa/sleep"]},
        ),
        (caller(Principal(service_account="sleep")), {"principals": ["*/sa/sleep"]}),
        (caller(Principal(namespace="shop")), {"namespaces": ["shop"]}),
        (caller(Principal()), {"principals": ["*"]}),
        (caller(kind="address", ip_blocks=("10.0.0.0/8",)), {"ipBlocks": ["10.0.0.0/8"]}),
        (
            caller(SLEEP, ip_blocks=("10.0.0.0/8",), not_ip_blocks=("10.1.0.0/16",)),
            {
                "principals": ["cluster.local/ns/shop/sa/sleep"],
                "ipBlocks": ["10.0.0.0/8"],
                "notIpBlocks": ["10.1.0.0/16"],
            },
        ),
        (caller(kind="all", not_ip_blocks=("10.0.0.1",)), {"notIpBlocks": ["10.0.0.1"]}),
    ],
)
def test_callers(who: Caller, source: Any) -> None:
    assert granted(who) == [{"from": [{"source": source}], **PORTS}]


def test_everybody_is_a_rule_without_from() -> None:
    assert granted(ANYBODY, caller(SLEEP)) == [PORTS]


def test_namespaces_and_accounts_are_alternatives() -> None:
    found = granted(caller(SLEEP, Principal(namespace="web")))
    assert found[0]["from"] == [
        {"source": {"namespaces": ["web"]}},
        {"source": {"principals": ["cluster.local/ns/shop/sa/sleep"]}},
    ]


def test_order_of_callers_does_not_matter() -> None:
    one, other = caller(SLEEP), caller(kind="address", ip_blocks=("10.0.0.1",))
    assert granted(one, other) == granted(other, one)


def test_what_can_be_said_of_a_caller_is_admitted() -> None:
    found = granted(caller(SLEEP, inexpressible="cluster west shares its trust domain"))
    assert found == [{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/sleep"]}}], **PORTS}]


def test_account_of_any_namespace_in_one_trust_domain_has_no_pattern() -> None:
    translation = translated(
        guarded([grant(caller(Principal(trust_domain="td", service_account="x")))], default="Deny")
    )
    assert codes(translation) == ["GM301"]
    assert rules(only(translation, "AuthorizationPolicy")) == []


CORP = Mesh(translator="istio", name="istio", version="1.30.3", trust_domain="corp.example")


def test_cluster_local_of_another_mesh_would_be_read_as_the_own_trust_domain() -> None:
    translation = translated(guarded([grant(caller(SLEEP))], default="Deny"), CORP)
    assert codes(translation) == ["GM301"]
    assert rules(only(translation, "AuthorizationPolicy")) == []


def test_a_deny_of_it_is_widened_instead() -> None:
    translation = translated(guarded((), [grant(caller(SLEEP))]), CORP)
    assert codes(translation) == ["GM301", "GM304"]
    assert rules(only(translation, "AuthorizationPolicy")) == [PORTS]


def test_namespaces_of_cluster_local_are_taken_literally() -> None:
    found = translated(
        guarded([grant(caller(Principal(trust_domain="cluster.local", namespace="shop")))], default="Deny"),
        CORP,
    )
    assert codes(found) == []


def test_aliases_of_the_trust_domain_are_said() -> None:
    mesh = Mesh(translator="istio", name="istio", trust_domain="new", settings={"trustDomainAliases": "old"})
    who = caller(Principal(trust_domain="new", namespace="shop", service_account="a"))
    assert codes(translated(guarded([grant(who)]), mesh)) == ["GM303"]


# --- denies


def test_identity_based_deny_also_denies_callers_without_identity() -> None:
    found = refused(caller(SLEEP))
    assert found[0]["from"] == [
        {"source": {"notPrincipals": ["*"]}},
        {"source": {"principals": ["cluster.local/ns/shop/sa/sleep"]}},
    ]


def test_callers_without_identity_are_denied_at_the_same_addresses_only() -> None:
    found = refused(caller(SLEEP, ip_blocks=("10.0.0.1",)))
    assert {"source": {"notPrincipals": ["*"], "ipBlocks": ["10.0.0.1"]}} in found[0]["from"]


def test_deny_by_address_alone_is_as_it_is() -> None:
    assert refused(caller(kind="address", ip_blocks=("10.0.0.1",)))[0]["from"] == [
        {"source": {"ipBlocks": ["10.0.0.1"]}}
    ]


@pytest.mark.parametrize(
    "who",
    [
        Caller(kind="principals", inexpressible="x"),
        caller(SLEEP, inexpressible="x"),
        caller(Principal(trust_domain="t", service_account="a")),
    ],
)
def test_deny_of_a_caller_that_cannot_be_said_is_widened(who: Caller) -> None:
    translation = translated(guarded((), [grant(who)]))
    assert codes(translation) == ["GM301", "GM304"]
    assert rules(only(translation, "AuthorizationPolicy")) == [PORTS]


def test_deny_acts_on_ports_of_the_destination_only() -> None:
    assert refused(ANYBODY) == [PORTS]


@pytest.mark.parametrize("more", [{"unresolved_targets": ("web",)}, {"targets": ()}])
def test_deny_of_unknown_ports_acts_on_all(more: Any) -> None:
    translation = translated(guarded((), [grant(ANYBODY)], **more))
    assert codes(translation) == ["GM304"]
    assert rules(only(translation, "AuthorizationPolicy")) == [{}]


def test_an_allow_does_not_open_a_port_that_only_some_pods_have_behind_the_destination() -> None:
    translation = translated(guarded([grant(ANYBODY)], targets=(8080, 9090), mixed=(9090,), default="Deny"))
    assert codes(translation) == ["GM304"]
    assert rules(only(translation, "AuthorizationPolicy")) == [{"to": [{"operation": {"ports": ["8080"]}}]}]


# --- operations


def test_operations_are_rules_of_their_own() -> None:
    """Istio drops a whole rule of an ALLOW for one operation that does not fit the port."""
    found = granted(
        ANYBODY,
        operations=[
            Operation(paths=("/a",), methods=("GET",)),
            Operation(targets=(8080,), methods=("PUT", "POST")),
        ],
    )
    assert found == [
        {"to": [{"operation": {"methods": ["GET"], "paths": ["/a"], "ports": ["8080"]}}]},
        {"to": [{"operation": {"methods": ["POST", "PUT"], "ports": ["8080"]}}]},
    ]


def test_operation_with_an_unknown_port_admits_nothing() -> None:
    one = guarded([grant(ANYBODY, operations=[Operation(unresolved_ports=("web",))])], default="Deny")
    translation = translated(one)
    assert codes(translation) == ["GM304"]
    assert rules(only(translation, "AuthorizationPolicy")) == []


def test_deny_of_an_unknown_port_covers_the_destination() -> None:
    assert refused(ANYBODY, operations=[Operation(unresolved_ports=("web",))]) == [PORTS]


def test_no_known_port_admits_nothing() -> None:
    translation = translated(guarded([grant(ANYBODY)], targets=(), governed_ports=(), default="Deny"))
    assert codes(translation) == ["GM304"]
    assert rules(only(translation, "AuthorizationPolicy")) == []


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("a.example", ["a.example", "a.example:*"]),
        ("a.example:8080", ["a.example:8080"]),
        ("a.*", ["a.*"]),
        ("*", ["*"]),
        ("[::1]", ["[::1]", "[::1]:*"]),
    ],
)
def test_a_port_in_the_host_header_neither_escapes_nor_locks_out(text: str, forms: list[str]) -> None:
    for found in (
        granted(ANYBODY, operations=[Operation(hosts=(text,))]),
        refused(ANYBODY, operations=[Operation(hosts=(text,))]),
    ):
        assert found[0]["to"][0]["operation"]["hosts"] == forms


def test_suffix_hosts_of_an_allow_cover_the_services_ports() -> None:
    translation = translated(
        guarded([grant(ANYBODY, operations=[Operation(hosts=("*.example",))])], default="Deny")
    )
    assert codes(translation) == ["GM304"]
    assert rules(only(translation, "AuthorizationPolicy"))[0]["to"][0]["operation"]["hosts"] == [
        "*.example",
        "*.example:80",
    ]


def test_suffix_hosts_of_a_deny_cover_every_host() -> None:
    translation = translated(guarded((), [grant(ANYBODY, operations=[Operation(hosts=("*.example",))])]))
    assert codes(translation) == ["GM304"]
    assert rules(only(translation, "AuthorizationPolicy")) == [PORTS]


@pytest.mark.parametrize("path", ["/a/{*}", "/a{", "/}"])
def test_braces_in_a_path_admit_nothing(path: str) -> None:
    translation = translated(guarded([grant(ANYBODY, operations=[Operation(paths=(path,))])], default="Deny"))
    assert codes(translation) == ["GM301"]
    assert rules(only(translation, "AuthorizationPolicy")) == []


def test_braces_in_a_path_widen_a_deny() -> None:
    translation = translated(
        guarded((), [grant(ANYBODY, operations=[Operation(paths=("/a/{x}", "/b"), methods=("GET",))])])
    )
    assert codes(translation) == ["GM301"]
    assert rules(only(translation, "AuthorizationPolicy")) == [
        {"to": [{"operation": {"methods": ["GET"], "ports": ["8080"]}}]}
    ]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (header("x", "exact", "1"), {"values": ["1"]}),
        (header("x", "prefix", "1"), {"values": ["1*"]}),
        (header("x", "suffix", "1"), {"values": ["*1"]}),
        (header("x", "present"), {"values": ["*"]}),
        (header("x", "present", invert=True), {"notValues": ["*"]}),
        (header("x", "exact", "1", invert=True), {"notValues": ["1"]}),
    ],
)
def test_header_conditions(condition: NamedCondition, expected: Any) -> None:
    found = granted(ANYBODY, operations=[Operation(headers=(condition,))])
    assert found == [{**PORTS, "when": [{"key": "request.headers[x]", **expected}]}]


def test_header_with_the_empty_value_closes() -> None:
    empty = Operation(headers=(header("x", "exact", ""),), methods=("GET",))
    assert granted(ANYBODY, operations=[empty]) == []
    assert refused(ANYBODY, operations=[empty]) == [
        {"to": [{"operation": {"methods": ["GET"], "ports": ["8080"]}}]}
    ]


SAYS_HTTP = ServicePort(number=80, target=8080, protocol="http")
SAYS_TCP = ServicePort(number=81, target=8080, protocol="tcp")
SAYS_NOTHING = ServicePort(number=82, target=8080)
MYSQL = ServicePort(number=3306, target=8080)


@pytest.mark.parametrize(
    ("spoken", "rest", "written", "said"),
    [
        ((SAYS_NOTHING,), True, True, []),
        ((SAYS_NOTHING,), False, True, ["GM304"]),
        ((SAYS_HTTP,), False, True, []),
        ((SAYS_TCP,), True, True, []),
        ((SAYS_TCP,), False, False, ["GM215"]),
        ((MYSQL,), False, False, ["GM215"]),
        ((SAYS_HTTP, SAYS_TCP), False, True, ["GM304"]),
        ((), False, True, []),
    ],
)
def test_a_deny_of_requests_denies_no_less_than_it_says(
    spoken: tuple[ServicePort, ...], rest: bool, written: bool, said: list[str]
) -> None:
    """What is not HTTP is denied with it unless every Service says that the port carries nothing else."""
    asked = Operation(methods=("PUT",), raw=rest)
    one = guarded((), (grant(ANYBODY, operations=[asked]),), spoken={8080: spoken})
    translation = translated(one)
    assert codes(translation) == said
    rules = [fragment.spec["rules"] for fragment in translation.fragments]
    assert rules == ([[{"to": [{"operation": {"methods": ["PUT"], "ports": ["8080"]}}]}]] if written else [])


def test_rules_are_bounded_as_the_crd_is() -> None:
    many = [Operation(paths=(f"/{number}",)) for number in range(600)]
    assert len(granted(ANYBODY, operations=many)) == 512
    assert refused(ANYBODY, operations=many) == [{}]


def test_rules_lead_back_to_their_policies() -> None:
    one = guarded(
        [
            grant(caller(SLEEP), policy="AccessPolicy/shop/a"),
            grant(caller(kind="authenticated"), policy="AccessPolicy/shop/b"),
        ]
    )
    fragment = allow(one)
    assert fragment.policies == ("AccessPolicy/shop/a", "AccessPolicy/shop/b")
    assert {fragment.fields[f"spec.rules[{n}]"].policy for n in range(3)} == set(fragment.policies)


def test_no_service_gives_its_object_the_name_of_the_mesh_wide_default() -> None:
    one = guarded((), [grant(ANYBODY)], of=service("gitmesh-default"))
    assert only(translated(one), "AuthorizationPolicy").key.name == "gitmesh-default.service-deny"
