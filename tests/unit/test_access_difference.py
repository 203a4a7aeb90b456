"""What a change of policies means for callers: the examples that reviewers meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.model.comparison import AccessChange
from gitmesh.model.conditions import NamedCondition, TextCondition
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.grants import Operation
from gitmesh.model.policies import Policy
from gitmesh.model.services import ServicePort
from gitmesh.reasoning import classes, difference
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Admission
from gitmesh.reasoning.difference import access_changes
from gitmesh.reasoning.population import population
from gitmesh.reasoning.questions import Known, Question
from tests.asking import known
from tests.factories import access, facts, policy, service, traffic, workload

HTTP = (ServicePort(number=80, name="http", target=8080, protocol="http"),)
ACCOUNTS = frozenset(("shop", name) for name in ("default", "web", "cart"))
REVIEWS = (service(ports=HTTP), workload())
SHOP = facts("east", *REVIEWS, service_accounts=ACCOUNTS)
SNIFFED = facts(
    "east",
    service(ports=(ServicePort(number=80, target=8080),)),
    workload(),
    service_accounts=ACCOUNTS,
)
WEB = {"serviceAccounts": [{"name": "web"}]}
CART = {"serviceAccounts": [{"name": "cart"}]}
GET = {"methods": ["GET"]}
Policies = Sequence[Policy]


def mesh(**spec: Any) -> Policy:
    """A VirtualMesh over every mesh."""
    return policy("VirtualMesh", "all", meshes=[{"selector": {"all": True}}], **spec)


def changes(before: Policies, after: Policies, world: ClusterFacts = SHOP) -> tuple[AccessChange, ...]:
    old, new = (known(each, world)[world.cluster] for each in (before, after))
    return access_changes(old, new, population(world.cluster, {world.cluster: world}))


def told(
    before: Policies, after: Policies, world: ClusterFacts = SHOP
) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(effect, callers, requests) of each change of shop/reviews:80."""
    found = changes(before, after, world)
    assert {(one.service, one.ports) for one in found} <= {(("shop", "reviews"), (80,))}
    return [(one.effect.value, one.callers, one.requests) for one in found]


# --- narrower and wider


def test_an_allow_narrowed_to_get_takes_every_other_method() -> None:
    assert told([access("p")], [access("p", rules=[GET])]) == [
        ("Lost", ("anybody",), ("any method but GET",))
    ]
    assert told([access("p", rules=[GET])], [access("p")]) == [
        ("Gained", ("anybody",), ("any method but GET",))
    ]
    assert told([access("p", rules=[GET])], [access("p", rules=[{"methods": ["GET", "HEAD", "POST"]}])]) == [
        ("Gained", ("anybody",), ("HEAD, POST",))
    ]


def test_a_deny_on_a_prefix_inside_an_allowed_prefix() -> None:
    allow = access("p", sources=[WEB], rules=[{"paths": ["/api/*"], "methods": ["GET", "HEAD"]}])
    deny = access("d", action="Deny", rules=[{"paths": ["/api/admin/*"]}])
    (change,) = changes([allow], [allow, deny])
    assert (change.effect, change.callers, change.requests) == (
        "Lost",
        ("shop/web",),
        ("GET, HEAD /api/admin/*",),
    )
    assert (change.before, change.after, change.why) == ("Allowed", "Denied", "a Deny means this request")
    assert [(one.policy, one.field) for one in change.origins] == [
        ("AccessPolicy/shop/d", "spec.rules[0]"),
        ("AccessPolicy/shop/p", "spec.rules[0]"),
    ]


def test_what_stays_allowed_inside_a_denied_prefix_is_told_by_what_it_is_not() -> None:
    wide, narrow = access("p", rules=[{"paths": ["/a*"]}]), access("p", rules=[{"paths": ["/a/b*", "*.png"]}])
    assert told([wide], [narrow]) == [
        ("Gained", ("anybody",), ("*.png but not /a*",)),
        ("Lost", ("anybody",), ("/a* but not *.png, /a/b*",)),
    ]


