"""Rules that ask for what only requests have, on ports that may carry something else: what is said of the
rest, and that nothing is denied less or admitted more than the policies say.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.policies import Policy
from gitmesh.model.services import ServicePort
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer
from tests.asking import asked, known
from tests.factories import access, facts, service, workload
from tests.outcome import PolicyOutcome, outcome

AMQP = ServicePort(number=5672, name="amqp", target=5672)
ADMIN = ServicePort(number=15672, name="http-admin", target=15672, protocol="http")
RAW = ServicePort(number=9000, name="tcp-raw", target=9000, protocol="tcp")
UDP = ServicePort(number=53, name="dns", target=53, protocol="udp")
NO_WRITES = {"methods": ["PUT", "DELETE"]}
BROAD: list[dict[str, Any]] = [{"namespaces": ["shop"]}]


def world(*ports: ServicePort) -> ClusterFacts:
    return facts("east", service("post", ports=ports), workload("post"))


POST = world(AMQP, ADMIN)


def denying(to: str | list[dict[str, Any]] = "post", **rule: Any) -> Policy:
    return access("no-writes", to, action="Deny", rules=[{**NO_WRITES, **rule}])


def rules_of(found: PolicyOutcome, role: str = "deny") -> list[Any]:
    return [
        rule["to"][0]["operation"] for rule in found.bodies["AuthorizationPolicy", f"post-{role}"]["rules"]
    ]


def answers(
    policy: Policy, port: int, of: ClusterFacts = POST, **request: Any
) -> tuple[Answer, list[Answer]]:
    """As the command line asks: where a protocol is sniffed, about both."""
    here = next(one for one in of.services[0].ports if one.number == port)
    question = asked(to="post", port=port, http=here.http, sniffed=here.http and here.raw, **request)
    found = can(question, known([policy], of)["east"])
    return found.answer, [ruling.answer for _, _, ruling in found.pods]


def test_a_deny_of_requests_says_that_it_denies_the_rest_of_a_sniffed_port() -> None:
    found = outcome(POST, denying())
    assert found.codes() == [("GM304", "spec.rules[0]")]
    assert "5672" in found.findings[0].message
    assert "15672" not in found.findings[0].message
    assert rules_of(found) == [{"methods": ["DELETE", "PUT"], "ports": ["5672", "15672"]}], "still both ports"


def test_whether_a_sniffed_port_admits_hangs_on_what_it_carries() -> None:
    assert answers(denying(), 5672) == (Answer.DEPENDS, [Answer.ALLOWED, Answer.DENIED])
    assert answers(denying(), 5672, method="PUT") == (Answer.DENIED, [Answer.DENIED])
    assert answers(denying(), 15672) == (Answer.ALLOWED, [Answer.ALLOWED])
    assert answers(denying(nonHTTP="Deny"), 5672)[0] is Answer.DEPENDS
    assert answers(denying(nonHTTP="Ignore"), 5672) == (Answer.ALLOWED, [Answer.ALLOWED])
    assert answers(denying(nonHTTP="Ignore"), 5672, method="PUT")[0] is Answer.DEPENDS


def test_what_carries_no_http_is_denied_or_ignored_as_a_whole() -> None:
    of = world(RAW)
    assert answers(denying(), 9000, of)[0] is Answer.DENIED
    assert answers(denying(nonHTTP="Ignore"), 9000, of)[0] is Answer.ALLOWED


@pytest.mark.parametrize(
    "rule",
    [
        {"methods": ["GET"]},
        {"paths": ["/a*"]},
        {"hosts": ["post.shop"]},
        {"headers": [{"name": "x", "present": True}]},
    ],
    ids=repr,
)
def test_an_allow_of_requests_admits_only_what_is_certain_and_says_so(rule: Any) -> None:
    for to in ("post", BROAD):
        found = outcome(POST, access("p", to, rules=[rule]))
        assert found.codes() == [("GM304", "spec.rules[0]")]
        assert "5672" in found.findings[0].message
    assert answers(access("p", "post", rules=[{"methods": ["GET"]}]), 5672)[0] is Answer.DEPENDS


@pytest.mark.parametrize(
    "policy",
    [
        denying(ports=[15672]),
        denying(ports=["http-admin"]),
        denying(BROAD, ports=[15672]),
        denying(nonHTTP="Deny"),
        denying(BROAD, nonHTTP="Deny"),
        access("p", "post", rules=[{"methods": ["GET"], "ports": [15672]}]),
        access("p", "post", rules=[{"ports": [5672]}]),
        access("p", BROAD, action="Deny", rules=[{"ports": [5672]}]),
        access("p", "post"),
        access("p", BROAD, action="Deny"),
    ],
)
def test_nothing_is_said_where_every_connection_is_meant_or_is_http(policy: Policy) -> None:
    assert outcome(POST, policy).codes() == []


def test_what_is_said_of_the_rest_is_said_to_istio_as_far_as_it_goes() -> None:
    assert outcome(POST, denying(nonHTTP="Ignore")).codes() == [("GM304", "spec.rules[0]")]
    found = outcome(world(RAW, ADMIN), denying(BROAD, nonHTTP="Ignore"))
    assert (found.codes(), rules_of(found)) == ([], [{"methods": ["DELETE", "PUT"], "ports": ["15672"]}])
    nothing = outcome(world(RAW), denying(BROAD, nonHTTP="Ignore"))
    assert (nothing.codes(), nothing.bodies) == ([("GM215", "spec.rules[0]")], {})


def test_what_another_service_says_of_the_same_pods_counts() -> None:
    """Which of them the mesh believes depends on their age; that nothing is denied less, the rule stays."""
    other = service(
        "console", selector={"app": "post"}, ports=(ServicePort(number=80, target=9000, protocol="http"),)
    )
    of = facts("east", service("post", ports=(RAW,)), other, workload("post"))
    found = outcome(of, denying(nonHTTP="Ignore"))
    assert [code for code, _ in found.codes()] == ["GM213", "GM304"]
    assert rules_of(found) == [{"methods": ["DELETE", "PUT"], "ports": ["9000"]}]


@pytest.mark.parametrize("port", [AMQP, RAW], ids=["sniffed", "tcp"])
def test_under_a_broad_selector_it_must_be_said_and_access_alone_is_held(port: ServicePort) -> None:
    found = outcome(world(port, ADMIN), denying(BROAD))
    assert found.codes() == [("GM222", "spec.rules[0]")]
    assert str(port.number) in found.findings[0].message
    assert found.findings[0].is_error
    assert found.known.holds(("shop", "post"), "access")
    assert not found.known.holds(("shop", "post"), "routing")
    assert found.bodies == {}


@pytest.mark.parametrize("ports", [(ADMIN,), (ADMIN, UDP)], ids=["http", "http and udp"])
def test_a_broad_deny_of_requests_holds_where_everything_is_http(ports: tuple[ServicePort, ...]) -> None:
    found = outcome(world(*ports), denying(BROAD))
    assert "GM222" not in {code for code, _ in found.codes()}
    assert "15672" in rules_of(found)[0]["ports"]


def test_one_destination_with_a_sniffed_port_holds_no_other() -> None:
    of = facts("east", service("post", ports=(AMQP,)), service("web"), workload("post"), workload("web"))
    found = outcome(of, denying(BROAD))
    assert [code for code, _ in found.codes()] == ["GM222"]
    assert found.bodies.keys() == {("AuthorizationPolicy", "web-deny")}


def test_a_policy_that_names_the_destination_among_others_names_it() -> None:
    assert outcome(POST, denying([*BROAD, {"name": "post"}])).codes() == [("GM304", "spec.rules[0]")]


@pytest.mark.parametrize(
    ("action", "rule"),
    [("Deny", {"ports": [80]}), ("Allow", {"methods": ["GET"]})],
    ids=["every connection is meant", "an Allow"],
)
def test_what_becomes_of_the_rest_is_said_by_a_deny_of_requests_alone(action: str, rule: Any) -> None:
    with pytest.raises(ValidationError, match="nonHTTP goes with"):
        access("p", action=action, rules=[{**rule, "nonHTTP": "Ignore"}])


# --- another Service over the same pods says otherwise what their port carries


HTTP = ServicePort(number=80, name="http", target=5672, protocol="http")


def beside(port: ServicePort) -> ClusterFacts:
    other = service("other", ports=(port,), selector={"app": "post"})
    return facts("east", service("post", ports=(HTTP,)), other, workload("post"))


@pytest.mark.parametrize("action", ["Allow", "Deny"])
@pytest.mark.parametrize(
    ("port", "told"),
    [
        pytest.param(AMQP, True, id="a protocol that is sniffed"),
        pytest.param(replace(RAW, target=5672), True, id="TCP"),
        pytest.param(replace(HTTP, number=81), False, id="HTTP, too"),
        pytest.param(RAW, False, id="of another port of the pods"),
        pytest.param(replace(UDP, target=5672), False, id="UDP, which proxies never see"),
    ],
)
def test_what_may_count_as_no_http_by_another_service_is_told(
    port: ServicePort, told: bool, action: str
) -> None:
    policy = access("writes", "post", action=action, rules=[NO_WRITES])
    found = [one for one in outcome(beside(port), policy).findings if one.code == "GM304"]
    assert [("shop/other" in one.message, one.field) for one in found] == [(True, "spec.rules[0]")] * told


def test_rules_that_ask_for_nothing_that_is_http_are_told_nothing() -> None:
    found = outcome(beside(AMQP), access("writes", "post", action="Deny"))
    assert "GM304" not in [code for code, _ in found.codes()]
