"""Every request is treated as api.md says, by two evaluators that share nothing: precedence by brute force, and Istio's first match."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import assume, given, note

from tests.factories import facts, service, workload
from tests.properties.test_access_soundness import as_files
from tests.rendered import Rendered, rendered
from tests.soundness.istio_routing import route_of
from tests.soundness.profile import searching
from tests.soundness.traffic_documents import REQUESTS, traffic_sets
from tests.soundness.unified_routing import AmbiguousError, Asked, Decision, decided

Policies = list[dict[str, Any]]
PORTS = tuple(service().ports) + tuple(type(service().ports[0])(number=n, name=f"p{n}", target=n, protocol="http") for n in (81,))
DESTINATION = service("r", labels={"team": "red"}, ports=PORTS)
CLIENTS = (workload("a"), workload("b"), workload("c", "bank", labels={"app": "a"}))
WORLD = {"east": facts("east", DESTINATION, workload("r"), *CLIENTS)}


def render(policies: Policies) -> Rendered:
    found = rendered(as_files(policies), WORLD)
    assume(not any(d.is_error and d.code not in ("GM210", "GM212", "GM301") for d in found.findings))
    return found


def asked() -> Iterator[Asked]:
    for client in CLIENTS:
        for port in (80, 81):
            for request in REQUESTS:
                yield Asked(client=client, cluster="east", service=DESTINATION, port=port, request=request)


def done(found: Rendered, one: Asked) -> Decision:
    """What Istio does, in the words of the policies."""
    routes = [body for body in found.bodies if body["kind"] == "VirtualService"]
    if not routes:
        return {}
    route = route_of(routes[0], one)
    assert route is not None, "a request that no policy matches keeps the mesh's own behaviour"
    told: Decision = {name: route[name] for name in ("timeout",) if name in route}
    if "retries" in route:
        told["retries"] = {"attempts": route["retries"]["attempts"]}
    if "directResponse" in route:
        told["routing"] = {"directResponse": {"status": route["directResponse"]["status"]}}
    else:
        assert [share["destination"] for share in route["route"]] == [{"host": "r.shop.svc.cluster.local"}]
    for side, operations in route.get("headers", {}).items():
        for operation in ("set", "add"):
            told.update({("headers", side, name): (operation, value) for name, value in operations.get(operation, {}).items()})
        told.update({("headers", side, name): ("remove", "") for name in operations.get("remove", ())})
    return told


def expected(policies: Policies, one: Asked) -> Decision:
    """Where the client's proxy answers itself, nothing is forwarded, so what shapes forwarding has no place."""
    found = decided(policies, one)
    return {field: value for field, value in found.items() if "routing" not in found or field not in ("timeout", "retries")}


@searching(150)
@given(traffic_sets())
def test_every_request_is_treated_as_decided(policies: Policies) -> None:
    found = render(policies)
    note("\n".join([yaml.safe_dump_all(policies), *found.said, yaml.safe_dump_all([body["spec"] for body in found.bodies])]))
    if found.builds["east"].held:
        assert not [body for body in found.bodies if body["kind"] in ("VirtualService", "DestinationRule")]
        return
    for one in asked():
        assert done(found, one) == expected(policies, one), f"not what was decided: {one}"


@searching(100)
@given(traffic_sets())
def test_a_tie_is_a_conflict(policies: Policies) -> None:
    """Two equal rules with different values for one request are an error, and hold the destination."""
    found = render(policies)
    try:
        for one in asked():
            decided(policies, one)
    except AmbiguousError:
        assert any(d.code == "GM210" and d.is_error for d in found.findings), "two rules tie and nothing is said"
        assert found.builds["east"].held