def test_default_deny_switched_on_and_who_is_exempt_from_it() -> None:
    (change,) = changes([], [mesh(accessDefault="Deny")])
    assert (change.effect, change.callers, change.requests) == ("Lost", ("anybody",), ())
    assert [one.field for one in change.origins] == ["spec.accessDefault"]
    exempt = mesh(accessDefault="Deny", accessExempt={"sources": [WEB]})
    assert told([], [exempt]) == [
        ("Lost", ("shop/cart", "shop/default", "anybody else", "without identity"), ())
    ]
    assert told([mesh(accessDefault="Deny")], [exempt]) == [("Gained", ("shop/web",), ())]


def test_a_service_account_replaced_by_another() -> None:
    assert told([access("p", sources=[WEB])], [access("p", sources=[CART])]) == [
        ("Gained", ("shop/cart",), ()),
        ("Lost", ("shop/web",), ()),
    ]


def test_a_namespace_means_accounts_that_are_known_and_those_that_are_not() -> None:
    assert told([access("p", sources=[WEB])], [access("p", sources=[{"namespaces": ["shop"]}])]) == [
        ("Gained", ("shop/cart", "shop/default", "anybody else in shop"), ())
    ]


def test_authenticated_leaves_out_those_without_identity() -> None:
    assert told([access("p")], [access("p", sources=[{"authenticated": True}])]) == [
        ("Lost", ("without identity",), ())
    ]
    assert told([access("p", sources=[WEB])], [access("p", sources=[WEB, {"authenticated": True}])]) == [
        ("Gained", ("shop/cart", "shop/default", "anybody else"), ())
    ]


def test_a_deny_by_account_also_means_those_without_identity() -> None:
    deny = access("d", action="Deny", sources=[WEB])
    assert told([access("p")], [access("p"), deny]) == [("Lost", ("shop/web", "without identity"), ())]


def test_blocks_of_addresses() -> None:
    inside = {**WEB, "ipBlocks": ["10.0.0.0/8"], "notIpBlocks": ["10.1.0.0/16"]}
    assert told(
        [], [access("d", action="Deny", sources=[{"ipBlocks": ["10.0.0.0/8", "2001:db8::/32"]}])]
    ) == [("Lost", ("anybody from 10.0.0.0/8, 2001:db8::/32",), ())]
    assert told([access("p", sources=[WEB])], [access("p", sources=[inside])]) == [
        ("Lost", ("shop/web from 10.1.0.0/16 or anywhere but 10.0.0.0/8",), ())
    ]
    halves = access("p", sources=[{"ipBlocks": ["0.0.0.0/1", "128.0.0.0/1", "::/0"]}])
    assert told([access("p")], [halves]) == []


def test_hosts_and_headers() -> None:
    team = [{"name": "X-Team", "exact": "red"}]
    assert told([access("p")], [access("p", rules=[{"hosts": ["*.shop"], "headers": team}])]) == [
        ("Lost", ("anybody",), ("to *.shop without x-team: red", "to any host but *.shop"))
    ]
    without = [{"name": "x-debug", "present": True, "invert": True}]
    assert told([access("p")], [access("p", rules=[{"headers": without}])]) == [
        ("Lost", ("anybody",), ("with x-debug",))
    ]


def test_a_header_that_may_be_a_credential_is_not_told_by_its_value() -> None:
    keys = [{"headers": [{"name": "x-api-key", "exact": value}]} for value in ("hunter1", "hunter2")]
    assert told([access("p", rules=keys[:1])], [access("p", rules=keys[1:])]) == [
        ("Gained", ("anybody",), ("with x-api-key: ***",)),
        ("Lost", ("anybody",), ("with x-api-key: ***",)),
    ]


# --- meshes, and how clients connect


