"""What others wrote for the mesh, beside ours: whom it concerns, what is written for the others, what is
told, and what the calculator answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.diagnostics import Diagnostic
from gitmesh.discovery.facts_codec import dump_facts, load_facts
from gitmesh.model.objects import ObjectKey
from gitmesh.model.report import Report, Stage
from gitmesh.model.units import RoutingUnit
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from gitmesh.plugins import load_translators
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer
from gitmesh.reasoning.questions import Client, Question
from gitmesh.reasoning.routing import Found, Routing, route
from tests.folders import (
    Body,
    Folders,
    allow,
    app,
    authorization,
    calculator,
    codes,
    mesh_config,
    said,
    thing,
    virtual_mesh,
)
from tests.properties.history import document

RULE, ROUTE = "destinationrule.networking.istio.io", "virtualservice.networking.istio.io"
NETWORKING = "networking.istio.io/v1"
HOST = "api.shop.svc.cluster.local"
WHOLE = [{"destination": {"host": HOST}}]


@pytest.fixture
def shop(tmp_path: Path) -> Folders:
    """Clients in desk and yard, and a Service with two versions in shop."""
    found = Folders(tmp_path, names=("east",))
    versions = [app("api", pod=f"api-{v}", labels={"version": v}) for v in ("v1", "v2")]
    found.put("east", "pods", app("web"), app("db"), *versions)
    injected = {"istio-injection": "enabled"}
    for name in ("desk", "yard"):
        account = thing("ServiceAccount", name, name)
        found.put("east", name, thing("Namespace", name, labels=injected), account, app(name, name))
    return found


def canary(**more: Any) -> Body:
    split = [
        {"weight": weight, "destination": {"name": "api", "subset": {"version": version}}}
        for weight, version in ((90, "v1"), (10, "v2"))
    ]
    return document("TrafficPolicy", "canary", destinations=[{"name": "api"}], split=split, **more)


def slow(timeout: str = "2s") -> Body:
    return document("TrafficPolicy", "slow", destinations=[{"name": "api"}], timeout=timeout)


def breaker(**more: Any) -> Body:
    fields = more or {"outlierDetection": {"consecutiveErrors": 5}}
    return document("TrafficPolicy", "breaker", destinations=[{"name": "api"}], **fields)


def rule(host: str, namespace: str = "desk", name: str = "limits", **spec: Any) -> Body:
    policy = {"connectionPool": {"tcp": {"maxConnections": 100}}}
    return thing(
        "DestinationRule", name, namespace, NETWORKING, spec={"host": host, "trafficPolicy": policy, **spec}
    )


def routes(namespace: str = "desk", host: str = HOST, name: str = "theirs", **spec: Any) -> Body:
    http = [{"route": [{"destination": {"host": host}}], "timeout": "6s"}]
    return thing("VirtualService", name, namespace, NETWORKING, spec={"hosts": [host], "http": http, **spec})


def rows(shop: Folders) -> list[Body]:
    found: list[Body] = shop.spec("east", "api", kind=ROUTE)["http"]
    return found


def written(shop: Folders, kind: str) -> bool:
    return any(f"/{kind}/" in path for path in shop.live("east"))


def told(report: Report, code: str = "GM401") -> Diagnostic:
    [found] = said(report, code)
    assert found.severity == "warning"
    return found


def question(account: str, namespace: str, service: str = "api", **more: Any) -> Question:
    client = Client(
        namespace=namespace,
        service_account=account,
        trust_domain="east.example",
        mesh="istio",
        labels={"app": account},
    )
    return Question(client=client, service=("shop", service), port=80, **more)


def routed(shop: Folders, account: str) -> Routing:
    return route(question(account, account), calculator(shop.run(Stage.BUILD)))


# --- DestinationRules of a client's namespace (case 08)


@pytest.mark.parametrize("host", ["*.shop.svc.cluster.local", "*", "*.local", HOST, "api.shop", HOST.upper()])
def test_clients_that_do_not_find_the_subsets_go_to_the_whole_service_and_nobody_is_held(
    shop: Folders, host: str
) -> None:
    shop.put("east", "theirs", rule(host))
    shop.commit(canary(timeout="2s"))
    report = shop.settle()
    first, rest = rows(shop)
    assert first == {"match": [{"sourceNamespace": "desk"}], "route": WHOLE, "timeout": "2s"}
    assert [share["destination"]["subset"] for share in rest["route"]] == ["version-v1", "version-v2"]
    assert "match" not in rest
    assert {one["name"] for one in shop.spec("east", "api", kind=RULE)["subsets"]} == {
        "version-v1",
        "version-v2",
    }
    found = told(report)
    assert "DestinationRule desk/limits" in found.message
    assert "stands before ours for clients of namespace desk" in found.message
    assert "whole Service" in found.message
    assert found.policy == "TrafficPolicy/shop/canary"


def test_the_row_goes_with_the_rule(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*"))
    shop.commit(canary())
    shop.settle()
    shop.drop("east", "theirs")
    report = shop.settle()
    assert len(rows(shop)) == 1
    assert codes(report) == []


ELSEWHERE: list[Body] = [
    rule("*", "far"),
    rule("*", workloadSelector={"matchLabels": {"app": "nobody"}}),
    rule("*.yard.svc.cluster.local"),
    rule("db.shop.svc.cluster.local"),
    rule("*", exportTo=["yard"]),
    rule("*", "shop"),
    rule("*", "istio-system", trafficPolicy={}),
    rule(HOST, "istio-system", trafficPolicy={}),
]


@pytest.mark.parametrize(
    "theirs", ELSEWHERE, ids=lambda body: str(body["spec"]) + body["metadata"]["namespace"]
)
def test_a_rule_that_no_client_takes_before_ours_changes_no_route(shop: Folders, theirs: Body) -> None:
    shop.put("east", "theirs", theirs)
    shop.commit(canary())
    report = shop.settle()
    assert len(rows(shop)) == 1
    assert "match" not in rows(shop)[0]
    assert said(report, "GM401") == []


def test_a_rule_for_some_workloads_of_the_namespace_concerns_them(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*", workloadSelector={"matchLabels": {"app": "desk"}}))
    shop.commit(canary())
    shop.settle()
    assert rows(shop)[0]["match"] == [{"sourceNamespace": "desk"}]


def test_a_rule_that_has_the_subsets_will_do_for_its_clients(shop: Folders) -> None:
    subsets = [{"name": f"version-{v}", "labels": {"version": v}} for v in ("v1", "v2")]
    shop.put("east", "theirs", rule("*", subsets=subsets))
    shop.commit(canary())
    report = shop.settle()
    assert len(rows(shop)) == 1
    assert "desk/limits" in told(report).message
    subsets[1]["labels"] = {"version": "v3"}
    shop.put("east", "theirs", rule("*", subsets=subsets))
    shop.settle()
    first, _ = rows(shop)
    assert [share["destination"].get("subset") for share in first["route"]] == ["version-v1", None], (
        "a subset of that name with other labels is another one"
    )


def test_only_clients_in_the_root_namespace_follow_what_is_private_there(shop: Folders) -> None:
    shop.put("east", "ops", app("ops", "istio-system"))
    shop.put("east", "theirs", rule("*", "istio-system", exportTo=["."]))
    shop.commit(canary())
    shop.settle()
    assert rows(shop)[0]["match"] == [{"sourceNamespace": "istio-system"}]


def test_a_route_of_another_service_heeds_the_rules_for_where_it_leads(shop: Folders) -> None:
    shop.put("east", "theirs", rule(HOST))
    split = [
        {"weight": 1, "destination": {"name": "web"}},
        {"weight": 1, "destination": {"name": "api", "subset": {"version": "v2"}}},
    ]
    shop.commit(document("TrafficPolicy", "led", destinations=[{"name": "web"}], split=split))
    report = shop.settle()
    first, rest = shop.spec("east", "web", kind=ROUTE)["http"]
    assert first["match"] == [{"sourceNamespace": "desk"}]
    assert [share["destination"].get("subset") for share in first["route"]] == [None, None]
    assert [share["weight"] for share in first["route"]] == [1, 1]
    assert [share["destination"].get("subset") for share in rest["route"]] == ["version-v2", None]
    assert {one.policy for one in said(report, "GM401")} == {"TrafficPolicy/shop/led"}


def test_copies_to_a_subset_that_is_not_found_are_left_out(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*"))
    mirror = [{"destination": {"name": "api", "subset": {"version": "v2"}}, "percent": 5}]
    shop.commit(document("TrafficPolicy", "copies", destinations=[{"name": "api"}], mirror=mirror))
    shop.settle()
    first, rest = rows(shop)
    assert first["match"] == [{"sourceNamespace": "desk"}]
    assert "mirrors" not in first
    assert rest["mirrors"][0]["destination"]["subset"] == "version-v2"


def test_route_names_the_copies_that_are_sent(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*"))
    mirror = [{"destination": {"name": "api", "subset": {"version": "v2"}}, "percent": 5}]
    more = [*mirror, {"destination": {"name": "db"}, "percent": 7}]
    for copies, left in ((mirror, []), (more, [7])):
        shop.commit(document("TrafficPolicy", "copies", destinations=[{"name": "api"}], mirror=copies))
        shop.settle()
        desk, yard = routed(shop, "desk"), routed(shop, "yard")
        assert [one.percent for one in desk.request["mirror"].value] == left if left else not desk.mirrors
        assert len(desk.mirrors) == len(left)
        assert len(yard.mirrors) == len(copies)


def test_rows_for_some_clients_stay_theirs(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*"), rule("*", "yard"))
    shop.commit(canary(sources=[{"namespaces": ["yard", "shop"]}], matches=[{"path": {"exact": "/a"}}]))
    shop.settle()
    first, _, rest = rows(shop)
    assert [match["sourceNamespace"] for match in first["match"]] == ["yard"]
    assert first["match"][0]["uri"] == {"exact": "/a"}
    assert "match" not in rest


def test_what_a_tenant_writes_for_its_clients_holds_nothing(shop: Folders) -> None:
    shop.put("east", "theirs", *(rule(HOST, name=f"r{n}") for n in range(3)), rule("*", name="wide"))
    shop.commit(canary(), breaker())
    report = shop.settle()
    assert shop.spec("east", "api", kind=RULE)["trafficPolicy"]["outlierDetection"]
    assert len(rows(shop)) == 2
    assert {one.policy for one in said(report, "GM401")} == {
        "TrafficPolicy/shop/breaker",
        "TrafficPolicy/shop/canary",
    }


def test_a_rule_for_the_host_in_the_services_namespace_is_merged_and_still_holds_ours(shop: Folders) -> None:
    shop.put("east", "theirs", rule("api", "shop"))
    shop.commit(breaker())
    report = shop.settle()
    assert not written(shop, RULE)
    assert "claims the host" in told(report).message
    assert [str(key) for key in routed(shop, "yard").follows] == ["DestinationRule shop/limits"]


def test_settings_that_some_clients_do_not_get_are_told(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*"))
    shop.commit(breaker())
    report = shop.settle()
    assert written(shop, RULE)
    assert "clients of namespace desk" in told(report).message
    assert routed(shop, "yard").connection.keys() == {"outlier_detection"}
    assert routed(shop, "desk").connection == {}
    assert [str(key) for key in routed(shop, "desk").follows] == ["DestinationRule desk/limits"]


def test_route_answers_where_a_share_really_goes(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*"))
    shop.commit(canary())
    assert [target.subset for target in routed(shop, "desk").targets] == [(), ()]
    assert [target.subset for target in routed(shop, "yard").targets] == [
        (("version", "v1"),),
        (("version", "v2"),),
    ]


# --- VirtualServices (case 28)

PRIVATE: list[dict[str, Any]] = [
    {"exportTo": ["."]},
    {"exportTo": ["desk"]},
    {"exportTo": [".", "far"]},
    {"exportTo": ["."], "gateways": ["edge", "mesh"]},
]


@pytest.mark.parametrize("spec", PRIVATE, ids=str)
def test_routes_that_only_their_namespace_sees_hold_nobody_elses(shop: Folders, spec: dict[str, Any]) -> None:
    shop.put("east", "theirs", routes(**spec))
    shop.commit(slow())
    report = shop.settle()
    assert rows(shop)[0]["timeout"] == "2s"
    found = told(report)
    assert "clients of namespace desk follow VirtualService desk/theirs" in found.message
    assert found.policy == "TrafficPolicy/shop/slow"
    assert routed(shop, "yard").request["timeout"].value == 2000
    answer = routed(shop, "desk")
    assert (answer.found, answer.request) == (Found.FOREIGN, {})
    assert [str(key) for key in answer.follows] == ["VirtualService desk/theirs"]


def test_a_default_of_the_mesh_makes_routes_private_too(shop: Folders) -> None:
    config = mesh_config(trustDomain="east.example", defaultVirtualServiceExportTo=["."])
    shop.put("east", "mesh", config)
    shop.put("east", "theirs", routes())
    shop.commit(slow())
    assert "namespace desk" in told(shop.settle()).message
    assert rows(shop)[0]["timeout"] == "2s"
    assert shop.spec("east", "api", kind=ROUTE)["exportTo"] == ["*"]


SHOWN: list[dict[str, Any]] = [{}, {"exportTo": ["*"]}, {"exportTo": [".", "yard"]}, {"exportTo": ["yard"]}]


@pytest.mark.parametrize("spec", SHOWN, ids=str)
def test_routes_that_other_clients_see_hold_ours(shop: Folders, spec: dict[str, Any]) -> None:
    shop.put("east", "theirs", routes(**spec))
    shop.commit(slow())
    report = shop.settle()
    assert not written(shop, ROUTE)
    assert "VirtualService desk/theirs claims the host" in told(report).message
    assert routed(shop, "yard").found is Found.FOREIGN


UNCONCERNED: list[dict[str, Any]] = [
    {"exportTo": ["far"]},
    {"exportTo": ["~"]},
    {"gateways": ["edge"]},
    {"namespace": "far", "exportTo": ["."]},
    {"host": "db.shop.svc.cluster.local"},
    {"host": "*.shop.svc.cluster.local"},
    {"host": "*"},
]


@pytest.mark.parametrize("spec", UNCONCERNED, ids=str)
def test_routes_that_no_client_follows_for_the_host_hold_nothing(shop: Folders, spec: dict[str, Any]) -> None:
    shop.put("east", "theirs", routes(**spec))
    shop.commit(slow())
    assert codes(shop.settle()) == []
    assert rows(shop)[0]["timeout"] == "2s"


def test_routes_that_were_there_before_the_claim_stay_and_the_claim_is_told(shop: Folders) -> None:
    shop.commit(slow())
    shop.settle()
    shop.put("east", "theirs", routes())
    report = shop.settle()
    assert rows(shop)[0]["timeout"] == "2s"
    assert "desk/theirs" in told(report).message


# --- settings of the mesh that change what is left out (case 23)


def by_hand(shop: Folders, *theirs: Body, **config: Any) -> None:
    shop.put("east", "mesh", mesh_config(trustDomain="east.example", **config))
    shop.put("east", "theirs", *theirs)


def everywhere(mode: str = "ISTIO_MUTUAL", host: str = "*.local", namespace: str = "istio-system") -> Body:
    return rule(host, namespace, "default", trafficPolicy={"tls": {"mode": mode}})


def tls_of(shop: Folders) -> list[Any]:
    policy = shop.spec("east", "api", kind=RULE).get("trafficPolicy", {})
    return [level.get("tls", {}).get("mode") for level in (policy, *policy.get("portLevelSettings", ()))]


# Where nobody says it, clients of the Services without an object of ours send plaintext (GM327).
@pytest.mark.parametrize(
    ("theirs", "found"), [([everywhere()], []), ([], ["GM327"]), ([everywhere(namespace="shop")], [])]
)
def test_without_automatic_mtls_ours_says_it_in_every_level(
    shop: Folders, theirs: list[Body], found: list[str]
) -> None:
    by_hand(shop, *theirs, enableAutoMtls=False)
    port = document(
        "TrafficPolicy",
        "port",
        destinations=[{"name": "api"}],
        matches=[{"port": 80}],
        connectionPool={"tcp": {"maxConnections": 7}},
    )
    shop.commit(breaker(), port, virtual_mesh(mtls={"mode": "Strict"}))
    assert codes(shop.settle()) == found
    assert tls_of(shop) == ["ISTIO_MUTUAL", "ISTIO_MUTUAL"]


def test_without_automatic_mtls_subsets_alone_say_it_too(shop: Folders) -> None:
    by_hand(shop, everywhere(), enableAutoMtls=False)
    shop.commit(canary())
    assert codes(shop.settle()) == []
    assert tls_of(shop) == ["ISTIO_MUTUAL"]


@pytest.mark.parametrize("config", [{}, {"enableAutoMtls": True}])
def test_with_automatic_mtls_nothing_is_added(shop: Folders, config: dict[str, bool]) -> None:
    by_hand(shop, everywhere(), **config)
    shop.commit(breaker())
    assert codes(shop.settle()) == []
    assert tls_of(shop) == [None]


def test_what_a_policy_says_of_tls_stays(shop: Folders) -> None:
    by_hand(shop, everywhere(), enableAutoMtls=False)
    shop.commit(breaker(outlierDetection={"consecutiveErrors": 5}, tls={"mode": "Simple"}))
    shop.settle()
    assert tls_of(shop) == ["SIMPLE"]


def test_pods_that_take_no_mtls_are_called_without(shop: Folders) -> None:
    by_hand(shop, enableAutoMtls=False)
    shop.commit(breaker(), virtual_mesh(mtls={"mode": "Disabled"}))
    shop.settle()
    assert tls_of(shop) == [None]


def test_pods_outside_the_mesh_are_called_without(shop: Folders) -> None:
    by_hand(shop, enableAutoMtls=False)
    plain = app("api")
    plain["spec"]["containers"].pop()
    shop.put("east", "pods", app("web"), app("db"), plain)
    shop.commit(breaker())
    shop.settle()
    assert tls_of(shop) == [None]


def test_plain_text_that_somebody_asks_for_stays(shop: Folders) -> None:
    by_hand(shop, everywhere("DISABLE"), enableAutoMtls=False)
    shop.commit(breaker())
    shop.settle()
    assert tls_of(shop) == ["DISABLE"]


def test_certificates_of_others_cannot_be_taken_over(shop: Folders) -> None:
    by_hand(shop, everywhere("MUTUAL"), enableAutoMtls=False)
    shop.commit(breaker())
    report = shop.settle()
    assert not written(shop, RULE)
    [found] = said(report, "GM320")
    assert found.is_error
    assert "istio-system/default" in found.message
    assert found.policy == "TrafficPolicy/shop/breaker"


@pytest.mark.parametrize(
    ("namespace", "host"), [("istio-system", "*.local"), ("istio-system", HOST), ("shop", "*")]
)
def test_settings_that_ours_puts_out_of_force_are_told(shop: Folders, namespace: str, host: str) -> None:
    shop.put("east", "theirs", rule(host, namespace))
    shop.commit(breaker())
    report = shop.settle()
    assert "limits sets connectionPool for shop/api" in told(report, "GM224").message
    shop.commit(breaker(connectionPool={"tcp": {"maxConnections": 3}}))
    assert codes(shop.settle()) == [], "a policy says it now"


def test_settings_that_nobody_sees_are_in_force_for_nobody(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*", "istio-system", exportTo=["."]))
    shop.commit(breaker())
    assert codes(shop.settle()) == []


# --- who may call (case 01, and others' objects in what `can` answers)


def answer(shop: Folders, account: str | None, **more: Any) -> Answer:
    asked = question(account or "", "shop" if account in ("web", "db") else account or "", **more)
    if account is None:
        asked = Question(client=Client(), service=("shop", "api"), port=80)
    return can(asked, calculator(shop.run(Stage.BUILD))).answer


def theirs(namespace: str = "shop", **spec: Any) -> Body:
    return authorization("theirs", namespace, spec)


def admits(*accounts: str, **more: Any) -> dict[str, Any]:
    principals = [f"east.example/ns/{name}/sa/{name}" for name in accounts]
    return {"from": [{"source": {"principals": principals}}], **more}


WEB_ONLY = allow("api", "api", "web")

ADMITTED: list[tuple[Body, str, Answer]] = [
    (theirs(), "desk", Answer.DENIED),
    (theirs(rules=[{}]), "desk", Answer.ALLOWED),
    (theirs(rules=[admits("desk")]), "desk", Answer.ALLOWED),
    (theirs("istio-system", rules=[admits("desk")]), "desk", Answer.ALLOWED),
    (theirs(rules=[admits("desk")]), "yard", Answer.DENIED),
    (
        theirs(rules=[admits("desk", when=[{"key": "request.headers[x]", "values": ["s"]}])]),
        "desk",
        Answer.UNKNOWN,
    ),
    (
        theirs(rules=[admits("desk", to=[{"operation": {"ports": ["8080"], "methods": ["GET"]}}])]),
        "desk",
        Answer.ALLOWED,
    ),
    (theirs(rules=[admits("desk", to=[{"operation": {"ports": ["9000"]}}])]), "desk", Answer.DENIED),
    (theirs(rules=[admits("desk")], selector={"matchLabels": {"app": "db"}}), "desk", Answer.DENIED),
    (theirs(rules=[admits("desk")], selector={"matchLabels": {"version": "v1"}}), "desk", Answer.DEPENDS),
    (theirs("desk", rules=[{}]), "desk", Answer.DENIED),
    (theirs(rules=[{"from": [{"source": {"namespaces": ["de*"]}}]}]), "desk", Answer.ALLOWED),
    (theirs(rules=[{"from": [{"source": {"notNamespaces": ["desk"]}}]}]), "desk", Answer.DENIED),
    (theirs(rules=[{"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}]), "desk", Answer.UNKNOWN),
    (theirs(action="DENY", rules=[{}]), "web", Answer.DENIED),
    (theirs(action="DENY", rules=[admits("desk")]), "web", Answer.ALLOWED),
    (
        theirs(action="DENY", rules=[admits("desk", when=[{"key": "request.auth.claims[a]"}])]),
        "web",
        Answer.ALLOWED,
    ),
    (theirs(action="DENY", rules=[{"when": [{"key": "request.auth.claims[a]"}]}]), "web", Answer.UNKNOWN),
    (theirs(action="CUSTOM", provider={"name": "x"}, rules=[{}]), "web", Answer.UNKNOWN),
    (theirs(action="AUDIT", rules=[{}]), "desk", Answer.DENIED),
]


@pytest.mark.parametrize(("body", "account", "expected"), ADMITTED)
def test_can_counts_what_others_admit_and_refuse(
    shop: Folders, body: Body, account: str, expected: Answer
) -> None:
    shop.put("east", "theirs", body)
    shop.commit(WEB_ONLY)
    assert answer(shop, account) is expected


def one_controller(body: Body) -> Body:
    """A pod of the StatefulSet api."""
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "api", "controller": True}
    body["metadata"]["ownerReferences"] = [owner]
    return body


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("spec", "account"), [({"rules": [admits("desk")]}, "desk"), ({"action": "DENY", "rules": [{}]}, "web")]
)
def test_what_others_say_of_some_pods_of_a_controller_is_said_of_these(
    shop: Folders, version: str, spec: dict[str, Any], account: str
) -> None:
    pods = [one_controller(app("api", pod=f"api-{v}", labels={"version": v})) for v in ("v1", "v2")]
    shop.put("east", "pods", app("web"), *pods)
    shop.put("east", "theirs", theirs(selector={"matchLabels": {"version": version}}, **spec))
    shop.commit(WEB_ONLY)
    assert answer(shop, account) is Answer.DEPENDS


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("cluster.local/ns/desk/sa/desk", Answer.ALLOWED),
        ("old.example/ns/desk/sa/desk", Answer.ALLOWED),
        ("far.example/ns/desk/sa/desk", Answer.DENIED),
        ("cluster.local/ns/yard/sa/yard", Answer.DENIED),
        ("*/ns/desk/sa/desk", Answer.ALLOWED),
    ],
)
def test_a_mesh_takes_all_its_names_for_one(shop: Folders, principal: str, expected: Answer) -> None:
    shop.put("east", "mesh", mesh_config(trustDomain="east.example", trustDomainAliases=["old.example"]))
    shop.put("east", "theirs", theirs(rules=[{"from": [{"source": {"principals": [principal]}}]}]))
    shop.commit(WEB_ONLY)
    assert answer(shop, "desk") is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (theirs(), Answer.DENIED),
        (theirs(rules=[admits("desk")]), Answer.ALLOWED),
        (theirs(rules=[admits("yard")]), Answer.DENIED),
        (theirs("far"), Answer.ALLOWED),
        (theirs(targetRefs=[{"kind": "Service", "name": "api", "group": ""}]), Answer.ALLOWED),
    ],
)
def test_can_counts_what_others_close_where_no_policy_does(
    shop: Folders, body: Body, expected: Answer
) -> None:
    shop.put("east", "theirs", body)
    shop.commit(slow())
    assert answer(shop, "desk") is expected


@pytest.mark.parametrize(("value", "expected"), [("T", Answer.ALLOWED), ("yes", Answer.DENIED)])
def test_what_others_only_try_out_closes_nothing(shop: Folders, value: str, expected: Answer) -> None:
    body = theirs()
    body["metadata"]["annotations"] = {"istio.io/dry-run": value}
    shop.put("east", "theirs", body)
    shop.commit(slow())
    assert answer(shop, "desk") is expected


def peer(mode: str, namespace: str = "shop", **spec: Any) -> Body:
    return thing(
        "PeerAuthentication",
        "theirs",
        namespace,
        "security.istio.io/v1",
        spec={"mtls": {"mode": mode}, **spec},
    )


PEERS: list[tuple[Body, str, Answer]] = [
    (peer("PERMISSIVE"), "Strict", Answer.ALLOWED),
    (peer("STRICT"), "Strict", Answer.DENIED),
    (peer("STRICT"), "Permissive", Answer.DENIED),
    (peer("UNSET"), "Strict", Answer.DENIED),
    (peer("PERMISSIVE", "far"), "Strict", Answer.DENIED),
    (peer("PERMISSIVE", selector={"matchLabels": {"app": "db"}}), "Strict", Answer.DENIED),
    (
        peer("STRICT", selector={"matchLabels": {"app": "api"}}, portLevelMtls={"8080": {"mode": "DISABLE"}}),
        "Strict",
        Answer.ALLOWED,
    ),
]


@pytest.mark.parametrize(("body", "mode", "expected"), PEERS)
def test_can_counts_modes_of_mtls_that_others_set(
    shop: Folders, body: Body, mode: str, expected: Answer
) -> None:
    shop.put("east", "theirs", body)
    shop.commit(virtual_mesh(mtls={"mode": mode}))
    assert answer(shop, None) is expected


@pytest.mark.parametrize("namespace", ["shop", "istio-system"])
def test_nobody_is_admitted_where_somebody_closed(shop: Folders, namespace: str) -> None:
    shop.put("east", "theirs", authorization("allow-nothing", namespace, {}))
    shop.commit(WEB_ONLY)
    shop.settle()
    allowed = shop.spec("east", "api-allow")["rules"]
    assert [rule["to"] for rule in allowed] == [[{"operation": {"ports": ["8080"]}}]]
    assert answer(shop, "web") is Answer.ALLOWED
    assert answer(shop, "desk") is Answer.DENIED


# --- who is a stranger


def strangers(shop: Folders) -> list[str]:
    facts = shop.run(Stage.PLAN).clusters["east"].facts
    assert facts is not None
    return [str(one.key) for one in facts.strangers]


def test_ours_are_no_facts_and_marks_alone_make_nothing_ours(shop: Folders) -> None:
    shop.commit(canary(), WEB_ONLY)
    shop.settle()
    assert strangers(shop) == []
    copied = rule("*")
    copied["metadata"] |= {
        "labels": {"app.kubernetes.io/managed-by": "gitmesh", "gitmesh.io/instance": "shop"},
        "annotations": {"gitmesh.io/id": "east/networking.istio.io/DestinationRule/desk/limits"},
    }
    shop.put("east", "theirs", copied)
    assert strangers(shop) == ["DestinationRule desk/limits"]
    shop.settle()
    assert rows(shop)[0]["match"] == [{"sourceNamespace": "desk"}]


def test_facts_hold_no_values_of_conditions(shop: Folders) -> None:
    secret = {"key": "request.headers[x-token]", "values": ["hunter2"]}
    near = {"from": [{"source": {"ipBlocks": ["10.9.8.0/24"]}}]}
    shop.put("east", "theirs", theirs(rules=[admits("desk", when=[secret]), near]))
    shop.commit(WEB_ONLY)
    facts = shop.run(Stage.PLAN).clusters["east"].facts
    assert facts is not None
    assert [one.name for one in facts.strangers] == ["theirs"]
    assert "hunter2" not in str(facts)
    assert "10.9.8" not in str(facts)


def test_an_object_that_a_translator_falls_over_is_told_and_hides_no_other(
    shop: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = load_translators()["istio"]
    reduced = translator.reduced

    def falls(key: ObjectKey, body: Body, meshes: Any) -> Any:
        if key.name == "odd":
            raise ValueError("no such shape")
        return reduced(key, body, meshes)

    monkeypatch.setattr(translator, "reduced", falls)
    shop.put("east", "theirs", rule("*", "yard", "odd"), rule("*"))
    shop.commit(canary())
    report = shop.settle()
    assert "DestinationRule yard/odd" in said(report, "GM313")[0].message
    assert [match["sourceNamespace"] for match in rows(shop)[0]["match"]] == ["desk"]


# --- saved, and much of it


def test_saved_facts_decide_as_the_cluster_does(shop: Folders) -> None:
    shop.put("east", "theirs", rule("*"), routes("yard", exportTo=["."]), theirs(rules=[admits("desk")]))
    shop.commit(canary(), WEB_ONLY)
    live = shop.run(Stage.BUILD).clusters["east"]
    assert live.facts is not None
    assert live.build is not None
    facts = load_facts(json.loads(json.dumps(dump_facts({"east": live.facts}))))
    assert facts["east"].strangers == live.facts.strangers
    assert facts["east"].digest == live.facts.digest
    saved = run(
        shop.sources,
        LocalFleet([MemoryCluster("east", facts=facts["east"])]),
        load_translators(),
        until=Stage.BUILD,
        options=Options(instance="shop", clusters={"east": {}}),
        memo=Memo(),
        clock=lambda: 0.0,
    )
    built = saved.clusters["east"].build
    assert built is not None
    assert {key: one.body for key, one in built.manifests.items()} == {
        key: one.body for key, one in live.build.manifests.items()
    }
    assert codes(saved) == ["GM401", "GM401", "GM410"]
    [allowed] = [one for key, one in built.manifests.items() if key.name == "api-allow"]
    assert "notPorts" not in allowed.body.decode()


def test_facts_that_an_older_version_saved_have_no_strangers() -> None:
    document = {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": "Facts",
        "clusters": [{"name": "east", "complete": True}],
    }
    assert load_facts(document)["east"].strangers == ()


def test_names_that_no_object_can_have_are_left_out_of_saved_facts() -> None:
    document = {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": "Facts",
        "clusters": [
            {
                "name": "east",
                "strangers": [{"group": "g", "kind": "K", "namespace": "../x", "name": "n"}],
            }
        ],
    }
    facts = load_facts(document)["east"]
    assert facts.strangers == ()
    assert facts.unusable


def test_however_much_a_tenant_writes_it_is_one_thing_to_each_destination(shop: Folders) -> None:
    many = [rule("*", name=f"r{n:04}") for n in range(300)]
    many += [routes(name=f"r{n:04}", exportTo=["."]) for n in range(300)]
    shop.put("east", "theirs", *many)
    shop.commit(canary(), slow())
    built = shop.run(Stage.PLAN).clusters["east"].build
    assert built is not None
    [unit] = [unit for unit in built.units if isinstance(unit, RoutingUnit)]
    assert [(one.of, one.namespace, one.by.name) for one in unit.around.overrides] == [
        ("routes", "desk", "r0000"),
        ("settings", "desk", "r0000"),
    ]
    assert unit.around.contenders == ()
