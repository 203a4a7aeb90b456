"""Design law 2: never wider, nor broken, in between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gitmesh_istio
import pytest

from gitmesh.model.manifests import Phase
from gitmesh.model.objects import Body, ObjectKey
from gitmesh.ports import Versions

NETWORKING, SECURITY = "networking.istio.io", "security.istio.io"
DENY = ObjectKey(group=SECURITY, kind="AuthorizationPolicy", namespace="shop", name="reviews-deny")
ALLOW = ObjectKey(group=SECURITY, kind="AuthorizationPolicy", namespace="shop", name="reviews-allow")
RULE = ObjectKey(group=NETWORKING, kind="DestinationRule", namespace="shop", name="reviews")
PEER = ObjectKey(group=SECURITY, kind="PeerAuthentication", namespace="istio-system", name="default")
OLD, NEW = {"to": [{"operation": {"paths": ["/old"]}}]}, {"to": [{"operation": {"paths": ["/new"]}}]}


def body(**spec: Any) -> Body:
    return {"metadata": {"namespace": "shop", "name": "x"}, "spec": spec}


def steps(changed: dict[ObjectKey, tuple[Body | None, Body | None]]) -> Any:
    return gitmesh_istio.steps(changed, lambda group, kind: ())


def denying(*rules: Any) -> Body:
    return body(action="DENY", selector={"matchLabels": {"app": "reviews"}}, rules=list(rules))


ALLOW_CHANGE = {ALLOW: (body(action="ALLOW"), body(action="ALLOW", rules=[{}]))}


def test_deny_holds_old_and_new_until_the_allow_has_changed() -> None:
    found = steps({DENY: (denying(OLD), denying(NEW)), **ALLOW_CHANGE})
    first, last = found[DENY]
    assert (first.phase, last.phase) == (Phase.DENY, Phase.ROUTE)
    assert first.phase < Phase.ALLOW < last.phase
    assert sorted(map(str, first.spec["rules"])) == sorted(map(str, [OLD, NEW]))
    assert first.spec["action"] == "DENY"
    assert last.spec == denying(NEW)["spec"]
    assert ALLOW not in found


@pytest.mark.parametrize(
    "changed",
    [
        {DENY: (denying(OLD), denying(NEW))},
        {DENY: (None, denying(NEW)), **ALLOW_CHANGE},
        {DENY: (denying(OLD), None), **ALLOW_CHANGE},
        {DENY: (denying(OLD), denying(OLD, NEW)), **ALLOW_CHANGE},
        dict(ALLOW_CHANGE),
    ],
)
def test_one_write_is_enough(changed: Any) -> None:
    assert steps(changed) == {}


def peer(mode: str) -> Body:
    return body(mtls={"mode": mode})


@pytest.mark.parametrize(("old", "new"), [("DISABLE", "STRICT"), ("STRICT", "DISABLE")])
def test_mtls_goes_through_permissive(old: str, new: str) -> None:
    (step,) = steps({PEER: (peer(old), peer(new))})[PEER]
    assert step.spec == {"mtls": {"mode": "PERMISSIVE"}}


@pytest.mark.parametrize("new", ["STRICT", "DISABLE"])
def test_permissive_is_left_first_and_at_once(new: str) -> None:
    assert steps({PEER: (peer("PERMISSIVE"), peer(new))}) == {}


@pytest.mark.parametrize(
    ("old", "new"), [("STRICT", "PERMISSIVE"), ("DISABLE", "PERMISSIVE"), ("STRICT", "DISABLE")]
)
def test_permissive_is_entered_when_access_has_changed(old: str, new: str) -> None:
    (step,) = steps({PEER: (peer(old), peer(new)), ALLOW: (body(), None)})[PEER]
    assert step.spec is None
    entered = steps({PEER: (peer(old), peer(new))})
    assert entered == {} if new == "PERMISSIVE" else entered[PEER][0].spec == peer("PERMISSIVE")["spec"]


def test_access_waits_while_mtls_passes_permissive_on_its_way_to_strict() -> None:
    """Plaintext is admitted for that tick, and what the new policies say of it is that there is none."""
    found = steps(
        {
            PEER: (peer("DISABLE"), peer("STRICT")),
            ALLOW: (None, body(action="ALLOW")),
            DENY: (denying(OLD), None),
        }
    )
    assert found[ALLOW][0].spec is None
    assert found[DENY][0].spec is None


OTHER = ObjectKey(group=SECURITY, kind="AuthorizationPolicy", namespace="shop", name="ratings-allow")


@pytest.mark.parametrize(
    "other",
    [
        {OTHER: (None, body(action="ALLOW"))},
        {ALLOW: (body(action="ALLOW"), None)},
        {OTHER: (body(), None), **ALLOW_CHANGE},
    ],
)
def test_deny_keeps_old_and_new_for_a_tick_while_more_than_its_own_allow_changes(other: Any) -> None:
    (step,) = steps({DENY: (denying(OLD), denying(NEW)), **other})[DENY]
    assert sorted(map(str, step.spec["rules"])) == sorted(map(str, [OLD, NEW]))


def mode_of(mode: str) -> Body:
    return {"metadata": {"namespace": PEER.namespace, "name": PEER.name}, "spec": {"mtls": {"mode": mode}}}


def changing_after(past: str, *, old: str, new: str, more: Any = None) -> Any:
    """The steps of a mode that proxies may still know as another one."""

    def known(group: str, kind: str) -> Iterable[Versions]:
        return [(mode_of(old), mode_of(past))] if kind == PEER.kind else ()

    return gitmesh_istio.steps({PEER: (mode_of(old), mode_of(new)), **(more or {})}, known)


@pytest.mark.parametrize(("past", "new"), [("DISABLE", "STRICT"), ("STRICT", "DISABLE")])
def test_permissive_stays_while_a_proxy_may_still_work_by_the_mode_before(past: str, new: str) -> None:
    (only,) = changing_after(past, old="PERMISSIVE", new=new)[PEER]
    assert only.spec is None
    assert "PERMISSIVE" in only.note


def test_access_waits_as_long_as_permissive_does_on_its_way_to_strict() -> None:
    found = changing_after("DISABLE", old="PERMISSIVE", new="STRICT", more={DENY: (denying(OLD), None)})
    assert [step.spec for step in found[DENY]] == [None]


@pytest.mark.parametrize(
    ("past", "new"), [("PERMISSIVE", "STRICT"), ("STRICT", "STRICT"), ("DISABLE", "DISABLE")]
)
def test_a_mode_that_was_not_the_opposite_one_is_left_at_once(past: str, new: str) -> None:
    assert changing_after(past, old="PERMISSIVE", new=new) == {}


def peer_for(revision: str, mode: str) -> Body:
    """A mode for a revision alone, "" = for all."""
    labels = {"istio.io/rev": revision} if revision else {}
    metadata = {"namespace": PEER.namespace, "name": PEER.name, "labels": labels}
    return {"metadata": metadata, "spec": {"mtls": {"mode": mode}}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (peer_for("", "STRICT"), peer_for("green", "STRICT")),
        (peer_for("", "DISABLE"), peer_for("green", "DISABLE")),
        (peer_for("", "STRICT"), peer_for("green", "PERMISSIVE")),
    ],
)
def test_a_revision_is_left_out_when_access_has_changed(before: Body, after: Body) -> None:
    """Without a mode of its own it is permissive again, which is wider."""
    (step,) = steps({PEER: (before, after), ALLOW: (body(), None)})[PEER]
    assert step.spec is None
    assert steps({PEER: (before, after)}) == {}


@pytest.mark.parametrize("mode", ["STRICT", "DISABLE"])
def test_a_revision_is_taken_in_at_once(mode: str) -> None:
    """From permissive to a mode, before access changes; those that had the mode keep it."""
    assert steps({PEER: (peer_for("green", mode), peer_for("", mode)), ALLOW: (body(), None)}) == {}


def test_what_closes_for_a_revision_never_waits_for_what_opens_for_another() -> None:
    moved = (peer_for("green", "STRICT"), peer_for("blue", "STRICT"))
    assert steps({PEER: moved, ALLOW: (body(), None)}) == {}


def test_a_mode_for_another_revision_is_none_of_its_past() -> None:
    assert steps({PEER: (peer_for("green", "DISABLE"), peer_for("blue", "STRICT"))}) == {}
    (step,) = steps({PEER: (peer_for("green", "DISABLE"), peer_for("", "STRICT"))})[PEER]
    assert step.spec == {"mtls": {"mode": "PERMISSIVE"}}


def test_a_revision_that_a_proxy_may_still_know_is_among_the_readers() -> None:
    """It read DISABLE until a moment ago, and is to read STRICT."""

    def known(group: str, kind: str) -> Iterable[Versions]:
        return [(peer_for("blue", "STRICT"), peer_for("green", "DISABLE"))] if kind == PEER.kind else ()

    (step,) = gitmesh_istio.steps({PEER: (peer_for("blue", "STRICT"), peer_for("", "STRICT"))}, known)[PEER]
    assert step.spec is None
