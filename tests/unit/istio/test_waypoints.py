"""Waypoints: which Service is bound to which, what stands at them, and in what order."""

from __future__ import annotations

from typing import Any

import gitmesh_istio
import pytest
from gitmesh_gatewayapi import HTTP_ROUTE
from gitmesh_istio.waypoints import Binding, binding, gateways_come_by, waypoint_settings
from msgspec.structs import replace

from gitmesh.diagnostics import Severity
from gitmesh.model.conditions import RequestMatch, SourceCondition
from gitmesh.model.facts import Mesh
from gitmesh.model.grants import Caller, Operation, Principal
from gitmesh.model.manifests import Manifest, Translation
from gitmesh.model.objects import Body, ObjectKey, canonical
from gitmesh.model.plan import Live
from gitmesh.model.report import Verdict
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import AccessUnit, RoutingUnit
from gitmesh.model.workloads import Dataplane, Workload
from gitmesh.ports import ControlObjects, PodFact
from tests.unit.istio.units import (
    MESH,
    SLEEP,
    caller,
    codes,
    decided,
    facts,
    grant,
    guarded,
    only,
    route,
    service,
    unit,
    workload,
)

USE = "istio.io/use-waypoint"
WAYPOINT = "cluster.local/ns/shop/sa/waypoint"
GET = Operation(methods=("GET",))
SECURITY, ROUTING = "security.istio.io", "gateway.networking.k8s.io"
NETWORKING = "networking.istio.io"
PODS = workload(dataplane="ambient")


def gateway(namespace: str = "shop", name: str = "waypoint", *, ready: bool = True, **meta: Any) -> Body:
    spec = {"gatewayClassName": meta.pop("of", "istio-waypoint"), "addresses": meta.pop("addresses", False)}
    metadata = {"namespace": namespace, "name": name, **meta}
    return {"metadata": metadata, "spec": spec, "status": {"programmed": False, "addresses": ready}}


def mesh(*gateways: Body, **namespaces: dict[str, str]) -> Mesh:
    settings = waypoint_settings(gateways or (gateway(),), namespaces)
    return replace(MESH, ambient=True, settings=settings)


def bound(name: str = "reviews", to: str = "waypoint", **labels: str) -> Service:
    return replace(service(name), labels={USE: to, **labels})


def translated(
    one: RoutingUnit | AccessUnit, *workloads: Workload, at: Mesh | None = None, **more: Any
) -> Translation:
    known = facts(at or mesh(), workloads=workloads or one.workloads, **more)
    return gitmesh_istio.translate(one, known.meshes, known)


def at_waypoint(one: Service | None, *allows: Any, **more: Any) -> AccessUnit:
    return replace(guarded(allows, of=one, **more), workloads=(PODS,))


@pytest.mark.parametrize(
    ("labels", "namespace", "expected"),
    [
        ({}, {}, None),
        ({USE: "waypoint"}, {}, ""),
        ({}, {USE: "waypoint"}, ""),
        ({USE: "none"}, {USE: "waypoint"}, None),
        ({USE: "other"}, {USE: "waypoint"}, "does not exist"),
        ({USE: ""}, {}, "does not exist"),
    ],
)
def test_the_own_label_counts_before_that_of_the_namespace(
    labels: dict[str, str], namespace: dict[str, str], expected: str | None
) -> None:
    found = binding(replace(service(), labels=labels), [mesh(shop=namespace)])
    assert (found and found.trouble) == expected


@pytest.mark.parametrize(
    ("made", "trouble"),
    [
        (gateway(), ""),
        (gateway(labels={"istio.io/waypoint-for": "all"}), ""),
        (gateway(labels={"istio.io/waypoint-for": "workload"}), "is not for Services"),
        (gateway(labels={"istio.io/waypoint-for": "none"}), "is not for Services"),
        (gateway(ready=False), "has no address yet"),
        (gateway(of="istio"), "does not exist"),
        (gateway(addresses=True), "of its own"),
        (gateway(annotations={"gateway.istio.io/service-account": "x"}), "of its own"),
        (gateway(annotations={"gateway.istio.io/name-override": "x"}), "of its own"),
    ],
)
def test_what_takes_no_requests_is_none(made: Body, trouble: str) -> None:
    found = binding(bound(), [mesh(made)])
    assert found is not None
    assert trouble in found.trouble
    assert bool(found.trouble) is bool(trouble)


