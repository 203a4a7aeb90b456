"""A cluster with pods in Istio's ambient mode, cycle by cycle: what is found, written and taken away."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gitmesh.adapters import directory
from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.discovery.discover import assemble
from gitmesh.discovery.facts_codec import dump_facts, load_facts
from gitmesh.model.report import Report, State
from gitmesh.plugins import load_translators
from gitmesh.reasoning.access import can
from gitmesh.reasoning.crowd import Crowd
from gitmesh.reasoning.difference import access_changes
from gitmesh.reasoning.population import population
from gitmesh.reasoning.questions import Client, Question
from gitmesh.reasoning.routing import Found, route
from gitmesh.reasoning.table import callers_of
from tests.ambient_folders import MODE, USE, in_ambient, pod, waypoint
from tests.folders import (
    Body,
    Folders,
    authorization,
    calculator,
    codes,
    mesh_config,
    said,
    service,
    thing,
)
from tests.properties.history import document

ACCESS = "authorizationpolicy.security.istio.io"
ROUTES = "httproute.gateway.networking.k8s.io"
CALLERS = document(
    "AccessPolicy",
    "callers",
    sources=[{"serviceAccounts": [{"name": "web"}]}],
    destinations=[{"name": "api"}],
)
READ = document(
    "AccessPolicy",
    "readers",
    sources=[{"serviceAccounts": [{"name": "web"}]}],
    destinations=[{"name": "api"}],
    rules=[{"methods": ["GET"]}],
)
SLOW = document("TrafficPolicy", "slow", destinations=[{"name": "api"}], timeout="5s")


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    """All pods of `shop` in ambient, and no waypoint."""
    return in_ambient(tmp_path)


def bind(world: Folders, *, ready: bool = True) -> None:
    world.put("east", "waypoint", waypoint(ready=ready))
    named = thing("Namespace", "shop", labels={MODE: "ambient", USE: "waypoint"})
    world.put("east", "namespaces", thing("Namespace", "istio-system"), named)


def written(world: Folders) -> list[str]:
    return [path.removeprefix("shop/").removesuffix(".yaml") for path in world.live("east")]


def test_connections_are_decided_without_a_finding(world: Folders) -> None:
    world.commit(CALLERS)
    assert codes(world.settle()) == []
    assert written(world) == [f"{ACCESS}/api-allow"]


def test_requests_without_a_waypoint_are_closed_and_told(world: Folders) -> None:
    world.commit(READ, SLOW)
    assert codes(world.settle()) == ["GM317", "GM317"]
    assert written(world) == [f"{ACCESS}/api-allow"]
    assert world.spec("east", "api-allow")["rules"] == [{"to": [{"operation": {"notPorts": ["8080"]}}]}]


@pytest.mark.parametrize("ready", [True, False])
def test_a_waypoint_counts_once_it_has_an_address(world: Folders, ready: bool) -> None:
    bind(world, ready=ready)
    world.commit(READ, SLOW)
    report = world.settle()
    if not ready:
        assert codes(report) == ["GM317", "GM317"]
        told = said(report, "GM317")
        assert all(
            "waypoint shop/waypoint of Service shop/api has no address yet" in one.message for one in told
        )
        return
    assert codes(report) == []
    assert written(world) == [f"{ACCESS}/api-allow", f"{ACCESS}/api.waypoint-allow", f"{ROUTES}/api.80"]


def test_a_waypoint_whose_pods_are_away_for_a_moment_keeps_everything(world: Folders) -> None:
    """Its Gateway is not programmed meanwhile, and ztunnels send to it as before."""
    bind(world)
    world.commit(READ, SLOW)
    world.settle()
    before = world.live("east")
    world.put("east", "waypoint", waypoint(programmed=False))
    report = world.run()
    assert codes(report) == []
    assert world.live("east") == before


def test_waypoints_that_may_not_be_listed_are_not_gone(
    world: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial read is not a value: what stands at waypoints and lets them in stays, and is told."""
    bind(world)
    world.commit(READ, SLOW)
    world.settle()
    before = world.live("east")
    world.drop("east", "waypoint")
    monkeypatch.setattr(f"{directory.__name__}.assemble", partial(assemble, unread=("Gateway",)))
    report = world.run()
    assert world.live("east") == before
    [told] = report.diagnostics
    assert (told.code, told.mesh, "Gateways may not be listed" in told.message) == ("GM521", "istio", True)
    assert report.clusters["east"].state is State.HELD
    monkeypatch.undo()
    bind(world)
    assert codes(world.settle()) == []
    assert world.live("east") == before