def test_strict_mtls_refuses_those_without_identity_and_names_them() -> None:
    world = facts("east", *REVIEWS, workload("cron", mesh=""), service_accounts=ACCOUNTS)
    assert told([mesh(mtls={"mode": "Permissive"})], [mesh(mtls={"mode": "Strict"})], world) == [
        ("Lost", ("shop/cron without identity", "without identity"), ())
    ]


def test_disabled_mtls_leaves_nobody_an_identity() -> None:
    allow = access("p", sources=[WEB])
    assert told([allow], [allow, mesh(mtls={"mode": "Disabled"})]) == [("Lost", ("shop/web",), ())]


def test_a_deny_by_account_and_address_means_whoever_has_no_identity_there() -> None:
    deny = access("d", action="Deny", sources=[{"namespaces": ["shop"], "ipBlocks": ["10.0.0.0/8"]}])
    world = facts(
        "east", *REVIEWS, workload("teller", "bank", service_account="teller"), service_accounts=ACCOUNTS
    )
    lost = ("bank/teller from 10.0.0.0/8", "anybody else from 10.0.0.0/8")
    assert told([access("p"), deny], [access("p"), deny, mesh(mtls={"mode": "Disabled"})], world) == [
        ("Lost", lost, ())
    ]


def test_a_policy_on_connections_takes_an_identity_away_from_the_clients_that_it_means() -> None:
    pages = (workload(name, service_account="web") for name in ("one", "two"))
    world = facts("east", *REVIEWS, *pages, service_accounts=ACCOUNTS)
    plain = traffic("t", tls={"mode": "Disable"}, sources=[{"labels": {"app": "one"}}])
    (change,) = changes([access("p", sources=[WEB])], [access("p", sources=[WEB]), plain], world)
    assert (change.effect, change.callers) == ("Lost", ("shop/one",))
    assert "tls Disable" in change.why


def test_a_policy_on_connections_also_means_clients_that_are_not_there_yet() -> None:
    plain = traffic("t", tls={"mode": "Disable"}, sources=[{"labels": {"app": "later"}}])
    assert told(
        [access("p", sources=[{"authenticated": True}])],
        [access("p", sources=[{"authenticated": True}]), plain],
    ) == [("Lost", ("anybody else labelled app=later",), ())]


def test_a_gateway_that_is_no_longer_one() -> None:
    world = facts(
        "east", service(ports=HTTP), workload(gateway=True, namespace="shop"), service_accounts=ACCOUNTS
    )
    other = mesh(accessDefault="Deny", gateways=[{"namespaces": ["edge"]}])
    assert told([mesh(accessDefault="Deny")], [other], world) == [("Lost", ("anybody",), ())]


# --- pods


def test_a_second_service_on_the_same_pods_loses_with_the_first() -> None:
    world = facts(
        "east", *REVIEWS, service("again", selector={"app": "reviews"}, ports=HTTP), service_accounts=ACCOUNTS
    )
    found = changes([], [access("p", sources=[WEB])], world)
    assert {(one.service[1], one.effect.value) for one in found} == {("reviews", "Lost"), ("again", "Lost")}


def test_some_pods_only() -> None:
    first, second = (workload(name, labels={"app": "reviews", "tier": name}) for name in ("one", "two"))
    tier = service("tier", selector={"tier": "one"}, ports=HTTP)
    world = facts("east", service(ports=HTTP), tier, first, second, service_accounts=ACCOUNTS)
    found = changes([], [access("p", to="tier", sources=[WEB])], world)
    assert [(one.service[1], one.effect.value, one.before, one.after) for one in found] == [
        ("reviews", "Changed", "Allowed", "Depends"),
        ("tier", "Lost", "Allowed", "Denied"),
    ]


