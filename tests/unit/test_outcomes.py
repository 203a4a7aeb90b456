"""What became of a commit in each cluster, as statuses and as lines: the same words while the same holds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.model.forge import CommitState
from gitmesh.model.plan import Action
from gitmesh.model.report import ClusterResult, SourceResult, State, Verdict
from gitmesh.reviewing.outcomes import Fate, fates, outcome_markdown, outcome_statuses
from gitmesh.reviewing.posting import OUTCOME_ROOM
from tests.unit.reports import change, cluster, error, key, outcome, report, unreachable

IN_FORCE, TIP = ("a" * 40, "b" * 40)
DOUBT = finding("GM507", "mesh istio was there and is not found", cluster="east", hold="0123456789ab")


def fate(result: ClusterResult, *said: Diagnostic) -> Fate:
    (found,) = fates(report(result, said=said))
    return found


@pytest.mark.parametrize(
    ("result", "said", "state", "text"),
    [
        (cluster("east", change(), change(name="b")), (), CommitState.SUCCESS, "applied: 2 objects"),
        (
            cluster("east", change(), verdicts={key(): (Verdict.REJECTED, "no such host")}),
            (),
            CommitState.SUCCESS,
            "applied: 1 object, 1 of them rejected by the mesh",
        ),
        (unreachable("east"), (), CommitState.ERROR, "not known: the cluster did not answer"),
        (
            unreachable("east"),
            (
                finding(
                    "GM501", "cluster east: the host did not answer", cluster="east", detail="request 4711"
                ),
            ),
            CommitState.ERROR,
            "not known: GM501: cluster east: the host did not answer",
        ),
        (
            cluster("east", change(), state=State.FAILED, outcomes=(outcome(ok=False),)),
            (finding("GM505", "update of it failed: forbidden", cluster="east", detail="at 10:00"),),
            CommitState.ERROR,
            "failed: GM505: update of it failed: forbidden",
        ),
        (
            cluster(state=State.HELD),
            (error(cluster="east"), error("another", line=20, cluster="east")),
            CommitState.FAILURE,
            "held: GM203 policies/reviews.yaml:14:15: attempts must be a number (and 1 more error)",
        ),
        (
            cluster(state=State.HELD),
            (DOUBT,),
            CommitState.PENDING,
            "held: GM507: mesh istio was there and is not found",
        ),
        (
            cluster(state=State.HELD),
            (finding("GM402", "12 deletions wait for consent", cluster="east"),),
            CommitState.PENDING,
            "held: GM402: 12 deletions wait for consent",
        ),
        (
            cluster("east", change(staged=True), state=State.PENDING),
            (),
            CommitState.PENDING,
            "waiting: 1 object until every proxy has learnt of what was written first",
        ),
        (
            cluster(
                "east", change(), state=State.PENDING, outcomes=(replace(outcome(ok=False), pending=True),)
            ),
            (),
            CommitState.PENDING,
            "waiting: 1 object until what is being deleted is gone",
        ),
        (
            cluster("east", change(Action.CREATE), state=State.PENDING, observe_only=True),
            (),
            CommitState.SUCCESS,
            "only observed: 1 object would be written",
        ),
        (
            cluster("east", state=State.SYNCED, observe_only=True),
            (),
            CommitState.SUCCESS,
            "only observed: nothing would be written",
        ),
    ],
)
def test_each_state_in_words(
    result: ClusterResult, said: tuple[Diagnostic, ...], state: CommitState, text: str
) -> None:
    found = fate(result, *said)
    assert (found.state, found.text) == (state, text)


def test_what_somebody_else_said_and_when_changes_no_word() -> None:
    one, other = (
        fate(unreachable("east"), finding("GM501", "cluster east: no answer", cluster="east", detail=detail))
        for detail in ("id 1", "id 2")
    )
    assert one == other


def test_the_findings_of_another_cluster_are_not_its_own() -> None:
    found = fate(
        cluster(state=State.HELD), error("of the west", cluster="west"), error("of the east", cluster="east")
    )
    assert "of the east" in found.text


def refused(**more: Any) -> dict[str, SourceResult]:
    return {"policies": SourceResult(name="policies", seen=TIP, accepted=IN_FORCE, refused=True, **more)}


def test_a_refused_tip_is_a_failure_in_every_cluster_and_what_is_in_force_keeps_its_own() -> None:
    said = (
        finding("GM605", "revision b is refused", at=Location(source="policies", path="", line=0, column=0)),
        error(),
    )
    made = report(cluster("east"), cluster("west", state=State.HELD), said=said, sources=refused())
    found = outcome_statuses(made, "policies")
    assert {(commit[0], context): status.state for (commit, context), status in found.items()} == {
        ("a", "gitmesh/shop/east"): CommitState.SUCCESS,
        ("a", "gitmesh/shop/west"): CommitState.PENDING,
        ("b", "gitmesh/shop/east"): CommitState.FAILURE,
        ("b", "gitmesh/shop/west"): CommitState.FAILURE,
    }
    text = found[TIP, "gitmesh/shop/east"].text
    assert text == "refused: GM203 policies/reviews.yaml:14:15: attempts must be a number"


@pytest.mark.parametrize("more", [{"unavailable": True}, {"seen": IN_FORCE}])
def test_a_tip_that_was_not_read_is_not_refused(more: dict[str, Any]) -> None:
    made = report(
        cluster("east"), said=(error(),), sources={"policies": replace(refused()["policies"], **more)}
    )
    assert {commit for commit, _ in outcome_statuses(made, "policies")} == {IN_FORCE}


def test_before_anything_is_in_force_nothing_is_told_but_the_refusal() -> None:
    sources = {"policies": SourceResult(name="policies", seen=TIP, refused=True)}
    made = report(cluster(state=State.PENDING), said=(error(),), sources=sources)
    assert {commit for commit, _ in outcome_statuses(made, "policies")} == {TIP}
    assert outcome_statuses(report(cluster()), "another") == {}


def test_lines_below_a_review_fold_clusters_and_escape_what_they_say() -> None:
    told = [
        Fate(cluster=name, state=CommitState.SUCCESS, text="applied: 3 objects") for name in ("east", "north")
    ]
    told += [Fate(cluster="west", state=CommitState.PENDING, text="held: <img src=x> @everyone `")]
    text = outcome_markdown(IN_FORCE, told, limit=OUTCOME_ROOM, minutes=10)
    assert "- **east, north**: applied: 3 objects\n" in text
    assert "&lt;img src=x&gt; &#64;everyone \\` \\(still so 10 minutes after it came into force\\)" in text


def test_lines_below_a_review_stay_within_their_room() -> None:
    told = [
        Fate(cluster=f"c{number}", state=CommitState.FAILURE, text=f"held: {number}{'<' * 300}")
        for number in range(100)
    ]
    text = outcome_markdown(IN_FORCE, told, limit=OUTCOME_ROOM)
    assert len(text) <= OUTCOME_ROOM
    assert text.endswith("more rows\n")