def test_where_no_pod_can_be_in_ambient_gateways_need_not_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Folders(tmp_path, ("east",))
    monkeypatch.setattr(f"{directory.__name__}.assemble", partial(assemble, unread=("Gateway",)))
    plain.commit(READ, SLOW)
    assert codes(plain.settle()) == []


def test_a_waypoint_that_is_gone_is_admitted_no_more(world: Folders) -> None:
    bind(world)
    world.commit(READ)
    world.settle()
    world.drop("east", "waypoint")
    assert codes(world.settle()) == ["GM317"]
    assert written(world) == [f"{ACCESS}/api-allow"]
    assert "principals" not in str(world.spec("east", "api-allow"))


def test_it_settles_and_then_writes_nothing(world: Folders) -> None:
    bind(world)
    world.commit(READ, SLOW)
    world.settle()
    before = world.live("east")
    report = world.run()
    assert not any(result.outcomes for result in report.clusters.values())
    assert world.live("east") == before


def test_the_waypoint_guards_before_the_pods_let_it_in(world: Folders) -> None:
    bind(world)
    world.commit(READ)
    names = [outcome.key.name for outcome in world.run().clusters["east"].outcomes]
    assert names == ["api.waypoint-allow", "api-allow"]


def test_all_access_at_a_waypoint_and_its_pods_goes_and_nothing_waits_for_the_other(world: Folders) -> None:
    """What guards a waypoint stays until no pod lets it in, and is missed by no grant that goes before it."""
    bind(world)
    world.commit(READ, SLOW)
    world.settle()
    world.commit(SLOW)
    assert codes(world.settle()) == []
    assert written(world) == [f"{ROUTES}/api.80"]


def test_what_is_no_longer_wanted_goes_though_no_pod_is_in_ambient_any_more(world: Folders) -> None:
    bind(world)
    world.commit(READ, SLOW)
    world.settle()
    world.put("east", "pods", *(pod(name, sidecar=True) for name in ("web", "api", "db")))
    world.drop("east", "waypoint")
    labels = {"istio-injection": "enabled"}
    world.put(
        "east", "namespaces", thing("Namespace", "istio-system"), thing("Namespace", "shop", labels=labels)
    )
    assert codes(world.settle()) == []
    assert written(world) == [f"{ACCESS}/api-allow", "virtualservice.networking.istio.io/api"]
    assert "methods" in str(world.spec("east", "api-allow"))


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_strangers_route_for_the_service_is_told_and_not_fought(world: Folders, kind: str) -> None:
    bind(world)
    theirs = thing(
        kind,
        "theirs",
        "shop",
        "gateway.networking.k8s.io/v1",
        spec={"parentRefs": [{"group": "", "kind": "Service", "name": "api"}], "rules": [{}]},
    )
    world.put("east", "theirs", theirs)
    world.commit(SLOW)
    assert codes(world.settle()) == ["GM401"]
    assert written(world) == []


def test_sidecars_in_the_same_cluster_keep_their_own(world: Folders) -> None:
    """The counter-proof: nothing changes for a destination whose pods have sidecars; but clients without one
    do not follow its routes."""
    world.put("east", "pods", pod("web"), pod("api", sidecar=True), pod("db"))
    world.commit(READ, SLOW)
    [told] = world.settle().diagnostics
    assert (told.code, told.severity, told.policy) == ("GM317", "warning", "TrafficPolicy/shop/slow")
    assert written(world) == [f"{ACCESS}/api-allow", "virtualservice.networking.istio.io/api"]
    assert "methods" in str(world.spec("east", "api-allow"))


