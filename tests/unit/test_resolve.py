"""Units from policies and facts."""

from __future__ import annotations

from typing import Any

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.base import Disabled
from gitmesh.model.conditions import SourceCondition
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.policies import Policy
from gitmesh.model.services import ServicePort
from gitmesh.model.units import AccessUnit, MeshUnit, RootReader, RoutingUnit
from gitmesh.resolution.resolve import Resolution, resolve
from tests.factories import access, facts, policy, service, shop, traffic, workload

PORTS = (ServicePort(number=80, name="http", target=8080), ServicePort(number=81, name="admin", target=8081))


def resolved(
    policies: list[Policy], *clusters: ClusterFacts, memo: dict[Any, Any] | None = None
) -> Resolution:
    known: dict[str, ClusterFacts | None] = {known.cluster: known for known in clusters or (shop(),)}
    return resolve(policies, known, {name: {} for name in known}, memo)


def unit_of(resolution: Resolution, name: str = "reviews") -> RoutingUnit:
    found = [u for u in resolution.units["east"] if isinstance(u, RoutingUnit) and u.service.name == name]
    assert found, resolution.diagnostics
    return found[0]


def guarded(resolution: Resolution) -> AccessUnit:
    """Who may call reviews."""
    [found] = [u for u in resolution.units["east"] if isinstance(u, AccessUnit)]
    return found


def said(resolution: Resolution, code: str) -> list[Diagnostic]:
    return [diagnostic for diagnostic in resolution.diagnostics if diagnostic.code == code]


def held(resolution: Resolution) -> list[str]:
    return [key.name for key in resolution.held["east"]]


def path(form: str, value: str) -> dict[str, Any]:
    return {"path": {form: value}}


def rows(resolution: Resolution) -> list[tuple[Any, list[str]]]:
    routes = unit_of(resolution).routes
    return [
        (route.match.path and (route.match.path.form, route.match.path.value), sorted(route.fields))
        for route in routes
    ]


SPLIT = [
    {"weight": 90, "destination": {"name": "reviews", "subset": {"v": "1"}}},
    {"weight": 10, "destination": {"name": "ratings", "subset": {"v": "2"}}},
]


def test_broad_policies_set_defaults_and_narrow_ones_override() -> None:
    broad = traffic("broad", [{"all": True}], timeout="1s", retries={"attempts": 1})
    narrow = traffic("narrow", timeout="2s", matches=[path("prefix", "/slow")])
    resolution = resolved([broad, narrow])
    assert rows(resolution) == [(("prefix", "/slow"), ["retries", "timeout"]), (None, ["retries", "timeout"])]
    assert [route.fields["timeout"].value for route in unit_of(resolution).routes] == [2000, 1000]
    assert unit_of(resolution).routes[0].fields["timeout"].origin.policy == "TrafficPolicy/shop/narrow"


def test_disabled_ends_inheritance_and_still_shadows() -> None:
    off = traffic("off", timeout={"disabled": True}, matches=[path("exact", "/stream")])
    assert rows(resolved([traffic("all", timeout="1s"), off])) == [
        (("exact", "/stream"), []),
        (None, ["timeout"]),
    ]
    assert unit_of(resolved([off])).routes == ()


def test_overlapping_rules_get_a_route_of_their_own() -> None:
    by_header = traffic("h", retries={"attempts": 3}, matches=[{"headers": [{"name": "X", "exact": "1"}]}])
    by_path = traffic("p", timeout="1s", matches=[path("prefix", "/a")])
    routes = unit_of(resolved([by_header, by_path])).routes
    assert [(bool(r.match.path), bool(r.match.headers), sorted(r.fields)) for r in routes] == [
        (True, True, ["retries", "timeout"]),
        (True, False, ["timeout"]),
        (False, True, ["retries"]),
    ]
    assert [origin.policy[-1] for origin in routes[0].origins] == ["p", "h"]


def test_rules_that_set_the_same_field_need_no_route_of_their_own() -> None:
    by_header = traffic("h", timeout="2s", matches=[{"headers": [{"name": "X", "exact": "1"}]}])
    assert (
        len(unit_of(resolved([by_header, traffic("p", timeout="1s", matches=[path("prefix", "/a")])])).routes)
        == 2
    )


