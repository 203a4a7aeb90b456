"""Reports as text: findings with carets, plans per cluster, totals."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gitmesh.diagnostics import finding
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.plan import Action
from gitmesh.model.report import ClusterResult, Report, SourceResult, Stage, State, Verdict
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from gitmesh.render.document import plan_document
from gitmesh.render.escape import markdown
from gitmesh.render.findings import MOST_FINDINGS, findings_text
from gitmesh.render.markdown import report_markdown
from gitmesh.render.paint import ansi
from gitmesh.render.text import facts_text, report_text
from tests.unit.reports import change, cluster, error, origin, outcome, report, timeout, unreachable


def test_a_finding_has_place_level_code_caret_hint_and_pointer() -> None:
    one = replace(error("no such Service"), excerpt="        - name: reveiws", hint='did you mean "reviews"?')
    one = replace(one, at=replace(one.at, column=17)) if one.at else one
    assert findings_text([one]).splitlines() == [
        "policies/reviews.yaml:14:17: error GM203 BadValue: no such Service",
        "   14 |         - name: reveiws",
        "      |                 ^^^^^^^",
        '  hint: did you mean "reviews"?',
        "  see: gitmesh explain GM203",
    ]


def test_what_others_said_stands_below_the_finding() -> None:
    assert findings_text([finding("GM601", "the server failed", detail="try\n again: 7f3a")]).splitlines()[
        :2
    ] == [
        "gitmesh: error GM601 SourceUnavailable: the server failed",
        "  detail: try\\n again: 7f3a",
    ]


@pytest.mark.parametrize(
    ("more", "last"), [(0, "  see: gitmesh explain GM204"), (1800, "and 1,800 more; -o json has them all")]
)
def test_of_very_many_findings_the_foremost_are_told(more: int, last: str) -> None:
    """Errors first, where not all are told; the document and the totals have them all."""
    many = [
        finding("GM209", "selects nothing", at=origin(line).at) for line in range(1, MOST_FINDINGS + more)
    ]
    bad = replace(error("one error", line=9999), code="GM204")
    told = findings_text([*many, bad]).splitlines()
    heads = [line for line in told if line.startswith("policies/")]
    assert (len(heads), told[-1]) == (MOST_FINDINGS, last)
    assert ("one error" in heads[0], "one error" in heads[-1]) == (more > 0, more == 0)
    whole = report(cluster("east"), said=(*many, bad))
    assert len(plan_document(whole)["findings"]) == len(many) + 1
    assert f"1 error, {len(many)} warnings" in report_text(whole)


def test_the_pointer_to_explain_is_given_once_per_code() -> None:
    text = findings_text([error("one"), error("two", line=15)])
    assert text.count("gitmesh explain GM203") == 1


def test_findings_that_differ_in_the_cluster_only_are_told_once() -> None:
    text = findings_text([error("gone", cluster="east"), error("gone", cluster="west")])
    assert text.count("gone") == 1
    assert "(clusters east, west)" in text


def test_findings_of_two_meshes_are_told_once_and_name_both() -> None:
    both = [error("gone", cluster="east", mesh=name) for name in ("istio", "other")]
    text = findings_text([*both, error("kept", cluster="east", mesh="other")])
    assert text.count("gone") == text.count("kept") == 1
    assert "gone (meshes istio, other, cluster east)" in text
    assert "kept (mesh other, cluster east)" in text


def test_findings_of_one_mesh_do_not_name_it() -> None:
    text = findings_text([error("gone", cluster="east", mesh="istio"), error("kept", cluster="east")])
    assert "istio" not in text
    assert "gone (cluster east)" in text


def test_a_finding_without_a_place_names_its_cluster_once() -> None:
    text = findings_text([finding("GM501", "connection refused", cluster="west")])
    assert text.startswith("west: error GM501 Unreachable: connection refused\n")


@pytest.mark.parametrize(
    "hostile", ["\x1b[2Jgone", "a\rb", "line\nforged: error", "\u202egnp.exe", "\u200bhidden"]
)
def test_W14_text_of_others_never_moves_the_cursor_or_forges_a_line(hostile: str) -> None:
    text = findings_text([replace(error(hostile), excerpt=hostile, hint=hostile)])
    assert hostile not in text
    assert not set(text) & set("\x1b\r\u202e\u200b")
    assert all(
        line.startswith(("policies/", "   14 |", "      |", "  hint:", "  see:"))
        for line in text.splitlines()
    )


def test_the_caret_stands_under_the_value_after_wide_characters() -> None:
    one = replace(error(column=5), excerpt="日本: bad")
    line, caret = findings_text([one]).splitlines()[1:3]
    assert line == "   14 | 日本: bad"
    assert caret == "      |       ^^^"  # two wide characters, a colon and a space take six columns


def test_a_long_line_is_cut_around_the_value() -> None:
    one = replace(error(column=501), excerpt="x" * 500 + "bad" + "y" * 5000)
    line, caret = findings_text([one]).splitlines()[1:3]
    assert len(line) < 160
    assert line[caret.index("^") :].startswith("bad")


def test_S12_the_value_of_a_credential_is_not_shown_in_the_source_line() -> None:
    text = findings_text([replace(error(column=9), excerpt="        authorization: Bearer canary")])
    assert "canary" not in text
    assert "authorization: ***" in text


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ('{set: {x-a: b, Authorization: "Bearer canary", bad: [x]}}', "{set: {x-a: b, Authorization: ***"),
        ("set: {Authorization: [canary]}", "set: {Authorization: [***"),
        ("headers: {authorization: {exact: canary}}", "headers: {authorization: {exact: ***"),
        ("password: canary: 2", "password: ***"),
        ("- headers: [{name: x-api-key, exact: canary, foo: 3}]", "- headers: [{name: x-api-key, exact: ***"),
        ("- headers: [{exact: canary, name: x-api-key}]", "- headers: [{exact: ***"),
        ('{key: "request.headers[x-key]", values: [canary]}', '{key: "request.headers[x-key]", values: [***'),
    ],
)
def test_S12_a_credential_anywhere_in_a_source_line_is_not_shown(line: str, seen: str) -> None:
    text = findings_text([replace(error(column=1), excerpt=line)])
    assert "canary" not in text
    assert text.splitlines()[1] == f"   14 | {seen}"


@pytest.mark.parametrize(
    "line",
    [
        "metadata: {name: reviews, namespace: shop}",
        "destinations: [{name: reviews}, {labels: {key: value}}]",
        "headers: {request: {remove: [authorization], set: {x-team: web}}}",
        "password:",
        "- name: x-api-key",
        "cookie: {",
    ],
)
def test_S12_a_source_line_without_a_credential_is_shown_whole(line: str) -> None:
    text = findings_text([replace(error(column=1), excerpt=line)])
    assert text.splitlines()[1] == f"   14 | {line}"


def test_a_plan_names_objects_fields_and_lines() -> None:
    text = report_text(
        report(
            cluster(
                "east",
                change(Action.UPDATE, timeout(manager="kubectl-edit")),
                change(Action.CREATE, name="details"),
            )
        )
    )
    assert text.splitlines() == [
        "east (istio 1.30.3): 1 to create, 1 to change, 0 to delete, 0 unchanged",
        "  ~ VirtualService shop/reviews  policies/reviews.yaml:12",
        "      spec.http[0].timeout: 5s (set by kubectl-edit) -> 10s   policies/reviews.yaml:12",
        "  + VirtualService shop/details  policies/reviews.yaml:12",
        "revision: policies@aaaaaaaaaaaa",
        "1 to create, 1 to change, 0 to delete, 0 unchanged in 1 cluster",
    ]


def test_equal_plans_are_told_once() -> None:
    text = report_text(report(*(cluster(name, change(Action.CREATE)) for name in ("east", "west"))))
    assert text.startswith(
        "east (istio 1.30.3), west (istio 1.30.3): 1 to create, 0 to change, 0 to delete, 0 unchanged each\n"
    )
    assert text.count("+ VirtualService") == 1
    assert text.endswith("2 to create, 0 to change, 0 to delete, 0 unchanged in 2 clusters\n")


def test_a_cluster_that_did_not_answer_is_never_counted_as_clean() -> None:
    text = report_text(report(cluster("east"), unreachable("west")))
    assert "west: Unreachable" in text
    assert text.endswith("in 1 cluster; 1 cluster did not answer: west\n")


def test_clusters_of_which_nothing_is_known_are_told_once() -> None:
    pending = [ClusterResult(name=name, state=State.PENDING) for name in ("east", "west")]
    assert report_text(report(*pending)).startswith("east, west: Pending, nothing is known of it\n")


def test_what_was_done_is_told_in_the_past_and_failures_are_named() -> None:
    done = cluster(
        "east",
        change(Action.UPDATE, timeout()),
        outcomes=(outcome(ok=False, message="admission webhook refused"),),
    )
    text = report_text(report(done, until=Stage.APPLY))
    assert "failed: admission webhook refused" in text
    assert text.startswith(
        "east (istio 1.30.3): 0 created, 0 changed, 0 deleted, 0 unchanged; 1 write failed\n"
    )
    assert text.endswith("0 created, 0 changed, 0 deleted, 0 unchanged in 1 cluster; 1 write failed\n")


def test_only_what_the_cluster_took_counts_as_done() -> None:
    """A write that failed, one of two steps that failed, and one that nobody tried are none of them done."""
    names = ("good", "bad", "half", "untried")
    changes = [change(Action.CREATE, name=name) for name in names] + [change(Action.CREATE, name="half")]
    said = [("good", True), ("bad", False), ("half", True), ("half", False)]
    outcomes = tuple(
        outcome(ok=ok, message="" if ok else "no", name=name, action=Action.CREATE) for name, ok in said
    )
    one = report(cluster("east", *changes, outcomes=outcomes), until=Stage.APPLY)
    text = report_text(one)
    assert text.endswith("1 created, 0 changed, 0 deleted, 0 unchanged in 1 cluster; 2 writes failed\n")
    assert text.partition("shop/untried")[2].splitlines()[1] == "      not written"
    answer = plan_document(one, "Report")
    assert (answer["summary"]["objects"]["create"], answer["clusters"][0]["summary"]["create"]) == (1, 1)
    assert "1 created" in report_markdown(one)
    assert report_text(report(cluster("east", *changes))).endswith(
        "4 to create, 0 to change, 0 to delete, 0 unchanged in 1 cluster\n"
    )


def test_a_cluster_that_is_only_observed_is_never_told_as_written_nor_merged_with_one_that_was() -> None:
    written = cluster("east", change(Action.CREATE), outcomes=(outcome(action=Action.CREATE),))
    watched = [cluster(name, change(Action.CREATE), observe_only=True) for name in ("west", "north")]
    text = report_text(report(written, *watched, until=Stage.APPLY))
    assert text.splitlines()[0] == "east (istio 1.30.3): 1 created, 0 changed, 0 deleted, 0 unchanged"
    each = "1 to create, 0 to change, 0 to delete, 0 unchanged each, mode Observe: nothing is written"
    assert text.splitlines()[2] == f"west (istio 1.30.3), north (istio 1.30.3): {each}"
    assert (
        text.splitlines()[-1]
        == "1 created, 0 changed, 0 deleted, 0 unchanged in 1 cluster; only observed: 2 to create, 0 to"
        " change, 0 to delete, 0 unchanged in 2 clusters"
    )
    alone = report(*watched, until=Stage.APPLY)
    assert (
        report_text(alone).splitlines()[-1]
        == "only observed: 2 to create, 0 to change, 0 to delete, 0 unchanged in 2 clusters"
    )
    summary = plan_document(alone, "Report")["summary"]
    assert (summary["objects"]["create"], summary["observed"]["create"]) == (0, 2)
    assert report_text(report(written, *watched)).endswith(
        "3 to create, 0 to change, 0 to delete, 0 unchanged in 3 clusters\n"
    )


def test_a_finding_that_is_told_once_is_counted_once() -> None:
    shared = [error("gone", cluster=name) for name in ("east", "west")]
    one = report(cluster("east"), cluster("west"), said=(*shared, error("other", line=15)))
    assert report_text(one).endswith(" in 2 clusters (2 errors, 0 warnings)\n")
    assert report_text(replace(one, until=Stage.PARSE)).endswith(": 2 errors, 0 warnings\n")
    assert "(2 errors, 0 warnings)" in report_markdown(one)
    answer = plan_document(one)
    assert answer["summary"]["findings"]["error"] == len(answer["findings"]) == 3, (
        "a document lists them one by one"
    )


def test_what_a_step_waited_for_is_not_said_of_what_was_done() -> None:
    waits = change(Action.CREATE, note="comes when proxies have had the time for subset v1", settled=True)
    done = cluster("east", waits, outcomes=(outcome(action=Action.CREATE),))
    assert "comes when" not in report_text(report(done, until=Stage.APPLY))
    assert "comes when" in report_text(report(cluster("east", waits)))
    failed = cluster("east", waits, outcomes=(outcome(ok=False, message="no", action=Action.CREATE),))
    assert "comes when" in report_text(report(failed, until=Stage.APPLY))


def test_held_deletions_and_conflicts_are_counted() -> None:
    held = cluster(
        "east", change(Action.CONFLICT, note="made by helm"), prune_held=(change(Action.DELETE, name="old"),)
    )
    text = report_text(report(held))
    assert "conflict VirtualService shop/reviews" in text
    assert "note: made by helm" in text
    assert "held VirtualService shop/old" in text
    assert "1 in conflict, 1 held" in text


def test_several_steps_of_one_object_are_one_line() -> None:
    steps = (
        change(Action.UPDATE, timeout("a", "b"), note="first both"),
        change(Action.UPDATE, timeout("b", "c"), note="then the new"),
    )
    text = report_text(report(cluster("east", *steps)))
    assert text.count("~ VirtualService") == 1
    assert "first both" in text
    assert "then the new" in text


def test_many_fields_are_cut_and_the_cut_is_said() -> None:
    fields = [timeout(path=f"spec.http[{index}].timeout") for index in range(50)]
    text = report_text(report(cluster("east", change(Action.UPDATE, *fields))))
    assert text.count("timeout:") == 30
    assert "... and 20 more fields" in text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.http[0].headers.request.set.authorization", "Bearer canary"),
        ("spec.http[0].headers.request.set", {"x-api-key": "canary", "x-other": "seen"}),
        ("spec.http[0].match[0].headers", {"cookie": {"exact": "canary"}, "x-other": {"exact": "seen"}}),
        (
            "spec.rules[0].when",
            [
                {"key": "request.headers[x-auth-token]", "values": ["canary"]},
                {"key": "k", "values": ["seen"]},
            ],
        ),
    ],
)
def test_S12_header_values_that_look_like_credentials_are_masked(path: str, value: object) -> None:
    text = report_text(report(cluster("east", change(Action.UPDATE, timeout(None, value, path=path)))))
    assert "canary" not in text
    assert "***" in text
    assert "seen" in text or path.endswith("authorization")


def test_colour_only_adds_to_the_text() -> None:
    import re

    one = report(cluster("east", change(Action.UPDATE, timeout())), said=(replace(error(), excerpt="a: b"),))
    coloured = report_text(one, paint=ansi)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == report_text(one)


def test_origins_are_listed_by_file_and_capped() -> None:
    origins = (origin(2, "z.yaml"), *(origin(line) for line in (14, 9, 9, 10, 11, 12)))
    text = report_text(report(cluster("east", change(Action.CREATE, origins=origins))))
    assert "policies/reviews.yaml:9,10,11,12,..., z.yaml:2\n" in text


def test_facts_name_meshes_services_and_workloads() -> None:
    reviews = {"app": "reviews"}
    facts = ClusterFacts(
        cluster="east",
        namespaces={"shop": {}},
        services=(
            Service(
                namespace="shop",
                name="reviews",
                selector=reviews,
                ports=(ServicePort(number=80, protocol="http"),),
            ),
        ),
        workloads=tuple(
            Workload(
                kind="Deployment", namespace="shop", name="reviews-v1", labels=reviews, mesh=mesh, pods=1
            )
            for mesh in ("", "istio")
        ),
        meshes=(Mesh(translator="istio", name="istio", version="1.30.3", trust_domain="east.example"),),
    )
    assert facts_text([facts]).splitlines() == [
        "east: 1 service, 1 workload, 1 namespace",
        "  mesh istio 1.30.3, trust domain east.example, 1 workload",
        "  SERVICE       PORTS    WORKLOADS                       MESH",
        "  shop/reviews  80/http  reviews-v1(2, 1 without proxy)  none,istio",
    ]


def test_incomplete_facts_and_a_missing_mesh_are_said() -> None:
    text = facts_text([ClusterFacts(cluster="east", complete=False)])
    assert "incomplete" in text
    assert "no mesh found" in text


def test_drift_is_told_apart_from_a_change_in_git() -> None:
    text = report_text(report(cluster("east", change(Action.UPDATE, timeout("30s", "3s"), drift=True))))
    assert "~ VirtualService shop/reviews (drift)" in text


@pytest.mark.parametrize(
    ("verdicts", "line"),
    [
        ((), ""),
        ((Verdict.ACCEPTED, Verdict.ACCEPTED), ""),
        (
            (Verdict.ACCEPTED, Verdict.UNKNOWN, Verdict.ACCEPTED),
            "verdicts of the meshes: 2 accepted, 1 unknown\n",
        ),
        (
            (Verdict.REJECTED, Verdict.WARNED, Verdict.ACCEPTED),
            "verdicts of the meshes: 1 accepted, 1 warned, 1 rejected\n",
        ),
    ],
)
def test_verdicts_are_told_unless_all_is_accepted(verdicts: tuple[Verdict, ...], line: str) -> None:
    given = {change(name=f"r{number}").key: (verdict, "") for number, verdict in enumerate(verdicts)}
    text = report_text(report(cluster("east", verdicts=given), until=Stage.APPLY))
    assert text.partition("in 1 cluster\n")[2] == line
    assert "verdicts" not in report_text(report(cluster("east", verdicts=given), until=Stage.PLAN))


# --- which revision an answer is about


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (SourceResult(name="a", seen="a" * 40, accepted="a" * 40), "revision: a@aaaaaaaaaaaa"),
        (
            SourceResult(name="a", seen="b" * 40, accepted="a" * 40, refused=True),
            "revision: a@bbbbbbbbbbbb (refused; aaaaaaaaaaaa in force)",
        ),
        (SourceResult(name="a", seen="b" * 40, refused=True), "revision: a@bbbbbbbbbbbb (refused)"),
        (
            SourceResult(name="a", accepted="a" * 40, unavailable=True),
            "revision: a@aaaaaaaaaaaa (not read, the last known one)",
        ),
        (SourceResult(name="a", unavailable=True), "revision: a (not read)"),
        (SourceResult(name="a"), "revision: a (a folder)"),
        (SourceResult(name="a", refused=True), "revision: a (a folder, refused)"),
    ],
)
def test_the_revision_is_named_in_every_answer_of_diff_and_sync(source: SourceResult, line: str) -> None:
    for until in (Stage.PLAN, Stage.APPLY):
        told = Report(instance="shop", until=until, sources={"a": source})
        assert line in report_text(told).splitlines()
        assert markdown(line) in report_markdown(told).splitlines()
    two = Report(
        instance="shop",
        until=Stage.PLAN,
        sources={"a": source, "b": SourceResult(name="b", seen="c" * 40, accepted="c" * 40)},
    )
    assert report_text(two).splitlines()[0] == line.replace("revision:", "revisions:") + ", b@cccccccccccc"
    assert "revision" not in report_text(Report(instance="shop", until=Stage.PARSE, sources={"a": source})), (
        "only files were checked"
    )


def test_where_no_source_could_be_read_nothing_was_checked() -> None:
    gone = SourceResult(name="a", unavailable=True)
    told = Report(instance="shop", until=Stage.PARSE, sources={"a": gone})
    assert report_text(told).splitlines()[-1] == (
        "checked nothing, as source a could not be read: 0 errors, 0 warnings"
    )
    known = replace(gone, accepted="a" * 40)
    both = replace(told, sources={"a": gone, "b": replace(gone, name="b"), "c": known})
    assert "checked nothing, as sources a, b could not be read" in report_text(both)
    assert "checked 0 policies" in report_text(replace(told, sources={"c": known}))