def test_facts_say_how_pods_are_in_the_mesh_and_older_facts_are_read(world: Folders) -> None:
    world.put("east", "pods", pod("web"), pod("api", sidecar=True))
    bound = service("api")
    bound["status"] = {
        "conditions": [
            {"type": "istio.io/WaypointBound", "status": "True"},
            {"type": "LoadBalancerPortsError", "status": "False"},
            {"type": "istio.io/Odd", "status": "Maybe"},
        ]
    }
    world.put("east", "services", bound)
    cluster = DirectoryCluster("east", world.root / "east", list(load_translators().values()))
    facts = cluster.facts()
    members = {one.name: one.dataplane for one in facts.workloads if one.mesh}
    assert members == {"web-0": "ambient", "api-0": "sidecar"}
    assert facts.services[0].conditions == {"istio.io/WaypointBound": "True"}
    assert facts.proxied == (("shop", "api", False),)
    saved: Any = dump_facts({"east": facts})
    assert load_facts(saved)["east"] == facts
    for one in saved["clusters"][0]["workloads"]:
        one.pop("dataplane", None)
    assert {one.dataplane for one in load_facts(saved)["east"].workloads} == {"sidecar"}


@pytest.mark.parametrize("shares", [True, False])
def test_nobody_guards_pods_in_the_network_of_their_node(world: Folders, shares: bool) -> None:
    """Its packets are the node's, which no ztunnel takes, whatever the namespace asks for. The counter-proof:
    hostNetwork: false is as if nothing were said."""
    shared = pod("api")
    shared["spec"]["hostNetwork"] = shares
    shared["metadata"]["annotations"] = {"ambient.istio.io/redirection": "enabled"}
    world.put("east", "pods", pod("web"), pod("db"), shared)
    world.commit(
        document(
            "AccessPolicy",
            "callers",
            sources=[{"serviceAccounts": [{"name": "web"}]}],
            destinations=[{"name": "api"}],
        )
    )
    report = world.settle()
    assert codes(report) == (["GM308"] if shares else [])
    assert answer(report, "db")[0] == ("Allowed" if shares else "Denied")


def answer(
    report: Report, account: str = "web", method: str = "GET", mesh: str = "istio", ip: str = ""
) -> tuple[str, str]:
    """What the calculator says of a request to `api`, and why."""
    known = calculator(report)
    domain = known.index.facts.meshes[0].trust_domain if mesh else None
    client = Client(namespace="shop", service_account=account, trust_domain=domain, mesh=mesh, ip=ip)
    question = Question(client=client, service=("shop", "api"), port=80, method=method)
    found = can(question, known)
    return found.answer.value, found.pods[0][2].text


def make_headless(world: Folders) -> None:
    world.put("east", "services", service("api", clusterIP="None"), service("web"), service("db"))


def test_requests_for_a_headless_service_go_past_its_waypoint(world: Folders) -> None:
    """Their clients call pods by their own addresses, and ztunnels know Services by theirs alone."""
    bind(world)
    make_headless(world)
    world.commit(READ, SLOW)
    report = world.settle()
    assert codes(report) == ["GM317", "GM317"]
    assert all("is headless" in one.message for one in said(report, "GM317"))
    assert written(world) == [f"{ACCESS}/api-allow"]
    assert answer(report)[0] == "Denied"


def test_connections_to_a_headless_service_are_decided_at_its_pods(world: Folders) -> None:
    """The counter-proof: what connections show is granted, to the clients and not to the waypoint."""
    bind(world)
    make_headless(world)
    world.commit({**READ, "spec": {**READ["spec"], "rules": [{"ports": [80]}]}})
    report = world.settle()
    assert codes(report) == []
    assert written(world) == [f"{ACCESS}/api-allow"]
    assert "sa/web" in str(world.spec("east", "api-allow"))
    assert answer(report)[0] == "Allowed"
    assert answer(report, account="db")[0] == "Denied"