def test_headers_merge_per_name() -> None:
    low = traffic("low", [{"all": True}], headers={"request": {"set": {"a": "low", "b": "low"}}})
    high = traffic("high", headers={"request": {"remove": ["A"]}})
    value = unit_of(resolved([low, high])).routes[0].fields["headers"].value
    assert (value.request.set, value.request.remove) == ({"b": "low"}, ("a",))


def test_prefix_replacement_follows_the_row() -> None:
    rewrite = traffic("r", rewrite={"path": {"replacePrefixMatch": "/"}}, matches=[path("prefix", "/api")])
    deeper = [
        traffic("e", timeout="1s", matches=[path("exact", "/api/one")]),
        traffic("p", timeout="2s", matches=[path("prefix", "/api/v1")]),
    ]
    values = [route.fields["rewrite"].value.path for route in unit_of(resolved([rewrite, *deeper])).routes]
    assert [(value.replace_full_path, value.replace_prefix_match) for value in values] == [
        ("/one", None),
        (None, "/v1"),
        (None, "/"),
    ]


def test_nothing_but_the_prefix_is_replaced_alike_in_every_row() -> None:
    """Found by the evaluator: /api became /new where another rule matched it exactly, and /new/ elsewhere."""
    rewrite = traffic(
        "r", rewrite={"path": {"replacePrefixMatch": "/new/"}}, matches=[path("prefix", "/api")]
    )
    exact = traffic("e", timeout="1s", matches=[path("exact", "/api")])
    assert (
        unit_of(resolved([rewrite, exact])).routes[0].fields["rewrite"].value.path.replace_full_path
        == "/new/"
    )


def test_P17_two_timeouts_on_one_route_conflict() -> None:
    resolution = resolved([traffic("a", timeout="1s"), traffic("b", timeout="2s")])
    first, second = said(resolution, "GM210")
    assert "TrafficPolicy/shop/b (b.yaml:" in first.message
    assert "TrafficPolicy/shop/a (a.yaml:" in second.message
    assert held(resolution) == ["reviews"]
    assert resolution.units["east"] == ()


def test_P17_no_conflict_between_equal_values_or_disjoint_matches() -> None:
    assert resolved([traffic("a", timeout="1s"), traffic("b", timeout="1s")]).diagnostics == ()
    apart = [
        traffic(name, timeout=f"{number}s", matches=[path("exact", f"/{number}")])
        for number, name in enumerate("ab", 1)
    ]
    assert resolved(apart).diagnostics == ()


def test_P17_header_conflicts_are_per_name() -> None:
    def setting(name: str, header: str, value: str) -> Policy:
        return traffic(name, headers={"response": {"set": {header: value}}})

    assert resolved([setting("a", "x", "1"), setting("b", "y", "2")]).diagnostics == ()
    assert said(resolved([setting("a", "x", "1"), setting("b", "X", "2")]), "GM210")


def test_shadowed_rule_is_reported_once_with_its_winner() -> None:
    low, high = traffic("low", timeout="1s"), traffic("high", priority=1, timeout="2s")
    resolution = resolved([low, high], shop("east"), shop("west"))
    [only] = said(resolution, "GM211")
    assert only.policy == "TrafficPolicy/shop/low"
    assert "TrafficPolicy/shop/high (high.yaml:" in only.message


def test_a_rule_that_wins_anywhere_is_not_shadowed() -> None:
    low = traffic("low", [{"name": "reviews"}, {"name": "ratings"}], timeout="1s")
    assert not said(resolved([low, traffic("high", priority=1, timeout="2s")]), "GM211")


def test_inexpressible_conjunction_holds_only_its_destination() -> None:
    one = traffic("one", timeout="1s", matches=[path("regex", "/a.*")])
    two = traffic("two", retries={"attempts": 1}, matches=[path("suffix", "b")])
    resolution = resolved([one, two, traffic("three", "ratings", timeout="1s")])
    [finding] = said(resolution, "GM301")
    assert finding.policy == "TrafficPolicy/shop/one"
    assert "TrafficPolicy/shop/two" in finding.message
    assert held(resolution) == ["reviews"]
    assert unit_of(resolution, "ratings").routes