@pytest.mark.parametrize(
    ("place", "told", "takes"),
    [
        ("shop", "", True),
        ("shop", "True", True),
        ("shop", "False", False),
        ("infra", "", False),
        ("infra", "Unknown", False),
        ("infra", "True", True),
        ("infra", "False", False),
    ],
)
def test_istiod_says_whether_a_service_is_bound(place: str, told: str, takes: bool) -> None:
    labels = {"istio.io/use-waypoint-namespace": place}
    conditions = {"istio.io/WaypointBound": told} if told else {}
    one = replace(bound(**labels), conditions=conditions)
    found = binding(one, [mesh(gateway(place))])
    assert found is not None
    assert (not found.trouble) is takes
    assert found.principals([MESH]) == [f"cluster.local/ns/{place}/sa/waypoint"]


def test_a_headless_service_is_bound_to_no_effect() -> None:
    found = binding(replace(bound(), headless=True), [mesh()])
    assert found is not None
    assert "headless" in found.trouble


def test_gateways_go_through_waypoints_where_they_are_told_to() -> None:
    key = "istio.io/ingress-use-waypoint"
    assert gateways_come_by(bound(**{key: "true"}), [mesh()])
    assert not gateways_come_by(bound(), [mesh()])
    assert gateways_come_by(bound(), [mesh(shop={key: "true"})])
    assert not gateways_come_by(bound(**{key: "false"}), [mesh(shop={key: "true"})])


def pod(*, proxy: tuple[str, ...] | None = None, **more: Any) -> PodFact:
    containers = (("istio-proxy", "proxyv2:1.30.3"),) if proxy is not None else (("app", "app:1"),)
    args = {"istio-proxy": proxy} if proxy is not None else {}
    return PodFact(namespace="shop", name="a", containers=containers, args=args, **more)


MODE, DONE = "istio.io/dataplane-mode", "ambient.istio.io/redirection"


@pytest.mark.parametrize(
    ("one", "namespace", "expected"),
    [
        (pod(), {}, None),
        (pod(), {MODE: "ambient"}, "ambient"),
        (pod(labels={MODE: "ambient"}), {}, "ambient"),
        (pod(labels={MODE: "none"}), {MODE: "ambient"}, None),
        (pod(annotations={DONE: "enabled"}), {}, "ambient"),
        (pod(annotations={DONE: "disabled"}), {MODE: "ambient"}, None),
        (pod(proxy=("proxy", "sidecar")), {MODE: "ambient"}, "sidecar"),
        (pod(proxy=("proxy", "router")), {MODE: "ambient"}, "sidecar"),
        (pod(proxy=("proxy", "waypoint")), {MODE: "ambient"}, "ambient"),
        (pod(proxy=("proxy", "ztunnel")), {}, None),
        (pod(host_network=True), {MODE: "ambient"}, None),
        (pod(host_network=True, annotations={DONE: "enabled"}), {MODE: "ambient"}, None),
        (pod(proxy=("proxy", "router"), host_network=True), {MODE: "ambient"}, "sidecar"),
        (pod(proxy=("proxy", "waypoint"), host_network=True), {}, "ambient"),
    ],
)
def test_how_a_pod_is_in_the_mesh(one: PodFact, namespace: dict[str, str], expected: str | None) -> None:
    found = gitmesh_istio.member(one, namespace, [mesh()])
    assert (found and found.dataplane) == expected
    assert found is None or found.gateway is ("router" in one.args.get("istio-proxy", ()))


def test_without_ztunnels_no_label_makes_a_member() -> None:
    assert gitmesh_istio.member(pod(), {MODE: "ambient"}, [MESH]) is None