REFUSING = document(
    "AccessPolicy",
    "no-deletes",
    action="Deny",
    sources=[{"all": True}],
    destinations=[{"name": "api"}],
    rules=[{"methods": ["DELETE"]}],
)


def test_the_calculator_says_that_requests_without_a_waypoint_are_refused(world: Folders) -> None:
    world.commit(READ)
    assert answer(world.settle()) == (
        "Denied",
        "no Allow admits it: nobody on the way to its pods sees requests",
    )
    world.commit(REFUSING)
    report = world.settle()
    assert answer(report)[0] == answer(report, method="DELETE")[0] == "Denied"


def test_the_calculator_says_what_a_waypoint_decides(world: Folders) -> None:
    """The counter-proof: with a waypoint each request has its own answer, for who comes through it."""
    bind(world)
    world.commit(READ, REFUSING)
    report = world.settle()
    assert answer(report)[0] == "Allowed"
    assert answer(report, method="DELETE")[0] == answer(report, account="db")[0] == "Denied"
    assert answer(report, mesh="")[0] == "Denied"


def test_the_calculator_knows_that_a_waypoint_sees_no_addresses(world: Folders) -> None:
    """An Allow by address admits nobody there, and a Deny by address means everybody."""
    bind(world)
    office = [{"ipBlocks": ["10.0.0.0/8"]}]
    reading = document("AccessPolicy", "readers", sources=office, destinations=[{"name": "api"}])
    world.commit(reading)
    report = world.settle()
    assert codes(report) == ["GM304"]
    assert answer(report, ip="10.0.0.1")[0] == "Denied"
    assert answer(report, ip="10.0.0.1", mesh="")[0] == "Allowed"
    refusing = document(
        "AccessPolicy", "others", action="Deny", sources=office, destinations=[{"name": "api"}]
    )
    world.commit(refusing)
    assert answer(world.settle(), ip="192.0.2.1")[0] == "Denied"


@pytest.mark.parametrize(("mode", "said"), [("Disabled", "Allowed"), ("Permissive", "Allowed")])
def test_the_calculator_knows_that_pods_in_ambient_keep_their_identity(
    world: Folders, mode: str, said: str
) -> None:
    callers = document(
        "AccessPolicy",
        "callers",
        sources=[{"serviceAccounts": [{"name": "web"}]}],
        destinations=[{"name": "api"}],
    )
    mesh = document("VirtualMesh", "all", meshes=[{"cluster": "east"}], mtls={"mode": mode})
    world.commit(callers, mesh)
    report = world.settle()
    assert answer(report)[0] == said
    assert answer(report, account="db")[0] == answer(report, mesh="")[0] == "Denied"


def test_who_may_come_past_the_waypoint_is_not_guessed(world: Folders) -> None:
    bind(world)
    world.put("east", "pods", pod("web", sidecar=True), pod("api"), pod("db"))
    world.commit(READ)
    report = world.settle()
    assert codes(report) == ["GM318"]
    assert answer(report)[0] == "Unknown"
    assert answer(report, account="db")[0] == "Denied"


def told(report: Report) -> set[tuple[str, str, tuple[str, ...]]]:
    """The table of who can call `api`: answer, caller and requests of each row."""
    known = calculator(report)
    residents = population("east", {"east": known.index.facts})
    rows = callers_of(("shop", "api"), known, Crowd(residents))
    return {(row.answer.value, caller, row.requests) for row in rows for caller in row.callers}


def test_the_table_of_callers_says_what_each_answer_says(world: Folders) -> None:
    """By the way of each: who is in ambient comes through the waypoint, whoever has a proxy past it."""
    bind(world)
    world.put("east", "more", thing("ServiceAccount", "cron", "shop"), pod("cron", sidecar=True), pod("cart"))
    callers = [{"serviceAccounts": [{"name": name} for name in ("web", "cron")]}]
    world.commit(
        document(
            "AccessPolicy",
            "readers",
            sources=callers,
            destinations=[{"name": "api"}],
            rules=[{"methods": ["GET"]}],
        )
    )
    report = world.settle()
    assert [answer(report, account=name)[0] for name in ("web", "cron", "cart")] == [
        "Allowed",
        "Unknown",
        "Denied",
    ]
    found = told(report)
    assert {("Allowed", "shop/web", ("GET",)), ("Unknown", "shop/cron", ("GET",))} <= found
    assert ("Denied", "shop/cart", ()) in found
    assert not any(said != "Denied" and "anybody else" in caller for said, caller, _ in found)


