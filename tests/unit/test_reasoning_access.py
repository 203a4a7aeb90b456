"""Who is admitted, and which lines decide: the calculator on resolved units."""

from __future__ import annotations

from typing import Any

import pytest

from gitmesh.model.policies import Policy
from gitmesh.model.services import ServicePort
from gitmesh.model.workloads import PortRange
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Admission, Answer, Basis, Ruling
from gitmesh.reasoning.questions import Client
from gitmesh.resolution.resolve import resolve
from tests.asking import PLAIN, asked, client, known
from tests.factories import access, facts, policy, service, shop, workload

ACCOUNTS = frozenset(("shop", name) for name in ("default", "web", "cart"))
WEB = {"serviceAccounts": [{"name": "web"}]}
EVERYBODY = [{"all": True}]


def mesh(**spec: Any) -> Policy:
    """A VirtualMesh over every mesh."""
    return policy("VirtualMesh", "all", meshes=[{"selector": {"all": True}}], **spec)


def answer(*policies: Policy, who: Client | None = None, **request: Any) -> Ruling:
    """The one ruling of shop/reviews in a cluster with one workload behind it."""
    found = can(asked(who, **request), known(policies, shop(service_accounts=ACCOUNTS))["east"])
    (ruling,) = [found.ruling] if found.ruling else [each for _, _, each in found.pods]
    assert ruling.answer is found.answer
    return ruling


def told(ruling: Ruling) -> tuple[str, str]:
    return ruling.answer.value, ruling.basis.value


def test_nothing_is_said_so_nothing_is_refused() -> None:
    assert told(answer()) == ("Allowed", "Default")


def test_an_allow_admits_and_its_rule_is_named() -> None:
    allow = access(
        "page", sources=[WEB], rules=[{"methods": ["POST"]}, {"methods": ["GET"], "paths": ["/api*"]}]
    )
    ruling = answer(allow, path="/apix")
    assert told(ruling) == ("Allowed", "Allow")
    (origin,) = ruling.deciding
    assert (origin.policy, origin.field) == ("AccessPolicy/shop/page", "spec.rules[1]")
    assert origin.at == allow.at("rules", 1)


def test_what_no_allow_admits_is_denied_and_each_allow_that_was_tried_is_named() -> None:
    page = access("page", sources=[WEB], rules=[{"methods": ["GET"]}])
    other = access("other", sources=[{"serviceAccounts": [{"name": "cart"}]}])
    ruling = answer(page, other, method="POST")
    assert told(ruling) == ("Denied", "NoAllow")
    assert [(one.origin.policy, one.why) for one in ruling.tried] == [
        ("AccessPolicy/shop/other", "the caller is none of its sources"),
        ("AccessPolicy/shop/page", "none of its rules means this request"),
    ]


def test_deny_beats_allow() -> None:
    deny = access("never", sources=[WEB], action="Deny", rules=[{"paths": ["/admin*"]}])
    assert told(answer(access("all"), deny, path="/")) == ("Allowed", "Allow")
    ruling = answer(access("all"), deny, path="/admin")
    assert told(ruling) == ("Denied", "Deny")
    assert [origin.policy for origin in ruling.deciding] == ["AccessPolicy/shop/never"]


def test_a_deny_by_identity_denies_who_shows_none() -> None:
    deny = access("never", sources=[{"serviceAccounts": [{"name": "cart"}]}], action="Deny")
    assert told(answer(deny)) == ("Allowed", "Default")
    assert told(answer(deny, who=PLAIN)) == ("Denied", "Deny")


def test_strict_mtls_refuses_who_shows_no_identity() -> None:
    strict = mesh(mtls={"mode": "Strict"})
    ruling = answer(strict, access("all"), who=PLAIN)
    assert told(ruling) == ("Denied", "Mtls")
    assert [origin.field for origin in ruling.deciding] == ["spec.mtls.mode"]
    assert told(answer(strict, access("all"))) == ("Allowed", "Allow")


def test_disabled_mtls_leaves_nobody_an_identity() -> None:
    ruling = answer(mesh(mtls={"mode": "Disabled"}), access("page", sources=[WEB]))
    assert told(ruling) == ("Denied", "NoAllow")
    assert "mTLS is Disabled" in ruling.text
    assert told(answer(mesh(mtls={"mode": "Disabled"}), access("all"))) == ("Allowed", "Allow")


def test_the_default_of_the_mesh_decides_what_no_allow_selects() -> None:
    closed = mesh(accessDefault="Deny", accessExempt={"ports": [80], "sources": [WEB]})
    assert told(answer(closed)) == ("Allowed", "Exempt")
    assert told(answer(closed, who=client("cart"))) == ("Denied", "Default")
    assert told(answer(closed, access("cart", sources=[{"serviceAccounts": [{"name": "cart"}]}]))) == (
        "Denied",
        "NoAllow",
    )
    assert told(answer(mesh(accessDefault="Allow"))) == ("Allowed", "Default")


