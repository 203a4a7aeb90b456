"""What changes of access and mTLS do to who is admitted, and what lies between (design law 2)."""

from __future__ import annotations

from typing import Any

import gitmesh_istio
import pytest

from gitmesh.model.admission import Effect
from gitmesh.model.objects import Body

OLD, NEW = {"to": [{"operation": {"paths": ["/old"]}}]}, {"to": [{"operation": {"paths": ["/new"]}}]}
NONE: frozenset[Any] = frozenset()


def policy(action: str, *rules: Any, app: str = "reviews", **annotations: str) -> Body:
    spec: dict[str, Any] = {"action": action, "selector": {"matchLabels": {"app": app}}}
    metadata = {"namespace": "shop", "name": "reviews-x", "annotations": annotations}
    return {
        "kind": "AuthorizationPolicy",
        "metadata": metadata,
        "spec": {**spec, "rules": list(rules)} if rules else spec,
    }


def deny(*rules: Any, **more: str) -> Body:
    return policy("DENY", *rules, **more)


def allow(*rules: Any, **more: str) -> Body:
    return policy("ALLOW", *rules, **more)


def of(*principals: str) -> Body:
    """A rule for these alone."""
    return {"from": [{"source": {"principals": list(principals)}}]}


DRY = {"istio.io/dry-run": "true"}


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (None, deny(OLD), Effect.NARROWS),
        (deny(OLD), None, Effect.WIDENS),
        (deny(OLD), deny(OLD, NEW), Effect.NARROWS),
        (deny(OLD, NEW), deny(NEW), Effect.WIDENS),
        (deny(OLD), deny(NEW), Effect.BOTH),
        (deny(OLD, NEW), deny(NEW, OLD), Effect.NEITHER),
        (deny(OLD), deny(OLD, app="ratings"), Effect.BOTH),
        (deny(OLD, **DRY), deny(OLD), Effect.NARROWS),
        (deny(OLD, **{"istio.io/dry-run": "1"}), deny(OLD), Effect.NARROWS),
        (deny(OLD, **{"istio.io/dry-run": "yes"}), deny(OLD), Effect.NEITHER),
        (None, deny(), Effect.NEITHER),
        (None, allow(OLD), Effect.BOTH),
        (allow(OLD), None, Effect.BOTH),
        (allow(OLD), allow(OLD, NEW), Effect.WIDENS),
        (allow(OLD, NEW), allow(), Effect.NARROWS),
        (allow(OLD), allow(NEW), Effect.BOTH),
        (allow(of("a", "b")), allow(of("a")), Effect.NARROWS),
        (allow(of("a")), allow(of("b", "a")), Effect.WIDENS),
        (allow(of("a", "b")), allow(of("b"), of("a")), Effect.NEITHER),
        (allow(of("a")), allow(of("b")), Effect.BOTH),
        (allow(of("a")), allow({}), Effect.BOTH),
        (allow(OLD), allow(OLD), Effect.NEITHER),
        (allow(OLD), allow(OLD, app="ratings"), Effect.BOTH),
        (allow(OLD), deny(OLD), Effect.BOTH),
    ],
)
def test_who_is_admitted(before: Body | None, after: Body | None, effect: Effect) -> None:
    assert gitmesh_istio.effect(before, after) is effect


def test_a_deny_of_the_old_and_the_new_requests_is_between_them() -> None:
    before, after = deny(OLD), deny(NEW)
    between = gitmesh_istio.between(before, after, NONE)
    assert between is not None
    assert sorted(map(str, between["rules"])) == sorted(map(str, [OLD, NEW]))
    assert {**between, "rules": [NEW]} == after["spec"]


