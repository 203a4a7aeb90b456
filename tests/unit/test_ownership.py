"""What of an object is ours: all of it, all but some fields, or some fields of somebody else's object. One
value answers what is compared, what is applied and what stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.model.ledger import Entry, Ledger, Stored
from gitmesh.model.manifests import Fragment, Manifest
from gitmesh.model.objects import canonical, decode, digest
from gitmesh.model.ownership import (
    WHOLE,
    FieldPath,
    Ownership,
    all_but,
    annotation,
    differing,
    only_fields,
)
from gitmesh.model.plan import Live, Observed
from gitmesh.planning.ledger_codec import dump_ledger, encode_ledger, load_ledger, read_ledger
from gitmesh.planning.ledgers import rebuilt
from gitmesh.planning.merging import together
from gitmesh.planning.ownership import marks
from gitmesh.planning.rows import is_same
from tests.owning_mesh import CONFIG_MAP, SERVICE, key_of
from tests.unit.plans import CLUSTER, INSTANCE

MODE = annotation("mesh.test/mode")
ENDS = ("spec", "endpoints")


def thing(*, mode: str = "", **more: Any) -> dict[str, Any]:
    noted = {"annotations": {"mesh.test/mode": mode}} if mode else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "reviews", "namespace": "shop", **noted},
        **more,
    }


BARE = thing()


# --- what is applied, and what stays


def test_of_a_whole_object_all_is_ours() -> None:
    body = thing(mode="fast", spec={"x": 1})
    assert (WHOLE.part(body), WHOLE.onto(body, thing(spec={"y": 2})), WHOLE.rest(body)) == (body, body, None)
    assert WHOLE.is_object


def test_of_somebody_elses_object_only_the_fields_are() -> None:
    ours, live = only_fields([MODE]), thing(mode="slow", spec={"x": 1})
    assert ours.part(live) == thing(mode="slow")
    assert ours.onto(thing(mode="fast"), live) == thing(mode="fast", spec={"x": 1})
    assert ours.onto(BARE, live) == thing(spec={"x": 1}), "what is not wanted goes, and nothing else"
    assert ours.rest(live) == thing(spec={"x": 1})
    assert not ours.is_object


def test_of_an_object_but_for_some_fields_the_rest_is() -> None:
    ours, live = all_but([ENDS]), thing(spec={"x": 1, "endpoints": ["a"], "y": 2})
    assert ours.part(live) == thing(spec={"x": 1, "y": 2})
    assert ours.onto(thing(spec={"x": 3}), live) == thing(spec={"x": 3, "endpoints": ["a"]})
    assert (ours.rest(live), ours.is_object) == (None, True)


def test_other_annotations_stay_beside_ours() -> None:
    live = thing(mode="fast")
    live["metadata"]["annotations"]["a.test/b"] = "1"
    left = only_fields([MODE]).rest(live)
    assert left is not None
    assert left["metadata"]["annotations"] == {"a.test/b": "1"}


# --- what is compared


@pytest.mark.parametrize(
    ("ours", "live", "same"),
    [
        (WHOLE, thing(spec={"x": 1}), True),
        (WHOLE, thing(spec={"x": 1, "endpoints": []}), False),
        (WHOLE, thing(spec={"x": 1}, data={"a": "b"}), False),
        (WHOLE, thing(mode="theirs", spec={"x": 1}), True),
        (all_but([ENDS]), thing(spec={"x": 1, "endpoints": ["a"]}), True),
        (all_but([ENDS]), thing(spec={"x": 2, "endpoints": ["a"]}), False),
        (all_but([ENDS]), thing(spec={"x": 1, "more": 1}), False),
    ],
)
def test_what_of_a_live_object_is_drift(ours: Ownership, live: dict[str, Any], same: bool) -> None:
    assert is_same(thing(spec={"x": 1}), live, frozenset(), ours) is same


@pytest.mark.parametrize(
    ("live", "same"),
    [
        (thing(mode="fast", spec={"any": 1}), True),
        (thing(mode="slow"), False),
        (thing(), False),
        ({**thing(mode="fast"), "apiVersion": "v2"}, True),
    ],
)
def test_of_fields_nothing_else_is_drift(live: dict[str, Any], same: bool) -> None:
    assert is_same(thing(mode="fast"), live, frozenset(), only_fields([MODE])) is same


def test_data_is_content_as_a_spec_is() -> None:
    assert not is_same(thing(data={"a": "1"}), thing(data={"a": "1", "b": "2"}), frozenset())
    assert is_same(thing(data={"a": "1"}), thing(data={"a": "1"}), frozenset())


def test_a_field_that_something_stands_in_the_way_of_is_somebody_elses() -> None:
    ours = only_fields([("spec", "mesh", "mode")])
    wanted = thing(spec={"mesh": {"mode": "fast"}})
    assert differing(ours, thing(spec={"mesh": ["a"]}), wanted) == (("spec", "mesh", "mode"),)
    assert differing(ours, thing(spec={}), wanted) == ()


# --- which fields there are


@pytest.mark.parametrize(
    "path",
    [(), ("",), ("kind",), ("status",), ("metadata", "name"), ("metadata", "finalizers"), ("metadata",)],
)
def test_some_fields_are_nobodys(path: FieldPath) -> None:
    for made in (only_fields, all_but):
        with pytest.raises(ValueError, match="nobody's"):
            made([path])


def test_one_field_inside_another_is_not_two() -> None:
    with pytest.raises(ValueError, match="not two fields"):
        only_fields([("spec",), ("spec", "x")])
    assert only_fields([("spec",)]).joined(only_fields([("spec", "x"), MODE])) == only_fields(
        [("spec",), MODE]
    )


def test_no_field_is_no_ownership_of_fields() -> None:
    with pytest.raises(ValueError, match="at least one field"):
        only_fields([])
    with pytest.raises(ValueError, match="not both"):
        Ownership(only=(MODE,), excepted=(ENDS,))


@pytest.mark.parametrize(
    ("ours", "body"),
    [
        (only_fields([MODE]), thing()),
        (only_fields([MODE]), thing(mode="fast", spec={"x": 1})),
        (all_but([ENDS]), thing(spec={"endpoints": []})),
    ],
)
def test_an_object_that_does_not_fit_is_told(ours: Ownership, body: dict[str, Any]) -> None:
    assert ours.misfit(body)
    assert not WHOLE.misfit(body)


# --- several that want one object


def wanted(policy: str = "p", *, writer: str = "fake", **said: Any) -> Manifest:
    given = {"ownership": only_fields([annotation(name) for name in said.get("annotations", {})]), **said}
    made = Fragment(key=key_of(SERVICE), version="v1", **given)
    content = canonical(made.body)
    return Manifest(
        key=made.key,
        version="v1",
        decides="routing",
        body=content,
        digest=digest(content),
        policies=(policy,),
        ownership=made.ownership,
        writer=writer,
    )


def test_fields_of_several_units_are_put_together() -> None:
    both = together(wanted("a", annotations={"one": "1"}), wanted("b", annotations={"two": "2"}))
    assert both is not None
    assert decode(both.body)["metadata"]["annotations"] == {"one": "1", "two": "2"}
    assert (both.policies, len(both.ownership.only)) == (("a", "b"), 2)
    assert both.digest == digest(both.body)
    same = together(wanted("a", annotations={"one": "1"}), wanted("b", annotations={"one": "1"}))
    assert same is not None
    assert same.policies == ("a", "b")


def test_two_values_of_one_field_are_a_contradiction() -> None:
    assert together(wanted(annotations={"one": "1"}), wanted(annotations={"one": "2"})) is None


def test_fields_and_the_whole_object_are_a_contradiction() -> None:
    whole = replace(wanted(annotations={"one": "1"}), ownership=WHOLE)
    assert together(wanted(annotations={"one": "1"}), whole) is None


# --- what the ledger remembers


def ledger_of(**owned: Ownership) -> Ledger:
    entries = {
        key_of(SERVICE, name=name): Entry(uid=name, digest="d", ownership=one) for name, one in owned.items()
    }
    return Ledger(instance=INSTANCE, entries=entries)


@pytest.mark.parametrize("ours", [only_fields([MODE, annotation("b")]), all_but([ENDS]), WHOLE])
def test_the_ledger_knows_what_is_ours_after_a_restart(ours: Ownership) -> None:
    ledger = ledger_of(a=ours, b=WHOLE)
    assert load_ledger(dump_ledger(ledger)) == ledger
    assert read_ledger(encode_ledger(ledger), "other", "1").ledger == ledger


def test_a_ledger_of_whole_objects_is_what_it_was_before() -> None:
    """An upgrade rewrites nothing."""
    found = json.loads(encode_ledger(ledger_of(a=WHOLE)))
    assert found["schema"] == 4
    assert not {"owned", "ownerships"} & found.keys()
    assert json.loads(encode_ledger(ledger_of(a=only_fields([MODE]))))["schema"] == 5


@pytest.mark.parametrize(
    "change", [{"owned": {"/Service": {"shop": {"a": 7}}}}, {"ownerships": [{"only": [["kind"]]}]}]
)
def test_a_ledger_that_says_nonsense_of_ownership_is_none(change: dict[str, Any]) -> None:
    content = json.dumps({**dump_ledger(ledger_of(a=only_fields([MODE]))), **change}).encode()
    assert read_ledger(content, INSTANCE, "1").corrupt


def test_a_lost_ledger_finds_fields_again_by_who_set_them() -> None:
    body = canonical(thing(mode="fast"))
    managers = {f"gitmesh-{INSTANCE}": "Apply", "gitmesh-other": "Apply"}
    fields = {"metadata.annotations.mesh.test/mode": f"gitmesh-{INSTANCE}", "spec": "kubectl"}
    ours = Live(key=key_of(SERVICE), uid="u", body=body, managers=managers, field_managers=fields)
    theirs = replace(
        ours,
        key=key_of(CONFIG_MAP),
        field_managers={"metadata.annotations.mesh.test/mode": "gitmesh-other"},
    )
    observed = Observed(cluster=CLUSTER, live={one.key: one for one in (ours, theirs)})
    stored = Stored(ledger=Ledger(instance=INSTANCE))
    assert rebuilt(stored, observed).entries == {ours.key: Entry(uid="u", ownership=only_fields([MODE]))}


def test_marks_stand_on_what_is_ours_alone() -> None:
    labels, annotations = marks(CLUSTER, INSTANCE, key_of(SERVICE), ("p",))
    assert labels
    assert annotations
    assert "labels" not in wanted(annotations={"one": "1"}).body.decode()
