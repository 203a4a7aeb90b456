"""Build x observed x ledger -> Plan: every row of the table in gitmesh/planning/diff.py, the guard on
deletions, and what is ours.
"""

from __future__ import annotations

from typing import Any

import pytest
from deepdiff import DeepDiff
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gitmesh.diagnostics import Severity
from gitmesh.model.admission import GUARDING, Subject
from gitmesh.model.ledger import Entry, Ledger, Stored
from gitmesh.model.manifests import Build
from gitmesh.model.objects import digest
from gitmesh.model.plan import Action, Observed, Outcome
from gitmesh.planning.diff import diff
from gitmesh.planning.fields import changes
from gitmesh.planning.guard import Consent, vanished
from gitmesh.planning.ledgers import intend, record
from gitmesh.planning.ownership import ADOPT, PRUNE, RECONCILE, marks
from tests.fake_mesh import GROUP, FakeMesh, rule
from tests.unit.plans import CLUSTER, INSTANCE, actions, codes, is_live, plan, said, want


def test_wanted_and_absent_is_created() -> None:
    result = plan([want("a", x=1)])
    assert actions(result) == {"a": Action.CREATE}
    assert not result.changes[0].drift


def test_created_again_after_a_hand_deletion_is_drift() -> None:
    wanted = want("a", x=1)
    result = plan([wanted], ledger=["a"], applied={"a": wanted.digest})
    assert actions(result) == {"a": Action.CREATE}
    assert result.changes[0].drift


@pytest.mark.parametrize("applied", [want("a", x=2).digest, ""])
def test_created_again_otherwise_than_before_is_none(applied: str) -> None:
    [change] = plan([want("a", x=1)], ledger=["a"], applied={"a": applied}).changes
    assert (change.action, change.drift, change.note) == (Action.CREATE, False, "it was deleted by hand")


def test_equal_is_kept_and_nothing_is_written() -> None:
    result = plan([want("a", x=1)], [is_live("a", x=1)], ["a"])
    assert actions(result) == {"a": Action.KEEP}
    assert result.writes == ()


def test_foreign_labels_and_annotations_on_our_object_are_left_alone() -> None:
    result = plan([want("a", x=1)], [is_live("a", extra={"team": "blue"}, x=1)], ["a"])
    assert actions(result) == {"a": Action.KEEP}


def test_a_field_that_somebody_added_to_spec_is_drift_and_removed() -> None:
    wanted = want("a", x=1)
    result = plan([wanted], [is_live("a", x=1, y=2)], ["a"], applied={"a": digest(wanted.body)})
    (change,) = result.changes
    assert (change.action, change.drift) == (Action.UPDATE, True)
    assert [(f.path, f.want, f.live) for f in change.fields] == [("spec.y", None, 2)]


def test_what_makes_the_mesh_ignore_an_object_is_taken_off_it() -> None:
    wanted = replace(want("a", x=1), forbidden=FakeMesh.opt_out_keys)
    (change,) = plan(
        [wanted],
        [is_live("a", extra={"fake/ignored": "yes", "team": "a"}, x=1)],
        ["a"],
        applied={"a": wanted.digest},
    ).changes
    assert (change.action, change.drift, change.forbidden) == (Action.UPDATE, True, FakeMesh.opt_out_keys)
    assert [(f.path, f.want, f.live) for f in change.fields] == [
        ("metadata.annotations.fake/ignored", None, "yes")
    ]
    own = wanted.body.replace(b'"annotations":{', b'"annotations":{"fake/ignored":"yes",')
    (change,) = plan(
        [replace(wanted, body=own)], [is_live("a", extra={"fake/ignored": "yes"}, x=1)], ["a"]
    ).changes
    assert change.action is Action.KEEP, "what a translator wants itself is no trespass"


def test_a_change_from_git_is_no_drift() -> None:
    result = plan([want("a", x=2)], [is_live("a", x=1)], ["a"], applied={"a": digest(want("a", x=1).body)})
    assert [(c.action, c.drift) for c in result.changes] == [(Action.UPDATE, False)]