def test_ports_of_which_the_same_is_said_are_one_row() -> None:
    ports = (
        *HTTP,
        ServicePort(number=81, name="more", target=8081, protocol="http"),
        ServicePort(number=82, target=8082, protocol="tcp"),
    )
    world = facts("east", service(ports=ports), workload(), service_accounts=ACCOUNTS)
    found = changes([access("p")], [access("p", rules=[GET])], world)
    assert [(one.ports, one.requests) for one in found] == [((80, 81), ("any method but GET",)), ((82,), ())]


def test_a_port_without_a_protocol_carries_requests_or_none() -> None:
    assert told([access("p")], [access("p", rules=[GET])], SNIFFED) == [
        ("Lost", ("anybody",), ("any method but GET", "connections that are not HTTP"))
    ]


def test_what_a_deny_of_requests_says_of_the_rest_is_a_difference() -> None:
    def denying(**said: str) -> list[Policy]:
        return [access("p", action="Deny", rules=[{**GET, **said}])]

    rest = ("anybody",), ("connections that are not HTTP",)
    assert told(denying(nonHTTP="Ignore"), denying(), SNIFFED) == [("Lost", *rest)]
    assert told(denying(nonHTTP="Deny"), denying(nonHTTP="Ignore"), SNIFFED) == [("Gained", *rest)]
    assert told(denying(), denying(nonHTTP="Deny"), SNIFFED) == []
    assert told(denying(nonHTTP="Ignore"), denying()) == [], "every port is HTTP"


# --- what cannot be told


def test_a_destination_that_is_held_on_one_side_is_unknown() -> None:
    broken = access("broken", rules=[{"ports": ["nope"]}])
    found = changes([access("p", sources=[WEB])], [access("p", sources=[WEB]), broken])
    assert [(one.effect, one.callers, one.before, one.after) for one in found] == [
        ("Unknown", ("shop/cart", "shop/default", "anybody else", "without identity"), "Denied", "Unknown"),
        ("Unknown", ("shop/web",), "Allowed", "Unknown"),
    ]


def test_a_destination_that_is_held_on_both_sides_keeps_its_last_good_objects() -> None:
    broken = access("broken", rules=[{"ports": ["nope"]}])
    assert changes([broken], [broken, access("p", sources=[WEB])]) == ()


def test_policies_on_ports_without_pods_are_unknown() -> None:
    world = facts("east", service(ports=HTTP), service_accounts=ACCOUNTS)
    (change,) = changes([access("p")], [access("p", rules=[GET])], world)
    assert (change.effect, change.callers, change.why) == (
        "Unknown",
        ("anybody",),
        "no pods are behind the port, and policies say otherwise of it",
    )
    assert changes([access("p")], [access("p")], world) == ()


def test_a_service_of_one_side_alone_is_unknown() -> None:
    old, new = known([], SHOP)["east"], known([], facts("east"))["east"]
    assert [(one.effect.value, one.service) for one in access_changes(old, new, ())] == [
        ("Unknown", ("shop", "reviews"))
    ]


def with_rules(*rules: Operation) -> Known:
    """A cluster in which an Allow has these rules."""
    base = known([access("p")], SHOP)["east"]
    unit = base.access["shop", "reviews"]
    grant = replace(unit.access.allows[0], operations=rules)
    return Known(SHOP, [replace(unit, access=replace(unit.access, allows=(grant,)))], ())


def test_an_expression_tells_nobody_what_it_means() -> None:
    form = TextCondition(form="regex", value="r.*d")
    rule = Operation(headers=(NamedCondition(name="x-team", condition=form),))
    (change,) = access_changes(with_rules(Operation(methods=("GET",))), with_rules(rule), ())
    assert (change.effect, change.callers) == ("Unknown", ("anybody",))
    assert "x-team by an expression" in change.why
    assert access_changes(with_rules(rule), with_rules(rule), ()) == ()


def test_more_than_can_be_compared_is_unknown() -> None:
    many = [{"paths": [f"/a{number}*", f"*.b{number}"], "methods": ["GET"]} for number in range(200)]
    (change,) = changes([access("p")], [access("p", rules=many)])
    assert (change.effect, change.callers, change.requests, change.ports) == (
        "Unknown",
        ("anybody",),
        (),
        (80,),
    )