def test_what_a_revision_opens_at_a_waypoint_is_a_difference(world: Folders) -> None:
    bind(world)
    world.commit(READ)
    before = calculator(world.settle())
    world.commit({**READ, "spec": {**READ["spec"], "rules": [{"methods": ["GET", "POST"]}]}})
    after = calculator(world.settle())
    residents = population("east", {"east": after.index.facts})
    (change,) = access_changes(before, after, residents)
    assert (change.effect.value, change.callers, change.requests) == ("Gained", ("shop/web",), ("POST",))
    (change,) = access_changes(after, before, residents)
    assert change.effect.value == "Lost"


REDIRECT = document(
    "TrafficPolicy",
    "moved",
    destinations=[{"name": "api"}],
    matches=[{"path": {"prefix": "/old"}}],
    redirect={"path": {"replacePrefixMatch": "/new"}, "statusCode": 302},
)


def test_a_version_counts_for_the_form_that_is_written(world: Folders) -> None:
    """VirtualServices replace a prefix from Istio 1.31 on (`prefixRewrite`); its HTTPRoutes do since long
    (createRedirectFilter in pilot/pkg/config/kube/gateway)."""
    bind(world)
    world.commit(REDIRECT)
    assert codes(world.settle()) == []
    assert written(world) == [f"{ROUTES}/api.80"]
    (rule,) = world.spec("east", "api.80", kind=ROUTES)["rules"][:1]
    assert rule["filters"][0]["requestRedirect"]["path"] == {
        "type": "ReplacePrefixMatch",
        "replacePrefixMatch": "/new",
    }


def test_beside_it_a_destination_with_sidecars_needs_the_newer_version(world: Folders) -> None:
    bind(world)
    world.put("east", "pods", *(pod(name) for name in ("web", "db")), pod("api", sidecar=True))
    world.commit(REDIRECT)
    (told,) = said(world.settle(), "GM302")
    assert "needs Istio 1.31; mesh istio is 1.30.3" in told.message
    assert written(world) == []


def test_what_no_route_of_ambient_can_say_is_told_in_its_own_words(world: Folders) -> None:
    """For sidecars labels would do; an HTTPRoute holds for every client."""
    bind(world)
    clients = [{"serviceAccounts": ["web"]}]
    world.commit(
        document("TrafficPolicy", "some", destinations=[{"name": "api"}], sources=clients, timeout="5s")
    )
    (told,) = said(world.settle(), "GM301")
    assert "use labels" not in told.message
    assert written(world) == []


def add_twin(world: Folders, *more: Body) -> None:
    """A Service over the pods of `api`, which has these ports more."""
    api, twin = service("api"), service("twin", selector={"app": "api"})
    api["spec"]["ports"] += more
    world.put("east", "services", service("web"), api, service("db"), twin)


def web_may_call(*names: str) -> Body:
    """An Allow of the account `web` for these Services."""
    sources = [{"serviceAccounts": [{"name": "web"}]}]
    return document("AccessPolicy", "callers", sources=sources, destinations=[{"name": one} for one in names])


