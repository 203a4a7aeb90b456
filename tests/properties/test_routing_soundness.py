"""Every request is treated as api.md says, by two evaluators that share nothing: precedence by brute force,
and Istio's first match.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given, note
from hypothesis import strategies as st

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.units import half_key
from tests.rendered import Rendered, rendered
from tests.soundness.access_documents import as_files
from tests.soundness.bookshelf import DESTINATION, bookshelf, questions
from tests.soundness.istio_connection import connected
from tests.soundness.istio_routing import done, host
from tests.soundness.profile import searching
from tests.soundness.traffic_documents import REQUESTS, traffic_sets
from tests.soundness.unified_fields import effect
from tests.soundness.unified_routing import AmbiguousError, Decision, RoutedRequest, decided

Policies = list[dict[str, Any]]
_REDIRECTS_BY_PREFIX = "1.31.0"
"""The first Istio that replaces the prefix in a redirect."""
STRIDE = 7
"""Prime to the numbers of paths, hosts, headers and queries of the requests, so that every part has all of
them.
"""

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