def test_waypoints_are_settings_of_an_ambient_mesh_alone() -> None:
    container = {"name": "discovery", "image": "pilot:1.30.3"}
    istiod = {
        "metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    ztunnel = {"metadata": {"name": "ztunnel", "namespace": "istio-system"}}
    given = ControlObjects(
        deployments=(istiod,), gateways=(gateway(),), namespaces={"shop": {USE: "waypoint"}}
    )
    (plain,) = gitmesh_istio.detect(given)
    (ambient,) = gitmesh_istio.detect(
        ControlObjects(
            deployments=(istiod,), daemonsets=(ztunnel,), gateways=given.gateways, namespaces=given.namespaces
        )
    )
    assert "waypoints" not in plain.settings
    assert ambient.settings["waypoints"] == "shop/waypoint=ready"
    assert ambient.settings["waypointNamespaces"] == "shop=shop/waypoint"


def test_gateway_routes_are_read_only_where_pods_are_in_ambient() -> None:
    plain, ambient = facts(workloads=(workload(),)), facts(workloads=(workload(), PODS))
    kinds = {kind.kind for kind in gitmesh_istio.writes(plain)}
    assert "HTTPRoute" not in kinds
    assert {kind.kind for kind in gitmesh_istio.writes(ambient)} == {*kinds, "HTTPRoute", "GRPCRoute"}
    older = replace(ambient, kinds=(HTTP_ROUTE,))
    assert {kind.kind for kind in gitmesh_istio.writes(older)} == {*kinds, "HTTPRoute"}


def rules(translation: Translation, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = only(translation, "AuthorizationPolicy", name).spec.get("rules", [])
    return found


def test_connections_are_decided_at_the_pods() -> None:
    found = translated(at_waypoint(None, grant(caller(SLEEP))))
    assert codes(found) == []
    assert [fragment.key.name for fragment in found.fragments] == ["reviews-allow"]
    assert {"from", "to"} == set(rules(found, "reviews-allow")[0])


def test_without_a_waypoint_requests_are_told_apart_nowhere() -> None:
    mixed = grant(caller(SLEEP), operations=[GET, Operation(targets=(8080,), ports=(80,))])
    found = translated(at_waypoint(None, grant(caller(kind="all"), operations=[GET]), mixed))
    assert codes(found) == ["GM317"]
    assert [set(rule["to"][0]["operation"]) for rule in rules(found, "reviews-allow")] == [
        {"ports"},
        {"notPorts"},
    ]
    assert not found.held


def test_a_deny_of_requests_denies_all_without_a_waypoint() -> None:
    one = guarded(denies=[grant(caller(SLEEP), operations=[GET])])
    found = translated(replace(one, workloads=(PODS,)))
    assert codes(found) == ["GM317"]
    assert all(rule["to"] == [{"operation": {"ports": ["8080"]}}] for rule in rules(found, "reviews-deny"))


def test_the_whole_decision_stands_at_the_waypoint_and_the_pods_let_it_in() -> None:
    deny = grant(caller(Principal(namespace="shop")), operations=[Operation(paths=("/admin*",))])
    one = at_waypoint(bound(), grant(caller(SLEEP), operations=[GET]))
    found = translated(replace(one, access=replace(one.access, denies=(deny,))))
    assert warnings(found) == ["GM318"]  # who comes past the waypoint is denied with every request
    allow = only(found, "AuthorizationPolicy", "reviews.waypoint-allow")
    assert allow.spec["targetRefs"] == [{"group": "", "kind": "Service", "name": "reviews"}]
    assert allow.spec["rules"][0]["to"] == [{"operation": {"methods": ["GET"], "ports": ["80"]}}]
    assert "selector" not in allow.spec
    through = {
        "from": [{"source": {"principals": [WAYPOINT]}}],
        "to": [{"operation": {"ports": ["8080"]}}],
    }
    assert through in rules(found, "reviews-allow")
    sources = [one["source"] for rule in rules(found, "reviews-deny") for one in rule["from"]]
    assert all("notPrincipals" in source for source in sources)
    assert rules(found, "reviews.waypoint-deny")[0]["to"][0]["operation"] == {
        "paths": ["/admin*"],
        "ports": ["80"],
    }


@pytest.mark.parametrize(
    ("cookie", "dataplane", "told"),
    [
        ({"name": "shop", "ttl": "1m"}, "ambient", ["GM303"]),
        ({"name": "shop"}, "ambient", []),
        ({"name": "shop", "ttl": "1m"}, "sidecar", []),
    ],
)
def test_a_cookie_that_a_waypoint_makes_is_not_one_for_each_client(
    cookie: dict[str, str], dataplane: Dataplane, told: list[str]
) -> None:
    one = RoutingUnit(
        home="east",
        written="east",
        service=bound(),
        workloads=(workload(dataplane=dataplane),),
        settings={0: decided(loadBalancing={"consistentHash": {"cookie": cookie}})},
    )
    assert codes(translated(one)) == told


def test_a_waypoint_itself_is_no_destination() -> None:
    """Requests go through it; an object at its own Service would mean nobody's."""
    own = replace(bound("waypoint"), ports=(ServicePort(number=15008, target=15008, protocol="hbone"),))
    found = translated(at_waypoint(own, grant(caller(SLEEP))))
    assert (codes(found), found.fragments) == (["GM215"], ())
    assert translated(at_waypoint(bound("waypoints"), grant(caller(SLEEP)))).fragments


def test_a_waypoint_sees_no_addresses() -> None:
    one = at_waypoint(bound(), grant(caller(kind="address", ip_blocks=("10.0.0.0/8",))))
    found = translated(one)
    assert codes(found) == ["GM304"]
    assert "rules" not in only(found, "AuthorizationPolicy", "reviews.waypoint-allow").spec
    assert any("ipBlocks" in str(rule) for rule in rules(found, "reviews-allow"))


@pytest.mark.parametrize(
    ("account", "is_gateway", "ingress", "told"),
    [
        ("sleep", False, {}, ["GM318"]),
        ("other", False, {}, []),
        ("sleep", True, {}, ["GM318"]),
        ("sleep", True, {"istio.io/ingress-use-waypoint": "true"}, []),
    ],
)
def test_who_comes_past_the_waypoint_is_told(
    account: str, is_gateway: bool, ingress: dict[str, str], told: list[str]
) -> None:
    past = workload("client", service_account=account, router=is_gateway)
    one = at_waypoint(bound(**ingress), grant(caller(SLEEP), operations=[GET]))
    found = translated(one, PODS, past)
    assert codes(found) == told
    assert not found.held


@pytest.mark.parametrize(
    ("who", "operations", "told"),
    [
        (caller(kind="all"), [GET], ["GM318"]),
        (caller(kind="all"), [], []),
        (caller(kind="authenticated"), [GET], []),
        (caller(SLEEP), [GET], []),
    ],
)
def test_what_is_granted_to_callers_in_no_mesh_is_refused_past_the_waypoint_and_told(
    who: Caller, operations: list[Operation], told: list[str]
) -> None:
    found = translated(at_waypoint(bound(), grant(who, operations=operations)))
    assert warnings(found) == told
    assert not found.held


def test_a_deny_of_some_requests_denies_all_past_the_waypoint_and_tells_it() -> None:
    one = at_waypoint(bound(), grant(caller(SLEEP)))
    for operations, told in (([GET], ["GM318"]), ([], [])):
        deny = grant(caller(Principal(namespace="shop")), operations=operations)
        found = translated(replace(one, access=replace(one.access, denies=(deny,))))
        assert warnings(found) == told


def warnings(translation: Translation) -> list[str]:
    return [one.code for one in translation.diagnostics if one.severity is Severity.WARNING]


def test_what_connections_show_is_admitted_past_the_waypoint_too() -> None:
    past = workload("client", service_account="sleep")
    assert codes(translated(at_waypoint(bound(), grant(caller(SLEEP))), PODS, past)) == []


def sharing(selector: dict[str, str], governed: bool, *, port: int = 80) -> AccessUnit:
    other = replace(
        bound("other"), selector=selector, ports=(ServicePort(number=port, target=8080, protocol="http"),)
    )
    return replace(at_waypoint(bound(), grant(caller(SLEEP), operations=[GET])), sharing=((other, governed),))


def targets(translation: Translation, name: str) -> list[str]:
    spec = only(translation, "AuthorizationPolicy", name).spec
    return [one["name"] for one in spec["targetRefs"]]


def test_a_service_for_a_part_of_the_pods_is_guarded_as_they_are() -> None:
    found = translated(sharing({"app": "reviews", "version": "v2"}, governed=False))
    assert codes(found) == []
    assert targets(found, "reviews.waypoint-allow") == ["other", "reviews"]


@pytest.mark.parametrize(("selector", "port"), [({"tier": "x"}, 80), ({"app": "reviews"}, 81)])
def test_requests_that_would_come_past_the_decision_are_denied(selector: dict[str, str], port: int) -> None:
    found = translated(sharing(selector, governed=False, port=port))
    assert codes(found) == ["GM318"]
    assert targets(found, "reviews.waypoint-allow") == ["reviews"]
    assert {
        "from": [{"source": {"principals": [WAYPOINT]}}],
        "to": [{"operation": {"ports": ["8080"]}}],
    } in rules(found, "reviews-deny")


def test_a_service_with_a_decision_of_its_own_needs_no_other() -> None:
    found = translated(sharing({"tier": "x"}, governed=True))
    assert codes(found) == []
    assert targets(found, "reviews.waypoint-allow") == ["reviews"]


@pytest.mark.parametrize(
    ("ports", "adds"),
    [
        ({80: 8080}, True),
        ({80: 8080, 81: 9090}, True),
        ({80: 9090}, False),
        ({80: 8080, 81: 8080}, False),
        ({81: 8080}, False),
    ],
)
def test_what_one_of_two_services_allows_is_allowed_through_the_other(
    ports: dict[int, int], adds: bool
) -> None:
    """They share the decision, as they share the pods; but only where numbers of ports mean the same."""
    listed = tuple(ServicePort(number=n, target=to, protocol="http") for n, to in ports.items())
    other = replace(bound("other"), selector={"app": "reviews"}, ports=listed)
    one = replace(at_waypoint(bound(), grant(caller(SLEEP))), sharing=((other, True),))
    found = targets(translated(one), "reviews.waypoint-allow")
    assert found == (["other", "reviews"] if adds else ["reviews"])


def test_pods_with_sidecars_behind_a_waypoint_keep_telling_requests_apart() -> None:
    one = replace(at_waypoint(bound(), grant(caller(SLEEP), operations=[GET])), workloads=(workload(),))
    found = translated(one, PODS)
    assert codes(found) == []
    assert any("methods" in str(rule) for rule in rules(found, "reviews-allow"))
    assert any(WAYPOINT in str(rule) for rule in rules(found, "reviews-allow"))


def test_routes_are_for_the_waypoint_and_no_virtual_service_is_beside_them() -> None:
    one = replace(unit(route(timeout="1s"), of=bound()), workloads=(PODS,))
    found = translated(one)
    assert codes(found) == []
    assert [fragment.key.kind for fragment in found.fragments] == ["HTTPRoute"]
    (made,) = found.fragments
    assert made.key.name == "reviews.80"


def test_without_a_waypoint_routes_are_held() -> None:
    found = translated(replace(unit(route(timeout="1s")), workloads=(PODS,)))
    assert (codes(found), found.fragments, found.held) == (["GM317"], (), True)


@pytest.mark.parametrize("of", [service("reviews"), bound(to="missing")])
def test_clients_in_ambient_that_follow_no_route_are_told(of: Service) -> None:
    one = unit(route(timeout="1s"), of=of)
    found = translated(one, *one.workloads, workload("sleep", dataplane="ambient"))
    assert [(said.code, said.severity) for said in found.diagnostics] == [("GM317", Severity.WARNING)]
    assert "clients in ambient (shop) do not follow it" in found.diagnostics[0].message
    assert [one.key.kind for one in found.fragments] == ["VirtualService"]


def test_settings_that_clients_in_ambient_do_not_take_are_told() -> None:
    one = unit(settings={0: decided(outlierDetection={"consecutiveErrors": 3})})
    found = translated(one, *one.workloads, workload("sleep", dataplane="ambient"))
    assert codes(found) == ["GM317"]


@pytest.mark.parametrize(
    ("of", "source", "client"),
    [
        (bound(), SourceCondition(), workload("sleep", dataplane="ambient")),
        (service("reviews"), SourceCondition(namespaces=("bank",)), workload("sleep", dataplane="ambient")),
        (service("reviews"), SourceCondition(), workload("sleep")),
    ],
    ids=["by the waypoint", "of another namespace", "with sidecars alone"],
)
def test_nothing_is_told_where_every_client_that_is_meant_follows(
    of: Service, source: SourceCondition, client: Workload
) -> None:
    one = unit(route(RequestMatch(source=source), timeout="1s"), of=of)
    assert codes(translated(one, *one.workloads, client)) == []


def test_what_is_sent_to_other_pods_comes_past_their_waypoint() -> None:
    def target(name: str, **selector: str) -> Any:
        from gitmesh.model.routes import Target

        return Target(service=replace(service(name), selector=selector))

    split = [{"destination": {"name": "ratings"}}]
    away = route(split=split, targets=(target("ratings", app="ratings"),))
    own = route(split=split, targets=(target("reviews-v2", app="reviews", version="v2"),))
    for one, told in ((away, ["GM318"]), (own, [])):
        found = translated(replace(unit(one, of=bound()), workloads=(PODS,)))
        assert codes(found) == told
        assert not found.held


def key(group: str, kind: str, name: str, namespace: str = "shop") -> ObjectKey:
    return ObjectKey(group=group, kind=kind, namespace=namespace, name=name)


def manifest(at: ObjectKey, **spec: Any) -> tuple[ObjectKey, Manifest]:
    body = canonical({"metadata": {"namespace": at.namespace, "name": at.name}, "spec": spec})
    return at, Manifest(key=at, version="v1", decides="routing", body=body, digest="", policies=())


def live(at: ObjectKey, status: Any = None, **spec: Any) -> Live:
    body = {"metadata": {"namespace": at.namespace, "name": at.name}, "spec": spec}
    return Live(
        key=at, uid="u", body=canonical(body), generation=1, status=canonical(status) if status else b""
    )


ROUTE = manifest(
    key(ROUTING, "HTTPRoute", "reviews.80"),
    parentRefs=[{"group": "", "kind": "Service", "name": "reviews", "port": 80}],
)
DOOR = manifest(
    key(SECURITY, "AuthorizationPolicy", "reviews.waypoint-allow"),
    action="ALLOW",
    targetRefs=[{"group": "", "kind": "Service", "name": "reviews"}],
    rules=[{"to": [{"operation": {"ports": ["80"]}}]}],
)
PARENT = {"group": "", "kind": "Service", "name": "reviews"}
TARGET = {"group": "", "kind": "Service", "name": "reviews"}


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (live(key(SECURITY, "AuthorizationPolicy", "theirs"), targetRefs=[TARGET], rules=[{}]), "GM403"),
        (live(key(SECURITY, "AuthorizationPolicy", "theirs"), targetRefs=[TARGET]), ""),
        (
            live(
                key(SECURITY, "AuthorizationPolicy", "theirs"), action="DENY", targetRefs=[TARGET], rules=[{}]
            ),
            "",
        ),
        (live(key(SECURITY, "AuthorizationPolicy", "theirs", "web"), targetRefs=[TARGET], rules=[{}]), ""),
        (
            live(
                key(SECURITY, "AuthorizationPolicy", "theirs"),
                selector={"matchLabels": {"app": "x"}},
                rules=[{}],
            ),
            "",
        ),
    ],
)
def test_strangers_beside_what_stands_at_a_waypoint(other: Live, code: str) -> None:
    found = gitmesh_istio.foreign([other], dict([ROUTE, DOOR]), [MESH])
    assert [claim.code for claim in found] == ([code] if code else [])