def test_a_waypoint_that_the_pods_do_not_let_in_serves_nobody_for_the_calculator_either(
    world: Folders,
) -> None:
    """`twin` and `api` have the same pods, and `api` a port more. The Allow is for `twin` alone, so nothing
    can stand at the waypoint for `api`, which is that of `twin`, too, and shows the pods one identity."""
    bind(world)
    add_twin(world, {"name": "http-more", "port": 81, "targetPort": 9090})
    world.commit(web_may_call("twin"))
    report = world.settle()
    (told,) = said(report, "GM318")
    assert told.is_error
    known = calculator(report)

    def asked(name: str, port: int = 80, account: str = "web", mesh: str = "istio") -> tuple[str, str]:
        domain = known.index.facts.meshes[0].trust_domain if mesh else None
        client = Client(namespace="shop", service_account=account, trust_domain=domain, mesh=mesh)
        found = can(Question(client=client, service=("shop", name), port=port), known)
        return found.answer.value, found.pods[0][2].basis.value

    assert asked("twin") == asked("api") == ("Denied", "Shut")
    assert asked("twin", account="db") == ("Denied", "NoAllow")
    assert asked("api", port=81)[0] == "Allowed"
    assert asked("twin", mesh="")[0] == "Denied"
    world.put("east", "pods", pod("web", sidecar=True), pod("api"), pod("db"))
    known = calculator(world.settle())
    assert asked("twin") == ("Unknown", "Shut")


def test_a_waypoint_that_the_pods_let_in_serves_whom_the_policies_admit(world: Folders) -> None:
    """The counter-proof: the Services lead to the same ports."""
    bind(world)
    add_twin(world)
    world.commit(web_may_call("twin", "api"))
    report = world.settle()
    assert said(report, "GM318") == []
    assert answer(report)[0] == "Allowed"
    assert answer(report, account="db")[0] == "Denied"


def test_route_says_that_nobody_routes_for_clients_in_ambient_without_a_waypoint(world: Folders) -> None:
    """As GM317 warns: ztunnels route nothing, and the pods of `api` have sidecars."""
    world.put("east", "pods", pod("web"), pod("api", sidecar=True), pod("db", sidecar=True))
    world.commit(SLOW)
    known = calculator(world.settle())

    def found(account: str) -> Found:
        domain = known.index.facts.meshes[0].trust_domain
        client = Client(namespace="shop", service_account=account, trust_domain=domain, mesh="istio")
        return route(Question(client=client, service=("shop", "api"), port=80), known).found

    assert (found("web"), found("db")) == (Found.UNROUTED, Found.DECIDED)
    bind(world)
    world.put("east", "pods", pod("web"), pod("api"), pod("db", sidecar=True))
    known = calculator(world.settle())
    assert (found("web"), found("db")) == (Found.DECIDED, Found.DECIDED)


def test_a_review_tells_whom_a_waypoint_that_is_shut_out_costs_his_access(world: Folders) -> None:
    """What is allowed at `twin` is the same before and after; but `api`, whose port 81 leads elsewhere, is
    not selected any more, so that the waypoint of both is refused."""
    bind(world)
    add_twin(world, {"name": "http-more", "port": 81, "targetPort": 9090})
    to_twin = web_may_call("twin")
    to_api = {
        **to_twin,
        "metadata": {**to_twin["metadata"], "name": "more"},
        "spec": {**to_twin["spec"], "destinations": [{"name": "api"}]},
    }
    world.commit(to_twin, to_api)
    before = calculator(world.settle())
    world.commit(to_twin)
    after = calculator(world.settle())
    residents = population("east", {"east": after.index.facts})
    lost = {
        (one.service, one.callers)
        for one in access_changes(before, after, residents)
        if one.effect.value == "Lost"
    }
    assert (("shop", "twin"), ("shop/web",)) in lost


def test_what_stands_at_waypoints_leaves_no_pods(world: Folders) -> None:
    """Services swap their pods: at these others follow, and waypoints go on to decide by Service."""
    bind(world)
    world.commit(*(_callers(name) for name in ("api", "db")))
    world.settle()
    before = {path: text for path, text in world.live("east").items() if ".waypoint-" in path}
    swapped = (service("api", selector={"app": "db"}), service("db", selector={"app": "api"}))
    world.put("east", "services", service("web"), *swapped)
    world.run()
    copies = [path for path in written(world) if "left-" in path]
    assert sorted(path.rpartition(".")[2] for path in copies) == [
        "api-allow",
        "db-allow",
    ]
    world.settle()
    assert before == {path: text for path, text in world.live("east").items() if ".waypoint-" in path}
    assert not [path for path in written(world) if "left-" in path]