def test_too_many_overlaps() -> None:
    def many(count: int) -> list[Policy]:
        fields: list[dict[str, Any]] = [
            {"headers": {"request": {"set": {f"h{n}": "1"}}}} for n in range(count)
        ]
        return [
            traffic(f"p{n}", matches=[{"headers": [{"name": f"x{n}", "present": True}]}], **f)
            for n, f in enumerate(fields)
        ]

    assert len(unit_of(resolved(many(6))).routes) == 63
    assert said(resolved(many(7)), "GM212")


def test_split_targets_subsets_and_warning() -> None:
    resolution = resolved(
        [traffic("s", split=SPLIT)], shop("east", workload("v1", labels={"app": "reviews", "v": "1"}))
    )
    route = unit_of(resolution).routes[0]
    assert {target.service.name: (target.port, target.subset) for target in route.targets} == {
        "reviews": (0, (("v", "1"),)),
        "ratings": (80, (("v", "2"),)),
    }
    assert [item.destination.name for item in route.fields["split"].value] == [
        target.service.name for target in route.targets
    ]
    assert [subset.labels for subset in unit_of(resolution, "ratings").subsets] == [(("v", "2"),)]
    assert [d.message for d in said(resolution, "GM209")] == [
        "no pod behind Service shop/ratings carries v=2"
    ]


def test_split_to_a_missing_service_holds_and_contributes_no_subset() -> None:
    resolution = resolved([traffic("s", split=[*SPLIT, {"destination": {"name": "ratigns"}}])])
    [missing] = said(resolution, "GM208")
    assert (missing.field, missing.hint) == ("spec.split[2].destination.name", "did you mean ratings?")
    # The cluster stands beside the message, so that several are told at once.
    assert (missing.message, missing.cluster) == ("Service shop/ratigns does not exist", "east")
    assert held(resolution) == ["reviews"]
    assert resolution.units["east"] == ()


def test_incomplete_facts_do_not_prove_a_split_target_missing() -> None:
    resolution = resolved([traffic("s", split=[{"destination": {"name": "gone"}}])], shop(complete=False))
    assert [d.code for d in resolution.diagnostics] == ["GM216"]
    assert held(resolution) == ["reviews"]


def test_split_to_a_subset_of_a_held_destination_is_held_too() -> None:
    broken = traffic("b", "ratings", split=[{"destination": {"name": "gone"}}])
    resolution = resolved([traffic("s", split=SPLIT), broken])
    assert held(resolution) == ["ratings", "reviews"]
    assert said(resolution, "GM218")


def test_P13_ports_of_targets() -> None:
    two, one = service(ports=PORTS), service("ratings", ports=PORTS[:1])
    three = service("three", ports=(*PORTS, ServicePort(number=82)))
    other = service("other", ports=(PORTS[0], ServicePort(number=99)))

    def port(to: dict[str, Any], **spec: Any) -> Resolution:
        return resolved(
            [traffic("s", split=[{"destination": to}], **spec)], facts("east", two, one, three, other)
        )

    assert unit_of(port({"name": "ratings"})).routes[0].targets[0].port == 80
    assert unit_of(port({"name": "three"})).routes[0].targets[0].port == 0
    assert unit_of(port({"name": "three", "port": "admin"})).routes[0].targets[0].port == 81
    assert said(port({"name": "other"}), "GM218")
    assert unit_of(port({"name": "other"}, matches=[{"port": "http"}])).routes[0].targets[0].port == 0
    assert said(port({"name": "three", "port": 83}), "GM208")
    assert said(port({"name": "three"}, matches=[{"port": 83}]), "GM208")