def test_a_default_of_deny_never_covers_a_gateway() -> None:
    world = facts("east", service(), workload(gateway=True), service_accounts=ACCOUNTS)
    found = can(asked(PLAIN), known([mesh(accessDefault="Deny")], world)["east"])
    assert [told(ruling) for _, _, ruling in found.pods] == [("Allowed", "Gateway")]


@pytest.mark.parametrize(
    ("authority", "admitted"),
    [("reviews", True), ("Reviews:8080", True), ("reviews.shop", False), ("[::1]:80", False)],
)
def test_hosts_ignore_case_and_any_port_where_none_is_named(authority: str, admitted: bool) -> None:
    allow = access("host", rules=[{"hosts": ["reviews"]}])
    assert (answer(allow, authority=authority).answer is Answer.ALLOWED) is admitted


def test_a_header_must_be_absent_where_its_condition_is_inverted() -> None:
    allow = access("test", rules=[{"headers": [{"name": "X-Test", "present": True, "invert": True}]}])
    assert answer(allow).answer is Answer.ALLOWED
    assert answer(allow, headers={"x-test": "1"}).answer is Answer.DENIED


def test_what_hangs_on_an_address_that_is_not_known_is_not_guessed() -> None:
    inside = access("inside", sources=[{"ipBlocks": ["10.0.0.0/8"]}])
    ruling = answer(inside)
    assert told(ruling) == ("Unknown", "Address")
    assert [origin.policy for origin in ruling.deciding] == ["AccessPolicy/shop/inside"]
    assert answer(inside, who=client(ip="10.1.2.3")).answer is Answer.ALLOWED
    assert answer(inside, who=client(ip="192.168.0.1")).answer is Answer.DENIED
    assert answer(inside, access("all")).answer is Answer.ALLOWED


def test_an_identity_of_a_cluster_that_cannot_be_told_is_not_admitted_and_is_denied() -> None:
    """Two clusters share a trust domain: identities of one cannot be told from the other's."""
    bound = [{"clusters": ["west"]}]
    worlds = (shop("east", service_accounts=ACCOUNTS), shop("west", service_accounts=ACCOUNTS))
    allowed = can(asked(), known([access("west", sources=bound)], *worlds)["east"])
    assert allowed.answer is Answer.DENIED
    assert "share the trust domain" in allowed.pods[0][2].tried[0].why
    assert (
        can(asked(), known([access("west", sources=bound, action="Deny")], *worlds)["east"]).answer
        is Answer.DENIED
    )


# --- where nothing guards, and where nothing is known


def test_pods_without_a_proxy_admit_everything() -> None:
    found = can(
        asked(PLAIN),
        known(
            [access("page", sources=[WEB])],
            facts("east", service(), workload(mesh=""), service_accounts=ACCOUNTS),
        )["east"],
    )
    assert [told(ruling) for _, _, ruling in found.pods] == [("Allowed", "NoProxy")]


def test_some_pods_without_a_proxy_make_the_answer_depend() -> None:
    world = facts("east", service(), workload(pods=2), workload(mesh=""), service_accounts=ACCOUNTS)
    found = can(asked(PLAIN), known([access("page", sources=[WEB])], world)["east"])
    assert found.answer is Answer.DEPENDS
    assert [told(ruling) for _, _, ruling in found.pods] == [("Allowed", "NoProxy"), ("Denied", "NoAllow")]
    assert found.pods[0][2].text == "its pods carry no proxy, so nothing guards them"


def test_a_port_that_proxies_do_not_see_admits_everything() -> None:
    unseen = workload(unguarded=(PortRange(first=8080, last=8080),))
    found = can(
        asked(PLAIN),
        known([access("page", sources=[WEB])], facts("east", service(), unseen, service_accounts=ACCOUNTS))[
            "east"
        ],
    )
    assert [told(ruling) for _, _, ruling in found.pods] == [("Allowed", "NoProxy")]


def test_a_service_without_selector_has_nothing_to_guard() -> None:
    found = can(
        asked(),
        known(
            [access("page", sources=[WEB])], facts("east", service(selector={}), service_accounts=ACCOUNTS)
        )["east"],
    )
    assert found.ruling is not None
    assert told(found.ruling) == ("Allowed", "NoSelector")


def test_without_pods_nobody_answers() -> None:
    found = can(asked(), known([access("page")], facts("east", service(), service_accounts=ACCOUNTS))["east"])
    assert found.ruling is not None
    assert told(found.ruling) == ("Unknown", "NoPods")


