"""Every request is treated as docs/concepts.md#precedence says, by two evaluators that share nothing:
precedence by brute force, and Istio's first match.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import half_key
from tests.rendered import Rendered, rendered
from tests.soundness.access_documents import as_files
from tests.soundness.bookshelf import DESTINATION, bookshelf, questions
from tests.soundness.istio_connection import connected
from tests.soundness.istio_routing import done, host
from tests.soundness.profile import searching
from tests.soundness.traffic_documents import REQUESTS, traffic_sets
from tests.soundness.unified_fields import effect
from tests.soundness.unified_routing import CONNECTION, AmbiguousError, Decision, RoutedRequest, decided

Policies = list[dict[str, Any]]
_REDIRECTS_BY_PREFIX = "1.31.0"
"""The first Istio that replaces the prefix in a redirect."""
STRIDE = 7
"""Prime to the numbers of paths, hosts, headers and queries of the requests, so that every part has all of
them.
"""
NEW_PORT = ServicePort(number=99, name="new", target=99, protocol="http")

parts = st.integers(0, STRIDE - 1)
worlds = st.sampled_from(("1.30.3", _REDIRECTS_BY_PREFIX)).map(lambda version: bookshelf("east", version))


def render(policies: Policies, facts: ClusterFacts) -> Rendered:
    found = rendered(as_files(policies), {"east": facts}, {"west": {}})
    assume(not any(d.is_error and d.code < "GM208" for d in found.findings))
    return found


def asked(facts: ClusterFacts, part: int) -> Iterator[RoutedRequest]:
    """One part in STRIDE of all questions."""
    return questions(facts, DESTINATION, REQUESTS[part::STRIDE])


def held(found: Rendered) -> bool:
    """Whether the destination keeps what is live, of which nothing is known here."""
    return half_key("routing", "east", DESTINATION.key) in found.builds["east"].held_units


def expected(policies: Policies, one: RoutedRequest) -> Decision:
    """Where the client's proxy answers itself, nothing is forwarded, so what shapes forwarding has no place;
    a share of 0 is none; without a routing field requests go where they were sent."""
    found = decided(policies, one)
    answered = found.get("routing", {}).keys() & {"redirect", "directResponse"}
    for name in ("rewrite", "timeout", "retries", "mirror") if answered else ():
        found.pop(name, None)
    if "fault" in found:
        found["fault"] = {kind: part for kind, part in found["fault"].items() if part["percent"]}
    if "mirror" in found:
        found["mirror"] = [copy for copy in found["mirror"] if copy[1]]
    itself = [{"destination": {"name": one.service.name}}]
    return {
        "routing": {"split": effect("split", itself, one.place({}))},
        **{name: value for name, value in found.items() if value},
    }


@searching(250)
@given(worlds, traffic_sets(), parts)
def test_every_request_is_treated_as_decided(facts: ClusterFacts, policies: Policies, part: int) -> None:
    found = render(policies, facts)
    bodies = found.bodies
    note(json.dumps([*policies, *found.said, *(body["spec"] for body in bodies)], indent=1))
    if held(found):
        assert not any(
            body["kind"] == "VirtualService" and body["metadata"]["name"] == DESTINATION.name
            for body in bodies
        )
        return
    for one in asked(facts, part):
        wanted = expected(policies, one)
        assert happens(bodies, one) == wanted, f"not what was decided: {one}"


def happens(bodies: list[dict[str, Any]], one: RoutedRequest) -> Decision:
    """What Istio does. What no object speaks of goes where it was sent."""
    return {**(done(bodies, one) or expected([], one)), **connected(bodies, one, host(*one.service.key))}


@searching(150)
@given(worlds, traffic_sets(), parts, st.booleans())
def test_a_port_that_comes_anew_is_served_before_anything_is_written(
    facts: ClusterFacts, policies: Policies, part: int, several: bool
) -> None:
    """What is live was made for the ports of before. On a new one requests go as without us or, where that is
    known already, as the policies say; on the others as they went."""
    before = DESTINATION if several else replace(DESTINATION, ports=DESTINATION.ports[:1])
    found = render(policies, with_service(facts, before))
    if held(found):
        return
    note(json.dumps([*policies, *(body["spec"] for body in found.bodies)], indent=1))
    after = replace(before, ports=(*before.ports, NEW_PORT))
    then = with_service(facts, after)
    for one in questions(then, after, REQUESTS[part::STRIDE]):
        happened = done(found.bodies, one) or expected([], one)
        if one.port == NEW_PORT.number:
            assert happened in (expected([], one), routed(policies, one)), f"a new port is lost: {one}"
        else:
            assert happened == routed(policies, one), f"a new port changed another: {one}"


def routed(policies: Policies, one: RoutedRequest) -> Decision:
    """What is decided of requests, apart from connections."""
    return {name: value for name, value in expected(policies, one).items() if name not in CONNECTION}


def with_service(facts: ClusterFacts, changed: Service) -> ClusterFacts:
    """The same cluster with this Service in place of the one of its name."""
    services = (changed if one.key == changed.key else one for one in facts.services)
    return replace(facts, services=tuple(services))


@searching(100)
@given(worlds, traffic_sets(), parts)
def test_a_tie_is_a_conflict(facts: ClusterFacts, policies: Policies, part: int) -> None:
    """Two equal rules with different values for one request are an error, and hold the destination."""
    found = render(policies, facts)
    try:
        for one in asked(facts, part):
            decided(policies, one)
    except AmbiguousError:
        assert any(d.code == "GM210" and d.is_error for d in found.findings), (
            "two rules tie and nothing is said"
        )
        assert held(found)