HTTP, VIRTUAL = "HTTPRoute", "VirtualService"
SHOP = {"parentRefs": [{**PARENT, "namespace": "shop"}]}
PRIVATE = {"hosts": ["reviews.shop.svc.cluster.local"], "exportTo": ["."]}


@pytest.mark.parametrize(
    ("at", "spec", "told"),
    [
        (key(ROUTING, HTTP, "theirs"), {"parentRefs": [PARENT]}, "beside"),
        (key(ROUTING, HTTP, "reviews"), {"parentRefs": [PARENT]}, "beside"),
        (key(ROUTING, HTTP, "reviews.80"), {"parentRefs": [PARENT]}, ""),
        (key(ROUTING, HTTP, "theirs", "web"), SHOP, ""),
        (key(ROUTING, HTTP, "theirs", "web"), {"parentRefs": [PARENT, SHOP["parentRefs"][0]]}, ""),
        (key(ROUTING, HTTP, "theirs", "web"), {"parentRefs": [PARENT]}, ""),
        (key(ROUTING, HTTP, "theirs"), {"parentRefs": [{"name": "reviews"}]}, ""),
        (key(ROUTING, HTTP, "theirs", "plain"), SHOP, "clients"),
        (key(NETWORKING, VIRTUAL, "theirs"), {"hosts": ["reviews"]}, "beside"),
        (key(NETWORKING, VIRTUAL, "reviews"), {"hosts": ["reviews"]}, "beside"),
        (key(NETWORKING, VIRTUAL, "theirs"), {"hosts": ["reviews"], "exportTo": ["."]}, "beside"),
        (key(NETWORKING, VIRTUAL, "theirs", "web"), PRIVATE, ""),
        (key(NETWORKING, VIRTUAL, "theirs", "plain"), PRIVATE, "clients"),
        (key(NETWORKING, VIRTUAL, "theirs"), {"hosts": ["other"]}, ""),
        (key(NETWORKING, VIRTUAL, "theirs"), {"hosts": ["reviews"], "gateways": ["edge"]}, ""),
    ],
)
def test_strangers_routes_beside_those_of_a_waypoint(at: ObjectKey, spec: Body, told: str) -> None:
    """What the waypoint reads keeps ours away; what only sidecars read is told for their clients; what nobody
    reads is not."""
    sidecar = replace(workload(), namespace="plain", name="old")
    ambient = replace(PODS, namespace="web", name="new")
    theirs = gitmesh_istio.reduced(at, {"metadata": at._asdict(), "spec": spec}, [mesh()])
    known = facts(
        mesh(), services=(bound(),), workloads=(PODS, sidecar, ambient), strangers=(theirs,) if theirs else ()
    )
    one = replace(unit(route(timeout="1s"), of=bound()), workloads=(PODS,))
    around = gitmesh_istio.surroundings(known, known.meshes)(one)
    assert (len(around.contenders), len(around.overrides)) == (told == "beside", told == "clients")
    found = gitmesh_istio.translate(replace(one, around=around), known.meshes, known)
    assert [(made.key.kind, bool(made.contested)) for made in found.fragments] == [(HTTP, told == "beside")]
    assert codes(found) == (["GM401"] if told == "clients" else [])