def test_a_foreign_object_of_the_same_name_is_a_conflict() -> None:
    result = plan([want("a", x=1)], [is_live("a", marked=False, x=9)])
    assert actions(result) == {"a": Action.CONFLICT}
    assert said(result) == [("GM401", Severity.WARNING)]


@pytest.mark.parametrize("decides", sorted(GUARDING))
def test_a_foreign_object_in_the_place_of_a_guard_is_an_error(decides: Subject) -> None:
    guard = replace(want("a", x=1), decides=decides)
    result = plan([guard], [is_live("a", marked=False, x=9)])
    assert actions(result) == {"a": Action.CONFLICT}
    assert said(result) == [("GM401", Severity.ERROR)]
    assert "may not be enforced" in result.diagnostics[0].message


@pytest.mark.parametrize(("live", "action"), [(1, Action.KEEP), (9, Action.UPDATE)])
@pytest.mark.parametrize("decides", sorted(GUARDING))
def test_a_guard_that_asks_to_be_left_alone_is_healed_all_the_same_and_told(
    decides: Subject, live: int, action: Action
) -> None:
    guard = replace(want("a", x=1), decides=decides)
    result = plan([guard], [is_live("a", extra={RECONCILE: "disabled"}, x=live)], ["a"])
    assert actions(result) == {"a": action}
    assert said(result) == [("GM407", Severity.WARNING)]


def test_a_route_that_asks_to_be_left_alone_is() -> None:
    result = plan([want("a", x=1)], [is_live("a", extra={RECONCILE: "disabled"}, x=9)], ["a"])
    assert (actions(result), said(result)) == ({"a": Action.HELD}, [("GM407", Severity.INFO)])


@pytest.mark.parametrize("mark", [PRUNE, RECONCILE])
def test_a_guard_that_nobody_wants_goes_though_a_mark_on_it_forbids_that(mark: str) -> None:
    result = plan(
        [want("a")],
        [is_live("a"), is_live("b", extra={mark: "disabled"})],
        ["a", "b"],
        mesh=FakeMesh(decides="access"),
    )
    assert actions(result)["b"] is Action.DELETE
    assert said(result) == [("GM407", Severity.WARNING)]


def test_a_guard_that_the_configuration_protects_stays_and_is_an_error() -> None:
    consent = Consent(protect=("*/b",))
    result = plan(
        [want("a")],
        [is_live("a"), is_live("b")],
        ["a", "b"],
        consent=consent,
        mesh=FakeMesh(decides="access"),
    )
    assert actions(result)["b"] is Action.KEEP
    assert said(result) == [("GM407", Severity.ERROR)]


def test_k28_our_labels_copied_onto_another_object_do_not_make_it_ours() -> None:
    copied = is_live("a", marked=False, x=9)
    labels, annotations = marks(CLUSTER, INSTANCE, rule("b"), ())
    copied = replace(copied, labels=labels, annotations=annotations)
    assert actions(plan([want("a", x=1)], [copied], ["a"])) == {"a": Action.CONFLICT}
    assert plan([], [copied], ["a"]).writes == ()


def test_another_instance_of_gitmesh_is_foreign() -> None:
    labels, annotations = marks(CLUSTER, "other", rule("a"), ())
    other = replace(is_live("a", x=1), labels=labels, annotations=annotations)
    assert actions(plan([want("a", x=1)], [other], ["a"])) == {"a": Action.CONFLICT}


def test_an_annotated_foreign_object_is_adopted_with_its_field_diff() -> None:
    result = plan([want("a", x=1)], [is_live("a", marked=False, extra={ADOPT: INSTANCE}, x=9)])
    (change,) = result.changes
    assert change.action is Action.ADOPT
    assert ("spec.x", 1, 9) in [(f.path, f.want, f.live) for f in change.fields]


def test_an_adoption_names_the_object_by_id() -> None:
    consent = Consent(adoptions={rule("a").id(CLUSTER): "Adoption/shop/take"})
    assert actions(plan([want("a", x=1)], [is_live("a", marked=False)], consent=consent)) == {
        "a": Action.ADOPT
    }
    assert actions(
        plan(
            [want("a", x=1)],
            [is_live("a", marked=False)],
            consent=Consent(adoptions={rule("a").id("west"): ""}),
        )
    ) == {"a": Action.CONFLICT}