def test_connection_settings_by_port() -> None:
    whole = traffic("w", outlierDetection={"consecutiveErrors": 5}, tls={"mode": "Disable"})
    by_port = traffic(
        "p", matches=[{"port": 81}], tls={"mode": "Simple"}, outlierDetection={"disabled": True}
    )
    unit = unit_of(resolved([whole, by_port], facts("east", service(ports=PORTS), workload())))
    assert {port: sorted(fields) for port, fields in unit.settings.items()} == {
        0: ["outlier_detection", "tls"],
        81: ["tls"],
    }
    assert unit.settings[81]["tls"].value.mode == "Simple"
    assert unit.routes == ()


def test_connection_settings_keep_their_sources() -> None:
    unit = unit_of(resolved([traffic("w", tls={"mode": "Disable"}, sources=[{"namespaces": ["web"]}])]))
    assert unit.settings[0]["tls"].source == SourceCondition(namespaces=("web",))


def test_clients_that_a_greater_setting_does_not_mean_get_the_lesser_one() -> None:
    """Found by the evaluator: the greatest rule that matches decides, and one for other clients does not
    match.
    """
    some = traffic("some", tls={"mode": "Disable"}, sources=[{"namespaces": ["web"]}])
    rest = traffic("rest", to=[{"all": True}], tls={"mode": "Simple"})
    tls = unit_of(resolved([some, rest])).settings[0]["tls"]
    assert (tls.value.mode, tls.origin, tls.source) == (
        "Disable",
        some.origin("tls"),
        SourceCondition(namespaces=("web",)),
    )
    assert tls.fallback is not None
    assert (tls.fallback.value.mode, tls.fallback.origin, tls.fallback.source) == (
        "Simple",
        rest.origin("tls"),
        SourceCondition(),
    )


def test_settings_disabled_for_some_clients_are_not_lost_for_the_others() -> None:
    """Found by the evaluator: `disabled` for some clients silently ended the field for all."""
    some = traffic("some", tls={"disabled": True}, sources=[{"namespaces": ["web"]}])
    rest = traffic("rest", to=[{"all": True}], tls={"mode": "Simple"})
    tls = unit_of(resolved([some, rest])).settings[0]["tls"]
    assert isinstance(tls.value, Disabled)
    assert tls.fallback is not None
    assert tls.fallback.value.mode == "Simple"
    everybody = traffic("none", tls={"disabled": True})
    assert unit_of(resolved([everybody, rest])).settings == {}


def test_sources_of_other_clusters_drop_out() -> None:
    away = traffic("away", timeout="1s", sources=[{"clusters": ["west"]}])
    resolution = resolved([away], shop("east"), shop("west"))
    assert resolution.units["east"] == ()
    assert len(resolution.units["west"]) == 1


def test_mesh_unit() -> None:
    gateway = workload("gw", "istio-system", gateway=True)
    spec: dict[str, Any] = {
        "meshes": [{"selector": {"labels": {"region": "eu"}}}],
        "accessDefault": "Deny",
        "mtls": {"mode": "Strict"},
    }
    resolution = resolve(
        [policy("VirtualMesh", "vm", **spec)], {"east": shop("east", gateway)}, {"east": {"region": "eu"}}
    )
    [unit] = resolution.units["east"]
    assert isinstance(unit, MeshUnit)
    assert unit.access_default
    assert unit.mtls
    assert (
        unit.access_default.value,
        unit.mtls.value.mode,
        unit.readers,
        [g.name for g in unit.gateways],
    ) == (
        "Deny",
        "Strict",
        (),
        ["gw"],
    )


def test_a_mesh_knows_which_ports_of_its_gateways_an_allow_governs_and_who_stands_beside_them() -> None:
    around = (workload("gw", "edge", gateway=True), service("gw", "edge"), workload("other", "edge"))
    mesh = policy("VirtualMesh", "vm", meshes=[{"cluster": "east"}], accessDefault="Deny")
    [unit] = [
        u
        for u in resolved(
            [mesh, access("a", [{"name": "gw", "namespaces": ["edge"]}])], facts("east", *around)
        ).units["east"]
        if isinstance(u, MeshUnit)
    ]
    assert unit.governed_ports == {("Deployment", "edge", "gw"): (8080,)}
    assert [w.name for w in unit.neighbours] == ["other"]


