"""What a policy asks for is compared with what the mesh has before translation, and holds routing alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from gitmesh.discovery.facts_codec import load_facts
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.features import FEATURES, Side, Support
from gitmesh.model.objects import ApiKind
from gitmesh.model.units import RoutingUnit, half_key
from gitmesh.planning.supporting import wishes
from gitmesh.resolution.resolve import resolve
from tests.contract.samples import SAMPLES
from tests.factories import policy
from tests.fake_mesh import FakeMesh, supported
from tests.properties.history import document
from tests.rendered import Rendered, rendered

GOLDEN = Path(__file__).parents[1] / "golden" / "istio" / "facts.yaml"
REVIEWS = [{"name": "reviews"}]
GUARD = document("AccessPolicy", "guard", destinations=REVIEWS, sources=[{"all": True}], action="Deny")


def facts(version: str, *kinds: ApiKind) -> dict[str, ClusterFacts]:
    """The golden cluster with its mesh in a version."""
    known = load_facts(yaml.safe_load(GOLDEN.read_text()))["east"]
    meshes = tuple(replace(mesh, version=version) for mesh in known.meshes)
    return {"east": replace(known, meshes=meshes, kinds=kinds)}


def done(*policies: Mapping[str, Any], version: str = "", kinds: tuple[ApiKind, ...] = ()) -> Rendered:
    return rendered({"p.yaml": yaml.safe_dump_all(policies)}, facts(version, *kinds))


def traffic(name: str = "p", **spec: Any) -> dict[str, Any]:
    return document("TrafficPolicy", name, destinations=REVIEWS, **spec)


def errors(found: Rendered) -> list[tuple[str, str]]:
    return [(one.code, one.field) for one in found.findings if one.is_error]


CORS = {"allowOrigins": [{"exact": "https://a.example"}]}
BACKOFF = traffic(retries={"attempts": 1, "backoff": "25ms"})
MOVED = traffic(matches=[{"path": {"prefix": "/a"}}], redirect={"path": {"replacePrefixMatch": "/b"}})
WARMING = traffic(loadBalancing={"slowStart": "30s"})


@pytest.mark.parametrize(
    ("asking", "older", "newer", "field"),
    [
        pytest.param(BACKOFF, "1.25.4", "1.26.0", "spec.retries", id="backoff"),
        pytest.param(MOVED, "1.30.3", "1.31.0", "spec.redirect", id="P06_redirect_of_a_prefix"),
        pytest.param(WARMING, "1.23.9", "1.24.0", "spec.loadBalancing", id="slow_start"),
    ],
)
def test_P06_what_the_version_does_not_have_holds_routing_and_no_access(
    asking: dict[str, Any], older: str, newer: str, field: str
) -> None:
    found = done(asking, GUARD, version=older)
    assert errors(found) == [("GM302", field)]
    [told] = [one for one in found.findings if one.code == "GM302"]
    assert (newer.removesuffix(".0") in told.message, older in told.message) == (True, True)
    assert [body["metadata"]["name"] for body in found.bodies] == ["reviews-deny"]
    assert found.builds["east"].held_units == {half_key("routing", "east", ("shop", "reviews"))}
    for version in (newer, ""):
        better = done(asking, GUARD, version=version)
        assert (errors(better), len(better.bodies)) == ([], 2)


def test_an_exact_path_is_its_own_prefix() -> None:
    new = {**SAMPLES["TrafficPolicy.rewrite.path.replaceFullPath"][1], "matches": [{"path": {"exact": "/a"}}]}
    assert "TrafficPolicy.rewrite.path.replaceFullPath" not in _asked("TrafficPolicy", new)


def test_what_the_served_schema_does_not_have_is_told() -> None:
    plain = ApiKind(
        group="networking.istio.io",
        kind="VirtualService",
        plural="virtualservices",
        versions=("v1",),
        fields=frozenset({"spec", "spec.http", "spec.http.timeout"}),
    )
    found = done(traffic(mirror=[{"destination": {"name": "ratings"}, "percent": 1}]), kinds=(plain,))
    assert ("GM302", "spec.mirror") in errors(found)
    assert found.bodies == []


def test_what_the_mesh_never_has_is_told_in_its_own_words() -> None:
    clients = [{"serviceAccounts": ["frontend"], "namespaces": ["web"]}]
    found = done(traffic(sources=clients, timeout="1s"), GUARD)
    assert [one.code for one in found.findings if one.is_error] == ["GM301"]
    assert [body["metadata"]["name"] for body in found.bodies] == ["reviews-deny"]


def test_an_overlap_names_the_policy_that_asks_and_not_the_one_that_it_meets() -> None:
    clients = [{"serviceAccounts": ["frontend"], "namespaces": ["web"]}]
    asking = traffic("asks", sources=clients, timeout="2s")
    innocent = traffic(
        "meets", matches=[{"headers": [{"name": "x-a", "exact": "b"}]}], retries={"attempts": 1}
    )
    default = document("TrafficPolicy", "default", destinations=[{"namespaces": ["shop"]}], cors=CORS)
    said = [one for one in done(asking, innocent, default).findings if one.code == "GM301"]
    assert {one.policy for one in said} == {"TrafficPolicy/shop/asks"}


def test_the_mesh_of_the_server_counts_for_what_it_does() -> None:
    """The destination's pods are in the older mesh; its callers may be in both."""
    known = facts("2.0")["east"]
    older = replace(known.meshes[0], translator="fake", name="older", version="1.0")
    newer = replace(older, name="newer", version="2.0")
    pods = tuple(replace(one, mesh="newer") for one in known.workloads)
    both = {"east": replace(known, meshes=(older, newer), workloads=pods)}
    sides: dict[Side, list[str]] = {"client": ["GM302"], "server": []}
    for side, expected in sides.items():
        mesh = FakeMesh()
        mesh.supports = supported({"TrafficPolicy.timeout": Support(level="full", since="2.0", side=side)})
        found = rendered({"p.yaml": yaml.safe_dump(traffic(timeout="1s"))}, both, by={"fake": mesh})
        assert [one.code for one in found.findings if one.is_error] == expected


@pytest.mark.parametrize("feature", [one for one in FEATURES if one.startswith("TrafficPolicy.")])
def test_every_feature_is_seen_where_it_is_asked_for(feature: str) -> None:
    kind, using, without = SAMPLES[feature]
    assert feature in _asked(kind, using)
    assert feature not in _asked(kind, without)


def _asked(kind: str, spec: Mapping[str, Any]) -> set[str]:
    units = resolve([policy(kind, "p", **spec)], facts(""), {"east": {}}).units["east"]
    return {feature for unit in units if isinstance(unit, RoutingUnit) for feature, _ in wishes(unit)}