def _callers(name: str) -> Body:
    sources = [{"serviceAccounts": [{"name": "web"}]}]
    return document("AccessPolicy", f"callers-{name}", sources=sources, destinations=[{"name": name}])


# --- what others say at pods and waypoints


def from_account(name: str) -> Body:
    return {"from": [{"source": {"principals": [f"east.example/ns/shop/sa/{name}"]}}]}


WAYPOINT = "waypoint"


@pytest.mark.parametrize(
    ("spec", "db", "beside_ours"),
    [
        pytest.param({"rules": [from_account("db")]}, "Denied", "Denied", id="closes the waypoint"),
        pytest.param({"rules": [from_account(WAYPOINT)]}, "Allowed", "Denied", id="admits it"),
        pytest.param(
            {"action": "DENY", "rules": [from_account("db")]}, "Allowed", "Denied", id="does not meet it"
        ),
        pytest.param(
            {"action": "DENY", "rules": [from_account(WAYPOINT)]}, "Denied", "Denied", id="refuses it"
        ),
    ],
)
def test_pods_see_the_waypoint_in_place_of_who_comes_by_it(
    world: Folders, spec: Body, db: str, beside_ours: str
) -> None:
    """So what others say of callers at pods is not said of them (istio/istio#44671)."""
    bind(world)
    world.put("east", "theirs", authorization("theirs", "shop", spec))
    world.commit(SLOW)
    assert answer(world.settle(), "db")[0] == db
    world.commit(SLOW, CALLERS)
    assert answer(world.settle(), "db")[0] == beside_ours


@pytest.mark.parametrize(
    ("rule", "unknown", "nobody"),
    [
        pytest.param(from_account(WAYPOINT), "Unknown", "Denied", id="only who comes by it"),
        pytest.param({}, "Allowed", "Allowed", id="everybody"),
        pytest.param(from_account("web"), "Denied", "Denied", id="neither"),
    ],
)
def test_who_comes_past_the_waypoint_is_seen_himself(
    world: Folders, rule: Body, unknown: str, nobody: str
) -> None:
    """Some pods of `db` have a proxy of their own, so that its way is not known; who is in no mesh has one
    way."""
    bind(world)
    world.put("east", "pods", pod("web"), pod("api"), pod("db", sidecar=True))
    world.put("east", "theirs", authorization("theirs", "shop", {"rules": [rule]}))
    world.commit(SLOW)
    report = world.settle()
    assert answer(report, "db")[0] == unknown
    assert answer(report, "db", mesh="")[0] == nobody


def of_a_mesh_of_many_names(world: Folders, domain: str, **spec: Any) -> None:
    world.put("east", "mesh", mesh_config(trustDomain="east.example", trustDomainAliases=["old.example"]))
    rule = {"from": [{"source": {"principals": [f"{domain}/ns/shop/sa/web"]}}]}
    world.put("east", "theirs", authorization("theirs", "shop", {"rules": [rule], **spec}))


@pytest.mark.parametrize(
    ("domain", "denied", "allowed"),
    [
        ("cluster.local", "Unknown", "Unknown"),
        ("old.example", "Unknown", "Unknown"),
        ("east.example", "Denied", "Allowed"),
        ("far.example", "Allowed", "Denied"),
    ],
)
def test_ztunnels_take_a_principal_as_it_is_written(
    world: Folders, domain: str, denied: str, allowed: str
) -> None:
    """Sidecars take every name of the mesh's for all of them (istio/ztunnel#1260)."""
    of_a_mesh_of_many_names(world, domain, action="DENY")
    world.commit(CALLERS)
    assert answer(world.settle())[0] == denied
    of_a_mesh_of_many_names(world, domain)
    world.commit(SLOW)
    assert answer(world.settle())[0] == allowed


@pytest.mark.parametrize(("domain", "expected"), [("cluster.local", "Allowed"), ("far.example", "Unknown")])
def test_waypoints_take_every_name_of_the_mesh(world: Folders, domain: str, expected: str) -> None:
    bind(world)
    named = {"group": "", "kind": "Service", "name": "api"}
    of_a_mesh_of_many_names(world, domain, targetRefs=[named])
    world.commit(SLOW)
    assert answer(world.settle())[0] == expected