def about(body: Body, *targets: Body, **labels: str) -> Body:
    """The policy for other pods, or for these targets."""
    of: Body = {"targetRefs": list(targets)} if targets else {"selector": {"matchLabels": labels}}
    others = {name: value for name, value in body["spec"].items() if name != "selector"}
    return {**body, "spec": {**others, **(of if targets or labels else {})}}


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        (
            {"app": "a", "color": "blue"},
            {"app": "a", "color": "green"},
            {"selector": {"matchLabels": {"app": "a"}}},
        ),
        ({"app": "a"}, {"app": "a", "color": "green"}, {"selector": {"matchLabels": {"app": "a"}}}),
        ({}, {"app": "a"}, {}),
    ],
)
def test_what_moves_to_other_pods_is_for_both_in_between(
    old: dict[str, str], new: dict[str, str], both: Body
) -> None:
    """One that some other tool took the selector from is for all pods, and so for both."""
    between = gitmesh_istio.between(about(deny(OLD), **old), about(deny(NEW), **new), NONE)
    assert between == {"action": "DENY", "rules": [NEW, OLD], **both}


@pytest.mark.parametrize(
    ("old", "new", "shared"),
    [
        ({"app": "a"}, {"app": "a", "color": "green"}, {"app": "a", "color": "green"}),
        ({"app": "a", "color": "green"}, {"app": "a"}, {"app": "a", "color": "green"}),
        ({"app": "a"}, {"color": "green"}, {"app": "a", "color": "green"}),
        ({"app": "a"}, {"app": "a"}, {"app": "a"}),
        ({}, {"app": "a"}, {"app": "a"}),
    ],
)
def test_a_grant_to_whom_both_admit_at_pods_of_both_is_between_them(
    old: dict[str, str], new: dict[str, str], shared: dict[str, str]
) -> None:
    before, after = (allow(of(*names), REST) for names in (("a", "b", "c"), ("b", "c", "d")))
    between = gitmesh_istio.between(about(before, **old), about(after, **new), NONE)
    assert between is not None
    assert between["selector"] == {"matchLabels": shared}
    assert between["rules"] == [of("b", "c"), REST]


REST: Body = {"to": [{"operation": {"notPorts": ["8080"]}}]}


@pytest.mark.parametrize(
    "ports", ["*", None, [None], ["*"], [8080], ["9" * 5000], ["²"]], ids=lambda one: repr(one)[:9]
)
def test_what_somebody_made_of_the_other_ports_is_no_rest(ports: Any) -> None:
    """What is live may be of any shape; what cannot be read grants nothing in between."""
    spoilt = {"to": [{"operation": {"notPorts": ports}}]}
    between = gitmesh_istio.between(allow(of("a", "b"), spoilt), allow(of("b", "c"), REST), NONE)
    assert between is not None
    assert between["rules"] == [of("b")]


WAYPOINT = {"kind": "Service", "name": "reviews"}


@pytest.mark.parametrize("targets", [(), (WAYPOINT,)])
def test_where_pods_have_nothing_in_common_the_grant_is_for_nobody(targets: tuple[Body, ...]) -> None:
    """No Deny is for both and for nobody else; so nobody is let in before it has changed."""
    allowed, denied = (about(one, *targets, app="other") for one in (allow(OLD), deny(OLD)))
    assert gitmesh_istio.between(deny(OLD), denied, NONE) is None
    between = gitmesh_istio.between(allow(OLD), allowed, NONE)
    assert between == {name: value for name, value in allowed["spec"].items() if name != "rules"}


def test_more_rules_than_an_object_takes_deny_everything_in_between() -> None:
    first, last = (
        deny(*({"to": [{"operation": {"paths": [f"/{name}{number}"]}}]} for number in range(300)))
        for name in ("a", "b")
    )
    between = gitmesh_istio.between(first, last, NONE)
    assert between is not None
    assert between["rules"] == [{}]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, deny(NEW)),
        (deny(OLD), None),
        (deny(OLD), deny(OLD, NEW)),
        (deny(OLD, NEW), deny(NEW)),
        (allow(OLD), allow(OLD, NEW)),
        (allow(OLD), deny(NEW)),
    ],
)
def test_one_write_is_enough(before: Body | None, after: Body | None) -> None:
    assert gitmesh_istio.between(before, after, NONE) is None