def _sharing(*policies: Policy) -> dict[str, tuple[RootReader, ...]]:
    """By mesh, who reads its root namespace too, of three meshes of which two share one."""
    meshes = [
        Mesh(translator="istio", name="istio", root_namespace="istio-system"),
        Mesh(translator="istio", name="istio-2", namespace="istio-system"),
        Mesh(translator="istio", name="istio-3", root_namespace="elsewhere"),
        Mesh(translator="other", name="other", root_namespace="istio-system"),
    ]
    found = resolved(list(policies), facts("east", *meshes)).units["east"]
    return {unit.mesh.name: unit.readers for unit in found if isinstance(unit, MeshUnit)}


def test_a_mesh_knows_who_else_reads_its_root_namespace_and_what_is_decided_for_them() -> None:
    mtls: dict[str, Any] = {"mtls": {"mode": "Strict"}}
    both = policy("VirtualMesh", "vm", meshes=[{"selector": {"all": True}}], **mtls)
    one = policy("VirtualMesh", "vm", meshes=[{"cluster": "east", "name": "istio"}], **mtls)
    two = policy("VirtualMesh", "b", meshes=[{"cluster": "east", "name": "istio-2"}], accessDefault="Deny")
    assert _sharing(both)["istio"] == (RootReader(mesh="istio-2", alike=True, mtls=True),)
    assert _sharing(both)["istio-3"] == _sharing(both)["other"] == ()
    assert _sharing(one) == {"istio": (RootReader(mesh="istio-2"),)}
    assert _sharing(one, two) == {
        "istio": (RootReader(mesh="istio-2", denied=True),),
        "istio-2": (RootReader(mesh="istio", mtls=True),),
    }


def test_unknown_mesh_and_mesh_in_two() -> None:
    missing = resolved([policy("VirtualMesh", "vm", meshes=[{"cluster": "east", "name": "istoi"}])])
    assert [(d.hint, d.cluster) for d in said(missing, "GM208")] == [("did you mean istio?", "east")]
    twice = resolved([policy("VirtualMesh", n, meshes=[{"selector": {"all": True}}]) for n in ("a", "b")])
    assert len(said(twice, "GM214")) == 2
    assert [key.half for key in twice.held["east"]] == ["mesh"]


def test_unknown_cluster_is_held_not_empty() -> None:
    resolution = resolve([traffic("t", timeout="1s"), access("a")], {"east": None}, {"east": {}})
    assert resolution.units["east"] == ()
    assert [str(key) for key in resolution.held["east"]] == ["shop/reviews", "shop/reviews"]
    assert [d.code for d in resolution.diagnostics] == ["GM216"]


def test_memory_gives_the_same_answer_and_the_same_units() -> None:
    memo: dict[Any, Any] = {}
    world = shop("east")
    before = [
        traffic("a", timeout="1s"),
        traffic("b", "ratings", split=[{"destination": {"name": "reviews", "subset": {"v": "1"}}}]),
    ]
    first = resolved(before, world, memo=memo)
    after = [before[0], traffic("b", "ratings", timeout="3s")]
    second = resolved(after, world, memo=memo)
    assert second == resolved(after, world)
    again = resolved(before, world, memo=memo)
    assert again == first
    assert unit_of(again).digest != unit_of(second).digest
    assert unit_of(resolved(before, world, memo=memo), "ratings") is unit_of(again, "ratings")


def test_memory_sees_changed_facts_and_owners() -> None:
    memo: dict[Any, Any] = {}
    policies = [access("a")]
    assert (
        guarded(resolved(policies, shop(), memo=memo)).digest
        == guarded(resolved(policies, shop(), memo=memo)).digest
    )
    more = [*policies, policy("VirtualMesh", "vm", meshes=[{"cluster": "east"}], accessDefault="Deny")]
    assert guarded(resolved(more, shop(), memo=memo)).access.default == "Deny"
    moved = shop("east", workload("late", labels={"app": "reviews"}))
    assert len(guarded(resolved(more, moved, memo=memo)).workloads) == 2