def test_a_held_destination_keeps_what_nobody_knows_unless_a_deny_decides_already() -> None:
    """The second Service shares the pods; a port that it lacks holds it."""
    world = facts(
        "east",
        service(),
        service("again", selector={"app": "reviews"}),
        workload(),
        service_accounts=ACCOUNTS,
    )
    broken = access("broken", to="again", rules=[{"ports": ["nope"]}])
    found = can(asked(), known([access("page", sources=[WEB]), broken], world)["east"])
    assert [told(ruling) for _, _, ruling in found.pods] == [("Unknown", "Held")]
    deny = access("never", sources=[WEB], action="Deny")
    assert can(asked(), known([deny, broken], world)["east"]).answer is Answer.DENIED


def test_a_cluster_without_facts_holds_identities_that_hang_on_it() -> None:
    found = can(
        asked(), known([access("west", sources=[{"clusters": ["west"]}])], shop(), unknown=["west"])["east"]
    )
    assert [ruling.basis for _, _, ruling in found.pods] == [Basis.HELD]


# --- services that share pods, and pods that differ


def both(*policies: Policy, to: str = "reviews") -> Admission:
    """Services reviews and again on the same pods and port."""
    world = facts(
        "east",
        service(),
        service("again", selector={"app": "reviews"}),
        workload(),
        service_accounts=ACCOUNTS,
    )
    return can(asked(to=to), known(policies, world)["east"])


def test_services_that_share_pods_share_their_decision() -> None:
    allow = access("page", to="again", sources=[{"serviceAccounts": [{"name": "cart"}]}])
    assert both(allow).answer is Answer.DENIED
    assert both(allow, access("web", sources=[WEB]), to="again").answer is Answer.ALLOWED


def test_pods_of_one_service_may_differ() -> None:
    ports = (ServicePort(number=80, name="http", target="web"),)
    first = workload("one", labels={"app": "reviews", "tier": "x"}, ports={"web": 8080})
    second = workload("two", labels={"app": "reviews"}, ports={"web": 8080})
    tier = service("tier", selector={"tier": "x"}, ports=ports)
    world = facts("east", service(ports=ports), tier, first, second, service_accounts=ACCOUNTS)
    found = can(
        asked(),
        known([access("tier", to="tier", sources=[{"serviceAccounts": [{"name": "cart"}]}])], world)["east"],
    )
    assert found.answer is Answer.DEPENDS
    assert {pod.name: ruling.answer for pod, _, ruling in found.pods} == {
        "one": Answer.DENIED,
        "two": Answer.ALLOWED,
    }


@pytest.mark.parametrize(("turned", "answers"), [(True, "Denied"), (False, "Allowed")])
def test_what_other_pods_have_for_another_port_is_opened_on_none(turned: bool, answers: str) -> None:
    """The same container port is `http` on one pod and `admin` on another: meshes name no pairs of pod and
    port, so an Allow that opened it would open the other one, too."""
    ports = (
        ServicePort(number=80, name="http", target="web"),
        ServicePort(number=81, name="admin", target="admin"),
    )
    straight, other = {"web": 8080, "admin": 9090}, {"web": 9090, "admin": 8080}
    one = workload("one", labels={"app": "reviews"}, ports=straight)
    two = workload("two", labels={"app": "reviews"}, ports=other if turned else straight)
    seen = known(
        [access("page", rules=[{"ports": ["http"]}])],
        facts("east", service(ports=ports), one, two, service_accounts=ACCOUNTS),
    )["east"]
    assert can(asked(port=80), seen).answer.value == answers
    assert can(asked(port=81), seen).answer is Answer.DENIED


@pytest.mark.parametrize(("named", "answers"), [("web", "Denied"), ("http", "Allowed")])
def test_a_deny_of_a_port_that_nobody_knows_acts_on_every_port_of_the_pods(named: str, answers: str) -> None:
    """Also on those that another Service reaches alone."""
    other = service(
        "other",
        selector={"app": "reviews"},
        ports=(ServicePort(number=90, name="http", target=named, protocol="http"),),
    )
    pods = workload(ports={"http": 9090})
    world = facts("east", service(), other, pods, service_accounts=ACCOUNTS)
    deny = access("never", [{"name": "other"}], action="Deny")
    found = can(asked(client("web")), known([deny], world)["east"])
    assert found.answer.value == answers


def test_a_deny_of_a_port_that_other_pods_have_for_another_is_told() -> None:
    """A mesh names pods and numbers, but no pairs."""
    ports = (
        ServicePort(number=80, name="http", target=8080, protocol="http"),
        ServicePort(number=81, name="admin", target="admin", protocol="http"),
    )
    old = workload("reviews-0", labels={"app": "reviews"}, ports={"admin": 8080})
    new = workload("reviews-1", labels={"app": "reviews"}, ports={"admin": 9090})
    deny = access("never", action="Deny", rules=[{"ports": [81]}])
    for pods, told in (((old, new), True), ((new,), False)):
        world = facts("east", service(ports=ports), *pods, service_accounts=ACCOUNTS)
        said = resolve([deny], {"east": world}, {"east": {}}).diagnostics
        assert any("denied on these, too" in one.message for one in said) is told
