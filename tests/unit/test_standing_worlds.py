"""A world of tests/worlds as the lab brings it up: nothing of it is lost on the way, without a lab."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.worlds.trying import TriedForReal, summed
from tests.e2e.worlds.written import refused, stood
from tests.worlds.drawing import World
from tests.worlds.histories import history
from tests.worlds.objects import Object

WORLDS = [history(seed)[0] for seed in range(60)]


def of_kind(objects: tuple[Object, ...], kind: str) -> dict[tuple[str, str], Object]:
    return {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in objects
        if one["kind"] == kind
    }


@pytest.mark.parametrize("world", WORLDS, ids=map(str, range(len(WORLDS))))
def test_every_pod_and_object_stands(world: World) -> None:
    tables = stood(world)
    places = [(one.namespace, *one.pods) for one in tables.workloads]
    assert len({one.pods for one in tables.workloads}) == len(places)
    assert of_kind(tables.objects, "Pod").keys() == set(places)
    lost = 0
    for kind in {one["kind"] for one in world.objects} - {"Deployment", "DaemonSet", "ConfigMap"}:
        lost += len(of_kind(world.objects, kind).keys() - of_kind(tables.objects, kind).keys())
    assert lost == refused(world)


@pytest.mark.parametrize("world", WORLDS, ids=map(str, range(len(WORLDS))))
def test_pods_have_the_proxy_that_their_objects_tell_of(world: World) -> None:
    tables = stood(world)
    written = of_kind(tables.objects, "Pod")
    revisions = {plane.revision for plane in tables.planes}
    for one in tables.workloads:
        (name,) = one.pods
        body = written[one.namespace, name]
        names = {container["name"] for container in body["spec"]["containers"]}
        assert ("istio-proxy" in names) is (one.proxy in ("sidecar", "waypoint"))
        assert tables.revisions.get(name, "default") in revisions | {"default"}
        if one.proxy == "sidecar":
            assert body["metadata"]["labels"]["istio.io/rev"] == tables.revisions[name]


def test_a_waypoint_runs_where_it_is_programmed_and_nowhere_else() -> None:
    seen = Counter[bool]()
    for world in WORLDS:
        doors = {one.name for one in stood(world).workloads if one.proxy == "waypoint"}
        for (_, name), body in of_kind(world.objects, "Gateway").items():
            ready = body["status"]["conditions"][0]["status"] == "True"
            seen[ready] += 1
            assert not ready or name in doors
    assert seen[True]
    assert seen[False]


def test_what_is_left_out_is_told() -> None:
    found = [
        TriedForReal(["a"], Counter({"pods": 2}), Counter({"UDP": 1})),
        TriedForReal([], Counter(), Counter({"UDP": 2})),
    ]
    assert summed(found).splitlines() == [
        "2 worlds on real proxies, 1 disagreements; {'pods': 2}",
        "  left out: 3 UDP",
    ]