def at_waypoint(world: Folders, *targets: Body, **spec: Any) -> None:
    refs = list(targets) or [{"group": "", "kind": "Service", "name": "api"}]
    world.put("east", "theirs", authorization("theirs", "shop", {"targetRefs": refs, **spec}))


GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}
CLASS = {"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": "istio-waypoint"}
ELSEWHERE = {"group": "", "kind": "Service", "name": "db"}


@pytest.mark.parametrize(
    ("targets", "spec", "web", "db"),
    [
        pytest.param([], {"rules": [from_account("db")]}, "Allowed", "Unknown", id="theirs add to ours"),
        pytest.param([GATEWAY], {"rules": [{}]}, "Allowed", "Unknown", id="for all that a Gateway serves"),
        pytest.param([CLASS], {}, "Allowed", "Denied", id="what admits nothing takes nothing from ours"),
        pytest.param(
            [], {"action": "DENY", "rules": [from_account("web")]}, "Unknown", "Denied", id="a DENY"
        ),
        pytest.param(
            [], {"action": "DENY", "rules": [from_account("db")]}, "Allowed", "Denied", id="of others"
        ),
        pytest.param(
            [ELSEWHERE], {"action": "DENY", "rules": [{}]}, "Allowed", "Denied", id="for another Service"
        ),
    ],
)
def test_what_others_say_at_a_waypoint_is_counted(
    world: Folders, targets: list[Body], spec: Body, web: str, db: str
) -> None:
    bind(world)
    at_waypoint(world, *targets, **spec)
    world.commit(READ)
    report = world.settle()
    assert [answer(report, who)[0] for who in ("web", "db")] == [web, db]


def test_an_allow_at_a_waypoint_may_close_what_no_policy_selects(world: Folders) -> None:
    bind(world)
    at_waypoint(world, rules=[from_account("web")])
    world.commit(SLOW)
    report = world.settle()
    assert [answer(report, who)[0] for who in ("web", "db")] == ["Allowed", "Unknown"]
    assert answer(report, mesh="")[0] == "Allowed", "a client without a mesh comes past every waypoint"
    facts = calculator(report).index.facts
    rows = callers_of(("shop", "api"), calculator(report), Crowd(population("east", {"east": facts})))
    unknown = {name for row in rows if row.answer.value == "Unknown" for name in row.callers}
    assert {"shop/db"} <= unknown


def test_facts_keep_what_others_say_at_waypoints(world: Folders) -> None:
    bind(world)
    at_waypoint(world, rules=[from_account("db")])
    world.commit(READ)
    facts = calculator(world.settle()).index.facts
    loaded = load_facts(dump_facts({"east": facts}))
    assert loaded["east"].strangers == facts.strangers


def test_at_a_waypoint_numbers_that_pods_swap_do_not_count(world: Folders) -> None:
    """It decides by the Service's ports; ztunnels see numbers, which mean another port on the other pod."""
    bind(world)
    swapped = [{"http": 8080, "admin": 8081}, {"http": 8081, "admin": 8080}]
    pods = [pod(name) for name in ("web", "db")]
    for number, named in enumerate(swapped):
        one = pod("api")
        one["metadata"]["name"] = f"api-{number}"
        one["spec"]["containers"][0]["ports"] = [{"name": k, "containerPort": v} for k, v in named.items()]
        pods.append(one)
    world.put("east", "pods", *pods)
    ports = [{"name": name, "port": port, "targetPort": name} for name, port in (("http", 80), ("admin", 81))]
    world.put("east", "services", service("api", ports=ports), service("web"), service("db"))
    world.commit({**READ, "spec": {**READ["spec"], "rules": [{"methods": ["GET"], "ports": ["http"]}]}})
    report = world.settle()
    assert [answer(report, who)[0] for who in ("web", "db")] == ["Allowed", "Denied"]
