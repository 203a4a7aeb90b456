"""What `gitmesh status` and `history` make of the status branch's files: the truth of the report, and nothing
that others put there.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.diagnostics import Location, finding
from gitmesh.model.ledger import Hold, Ledger
from gitmesh.model.overview import Heal, Overview, Waiting
from gitmesh.model.plan import Action, FieldChange, Outcome, Plan
from gitmesh.model.report import Report, SourceResult, State
from gitmesh.render.overview import next_step, overview_document, overview_text
from gitmesh.render.past import history_text
from gitmesh.status.message import heals, message
from gitmesh.status.past import moment, pulls
from gitmesh.status.reading import UnreadableError, read_overview
from gitmesh.status.tree import status_tree
from tests.unit.test_status import COMMIT, KEY, change, cluster, report

NEW = "b" * 40
HOLD = "0123456789ab"
AT = Location(source="policies", path="policies/a.yaml", line=5, column=3)


def overview_of(given: Report) -> Overview:
    return read_overview(status_tree(given))


def text_of(given: Report) -> str:
    return overview_text(overview_of(given), now=1_700_007_200)


def doubtful(since: int = 1_700_000_000, **changes: Any) -> Report:
    held = cluster(
        state=State.HELD, ledger=Ledger(instance="shop", holds={HOLD: Hold(text="x", since=since)}), **changes
    )
    return report(held, diagnostics=(finding("GM507", "mesh istio is not found", cluster="east", hold=HOLD),))


# --- what is told


def test_a_quiet_instance_needs_nothing() -> None:
    found = overview_of(report())
    assert (found.sources[0].accepted, found.clusters[0].applied, found.clusters[0].objects) == (
        COMMIT,
        {"policies": COMMIT},
        1,
    )
    assert next_step(found) == ("", "nothing waits")
    assert "shop: Synced, live" in text_of(report())


def test_a_refused_commit_is_told_with_its_reasons_and_what_is_in_force() -> None:
    said = (
        finding("GM202", "TrafficPolicy.spec has no field 'timout'", at=AT, policy="TrafficPolicy/shop/slow"),
        finding(
            "GM605",
            "revision bbbbbbbbbbbb is refused; aaaaaaaaaaaa stays in force",
            at=replace(AT, path="", line=0),
        ),
    )
    refused = SourceResult(name="policies", seen=NEW, accepted=COMMIT, refused=True)
    found = overview_of(report(sources={"policies": refused}, diagnostics=said))
    assert [(one.code, one.at) for one in found.refusals] == [("GM202", "policies/a.yaml:5:3")]
    assert (found.troubles, next_step(found)[0]) == ((), "gitmesh validate")
    text = overview_text(found, now=0.0)
    assert "policies  Invalid  aaaaaaaaaaaa  bbbbbbbbbbbb (refused)" in text
    assert "no field 'timout'" in text


def test_a_hold_is_told_with_its_age_and_the_command_that_ends_it() -> None:
    found = overview_of(doubtful())
    assert found.waiting == (
        Waiting(hold=HOLD, text="mesh istio is not found", clusters=("east",), since=1_700_000_000),
    )
    assert (found.troubles, next_step(found)[0]) == ((), f"gitmesh approve {HOLD}")
    text = text_of(doubtful())
    assert f"{HOLD} in east, for 2h, since 2023-11-14T22:13:20Z: mesh istio is not found" in text
    assert f"where it is meant: gitmesh approve {HOLD}" in text


def test_the_age_of_a_hold_is_not_known_where_nothing_is_written() -> None:
    assert overview_of(doubtful(observe_only=True)).waiting[0].since == 0
    assert status_tree(doubtful(1, observe_only=True)) == status_tree(doubtful(2, observe_only=True)), (
        "it would be a commit each cycle"
    )


def test_a_plain_folder_has_no_commit() -> None:
    good = SourceResult(name="policies")
    bad = SourceResult(name="policies", refused=True)
    assert "policies  Synced  the folder  the folder\n" in text_of(report(sources={"policies": good}))
    assert "policies  Invalid  nothing   the folder (refused)\n" in text_of(report(sources={"policies": bad}))


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (report(cluster(state=State.UNREACHABLE)), "gitmesh check"),
        (
            report(sources={"policies": SourceResult(name="policies", unavailable=True, accepted=COMMIT)}),
            "gitmesh check",
        ),
        (report(cluster(state=State.PENDING)), "gitmesh sync"),
        (report(cluster(state=State.PENDING, observe_only=True)), "gitmesh diff"),
        (report(cluster(state=State.HELD)), "gitmesh diff"),
        (
            report(
                cluster(state=State.FAILED), diagnostics=(finding("GM505", "update failed", cluster="east"),)
            ),
            "gitmesh explain GM505",
        ),
    ],
)
def test_the_next_command_follows_from_what_is_wrong(given: Report, command: str) -> None:
    assert next_step(overview_of(given))[0] == command
    assert overview_document(overview_of(given))["next"] == command


def test_an_error_of_several_clusters_and_meshes_is_told_once() -> None:
    same = [
        finding("GM308", "nothing guards it", cluster=name, mesh=mesh)
        for name, mesh in (("east", "istio"), ("west", "istio"), ("west", "other"))
    ]
    text = text_of(report(cluster(), cluster("west"), diagnostics=tuple(same)))
    assert text.count("nothing guards it") == 1
    assert "east, west: nothing guards it (meshes istio, other)" in text
    shown = overview_document(overview_of(report(cluster(), cluster("west"), diagnostics=tuple(same))))
    assert [one["mesh"] for one in shown["troubles"]] == ["istio", "istio", "other"]


# --- what others put on the branch


STATUS = status_tree(doubtful())["status.yaml"].decode()
FINDINGS = status_tree(doubtful())["findings.yaml"].decode()
BOMB = "y0: &y0 [x]\n" + "".join(f"y{n}: &y{n} [{', '.join([f'*y{n - 1}'] * 9)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("status.yaml", "a: [1"),
        ("status.yaml", "just text"),
        ("status.yaml", STATUS + "---\n" + STATUS),
        ("status.yaml", STATUS.replace("kind: Status", "kind: Config")),
        ("status.yaml", STATUS.replace("v1alpha1", "v2")),
        ("status.yaml", STATUS.replace(COMMIT, "a; rm -rf ~")),
        ("status.yaml", STATUS.replace(HOLD, "$(reboot)")),
        ("status.yaml", STATUS.replace("Held", "Fine")),
        ("status.yaml", STATUS.replace("objects: 1", "objects: -1")),
        ("status.yaml", STATUS.replace("instance: shop", 'instance: "shop\\e[2J"')),
        ("status.yaml", BOMB + STATUS),
        ("findings.yaml", FINDINGS.replace("code: GM507", "code: 7")),
        ("findings.yaml", FINDINGS.replace("GM507", "GM507; reboot")),
        ("findings.yaml", "[" * 5000),
    ],
)
def test_what_is_not_as_gitmesh_writes_it_is_refused_and_not_shown(path: str, content: str) -> None:
    files = {"status.yaml": STATUS.encode(), "findings.yaml": FINDINGS.encode(), path: content.encode()}
    if files[path] in (STATUS.encode(), FINDINGS.encode()):
        raise AssertionError("the text to replace is not there")
    with pytest.raises(UnreadableError) as caught:
        read_overview(files)
    assert path in str(caught.value)
    assert "reboot" not in str(caught.value)


def test_text_of_others_moves_no_cursor() -> None:
    hostile = replace(overview_of(doubtful()), waiting=(Waiting(hold=HOLD, text="a\x1b[2Jb\u202ec\r"),))
    text = overview_text(hostile, now=0.0)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\r" not in text


def test_what_a_newer_version_adds_is_passed_over() -> None:
    files = {"status.yaml": STATUS.encode() + b"more: {x: 1}\n", "findings.yaml": FINDINGS.encode()}
    assert read_overview(files) == overview_of(doubtful())


# --- the commits


def healed(manager: str) -> Report:
    fields = (FieldChange(path="spec.http[0].timeout", want="5s", live="9s", manager=manager),)
    update = change(Action.UPDATE, drift=True, fields=fields)
    return report(
        cluster(
            plan=Plan(cluster="east", changes=(update,)),
            outcomes=(Outcome(key=KEY, action=Action.UPDATE, ok=True),),
        )
    )


@pytest.mark.parametrize(
    ("manager", "told"),
    [("", ""), ("kubectl-edit", "kubectl-edit"), ("x)\nGitMesh-Source: " + NEW, "(name not shown)")],
)
def test_a_heal_and_its_manager_are_read_back_from_the_message(manager: str, told: str) -> None:
    given = healed(manager)
    text = message(given, heals(given))
    found = moment("c" * 40, 1_700_000_000, text, status_tree(given)["status.yaml"])
    assert found.heals == (
        Heal(
            cluster="east", object="VirtualService/shop/reviews", fields="spec.http[0].timeout", manager=told
        ),
    )
    assert [one.commit for one in found.sources] == [COMMIT]
    by = f" by {told}" if told else ""
    assert f"healed in east{by}: VirtualService/shop/reviews: spec.http[0].timeout" in history_text(
        [found], 5
    )


def test_a_commit_of_somebody_else_says_what_its_trailers_do() -> None:
    found = moment("c" * 40, 0, f"mine\n\nGitMesh-Source: {NEW}\n", b"\xff")
    assert ([one.commit for one in found.sources], found.clusters) == ([NEW], ())
    assert "source@bbbbbbbbbbbb" in history_text([found], 5)


def test_the_number_of_objects_is_compared_with_the_commit_before() -> None:
    now = moment("c" * 40, 0, "now", status_tree(report())["status.yaml"])
    none = report(cluster(build=None))
    before = replace(now, clusters=(replace(now.clusters[0], objects=3),))
    assert "east 1 (-2)" in history_text([now, before], 1)
    assert "east Synced" in history_text([moment("c" * 40, 0, "x", status_tree(none)["status.yaml"])], 1)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("More traffic (#12)", (12,)),
        ("Merge pull request #7 from team/branch\n\nMore traffic (#8)", (7,)),
        ("Merge branch 'x' into 'main'\n\nMore\n\nSee merge request shop/mesh!33", (33,)),
        ("More\n\nReviewed-on: https://git.example/shop/mesh/pulls/9", (9,)),
        (
            "Merge pull request 'x' (#4) from a into main\n\nReviewed-on: https://git.example/a/b/pulls/4",
            (4,),
        ),
        ("Merge pull request 'As (#3) meant' (#4) from a into main", (4,)),
        ("More (!5)", (5,)),
        ("Fix #3 in the table", ()),
        ("x" * 2000 + " (#1)", ()),
    ],
)
def test_pull_requests_are_told_by_subject_or_trailer(text: str, numbers: tuple[int, ...]) -> None:
    assert pulls(text) == numbers
