"""Objects with our marks that are not ours: one finding for each cause, which says the cause and the way
out.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.plan import Action, Live
from gitmesh.planning.guard import Consent
from gitmesh.planning.ownership import ID, INSTANCE, MANAGED_BY, marks
from tests.fake_mesh import FakeMesh, rule
from tests.unit.plans import CLUSTER, actions, codes, is_live, plan, said, want

NAMES = ("a", "b", "c")


def marked(name: str, *, cluster: str = CLUSTER, instance: str = "shop", uid: str = "u1") -> Live:
    """An object that bears the marks of GitMesh under these names."""
    labels, annotations = marks(cluster, instance, rule(name), ())
    return replace(is_live(name, uid=uid, x=1), labels=labels, annotations=annotations)


def only(diagnostics: Iterable[Diagnostic]) -> Diagnostic:
    (found,) = diagnostics
    return found


@pytest.mark.parametrize(
    ("lives", "ledger", "sign", "way_out"),
    [
        (
            [marked(name, cluster="old") for name in NAMES],
            NAMES,
            "objects carry the marks of cluster old of this instance",
            "put the name",
        ),
        (
            [marked(name, cluster="old") for name in NAMES],
            (),
            "objects carry the marks of cluster old of this instance",
            "put the name",
        ),
        (
            [marked(name, instance="mart") for name in NAMES],
            (),
            "objects carry the marks of instance mart",
            "put the name",
        ),
        (
            [marked(name, uid="new") for name in NAMES],
            NAMES,
            "objects carry our marks, but another uid than the ledger",
            "delete the ledger",
        ),
        (
            [marked(name) for name in NAMES],
            ("z",),
            "objects carry our marks, and the ledger knows nothing",
            "Adoption",
        ),
        ([marked("a", uid="new")], ("a",), "carries our marks, but another uid than the ledger", "restored"),
    ],
)
def test_one_finding_says_the_cause_and_the_way_out(
    lives: list[Live], ledger: Iterable[str], sign: str, way_out: str
) -> None:
    result = plan([want(live.key.name, x=2) for live in lives], lives, ledger)
    assert set(actions(result).values()) == {Action.CONFLICT}
    found = only(result.diagnostics)
    assert (found.code, found.severity, result.writes) == ("GM401", Severity.WARNING, ())
    assert sign in found.message
    assert found.message.startswith(f"in cluster east, {len(lives)} object")
    assert way_out in f"{found.message} {found.hint}"
    assert "not ours" not in found.message


def test_each_cause_has_its_own_finding() -> None:
    lives = [marked("a", cluster="old"), marked("b", uid="new"), is_live("c", marked=False)]
    assert codes(plan([want(name) for name in NAMES], lives, ["b"])) == ["GM401"] * 3


def test_it_is_an_error_where_one_of_them_decides_who_may_call() -> None:
    guard = replace(want("a", x=2), decides="access")
    result = plan([guard, want("b", x=2)], [marked("a", uid="new"), marked("b", uid="new")], ["a", "b"])
    assert said(result) == [("GM401", Severity.ERROR)]
    assert "may not be enforced" in result.diagnostics[0].message


def test_an_adoption_is_a_way_out_of_each() -> None:
    lives = [marked("a", cluster="old"), marked("b", uid="new"), marked("c", instance="mart")]
    consent = Consent(adoptions={rule(name).id(CLUSTER): "" for name in NAMES})
    assert set(actions(plan([want(name) for name in NAMES], lives, ["b"], consent=consent)).values()) == {
        Action.ADOPT
    }


@pytest.mark.parametrize(
    "live",
    [
        is_live("a", marked=False, x=1),
        replace(marked("a"), labels={MANAGED_BY: "gitmesh"}),
        replace(marked("a"), labels={MANAGED_BY: "helm", INSTANCE: "shop"}),
        replace(marked("a"), annotations={ID: rule("b").id(CLUSTER)}),
        replace(marked("a"), annotations={}),
    ],
)
def test_what_bears_no_marks_or_those_of_another_object_is_somebody_elses(live: Live) -> None:
    found = only(plan([want("a", x=2)], [live]).diagnostics)
    assert (found.code, "is not ours" in found.message) == ("GM401", True)


def test_what_nobody_wants_any_more_is_told_with_them_where_the_ledger_knows_it() -> None:
    lives = [marked("a", uid="new"), marked("b", uid="new")]
    found = only(plan([want("a", x=2)], lives, ["a", "b"], mesh=FakeMesh(decides="access")).diagnostics)
    assert ("2 objects" in found.message, found.severity) == (True, Severity.ERROR)
    assert "1 object " in only(plan([want("a", x=2)], lives, ["a"]).diagnostics).message, (
        "marks alone silence nobody"
    )