def test_the_wrong_instance_in_the_annotation_is_no_consent() -> None:
    assert actions(plan([want("a")], [is_live("a", marked=False, extra={ADOPT: "other"})])) == {
        "a": Action.CONFLICT
    }


def test_unwanted_and_ours_is_deleted_with_its_uid() -> None:
    result = plan([want("a")], [is_live("a"), is_live("b")], ["a", "b"])
    assert actions(result) == {"a": Action.KEEP, "b": Action.DELETE}
    assert [change.uid for change in result.writes] == ["u1"]


def test_unwanted_but_not_in_the_ledger_is_left_alone() -> None:
    assert plan([want("a")], [is_live("a"), is_live("b")], ["a"]).writes == ()


def test_k12_an_object_that_was_replaced_is_not_deleted() -> None:
    assert plan([want("a")], [is_live("a"), is_live("b", uid="u2")], ["a", "b"]).writes == ()


@pytest.mark.parametrize("annotation", [PRUNE, RECONCILE])
def test_an_annotation_forbids_deletion(annotation: str) -> None:
    result = plan([want("a")], [is_live("a"), is_live("b", extra={annotation: "disabled"})], ["a", "b"])
    assert actions(result)["b"] is Action.KEEP
    assert "GM407" in codes(result)


def test_an_annotation_forbids_updates() -> None:
    result = plan([want("a", x=1)], [is_live("a", extra={RECONCILE: "disabled"}, x=2)], ["a"])
    assert actions(result) == {"a": Action.HELD}
    result = plan([want("a", x=1)], [is_live("a", extra={RECONCILE: "disabled"}, x=1)], ["a"])
    assert actions(result) == {"a": Action.KEEP}


def test_protected_ids_are_never_deleted() -> None:
    consent = Consent(protect=(f"{CLUSTER}/*/Rule/shop/b",))
    assert (
        actions(plan([want("a")], [is_live("a"), is_live("b")], ["a", "b"], consent=consent))["b"]
        is Action.KEEP
    )


def test_a_held_unit_is_neither_changed_nor_deleted() -> None:
    result = plan([want("a", x=1)], [is_live("a", x=0), is_live("b")], ["a", "b"], held=["a", "b"])
    assert actions(result) == {"a": Action.HELD, "b": Action.HELD}
    assert result.writes == ()


def test_incomplete_facts_delete_nothing() -> None:
    assert plan([want("a")], [is_live("a"), is_live("b")], ["a", "b"], complete=False).writes == ()


def test_a_mesh_that_is_not_found_deletes_nothing() -> None:
    assert plan([], [is_live("a")], ["a"], meshes=()).writes == ()
    assert len(plan([], [is_live("a")], ["a"]).writes) == 1


def test_x11_a_corrupt_ledger_is_rebuilt_from_the_marks_and_deletes_nothing() -> None:
    result = plan([want("a", x=2)], [is_live("a", x=1), is_live("b")], [], corrupt=True)
    assert actions(result) == {"a": Action.UPDATE}
    assert "GM408" in codes(result)


def test_without_any_ledger_marked_objects_are_ours_and_nothing_is_deleted() -> None:
    assert actions(plan([want("a", x=2)], [is_live("a", x=1), is_live("b")], [], version="")) == {
        "a": Action.UPDATE
    }


def test_g24_more_than_the_guard_allows_is_held_until_approved() -> None:
    names = [f"o{n:02d}" for n in range(40)]
    live = [is_live(name) for name in names]
    held = plan([want(name) for name in names[:20]], live, names)
    assert held.writes == ()
    assert len(held.prune_held) == 20
    assert "GM402" in codes(held)
    approved = plan([want(name) for name in names[:20]], live, names, consent=Consent(prune_approved=True))
    assert [change.action for change in approved.writes] == [Action.DELETE] * 20


def test_g24_a_share_within_the_guard_is_deleted_unasked() -> None:
    names = [f"o{n:02d}" for n in range(40)]
    result = plan([want(name) for name in names[:28]], [is_live(name) for name in names], names)
    assert len(result.writes) == 12


