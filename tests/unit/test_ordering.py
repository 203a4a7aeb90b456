"""When the changes of a plan are made, by what they do to who is admitted: no mesh of ours is needed."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from gitmesh.adapters.writing import StepError, body_of, carry_out, live_object
from gitmesh.model.ledger import Entry, Ledger, Stored
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Action, Change, Live, Observed, Plan, Turn
from gitmesh.planning.diff import diff
from gitmesh.planning.guard import Consent
from gitmesh.planning.ownership import ID
from tests.closing_mesh import BOTH, CLOSED, NAMED, OPEN, PLAIN, ClosingMesh, admits
from tests.fake_mesh import rule
from tests.unit.plans import FAKE, INSTANCE, codes, is_live, want

MESH = ClosingMesh()
Specs = Mapping[str, Mapping[str, Any]]
Before = Mapping[ObjectKey, Sequence[Live | None]]


def wanted(name: str, spec: Mapping[str, Any]) -> Manifest:
    made = want(name, **spec)
    return replace(made, decides=MESH.decides(decode(made.body)))


def planned(
    new: Specs,
    lives: Mapping[ObjectKey, Live],
    before: Before | None = None,
    *,
    consent: Consent | None = None,
    lost: bool = False,
    complete: bool = True,
    root: str = "",
) -> Plan:
    """`lost` is the ledger; `root` is the root namespace of the mesh."""
    built = Build(
        cluster="east",
        manifests={rule(name): wanted(name, spec) for name, spec in new.items()},
        meshes=(replace(FAKE, root_namespace=root),),
        complete=complete,
    )
    ledger = Ledger(instance=INSTANCE, entries={key: Entry(uid=live.uid) for key, live in lives.items()})
    observed = Observed(cluster="east", live=lives)
    stored = Stored(ledger=Ledger(instance=INSTANCE) if lost else ledger, version="1", corrupt=lost)
    agreed = consent or Consent(prune_approved=True)
    return diff(built, observed, stored, {"fake": MESH}, agreed, {}, before or {})


def live(old: Specs) -> dict[ObjectKey, Live]:
    return {rule(name): is_live(name, **spec) for name, spec in old.items()}


def writes(old: Specs, new: Specs, before: Before | None = None) -> list[tuple[str, str, Any]]:
    """The steps of a plan: what is done, to what, and what it then says."""
    plan = planned(new, live(old), before)
    return [
        (one.action.value, one.key.name, decode(one.body)["spec"] if one.body else None)
        for one in plan.writes
    ]


def _moved(one: Live) -> Any:
    """The body of a live object with the marks of the key that it has now."""
    body = decode(one.body)
    body["metadata"]["namespace"] = one.key.namespace
    body["metadata"]["annotations"][ID] = one.key.id("east")
    return body


SERVER: Specs = {"server": {"server": CLOSED}}
GRANT: Specs = {"grant": {"grants": ["x"], "uses": ["server"]}}


class TestWhatClosesByExisting:
    def test_it_comes_open_then_come_its_grants_then_it_closes(self) -> None:
        assert writes({}, {**SERVER, **GRANT}) == [
            ("create", "server", {"server": OPEN}),
            ("create", "grant", GRANT["grant"]),
            ("create", "server", {"server": CLOSED}),
        ]

    def test_a_grant_waits_until_proxies_know_it_and_stops_with_it(self) -> None:
        plan = planned({**SERVER, **GRANT}, {})
        [grant] = [one for one in plan.writes if one.key.name == "grant"]
        assert (grant.settled, grant.relies_on) == (True, (rule("server"),))

    def test_it_opens_then_go_its_grants_then_it_goes(self) -> None:
        old: Specs = {**SERVER, **GRANT}
        assert writes(old, {}) == [("update", "server", {"server": OPEN}), ("delete", "grant", None)]
        opened = {"server": {"server": OPEN}}
        gone = {rule("grant"): [is_live("grant", **GRANT["grant"])]}
        assert writes(opened, {}, gone) == []
        assert writes(opened, {}) == [("delete", "server", None)]

    def test_without_grants_it_closes_at_once(self) -> None:
        assert writes({}, SERVER) == [("create", "server", {"server": CLOSED})]

    def test_where_grants_are_there_it_closes_at_once(self) -> None:
        assert writes(GRANT, {**SERVER, **GRANT}) == [("create", "server", {"server": CLOSED})]

    def test_a_grant_whose_server_somebody_else_has_in_its_way_is_held_with_an_error(self) -> None:
        theirs = {rule("server"): is_live("server", marked=False, other=1)}
        plan = planned({**SERVER, **GRANT}, theirs)
        assert {one.key.name: one.action for one in plan.changes} == {
            "server": Action.CONFLICT,
            "grant": Action.HELD,
        }
        [said] = [one for one in plan.diagnostics if one.code == "GM411"]
        assert (said.severity, "may not be enforced" in said.message) == ("error", True)

    def test_a_grant_for_what_nobody_wants_to_be_there_waits_for_nothing(self) -> None:
        assert [name for _, name, _ in writes({}, GRANT)] == ["grant"]

    def test_what_only_narrows_never_waits_for_what_it_uses(self) -> None:
        fewer = {"grant": {"grants": [], "uses": ["server"]}}
        more = {"grant": {"grants": ["x"], "uses": []}}
        theirs = {rule("server"): is_live("server", marked=False, other=1)}
        plan = planned({**SERVER, **fewer}, {**theirs, **live(more)})
        assert [one.key.name for one in plan.writes] == ["grant"]


OLD: Specs = {"no": {"refuses": ["a", "b"]}, "yes": {"grants": ["a", "b", "c"]}, **SERVER}
NEW: Specs = {"no": {"refuses": ["b", "c"]}, "yes": {"grants": ["a"]}, **SERVER}


class TestWhatRefuses:
    def test_it_refuses_old_and_new_until_what_is_granted_has_changed(self) -> None:
        assert writes(OLD, NEW) == [
            ("update", "no", {"refuses": ["a", "b", "c"]}),
            ("update", "yes", {"grants": ["a"]}),
            ("update", "no", {"refuses": ["b", "c"]}),
        ]

    def test_alone_it_changes_at_once(self) -> None:
        assert writes({"no": OLD["no"]}, {"no": NEW["no"]}) == [("update", "no", NEW["no"])]

    def test_what_it_no_longer_refuses_stops_where_a_narrower_grant_is_not_taken(self) -> None:
        """Also where they are of different Services, as those may share pods."""
        plan = planned(NEW, live(OLD))
        assert rule("yes") in plan.writes[-1].relies_on

    def test_one_moves_to_another(self) -> None:
        old, new = {"no": {"refuses": ["a"]}}, {"not": {"refuses": ["a"]}}
        assert [(action, name) for action, name, _ in writes(old, new)] == [
            ("create", "not"),
            ("delete", "no"),
        ]

    def test_grants_go_before_it_does(self) -> None:
        old: Specs = {"no": {"refuses": ["a"]}, "yes": {"grants": ["a"]}, **SERVER}
        assert [name for _, name, _ in writes(old, SERVER)] == ["yes", "no"]

    def test_access_comes_before_routes_and_routes_before_what_closes(self) -> None:
        new: Specs = {"no": {"refuses": ["a"]}, "yes": {"grants": ["b"]}, "route": {"x": 1}, **SERVER}
        order = [name for _, name, _ in writes({}, new)]
        assert order == ["server", "no", "yes", "route", "server"]


class TestWhatIsKeptAway:
    """What would narrow does not come: so what refuses goes on to refuse what it did."""

    THEIRS = is_live("not", marked=False, other=1)
    LEAVING = replace(is_live("yes", grants=["a", "b"]), deleting=True, finalizers=("z.com/1",))

    @pytest.mark.parametrize(
        ("there", "wanted"),
        [(THEIRS, {"not": {"refuses": ["a"]}}), (LEAVING, {"yes": {"grants": []}})],
        ids=["in conflict", "being deleted"],
    )
    @pytest.mark.parametrize("after", [{}, {"no": {"refuses": []}}], ids=["goes", "loses"])
    def test_a_refusal_stays_until_it_is_there(self, there: Live, wanted: Specs, after: Specs) -> None:
        lives = {**live({"no": {"refuses": ["a"]}, **SERVER}), there.key: there}
        plan = planned({**after, **wanted, **SERVER}, lives)
        assert plan.writes == ()
        [said] = [one for one in plan.diagnostics if one.code == "GM406"]
        assert f"until {there.key} is as it is wanted" in said.message

    def test_what_it_refuses_more_comes_all_the_same(self) -> None:
        lives = {**live({"no": {"refuses": ["a"]}, **SERVER}), self.LEAVING.key: self.LEAVING}
        plan = planned({"no": {"refuses": ["b"]}, "yes": {"grants": []}, **SERVER}, lives)
        [write] = plan.writes
        assert decode(write.body or b"")["spec"] == {"refuses": ["a", "b"]}

    def test_what_would_only_admit_more_is_waited_for_by_nobody(self) -> None:
        theirs = is_live("yes", marked=False, other=1)
        lives = {**live({"no": {"refuses": ["a"]}, **SERVER}), theirs.key: theirs}
        assert [one.key.name for one in planned({"yes": {"grants": ["b"]}, **SERVER}, lives).writes] == ["no"]

    def test_nor_is_what_is_kept_away_in_another_namespace(self) -> None:
        away = replace(self.LEAVING, key=self.LEAVING.key._replace(namespace="web"))
        lives = {**live({"no": {"refuses": ["a"]}, **SERVER}), away.key: away}
        assert [one.key.name for one in planned(SERVER, lives).writes] == ["no"]

    @pytest.mark.parametrize(
        "kept",
        [
            {"consent": Consent(prune_approved=True, protect=("*/yes",))},
            {"consent": Consent()},
            {"lost": True},
            {"complete": False},
        ],
        ids=["protected", "too many", "the ledger is lost", "read in part"],
    )
    def test_nor_does_it_lose_anything_while_a_grant_that_is_not_wanted_stays(
        self, kept: dict[str, Any]
    ) -> None:
        """Whatever keeps it: it grants to whom the refusal did not let through."""
        more = {f"yes-{n}": {"grants": ["a"]} for n in range(11)}
        lives = live({"no": {"refuses": ["a"]}, "yes": {"grants": ["a", "b"]}, **more, **SERVER})
        plan = planned({"no": {"refuses": ["b"]}, **SERVER}, lives, **kept)
        writes = {one.key.name: decode(one.body)["spec"] for one in plan.writes if one.body}
        assert writes == {"no": {"refuses": ["a", "b"]}}
        assert [one.code for one in plan.diagnostics].count("GM406") == 1

    def test_what_holds_no_grant_lets_it_go(self) -> None:
        """The counter-proof: a route that is protected, and a refusal that stays."""
        lives = live({"no": {"refuses": ["a"]}, "route": {"x": 1}, "not": {"refuses": ["b"]}, **SERVER})
        kept = Consent(prune_approved=True, protect=("*/route", "*/not"))
        assert [one.key.name for one in planned(SERVER, lives, consent=kept).writes] == ["no"]

    @pytest.mark.parametrize("root", ["shop", "web"], ids=["the mesh's", "a tenant's"])
    def test_what_a_mesh_lacks_in_its_root_namespace_is_missed_everywhere(self, root: str) -> None:
        """The refusal is of another namespace than the server that somebody has an object in place of."""
        theirs = is_live("server", marked=False, other=1)
        no = is_live("no", refuses=["a"])
        no = replace(no, key=no.key._replace(namespace="web"))
        no = live_object(no.key, "u1", _moved(no))
        plan = planned(SERVER, {theirs.key: theirs, no.key: no}, root=root)
        assert [one.key.name for one in plan.writes] == ([] if root == "shop" else ["no"])

    def test_a_strangers_object_there_that_closes_as_well_keeps_nothing(self) -> None:
        theirs = is_live("server", marked=False, server=CLOSED)
        lives = {**live({"no": {"refuses": ["a"]}}), theirs.key: theirs}
        assert [one.key.name for one in planned(SERVER, lives, root="shop").writes] == ["no"]
        assert planned(SERVER, lives, root="web").writes == ()


class TestModes:
    @pytest.mark.parametrize(("old", "new"), [(PLAIN, NAMED), (NAMED, PLAIN)])
    def test_what_excludes_each_other_is_passed_a_step_a_tick(self, old: str, new: str) -> None:
        before: Specs = {"mode": {"mode": old}}
        after: Specs = {"mode": {"mode": new}}
        assert writes(before, after) == [("update", "mode", {"mode": BOTH})]
        past = {rule("mode"): [is_live("mode", mode=old)]}
        assert writes({"mode": {"mode": BOTH}}, after, past) == []
        assert writes({"mode": {"mode": BOTH}}, after) == [("update", "mode", {"mode": new})]

    @pytest.mark.parametrize("old", [PLAIN, NAMED])
    def test_the_widest_is_entered_when_access_has_changed(self, old: str) -> None:
        before: Specs = {"mode": {"mode": old}, "no": {"refuses": ["a"]}}
        plan = planned({"mode": {"mode": BOTH}}, live(before))
        assert [one.key.name for one in plan.writes] == ["no"]
        assert codes(plan) == ["GM406"]

    def test_what_narrows_comes_first_and_what_admits_more_waits_for_it(self) -> None:
        before: Specs = {"mode": {"mode": PLAIN}, "no": {"refuses": ["a"]}}
        new: Specs = {"mode": {"mode": NAMED}, "not": {"refuses": ["b"]}}
        assert writes(before, new) == [
            ("update", "mode", {"mode": BOTH}),
            ("create", "not", {"refuses": ["b"]}),
        ], "what refuses more never waits"

    def test_what_refuses_otherwise_refuses_both_meanwhile(self) -> None:
        before: Specs = {"mode": {"mode": PLAIN}, "no": {"refuses": ["a"]}}
        new: Specs = {"mode": {"mode": NAMED}, "no": {"refuses": ["b"]}}
        assert writes(before, new)[1] == ("update", "no", {"refuses": ["a", "b"]})


def test_what_relies_on_each_other_is_held_with_a_finding() -> None:
    new = {
        "a": {"provides": ["a"], "uses": ["b"]},
        "b": {"provides": ["b"], "uses": ["a"]},
        "c": {"uses": ["b"]},
    }
    plan = planned(new, {})
    assert plan.writes == ()
    assert {one.action for one in plan.changes} == {Action.HELD}
    assert codes(plan) == ["GM411"] * 3


def test_a_row_of_objects_that_rely_on_each_other_comes_in_its_order() -> None:
    new = {"c": {"provides": ["c"]}, "b": {"provides": ["b"], "uses": ["c"]}, "a": {"uses": ["b"]}}
    plan = planned(new, {})
    assert [(one.key.name, one.turn, one.level) for one in plan.writes] == [
        ("c", Turn.ROUTES, 0),
        ("b", Turn.ROUTES, 1),
        ("a", Turn.ROUTES, 2),
    ]


# --- never wider, and never narrower, after each single write

CALLERS = "abcABC"
some = st.lists(st.sampled_from(CALLERS), max_size=4, unique=True).map(sorted)
server = st.sampled_from([OPEN, CLOSED]).map(lambda state: {"server": state})
grant = some.map(lambda names: {"grants": names})
refusal = some.map(lambda names: {"refuses": names})
mode = st.sampled_from([PLAIN, BOTH, NAMED]).map(lambda one: {"mode": one})
drawn: st.SearchStrategy[dict[str, dict[str, Any]]] = st.fixed_dictionaries(
    {},
    optional={
        "server": server,
        "grant-1": grant,
        "grant-2": grant,
        "no-1": refusal,
        "no-2": refusal,
        "mode": mode,
    },
)
states = drawn.map(lambda specs: {name: _for_its_server(spec, specs) for name, spec in specs.items()})


def _for_its_server(spec: Mapping[str, Any], all_of_them: Specs) -> Mapping[str, Any]:
    """A grant is for the server where there is one."""
    return {**spec, "uses": ["server"]} if "grants" in spec and "server" in all_of_them else spec


class FailingCluster:
    """Carries plans out, a write at a time, and fails what it is told to."""

    def __init__(self, old: Specs) -> None:
        self.objects = live(old)
        self.seen: list[tuple[str, list[Mapping[str, Any]]]] = []
        self.before: dict[ObjectKey, list[Live | None]] = {}
        self.refusing = ""

    def specs(self) -> list[Mapping[str, Any]]:
        return [decode(one.body)["spec"] for one in self.objects.values()]

    def tick(self, new: Specs) -> Plan:
        plan = planned(new, self.objects, self.before)
        self.before = {}
        known = dict(self.objects)
        carry_out(plan, self._write)
        self.before = {one.key: [known.get(one.key)] for one in plan.writes}
        return plan

    def _write(self, change: Change, _: str) -> Live | None:
        if change.key.name == self.refusing:
            raise StepError("refused")
        if change.action is Action.DELETE:
            del self.objects[change.key]
            made = None
        else:
            made = self.objects[change.key] = live_object(change.key, "u1", body_of(change))
        self.seen.append((f"{change.action.value} {change.key.name}", self.specs()))
        return made


def admitted(specs: Sequence[Mapping[str, Any]]) -> set[str]:
    return {caller for caller in string.ascii_letters if caller in CALLERS and admits(specs, caller)}


@given(
    states,
    states,
    st.sampled_from(["", "server", "grant-1", "no-1", "no-2"]),
    st.sampled_from(["", "", "grant-1", "no-1"]),
)
def test_never_wider_in_between(old: Specs, new: Specs, refusing: str, theirs: str) -> None:
    """Nor narrower: whoever is admitted before and after is so all the time, but where a mode excludes.

    `refusing` is refused at first, and somebody else has an object in place of `theirs`.
    """
    old = {name: spec for name, spec in old.items() if name != theirs}
    cluster = FailingCluster(old)
    if theirs:
        cluster.objects[rule(theirs)] = is_live(theirs, marked=False, other=1)
    cluster.refusing = refusing
    for tick in range(12):
        cluster.refusing = refusing if tick < 3 else ""
        if tick == 3 and theirs:
            del cluster.objects[rule(theirs)]
        plan = cluster.tick(new)
        if tick > 3 and not plan.writes and not any(one.staged for one in plan.changes):
            break
    else:
        raise AssertionError("it never settles")
    note(str(cluster.seen))
    first, last = (admitted(list(specs.values())) for specs in (old, new))
    assert admitted(cluster.specs()) == last
    bound = first | last | _while_passing(old, new)
    for step, specs in cluster.seen:
        assert admitted(specs) <= bound, f"wider after {step}"
        if not refusing and not theirs and "mode" not in {**old, **new}:
            assert admitted(specs) >= first & last, f"narrower after {step}"


def _while_passing(old: Specs, new: Specs) -> set[str]:
    """Between modes that exclude each other both are taken, as the policies before have it."""
    modes = {specs["mode"]["mode"] if "mode" in specs else BOTH for specs in (old, new)}
    return admitted([*old.values(), {"mode": BOTH}][::-1]) if modes == {PLAIN, NAMED} else set()