def test_what_is_too_much_for_one_revision_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    world = facts(
        "east", *REVIEWS, service("ratings", ports=HTTP), workload("ratings"), service_accounts=ACCOUNTS
    )
    everywhere = [{"namespaces": ["shop"]}]
    sides = ([access("p", everywhere)], [access("p", everywhere, rules=[GET])])
    assert {one.effect.value for one in changes(*sides, world)} == {"Lost"}
    monkeypatch.setattr(difference, "MOST_IN_ALL", 1)
    found = changes(*sides, world)
    assert [(one.service[1], one.effect.value) for one in found] == [
        ("ratings", "Lost"),
        ("reviews", "Unknown"),
    ]
    assert "too many destinations" in found[1].why


def test_destinations_that_did_not_change_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do callers that no rule mentions."""
    asked: list[tuple[str, str]] = []

    def counted(question: Question, side: Known) -> Admission:
        asked.append(question.service)
        return can(question, side)

    monkeypatch.setattr(classes, "can", counted)
    names = [f"s{number}" for number in range(200)]
    pods = (workload(name, service_account=name) for name in names)
    accounts = frozenset(("shop", name) for name in names)
    world = facts("east", *(service(name, ports=HTTP) for name in names), *pods, service_accounts=accounts)
    before = [
        access(name, name, sources=[{"serviceAccounts": [{"name": "s1"}]}], rules=[GET]) for name in names
    ]
    after = [
        access("s7", "s7", sources=[{"serviceAccounts": [{"name": "s1"}]}]),
        *(one for one in before if one.name != "s7"),
    ]
    (change,) = changes(before, after, world)
    assert (change.service, change.callers, change.requests) == (
        ("shop", "s7"),
        ("shop/s1",),
        ("any method but GET",),
    )
    assert set(asked) == {("shop", "s7")}
    assert len(asked) <= 12


# --- what is the same


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            [access("p", rules=[{"methods": ["GET", "HEAD"]}])],
            [access("p", rules=[{"methods": ["HEAD"]}, GET])],
        ),
        ([access("p", rules=[{"paths": ["/a*"]}])], [access("p", rules=[{"paths": ["/ab*", "/a*"]}])]),
        ([access("p", sources=[WEB])], [access("renamed", sources=[WEB])]),
        ([access("p", sources=[WEB, CART])], [access("p", sources=[CART]), access("q", sources=[WEB])]),
        ([access("p", sources=[WEB, CART])], [access("p", sources=[CART, WEB])]),
        ([], [mesh(accessDefault="Allow")]),
        ([access("p")], [access("p"), access("q", sources=[WEB], rules=[GET])]),
        ([mesh(mtls={"mode": "Permissive"})], []),
    ],
    ids=["split", "within", "renamed", "in two", "reordered", "default", "beside", "permissive"],
)
def test_the_same_meaning_is_no_change(before: Policies, after: Policies) -> None:
    assert changes(before, after) == ()
    assert changes(after, before) == ()


def test_callers_of_other_clusters_are_named_by_them() -> None:
    west = facts(
        "west", workload("page", service_account="page"), trust="west.example", service_accounts=frozenset()
    )
    sources = ([WEB], [WEB, {"clusters": ["west"]}])
    before, after = (known([access("p", sources=each)], SHOP, west)["east"] for each in sources)
    (change,) = access_changes(before, after, population("east", {"east": SHOP, "west": west}))
    assert change.callers == ("shop/page@west", "anybody else of trust domain west.example")


def test_a_comparison_ends_when_its_time_is_up() -> None:
    class OverError(Exception):
        """The time is up."""

    def tick() -> None:
        raise OverError

    old, new = (known(each, SHOP)["east"] for each in ([], [access("p")]))
    with pytest.raises(OverError):
        access_changes(old, new, (), tick=tick)