def default(revision: str = "", **spec: Any) -> Body:
    labels = {"istio.io/rev": revision} if revision else {}
    metadata = {"namespace": "istio-system", "name": "gitmesh-default-deny", "labels": labels}
    return {"kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (None, default(), Effect.CLOSES),
        (default(), None, Effect.OPENS),
        (default(rules=[{}]), default(), Effect.CLOSES),
        (default(), default(), Effect.NEITHER),
        (default("green"), default(), Effect.CLOSES),
        (default(), default("green"), Effect.OPENS),
        (default("green"), default("blue"), Effect.CLOSES),
    ],
)
def test_the_default_deny_closes_by_existing(before: Body | None, after: Body | None, effect: Effect) -> None:
    assert gitmesh_istio.effect(before, after) is effect


def peer(mode: str, revision: str = "") -> Body:
    """A mode for a revision alone, "" = for all."""
    labels = {"istio.io/rev": revision} if revision else {}
    metadata = {"namespace": "istio-system", "name": "default", "labels": labels}
    return {"kind": "PeerAuthentication", "metadata": metadata, "spec": {"mtls": {"mode": mode}}}


STRICT, DISABLE, PERMISSIVE = peer("STRICT"), peer("DISABLE"), peer("PERMISSIVE")


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (None, STRICT, Effect.NARROWS),
        (None, DISABLE, Effect.NARROWS),
        (None, PERMISSIVE, Effect.NEITHER),
        (STRICT, None, Effect.WIDENS),
        (PERMISSIVE, STRICT, Effect.NARROWS),
        (PERMISSIVE, DISABLE, Effect.NARROWS),
        (STRICT, PERMISSIVE, Effect.WIDENS),
        (DISABLE, PERMISSIVE, Effect.WIDENS),
        (DISABLE, STRICT, Effect.NARROWS),
        (STRICT, DISABLE, Effect.WIDENS),
        (STRICT, peer("STRICT", "green"), Effect.WIDENS),
        (peer("STRICT", "green"), STRICT, Effect.NARROWS),
        (peer("STRICT", "green"), peer("STRICT", "blue"), Effect.BOTH),
        (STRICT, peer("", "green"), Effect.WIDENS),
    ],
)
def test_modes(before: Body | None, after: Body | None, effect: Effect) -> None:
    """Without a mode of its own a revision is permissive, which is wider."""
    assert gitmesh_istio.effect(before, after) is effect


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (DISABLE, STRICT),
        (STRICT, DISABLE),
        (peer("DISABLE", "green"), STRICT),
        (DISABLE, peer("STRICT", "green")),
    ],
)
def test_modes_that_exclude_each_other_have_permissive_between_them(before: Body, after: Body) -> None:
    assert gitmesh_istio.between(before, after, NONE) == {"mtls": {"mode": "PERMISSIVE"}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PERMISSIVE, STRICT),
        (STRICT, PERMISSIVE),
        (STRICT, None),
        (None, STRICT),
        (peer("DISABLE", "green"), peer("STRICT", "blue")),
    ],
)
def test_the_others_are_a_write_apart(before: Body | None, after: Body | None) -> None:
    """A mode for another revision is none of its past."""
    assert gitmesh_istio.between(before, after, NONE) is None


@pytest.mark.parametrize(
    ("kind", "decides"),
    [
        ("AuthorizationPolicy", "access"),
        ("PeerAuthentication", "trust"),
        ("VirtualService", "routing"),
        ("DestinationRule", "routing"),
        ("HTTPRoute", "routing"),
    ],
)
def test_what_objects_decide(kind: str, decides: str) -> None:
    body = {"kind": kind, "metadata": {"name": "x"}, "spec": {"hosts": ["a"]}}
    assert gitmesh_istio.decides(body) == decides
    if decides == "routing":
        assert gitmesh_istio.effect(None, body) is Effect.NEITHER