def test_g18_all_of_more_than_one_is_held_however_few() -> None:
    assert plan([], [is_live("a"), is_live("b")], ["a", "b"]).writes == ()
    assert len(plan([], [is_live("a")], ["a"]).writes) == 1


def test_P02_a_rename_creates_before_it_deletes() -> None:
    result = plan([want("new"), want("same")], [is_live("old"), is_live("same")], ["old", "same"])
    assert [change.action for change in result.writes] == [Action.CREATE, Action.DELETE]


def test_k15_a_kind_that_is_not_served_is_a_conflict_not_a_crash() -> None:
    built = Build(cluster=CLUSTER, manifests={rule("a"): want("a")})
    observed = Observed(cluster=CLUSTER, live={}, missing_kinds=frozenset({(GROUP, "Rule")}))
    stored = Stored(ledger=Ledger(instance=INSTANCE, entries={rule("b"): Entry(uid="u")}), version="1")
    result = diff(built, observed, stored, {"fake": FakeMesh()}, Consent(), {}, {})
    assert (actions(result), codes(result)) == ({"a": Action.CONFLICT}, ["GM504"])
    assert rule("b") in record(stored.ledger, result, (), observed, built, {}, {}, "").entries


def test_k11_everything_gone_at_once_is_suspicious() -> None:
    ledger = Ledger(instance=INSTANCE, entries={rule("a"): Entry(uid="1"), rule("b"): Entry(uid="2")})
    assert vanished(Observed(cluster=CLUSTER, live={}), ledger)
    assert not vanished(Observed(cluster=CLUSTER, live={rule("a"): is_live("a")}), ledger)
    assert not vanished(Observed(cluster=CLUSTER, live={}), Ledger(instance=INSTANCE))


def test_x01_intents_are_known_before_the_first_write_and_confirmed_after() -> None:
    ledger, built = Ledger(instance=INSTANCE), Build(cluster=CLUSTER, manifests={rule("a"): want("a")})
    result = plan([want("a")], version="")
    intended = intend(ledger, result, built)
    assert intended.entries[rule("a")].uid == ""
    done = Outcome(key=rule("a"), action=Action.CREATE, ok=True, uid="u7")
    after = record(
        intended,
        result,
        [done],
        Observed(cluster=CLUSTER, live={}),
        built,
        {"s": "c0ffee"},
        {},
        "cluster-uid",
    )
    assert after.entries[rule("a")] == Entry(uid="u7", digest=digest(want("a").body), commit="c0ffee")
    assert (after.sources, after.cluster_uid) == ({"s": "c0ffee"}, "cluster-uid")


def test_k13_a_refused_deletion_stays_in_the_ledger() -> None:
    live = [is_live("a"), is_live("b")]
    result = plan([want("a")], live, ["a", "b"])
    ledger = Ledger(instance=INSTANCE, entries={rule("a"): Entry(uid="u1"), rule("b"): Entry(uid="u1")})
    built = Build(cluster=CLUSTER, manifests={rule("a"): want("a")})
    observed = Observed(cluster=CLUSTER, live={one.key: one for one in live})
    refused = Outcome(key=rule("b"), action=Action.DELETE, ok=False, message="webhook says no")
    assert rule("b") in record(ledger, result, [refused], observed, built, {}, {}, "").entries
    gone = replace(refused, ok=True)
    assert rule("b") not in record(ledger, result, [gone], observed, built, {}, {}, "").entries


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
specs = st.dictionaries(st.sampled_from("xyz"), json_values, max_size=3)


@given(specs, specs)
def test_field_changes_exist_exactly_where_an_independent_diff_finds_some(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    found = changes({"spec": old}, {"spec": new}, {}, {})
    assert bool(found) == bool(DeepDiff(old, new, ignore_numeric_type_changes=True)) or old == new


@given(specs)
def test_a_plan_of_what_is_there_is_empty(spec: dict[str, Any]) -> None:
    assert plan([want("a", **spec)], [is_live("a", **spec)], ["a"]).writes == ()