def test_strangers_routes_of_a_service_with_sidecars_keep_ours_away_too() -> None:
    at = key(ROUTING, HTTP, "theirs")
    theirs = gitmesh_istio.reduced(at, {"metadata": at._asdict(), "spec": {"parentRefs": [PARENT]}}, [mesh()])
    assert theirs is not None
    known = facts(mesh(), workloads=(workload(), replace(PODS, name="new")), strangers=(theirs,))
    one = replace(unit(route(timeout="1s"), of=bound()), workloads=(workload(),))
    assert len(gitmesh_istio.surroundings(known, known.meshes)(one).contenders) == 1


def test_settings_in_the_namespace_of_a_waypoint_stand_before_ours() -> None:
    """The waypoint is the client; pods in ambient are none."""
    for namespace, told in (("edge", True), ("web", False)):
        at = key(NETWORKING, "DestinationRule", "theirs", namespace)
        spec = {"host": "reviews.shop.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}
        theirs = gitmesh_istio.reduced(at, {"metadata": at._asdict(), "spec": spec}, [mesh()])
        assert theirs is not None
        at_edge = mesh(gateway(), gateway("edge"))
        ambient = replace(PODS, namespace="web", name="new")
        known = facts(at_edge, workloads=(PODS, ambient), strangers=(theirs,))
        one = replace(
            unit(of=bound(), settings={0: decided(outlierDetection={"consecutiveErrors": 3})}),
            workloads=(PODS,),
        )
        assert bool(gitmesh_istio.surroundings(known, known.meshes)(one).overrides) is told


def test_a_strangers_allow_at_pods_takes_nothing_from_a_waypoint() -> None:
    rest = manifest(
        DOOR[0], action="ALLOW", targetRefs=[TARGET], rules=[{"to": [{"operation": {"notPorts": ["80"]}}]}]
    )
    theirs = live(
        key(SECURITY, "AuthorizationPolicy", "theirs"),
        action="ALLOW",
        selector={"matchLabels": {"app": "reviews"}},
        rules=[{}],
    )
    assert gitmesh_istio.beside(dict([rest]), [theirs], [MESH], facts(workloads=(PODS,))) == {}


def policy(name: str, **spec: Any) -> Body:
    metadata = {"namespace": "shop", "name": name}
    return {"kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("role", "named"), [("allow", "principals"), ("deny", "notPrincipals")], ids=["allow", "deny"]
)
def test_what_lets_the_waypoint_in_uses_what_guards_it(role: str, named: str) -> None:
    rule = {"from": [{"source": {named: [WAYPOINT]}}]}
    [guard] = gitmesh_istio.links(policy(f"reviews.waypoint-{role}", targetRefs=[TARGET]), [mesh()]).provides
    for name in (f"reviews-{role}", f"reviews.version-v2-{role}"):
        uses = gitmesh_istio.links(policy(name, rules=[rule]), [mesh()]).uses
        assert uses == frozenset({guard})
    for other in (
        policy(f"ratings-{role}", rules=[rule]),
        policy(f"reviews-{role}", rules=[{}]),
        policy("theirs", rules=[rule]),
    ):
        assert guard not in gitmesh_istio.links(other, [mesh()]).uses
    assert not gitmesh_istio.links(policy("theirs", targetRefs=[TARGET]), [mesh()])


@pytest.mark.parametrize(
    ("controller", "kind", "status", "answer"),
    [
        ("istio.io/mesh-controller", "Accepted", "False", Verdict.REJECTED),
        ("istio.io/gateway-controller", "ResolvedRefs", "False", Verdict.REJECTED),
        ("istio.io/mesh-controller", "Accepted", "True", Verdict.UNKNOWN),
        ("linkerd.io/policy-controller", "Accepted", "False", Verdict.UNKNOWN),
    ],
)
def test_what_istiod_says_of_a_route(controller: str, kind: str, status: str, answer: Verdict) -> None:
    condition = {"type": kind, "status": status, "reason": "NoMatchingParent", "observedGeneration": 1}
    parents = [{"controllerName": controller, "conditions": [condition]}]
    found = gitmesh_istio.verdict(live(ROUTE[0], {"parents": parents}), [MESH])
    assert found.verdict is answer


def test_a_binding_is_said_as_people_know_it() -> None:
    assert str(Binding(namespace="shop", name="waypoint")) == "waypoint shop/waypoint"


def _door(action: str, *methods: str) -> Body:
    rules = [{"to": [{"operation": {"methods": [method], "ports": ["80"]}}]} for method in methods]
    spec = {"action": action, "targetRefs": [TARGET], "rules": rules}
    return {"kind": "AuthorizationPolicy", "metadata": {"namespace": "shop", "name": "x"}, "spec": spec}


def test_what_is_held_at_a_waypoint_still_narrows() -> None:
    """A grant that was withdrawn goes, a new one does not come; a new Deny comes, and none goes."""
    allow = gitmesh_istio.narrowed(_door("ALLOW", "GET", "PUT"), _door("ALLOW", "GET", "POST"), frozenset())
    deny = gitmesh_istio.narrowed(_door("DENY", "GET"), _door("DENY", "PUT"), frozenset())
    assert allow == _door("ALLOW", "GET")["spec"]
    assert deny == _door("DENY", "GET", "PUT")["spec"]
    assert gitmesh_istio.narrowed(_door("ALLOW", "GET"), None, None) is None
    retained = gitmesh_istio.retain(_door("DENY", "GET"), _door("DENY", "PUT"), None)
    assert retained == _door("DENY", "GET", "PUT")["spec"]


def _spared(port: ServicePort, *, raw: bool, at: Service | None) -> AccessUnit:
    """A Deny of DELETE on a port, which spares what is not HTTP or not."""
    operation = Operation(methods=("DELETE",), ports=(80,), targets=(8080,), raw=raw)
    one = guarded(denies=(grant(caller(SLEEP), operations=[operation]),), of=at or service())
    return replace(one, access=replace(one.access, spoken={8080: (port,)}), workloads=(PODS,))


@pytest.mark.parametrize("protocol", ["http", "", "tcp"])
@pytest.mark.parametrize("raw", [True, False])
def test_for_ztunnels_a_deny_means_every_connection_to_a_port_that_carries_requests(
    protocol: str, raw: bool
) -> None:
    port = ServicePort(number=80, name="x", target=8080, protocol=protocol)
    found = translated(_spared(port, raw=raw, at=None))
    if protocol == "tcp" and not raw:
        assert (codes(found), found.fragments) == (["GM215"], ())
        return
    rules = only(found, "AuthorizationPolicy", "reviews-deny").spec["rules"]
    assert [rule["to"] for rule in rules] == [[{"operation": {"ports": ["8080"]}}]]
    assert codes(found) == ["GM317"]


@pytest.mark.parametrize(
    ("protocol", "told"),
    [("http", ["GM318"]), ("", ["GM304", "GM318"]), ("tcp", ["GM215"])],
    ids=["http", "any", "tcp"],
)
def test_at_a_waypoint_ports_carry_what_is_said_of_those_behind(protocol: str, told: list[str]) -> None:
    port = ServicePort(number=80, name="x", target=8080, protocol=protocol)
    found = translated(_spared(port, raw=False, at=bound()))
    names = {made.key.name for made in found.fragments}
    assert codes(found) == told
    assert ("reviews.waypoint-deny" in names) is (protocol != "tcp")


def test_a_destination_of_which_everything_is_withheld_is_closed_at_both() -> None:
    one = at_waypoint(bound())
    closed = replace(one, access=replace(one.access, governed=True, default="Deny"), withheld=("x",))
    found = translated(closed)
    assert {made.key.name for made in found.fragments} == {"reviews-allow", "reviews.waypoint-allow"}
    assert not any("rules" in made.spec for made in found.fragments)
