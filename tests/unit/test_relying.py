"""Routes wait for what they use, and what they use stays, whatever the reason for an absence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.diagnostics import Severity
from gitmesh.model.ledger import FIGHT, Entry, Ledger, Stored
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Action, Change, Live, Observed, Plan
from gitmesh.planning.diff import diff
from gitmesh.planning.guard import Consent
from tests.fake_mesh import FakeMesh, rule
from tests.unit.plans import FAKE, INSTANCE, codes, is_live, want


def planned(
    wanted: Sequence[Manifest],
    lives: Sequence[Live] = (),
    *,
    before: Mapping[ObjectKey, Sequence[Live | None]] | None = None,
    held: Sequence[str] = (),
    mesh: FakeMesh | None = None,
) -> Plan:
    """The plan of providers and routes of a mesh where `uses` and `provides` stand in the spec."""
    ours = {one.key: Entry(uid=one.uid) for one in lives if "gitmesh.io/id" in one.annotations}
    built = Build(
        cluster="east",
        manifests={one.key: one for one in wanted},
        meshes=(FAKE,),
        held=frozenset(map(rule, held)),
    )
    ledger = Ledger(instance=INSTANCE, entries=ours)
    observed = Observed(cluster="east", live={one.key: one for one in lives})
    stored = Stored(ledger=ledger, version="1")
    return diff(
        built, observed, stored, {"fake": mesh or FakeMesh()}, Consent(prune_approved=True), {}, before or {}
    )


def provider(*refs: str, name: str = "provider", **more: Any) -> Manifest:
    return replace(want(name, provides=list(refs), **more), decides="routing")


def route(*refs: str, name: str = "route", **more: Any) -> Manifest:
    return want(name, uses=list(refs), **more)


def row(plan: Plan, name: str) -> Change:
    return next(change for change in plan.changes if change.key.name == name)


def written(plan: Plan) -> dict[str, list[str]]:
    """What the writes of a plan provide or use, by object."""
    specs = {w.key.name: decode(w.body)["spec"] for w in plan.writes if w.body}
    return {name: spec.get("provides", spec.get("uses")) for name, spec in specs.items()}


class TestWhatComes:
    def test_a_new_route_follows_what_it_uses_when_proxies_have_learnt_of_it(self) -> None:
        plan = planned([provider("v1"), route("v1")])
        assert [change.key.name for change in plan.writes] == ["provider", "route"]
        assert row(plan, "route").settled
        assert row(plan, "route").relies_on == (rule("provider"),)
        assert not row(plan, "provider").settled

    def test_a_route_to_what_all_proxies_know_is_written_at_once(self) -> None:
        plan = planned([provider("v1"), route("v1")], [is_live("provider", provides=["v1"])])
        assert (row(plan, "route").settled, row(plan, "route").relies_on) == (False, ())

    @pytest.mark.parametrize("earlier", [None, is_live("provider", provides=["v0"])])
    def test_what_a_proxy_may_not_know_yet_is_waited_for(self, earlier: Live | None) -> None:
        live = [is_live("provider", provides=["v1"])]
        plan = planned([provider("v1"), route("v1")], live, before={rule("provider"): [earlier]})
        assert row(plan, "route").settled

    def test_what_somebody_else_provides_will_do(self) -> None:
        plan = planned([route("v1")], [is_live("theirs", marked=False, provides=["v1"])])
        assert row(plan, "route").action is Action.CREATE

    def test_what_uses_nothing_waits_for_nothing(self) -> None:
        plan = planned([provider("v1"), route()], [is_live("provider", marked=False)])
        assert row(plan, "route").action is Action.CREATE
        assert "GM411" not in codes(plan)


ABSENT: dict[str, dict[str, Any]] = {
    "in conflict": {"lives": [is_live("provider", marked=False, other=1)]},
    "held": {"held": ["provider"]},
    "held and live as it was": {"held": ["provider"], "lives": [is_live("provider", provides=["v0"])]},
    "left alone": {
        "lives": [is_live("provider", extra={"gitmesh.io/reconcile": "disabled"}, provides=["v0"])]
    },
    "being deleted": {
        "lives": [replace(is_live("provider", provides=["v1"]), deleting=True, finalizers=("a/b",))]
    },
}


class TestWhatKeepsItAway:
    @pytest.mark.parametrize("given", ABSENT.values(), ids=ABSENT)
    def test_the_route_waits_and_says_for_what(self, given: dict[str, Any]) -> None:
        plan = planned([provider("v1"), route("v1")], **given)
        assert row(plan, "route").action is Action.HELD
        assert row(plan, "route").note.startswith("waits for host v1, which nothing live provides")
        [said] = [one for one in plan.diagnostics if one.code == "GM411"]
        assert (said.policy, said.severity) == ("TrafficPolicy/shop/p", Severity.WARNING)
        assert "route" not in written(plan)

    def test_a_live_route_stays_as_it_is_meanwhile(self) -> None:
        lives = [
            is_live("route", uses=["v0"]),
            is_live("provider", extra={"gitmesh.io/reconcile": "disabled"}, provides=["v0"]),
        ]
        plan = planned([provider("v1"), route("v1")], lives)
        assert row(plan, "route").action is Action.HELD
        assert plan.writes == ()

    def test_what_would_provide_it_is_named_with_what_keeps_it_away(self) -> None:
        plan = planned([provider("v1"), route("v1")], [is_live("provider", marked=False)])
        assert row(plan, "route").note.endswith("; Rule shop/provider would, but is in conflict")

    def test_in_a_fight_over_the_provider_the_route_waits_too(self) -> None:
        """The write that would bring it is left out, as somebody undoes it every time."""
        given = provider("v1")
        live = is_live("provider", provides=["v0"])
        stored = replace(given, digest="d")
        ledger = Ledger(
            instance=INSTANCE,
            entries={live.key: Entry(uid="u1", digest="d")},
            heals={live.key: FIGHT},
        )
        built = Build(cluster="east", manifests={m.key: m for m in (stored, route("v1"))}, meshes=(FAKE,))
        observed = Observed(cluster="east", live={live.key: live})
        plan = diff(
            built, observed, Stored(ledger=ledger, version="1"), {"fake": FakeMesh()}, Consent(), {}, {}
        )
        assert [change.action for change in plan.changes] == [Action.HELD, Action.HELD]
        assert {"GM404", "GM411"} <= set(codes(plan))

    def test_who_waits_provides_nothing_new_to_others(self) -> None:
        middle = replace(want("middle", uses=["v1"], provides=["m"]), decides="routing")
        plan = planned([middle, route("m")])
        assert {name: row(plan, name).action for name in ("middle", "route")} == {
            "middle": Action.HELD,
            "route": Action.HELD,
        }

    def test_a_route_that_is_broken_already_may_change_in_other_ways(self) -> None:
        plan = planned([route("v1", timeout=2)], [is_live("route", uses=["v1"], timeout=1)])
        assert row(plan, "route").action is Action.UPDATE

    def test_a_route_may_leave_what_is_gone(self) -> None:
        lives = [is_live("route", uses=["gone"]), is_live("provider", provides=["v1"])]
        plan = planned([provider("v1"), route("v1")], lives)
        assert (row(plan, "route").action, row(plan, "route").settled) == (Action.UPDATE, False)

    def test_what_decides_who_may_call_never_waits(self) -> None:
        closing = replace(route("v1"), decides="access")
        assert row(planned([closing]), "route").action is Action.CREATE


class TestWhatGoes:
    LIVES = (is_live("provider", provides=["v1"]), is_live("route", uses=["v1"]))

    def test_both_sides_of_a_move_go_through_a_state_between(self) -> None:
        plan = planned([provider("v2"), route("v2")], self.LIVES)
        assert written(plan) == {"provider": ["v1", "v2"], "route": ["v2"]}
        assert (row(plan, "provider").staged, row(plan, "route").settled) == (True, True)
        lives = [is_live("provider", provides=["v1", "v2"]), is_live("route", uses=["v2"])]
        moved = {rule("route"): [self.LIVES[1]], rule("provider"): [self.LIVES[0]]}
        assert planned([provider("v2"), route("v2")], lives, before=moved).writes == ()
        assert written(planned([provider("v2"), route("v2")], lives)) == {"provider": ["v2"]}

    def test_without_a_state_between_nothing_moves_and_a_finding_names_it(self) -> None:
        plan = planned([provider("v2"), route("v2")], self.LIVES, mesh=FakeMesh(has_between=False))
        assert plan.writes == ()
        assert {"GM406", "GM411"} <= set(codes(plan))
        assert "Rule shop/provider would, but is left as it is: host v1 stays" in row(plan, "route").note

    def test_a_provider_goes_after_the_last_route(self) -> None:
        plan = planned([], self.LIVES)
        assert [change.key.name for change in plan.writes] == ["route"]
        assert row(plan, "provider").staged
        after = planned([], self.LIVES[:1], before={rule("route"): [self.LIVES[1]]})
        assert after.writes == ()
        assert [change.action for change in planned([], self.LIVES[:1]).writes] == [Action.DELETE]

    def test_what_a_held_route_uses_stays(self) -> None:
        plan = planned([provider("v2")], self.LIVES, held=["route"])
        assert written(plan) == {"provider": ["v1", "v2"]}

    def test_what_nobody_uses_goes_at_once(self) -> None:
        plan = planned([provider("v2")], self.LIVES[:1])
        assert (written(plan), row(plan, "provider").staged) == ({"provider": ["v2"]}, False)

    def test_what_a_stranger_uses_goes_and_is_told(self) -> None:
        theirs = is_live("theirs", marked=False, uses=["v1"])
        plan = planned([provider("v2")], [self.LIVES[0], theirs])
        assert written(plan) == {"provider": ["v2"]}
        [said] = [one for one in plan.diagnostics if one.code == "GM412"]
        assert "Rule shop/theirs" in said.message
        assert "host v1" in said.message
